"""The life of one request to the sandbox, the same for every vendor: read, record, admit, misbehave or work, answer."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from gateway.sandbox.catalogue import named_error
from gateway.sandbox.ledger import Charge
from gateway.sandbox.mangling import mangled
from gateway.sandbox.native_error import NativeError, RefusedError
from gateway.sandbox.scripts import Then
from gateway.sandbox.state import RecordedCall, State
from gateway.sandbox.wire import Silence, Trouble, giant

__all__ = ["Call", "Operation", "json_reply", "respond"]

_SECRET_HEADERS = ("authorization", "api-key", "x-goog-api-key", "cookie")


@dataclass(slots=True)
class Call:
    """One request in the hands of a vendor. `model` and `prompt` are what scripts match on.

    `inline_images` is how many images the reply carries itself: they are delivered if it goes out whole.
    """

    state: State
    request: Request
    vendor: str
    id: str
    body: Any = None
    model: str = ""
    prompt: str = ""
    then: Then = field(default_factory=Then)
    inline_images: int = 0

    @property
    def base_url(self) -> str:
        """The sandbox's own address as the caller spelled it, without a trailing slash."""
        return str(self.request.base_url).rstrip("/")

    @property
    def now(self) -> float:
        """The sandbox's time."""
        return self.state.clock.now()

    def charge(self, images: int, rule: str, microdollars_each: int) -> None:
        """Enter what the vendor bills for this call, unless a script says that it bills nothing."""
        if self.then.charged is False:
            return
        entry = Charge(self.vendor, self.model, images, rule, self.id, self.now, images * microdollars_each)
        self.state.books.charge(entry)

    async def work(self, natural_s: float) -> None:
        """Take the time that the vendor takes, at the sandbox's pace."""
        await self.state.clock.wait(self.state.natural_wait_s(natural_s))


def _no_subject(call: Call) -> tuple[str, str]:
    return "", ""


def _read_nothing(body: bytes, request: Request) -> Any:
    return None


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing a vendor can be asked. `admit` raises RefusedError for a bad credential, `read` for a bad body."""

    vendor: str
    name: str
    handle: Callable[[Call], Awaitable[Response]]
    admit: Callable[[Call], None]
    read: Callable[[bytes, Request], Any] = _read_nothing
    subject: Callable[[Call], tuple[str, str]] = _no_subject


def json_reply(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON reply of the usual kind."""
    return Response(orjson.dumps(body), status, headers, "application/json")


async def respond(state: State, operation: Operation, request: Request) -> Response:
    """Everything that happens to one request, top to bottom."""
    if state.scripts.take_unread(operation.vendor, operation.name) is not None:
        return Trouble("reset_before_read", state.clock)
    try:
        raw = await request.body()
    except ClientDisconnect:
        return Silence()
    record = _record(state, operation, request)
    call = Call(state, request, operation.vendor, record.id)
    try:
        operation.admit(call)
        record.authenticated = True
        call.body = record.body = operation.read(raw, request)
        call.model, call.prompt = operation.subject(call)
        call.then = state.scripts.take(operation.vendor, operation.name, call.model, call.prompt)
        reply = await _perform(call, operation)
    except RefusedError as refusal:
        reply = mangled(refusal.error.response(), call.then)
    record.status = None if isinstance(reply, Silence) else reply.status_code
    return reply


async def _perform(call: Call, operation: Operation) -> Response:
    then = call.then
    await call.state.clock.wait(then.latency_s)
    if then.replaces_reply:
        if then.charged:
            await operation.handle(call)
        return mangled(_scripted_error(then), then) if then.wire is None else Trouble(then.wire, call.state.clock)
    return _sent(call, mangled(await operation.handle(call), then))


def _sent(call: Call, reply: Response) -> Response:
    """The reply on its way; only one that arrives whole delivers its images."""
    then = call.then
    if then.wire is None:
        if then.mangle is None:
            call.state.books.delivered[call.vendor] += call.inline_images
        return reply
    if then.wire == "giant":
        return giant(dict(then.headers))
    return Trouble(then.wire, call.state.clock, reply)


def _scripted_error(then: Then) -> Response:
    if then.error is not None:
        return named_error(then.error).response()
    return NativeError(then.status or 500, then.body if then.body is not None else {}).response()


def _record(state: State, operation: Operation, request: Request) -> RecordedCall:
    record = RecordedCall(
        id=state.next_call_id(),
        vendor=operation.vendor,
        operation=operation.name,
        method=request.method,
        path=request.url.path,
        query=request.url.query,
        headers={name: "…" if name in _SECRET_HEADERS else value for name, value in request.headers.items()},
        body=None,
        at=state.clock.now(),
    )
    state.calls.append(record)
    return record
