"""The guard: what every request must satisfy before any of our code looks at it, whatever ASGI server runs below."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.access import ClientGone
from gateway.domain.errors import ErrorCode, RequestError

__all__ = ["Guard", "GuardLimits", "Networks", "client_address", "read_body"]

Networks = Sequence[IPv4Network | IPv6Network]
_Headers = Sequence[tuple[bytes, bytes]]

_SINGLE = frozenset(
    {b"authorization", b"content-encoding", b"content-length", b"content-type", b"host", b"idempotency-key"}
)
_OURS = b"x-samurai-"
_CLOSE = {"connection": "close"}


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """The most that a request may weigh: header names and values in bytes, header fields, and the body in bytes."""

    header_bytes: int = 16 * 1024
    headers: int = 100
    body_bytes: int = 64 * 1024


class Guard:
    """ASGI wrapper that raises RequestError for a request that breaks the limits. It never reads a body."""

    def __init__(self, app: ASGIApp, limits: GuardLimits | None = None) -> None:
        self._app = app
        self._limits = limits or GuardLimits()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Let one request through, or refuse it."""
        if scope["type"] == "http":
            check_headers(scope, self._limits)
        return self._app(scope, receive, send)


def check_headers(scope: Scope, limits: GuardLimits) -> None:
    """Refuse too many or too large headers, duplicates of those that decide, no Host, and bodies announced too large.

    Raises RequestError.
    """
    headers: _Headers = scope["headers"]
    if len(headers) > limits.headers or sum(len(name) + len(value) for name, value in headers) > limits.header_bytes:
        raise RequestError(
            ErrorCode.REQUEST_TOO_LARGE,
            f"Headers are limited to {limits.headers} fields and {limits.header_bytes} bytes.",
            headers=_close_on(scope),
        )
    single = _single_headers(headers)
    if b"host" not in single and scope.get("http_version") != "1.0":
        raise RequestError(ErrorCode.INVALID_VALUE, "The Host header is missing.")
    if single.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        raise RequestError(
            ErrorCode.UNSUPPORTED_ENCODING, "Compressed request bodies are not accepted.", headers=_close_on(scope)
        )
    length = single.get(b"content-length", b"0").strip()
    if not length.isdigit():
        raise RequestError(ErrorCode.INVALID_VALUE, "Content-Length is not a number.", headers=_close_on(scope))
    if len(length.lstrip(b"0")) > len(str(limits.body_bytes)) or int(length) > limits.body_bytes:
        raise _too_large(limits.body_bytes, _close_on(scope))


async def read_body(receive: Receive, limit_bytes: int, deadline_s: float) -> bytes:
    """The whole body, or nothing of it.

    `deadline_s` bounds the reading as a whole. Raises RequestError request_too_large or request_timeout, and
    ClientGone when the connection ended before the body did: a prefix is never a body.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(deadline_s):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                body += message.get("body", b"")
                if len(body) > limit_bytes:
                    raise _too_large(limit_bytes, _CLOSE)
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        raise RequestError(
            ErrorCode.REQUEST_TIMEOUT, f"The body did not arrive within {deadline_s:g} seconds.", headers=_CLOSE
        ) from None


def client_address(scope: Scope, trusted: Networks) -> str:
    """The address of the client, as far as it can be believed; empty where the server does not know its peer.

    Starts from the peer and follows X-Forwarded-For (or Forwarded, only where the former is absent) from the right,
    for as long as the hop that reports is in a trusted network.
    """
    peer = scope.get("client")
    address = _parse(peer[0]) if peer else None
    if address is None:
        return str(peer[0]) if peer else ""
    if not _is_trusted(address, trusted):
        return str(address)
    for hop in reversed(_reported_hops(scope["headers"])):
        reported = _parse(hop)
        if reported is None:
            break
        address = reported
        if not _is_trusted(address, trusted):
            break
    return str(address)


def _single_headers(headers: _Headers) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for raw_name, value in headers:
        name = raw_name.lower()
        if name in _SINGLE or name.startswith(_OURS):
            if name in found:
                raise RequestError(ErrorCode.DUPLICATE_HEADER, f"The header {name.decode('latin-1')} was sent twice.")
            found[name] = value
    return found


def _too_large(limit_bytes: int, headers: dict[str, str]) -> RequestError:
    return RequestError(ErrorCode.REQUEST_TOO_LARGE, f"The body is limited to {limit_bytes} bytes.", headers=headers)


def _close_on(scope: Scope) -> dict[str, str]:
    return _CLOSE if str(scope.get("http_version", "1.1")).startswith("1") else {}


def _reported_hops(headers: _Headers) -> list[str]:
    listed = [value.decode("latin-1") for name, value in headers if name == b"x-forwarded-for"]
    if listed:
        return [hop.strip() for line in listed for hop in line.split(",")]
    standard = [value.decode("latin-1") for name, value in headers if name == b"forwarded"]
    return [_for_of(element) for line in standard for element in line.split(",")]


def _for_of(element: str) -> str:
    for pair in element.split(";"):
        name, _, value = pair.strip().partition("=")
        if name.lower() == "for":
            return value.strip('"')
    return ""


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    bare = text.strip()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ip_address(bare)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_trusted(address: IPv4Address | IPv6Address, trusted: Networks) -> bool:
    return any(address.version == network.version and address in network for network in trusted)
