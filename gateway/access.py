"""The outermost wrapper: every request gets an id, every refusal its envelope, and the log one line."""

import re
import time
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars

from gateway.domain.errors import ErrorCode, RequestError
from gateway.domain.facts import Listener, RequestTurnedAway
from gateway.edges.world import World
from gateway.envelope import error_reply

__all__ = ["Access", "ClientGone", "ReplyCutShort", "new_request_id"]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_LOGGED = ("route", "code", "key_id", "model", "client")
_SERVER_ERROR = 500
_CLIENT_GONE = 499  # nginx's number for a client that left before it was answered; only ever logged


class ClientGone(Exception):  # noqa: N818  # nobody's error
    """The client left before its request was complete: there is no one to answer."""


class ReplyCutShort(Exception):  # noqa: N818  # it tells the server to break the connection
    """A reply failed after it had begun, so the connection must end without the reply's proper end."""


def new_request_id(world: World | None = None) -> str:
    """A fresh id of 128 random bits."""
    return f"req_{(world or World()).token(16).hex()}"


class Access:
    """ASGI wrapper: `x-request-id` and `openai-processing-ms` on every reply, the one place that catches RequestError.

    Reads from `scope["state"]` what the app knows for the log: route, code, key_id, model, client. Puts request_id
    there. Neither bodies nor query strings are ever logged. `tell` hears of what was refused, unless the app says in
    the state (`counted`) that it told of it itself; of our own faults elsewhere it hears of the unforeseen ones alone.
    """

    def __init__(
        self, app: ASGIApp, clock: Callable[[], float] = time.perf_counter, tell: Listener = lambda _: None
    ) -> None:
        self._app = app
        self._world = World()
        self._clock = clock
        self._tell = tell
        self._log = structlog.get_logger("access")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, whatever becomes of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["request_id"] = _request_id(scope["headers"], self._world)
        bind_contextvars(request_id=state["request_id"])  # for all lines of this task and of those it begins
        reply = _Reply(send, state["request_id"], self._clock)
        try:
            await self._answer(scope, receive, reply, state)
        finally:
            self._log.info("request", **_line(scope, state, reply))

    async def _answer(self, scope: Scope, receive: Receive, reply: "_Reply", state: MutableMapping[str, Any]) -> None:
        try:
            await self._app(scope, receive, reply.send)
        except RequestError as error:
            state["code"] = error.code.value
            if error.status < _SERVER_ERROR:
                self._count(error, state)
            await reply.refuse(error)
        except ClientGone:
            state["code"] = "client_gone"
        except ReplyCutShort:
            raise
        except Exception:  # noqa: BLE001  # the process's boundary: a fault of ours is logged and answered
            state["code"] = ErrorCode.INTERNAL_ERROR.value
            self._log.exception("internal error", request_id=state["request_id"])
            failure = RequestError(ErrorCode.INTERNAL_ERROR, "The gateway failed. This is our fault.")
            self._count(failure, state)
            await reply.refuse(failure)

    def _count(self, error: RequestError, state: MutableMapping[str, Any]) -> None:
        if "counted" not in state:
            self._tell(RequestTurnedAway(error.code.value, error.status))


class _Reply:
    """One reply on its way out: what has been sent of it, and how long that took."""

    def __init__(self, send: Send, request_id: str, clock: Callable[[], float]) -> None:
        self._send = send
        self._request_id = request_id.encode("ascii")
        self._clock = clock
        self._began_s = clock()
        self.status = _CLIENT_GONE
        self.started = False
        self.sent_bytes = 0

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds since the request came in."""
        return (self._clock() - self._began_s) * 1000

    async def send(self, message: Message) -> None:
        """Pass a message on; the first one with our headers."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.started = True
            kept = [pair for pair in message.get("headers", ()) if pair[0] != b"x-request-id"]  # ASGI: lower case
            kept.append((b"x-request-id", self._request_id))
            kept.append((b"openai-processing-ms", str(round(self.elapsed_ms)).encode()))
            message = {**message, "headers": kept}
        elif message["type"] == "http.response.body":
            self.sent_bytes += len(message.get("body", b""))
        await self._send(message)

    async def refuse(self, error: RequestError) -> None:
        """Answer with the envelope, or break off a reply that has begun."""
        if self.started:
            raise ReplyCutShort from error
        status, headers, body = error_reply(error, self._request_id.decode("ascii"))
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})


def _request_id(headers: Iterable[tuple[bytes, bytes]], world: World) -> str:
    sent = [value for name, value in headers if name == b"x-request-id"]
    if len(sent) == 1 and _REQUEST_ID.fullmatch(sent[0]):
        return sent[0].decode("ascii")
    return new_request_id(world)


def _line(scope: Scope, state: MutableMapping[str, Any], reply: _Reply) -> dict[str, Any]:
    line = {
        "request_id": state["request_id"],
        "method": scope["method"],
        "status": reply.status,
        "duration_ms": round(reply.elapsed_ms, 1),
        "bytes": reply.sent_bytes,
    }
    line.update((name, state[name]) for name in _LOGGED if state.get(name) is not None)
    return line
