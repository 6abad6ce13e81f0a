"""The public port: thin HTTP handlers around the steps, and nothing of their business."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.access import ClientGone
from gateway.domain.caller import Caller
from gateway.domain.errors import ErrorCode, ErrorType, RequestError, type_of
from gateway.domain.facts import KeyRefused, Listener, RequestEnded
from gateway.domain.picture import ImageFormat
from gateway.domain.reply import Inbound, Reply
from gateway.edges.assets import Asset, StoreUnavailable
from gateway.generation import handle_generation
from gateway.guard import Networks, client_address, read_body
from gateway.operation import Operations
from gateway.operation_page import operation_reply
from gateway.policies.attempts import FailedAttempts
from gateway.policies.byte_ranges import Part, Unsatisfiable, requested_range
from gateway.policies.key_records import Refusal
from gateway.policies.link_signing import verify
from gateway.services import Services
from gateway.steps.authenticate import authenticate
from gateway.webhook_page import webhook_reply

__all__ = ["Documents", "public_app"]

Handler = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY_LIMIT_BYTES = 64 * 1024  # contract §2
BODY_DEADLINE_S = 30.0  # reliability: a body that takes longer is stalled or meant to stall
_GENERATIONS = "/v1/images/generations"
_MODELS = "/v1/models"
_FILES = "/v1/images/files/"
_OPERATIONS = "/v1/operations/"
_WEBHOOKS = "/v1/webhooks/"
_QUERY_BYTES = 256  # our own links have under 80
_READ = ("GET", "HEAD")
_FORMATS = {image_format.extension: image_format for image_format in ImageFormat}
_JSON = ("content-type", "application/json")


@dataclass(frozen=True, slots=True)
class Documents:
    """What the documentation says: media type and bytes by path, and the models as a caller may see them."""

    static: Mapping[str, tuple[str, bytes]]
    list_models: Callable[[Caller], dict[str, Any]] = field(repr=False)
    find_model: Callable[[Caller, str], dict[str, Any] | None] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Door:
    """Who is let in from where: wrong keys are counted by address; a right one always passes."""

    attempts: FailedAttempts
    trusted: Networks
    tell: Listener

    @contextmanager
    def watch(self, scope: Scope, now_s: float) -> Iterator[None]:
        """Turn a wrong key into 429 once its address has tried too many of them."""
        try:
            yield
        except RequestError as error:
            if error.code is ErrorCode.MISSING_API_KEY:
                self.tell(KeyRefused(Refusal.MISSING.value))
            if type_of(error.code) is ErrorType.AUTHENTICATION:
                wait_s = self.attempts.fail(client_address(scope, self.trusted), now_s)
                if wait_s > 0:
                    raise RequestError(
                        ErrorCode.TOO_MANY_ATTEMPTS,
                        "Too many requests with wrong keys came from this address.",
                        retry_after_ms=round(wait_s * 1000) + 1,
                    ) from None
            raise


def public_app(operations: Operations, services: Services, documents: Documents, door: Door) -> ASGIApp:
    """The application of the public port: one hot endpoint, the models, the images and the documentation."""
    generation: Handler = partial(_generate, operations, services, door)
    models: Handler = partial(_models, services, documents, door)
    files: Handler = partial(_file, services)
    operation: Handler = partial(_operation, operations, services, door)
    webhook: Handler = partial(_webhook, operations, services)
    static: Handler = partial(_static, documents)

    def app(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        path: str = scope["path"]
        methods: tuple[str, ...] = _READ
        if path == _GENERATIONS:
            handler, route, methods = generation, path, ("POST",)
        elif path.startswith(_FILES):
            handler, route = files, _FILES + "{file}"
        elif path == _MODELS or path.startswith(_MODELS + "/"):
            handler, route = models, _MODELS
        elif path.startswith(_OPERATIONS):
            handler, route, methods = operation, _OPERATIONS + "{id}", ("GET",)
        elif path.startswith(_WEBHOOKS) and services.callbacks.url is not None:
            handler, route, methods = webhook, _WEBHOOKS, ("POST",)
        elif path in documents.static:
            handler, route = static, path
        else:
            raise RequestError(ErrorCode.NOT_FOUND, "There is nothing at this address. See /llms.txt.")
        scope["state"]["route"] = route
        if scope["method"] not in methods:
            allowed = ", ".join(methods)
            raise RequestError(ErrorCode.METHOD_NOT_ALLOWED, f"Use {allowed} here.", headers={"allow": allowed})
        return handler(scope, receive, send)

    return app


async def _generate(
    operations: Operations, services: Services, door: Door, scope: Scope, receive: Receive, send: Send
) -> None:
    started, notes, code, status = services.world.monotonic(), scope["state"], ErrorCode.INTERNAL_ERROR.value, 500
    notes["counted"] = True
    body = partial(read_body, receive, BODY_LIMIT_BYTES, BODY_DEADLINE_S)
    inbound = Inbound(_headers(scope), body, notes, notes["departure"].then, scope["headers"])
    try:
        with door.watch(scope, started):
            reply = await handle_generation(inbound, operations, services)
        code, status = "ok", reply.status
        await _send(send, reply)
        if reply.delivered is not None:
            reply.delivered()
        code = notes.get("code", code)  # a stream may end in an error after its 200
    except RequestError as error:
        code, status = error.code.value, error.status
        raise
    except (ClientGone, asyncio.CancelledError):
        code, status = "client_gone", 499
        raise
    finally:
        seconds = services.world.monotonic() - started
        images, key_id = notes.get("images", 0), notes.get("key_id", "")
        services.tell(RequestEnded(notes.get("model"), code, status, seconds, images, key_id))


async def _models(
    services: Services, documents: Documents, door: Door, scope: Scope, _receive: Receive, send: Send
) -> None:
    with door.watch(scope, services.world.monotonic()):
        caller = authenticate(_headers(scope), services.keys.find, services.keys.is_mistyped)
    scope["state"]["key_id"] = caller.key_id
    name: str = scope["path"].removeprefix(_MODELS).removeprefix("/")
    shown = documents.find_model(caller, name) if name else documents.list_models(caller)
    if shown is None:
        raise RequestError(ErrorCode.MODEL_NOT_FOUND, "This model does not exist or is not open to this key.")
    body = orjson.dumps(shown)
    await _send(send, Reply(200, (_JSON,), body, len(body)), head=scope["method"] == "HEAD")


async def _operation(
    operations: Operations, services: Services, door: Door, scope: Scope, _receive: Receive, send: Send
) -> None:
    with door.watch(scope, services.world.monotonic()):
        caller = authenticate(_headers(scope), services.keys.find, services.keys.is_mistyped)
    scope["state"]["key_id"] = caller.key_id
    await _send(send, await operation_reply(scope["path"].removeprefix(_OPERATIONS), caller, operations, services))


async def _webhook(operations: Operations, services: Services, scope: Scope, receive: Receive, send: Send) -> None:
    body = partial(read_body, receive, BODY_LIMIT_BYTES, BODY_DEADLINE_S)
    inbound = Inbound(_headers(scope), body, scope["state"], scope["state"]["departure"].then)
    await _send(send, await webhook_reply(scope["path"], inbound, operations, services))


async def _static(documents: Documents, scope: Scope, _receive: Receive, send: Send) -> None:
    media_type, body = documents.static[scope["path"]]
    headers = (("content-type", media_type), ("cache-control", "public, max-age=300"))
    await _send(send, Reply(200, headers, body, len(body)), head=scope["method"] == "HEAD")


async def _file(services: Services, scope: Scope, _receive: Receive, send: Send) -> None:
    asset_id, image_format = _signed_name(services, scope)
    try:
        whole = await services.assets.read(asset_id, image_format)
        if whole is None:
            raise _no_image()
        headers = _headers(scope)
        common = _file_headers(asset_id, image_format, whole)
        etag = dict(common)["etag"]
        ranged = scope["method"] == "GET" and headers.get("if-range", etag) == etag
        wanted = requested_range(headers.get("range"), whole.size) if ranged else None
        if _is_known(headers.get("if-none-match", ""), etag):
            reply = Reply(304, common, b"")
        elif isinstance(wanted, Unsatisfiable):
            reply = Reply(416, (*common, ("content-range", f"bytes */{whole.size}")), b"", 0)
        elif isinstance(wanted, Part):
            part = await services.assets.read(asset_id, image_format, wanted.start, wanted.end)
            if part is None:
                raise _no_image()
            shown = ("content-range", f"bytes {wanted.start}-{wanted.end - 1}/{whole.size}")
            reply = Reply(206, (*common, shown), part.chunks, wanted.end - wanted.start)
        else:
            reply = Reply(200, common, whole.chunks, whole.size)
    except StoreUnavailable:
        raise RequestError(
            ErrorCode.ASSET_STORE_UNAVAILABLE, "The image store is not available.", should_retry=True
        ) from None
    await _send(send, reply, head=scope["method"] == "HEAD")


def _signed_name(services: Services, scope: Scope) -> tuple[str, ImageFormat]:
    """The image that a valid link names. Raises 404, the same for every way in which a link can be wrong."""
    asset_id, _, extension = scope["path"].removeprefix(_FILES).rpartition(".")
    query = dict(parse_qsl(scope["query_string"][:_QUERY_BYTES].decode("latin-1")))
    expires, signature = query.get("expires", ""), query.get("signature", "")
    image_format = _FORMATS.get(extension)
    plausible = image_format is not None and expires.isascii() and expires.isdecimal() and len(expires) < 16
    if not plausible or image_format is None:
        raise _no_image()
    if not verify(services.links.keys, asset_id, extension, int(expires), signature, services.world.now()):
        raise _no_image()
    return asset_id, image_format


def _is_known(if_none_match: str, etag: str) -> bool:
    """Whether the client has it already; compared weakly, as RFC 9110 §13.1.2 asks."""
    return any(known.strip().removeprefix("W/") in (etag, "*") for known in if_none_match.split(","))


def _no_image() -> RequestError:
    return RequestError(ErrorCode.NOT_FOUND, "There is no such image, or its link has expired.")


def _file_headers(asset_id: str, image_format: ImageFormat, asset: Asset) -> tuple[tuple[str, str], ...]:
    return (
        ("content-type", image_format.media_type),
        ("etag", f'"{asset_id}"'),  # an image never changes, so its name is its version
        ("last-modified", formatdate(asset.last_modified, usegmt=True)),
        ("cache-control", "private, max-age=3600, immutable"),
        ("accept-ranges", "bytes"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox"),
        ("content-disposition", f'inline; filename="{asset_id}.{image_format.extension}"'),
    )


def _headers(scope: Scope) -> dict[str, str]:
    """ASGI header pairs as text, names in lower case; the guard has refused the repeated ones that matter."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


async def _send(send: Send, reply: Reply, *, head: bool = False) -> None:
    """Send a reply, in one piece or as its chunks come; only its headers for HEAD."""
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers]
    if reply.length is not None:
        headers.append((b"content-length", str(reply.length).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    if isinstance(reply.body, bytes) or head:
        await send({"type": "http.response.body", "body": b"" if head else reply.body})
        return
    async for chunk in reply.body:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
