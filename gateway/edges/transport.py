"""httpx2's interface over aiohttp's engine: a third of the CPU, and exact about what was sent.

The law: ConnectError, ConnectTimeout and PoolTimeout are raised only where no byte of the request can have left.
Everything after the first byte may have left is a Read*, Write* or RemoteProtocolError. Whoever pays by the call
may repeat the former and must not repeat the latter.
"""

import asyncio
import io
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import aiohttp
import httpx2
from aiohttp.abc import AbstractResolver, AbstractStreamWriter
from aiohttp.http import HttpProcessingError
from multidict import CIMultiDict
from yarl import URL

from gateway.edges.addresses import AddressRefused, GuardedResolver, guarded_socket
from gateway.edges.pool import Pool
from gateway.policies.addresses import Reason

__all__ = ["AiohttpTransport", "ForbiddenAddress", "MalformedReply", "Timeouts", "WireReply", "describe"]

_IDLE_S = 4.0  # before vendors' load balancers close (5 s and up), so that a stale connection is seldom met
_READ_BUFFER_BYTES = 64 * 1024  # reading pauses at twice this: what one slow consumer may hold
_LARGE_BYTES = 1 << 20  # from here on aiohttp wants a file, to write it in pieces
_DNS_FRESH_S = 10
_NEVER_ROUND = 1e9  # aiohttp rounds timeouts up to whole seconds above this many seconds
_FAILURES = (aiohttp.ClientError, HttpProcessingError, OSError)  # TimeoutError is an OSError

_Handler = Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]]


class ForbiddenAddress(httpx2.ConnectError):
    """The host led to an address out of bounds; nothing was sent."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"address refused: {reason}")
        self.reason = reason


class MalformedReply(httpx2.RemoteProtocolError):
    """What came back is not HTTP."""


class _Flight:
    """How far one request got."""

    __slots__ = ("may_have_left", "write_s")

    def __init__(self, write_s: float | None) -> None:
        self.may_have_left = False
        self.write_s = write_s

    async def board(self, request: aiohttp.ClientRequest, handler: _Handler) -> aiohttp.ClientResponse:
        """As aiohttp's middleware: the one place where its request object can be had."""
        if isinstance(request, _Request):
            request.flight = self
        return await handler(request)

    def departs(self, connection: aiohttp.connector.Connection) -> None:
        """Called right before the first byte is written; on a connection already closed, none will be."""
        transport = connection.transport
        if transport is not None and not transport.is_closing():
            self.may_have_left = True


class _Request(aiohttp.ClientRequest):
    """aiohttp's request, which tells its flight when it departs."""

    flight: _Flight = _Flight(None)

    async def send(self, conn: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        if not self._body:
            self.flight.departs(conn)
        return await super().send(conn)

    async def write_bytes(
        self, writer: AbstractStreamWriter, conn: aiohttp.connector.Connection, content_length: int | None = None
    ) -> None:
        self.flight.departs(conn)
        protocol = conn.protocol
        try:
            async with asyncio.timeout(self.flight.write_s):
                await super().write_bytes(writer, conn, content_length)
        except TimeoutError:
            if protocol is not None:
                protocol.set_exception(_WriteTimedOut())


class _WriteTimedOut(aiohttp.SocketTimeoutError):
    """The peer took the connection and would not take the request's body."""


class _Body(httpx2.AsyncByteStream):
    """The reply's body as it arrives; closing it early closes its connection."""

    __slots__ = ("_response",)

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await self._response.content.readany()
        except _FAILURES as failure:
            raise _after_departure(failure) from failure
        if not chunk:
            raise StopAsyncIteration
        return chunk

    def close(self) -> None:
        """Give the connection back, or close it when the body was not read to its end."""
        self._response.close()

    async def aclose(self) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Of one call, in seconds, None for none.

    For getting a connection, for taking our body, up to the headers, between two pieces of the body, and for all
    of it, body included.
    """

    connect_s: float | None = 3.0
    write_s: float | None = 10.0
    first_byte_s: float | None = 120.0  # gpt-image: "up to 2 minutes"
    idle_s: float | None = 10.0
    total_s: float | None = 600.0

    def within(self, left_s: float) -> "Timeouts":
        """The same, with at most `left_s` for all of it."""
        total_s = left_s if self.total_s is None else min(left_s, self.total_s)
        return Timeouts(self.connect_s, self.write_s, self.first_byte_s, self.idle_s, max(total_s, 0.001))


@dataclass(frozen=True, slots=True)
class WireReply:
    """A reply whose headers have come. `body` must be closed, read or not."""

    status: int
    raw_headers: Sequence[tuple[bytes, bytes]]
    body: _Body

    @property
    def headers(self) -> dict[str, str]:
        """With lower-case names; of a repeated one the last."""
        return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in self.raw_headers}


class AiohttpTransport(httpx2.AsyncBaseTransport):
    """One account's connections. No cookies, proxies, redirects or decompression; addresses are judged.

    `exchange` is what the gateway calls: httpx2's own request and reply objects cost as much CPU as the whole
    exchange does. `handle_async_request` is the same for any httpx2 client.
    """

    def __init__(
        self, *, loopback_allowed: bool = False, max_connections: int = 2048, resolver: AbstractResolver | None = None
    ) -> None:
        self._loopback_allowed = loopback_allowed
        self._max_connections = max_connections
        self._inner_resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeouts: Timeouts
    ) -> WireReply:
        """Send a request and wait for the reply's headers. Raises httpx2.TransportError by the module's law."""
        flight = _Flight(timeouts.write_s)
        try:
            response = await self._open_session().request(
                method,
                URL(url, encoded=True),
                headers=headers,
                data=io.BytesIO(body) if len(body) > _LARGE_BYTES else body or None,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    total=timeouts.total_s,
                    connect=timeouts.connect_s,
                    sock_connect=timeouts.connect_s,
                    sock_read=timeouts.first_byte_s,
                    ceil_threshold=_NEVER_ROUND,
                ),
                middlewares=(flight.board,),
            )
        except _FAILURES as failure:
            raise (_after_departure if flight.may_have_left else _before_departure)(failure) from failure
        _expect_body(response, timeouts.idle_s)
        return WireReply(response.status, response.raw_headers, _Body(response))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """As httpx2 wants it; its `timeout` extension is heeded, `read` for the headers and between pieces."""
        given = request.extensions.get("timeout", {})
        timeouts = Timeouts(given.get("connect"), given.get("write"), given.get("read"), given.get("read"), None)
        body = await request.aread()
        headers = CIMultiDict(request.headers.multi_items())
        reply = await self.exchange(request.method, str(request.url), headers, body, timeouts)
        return httpx2.Response(reply.status, headers=list(reply.raw_headers), stream=reply.body)

    async def aclose(self) -> None:
        """Close every connection, also those in use."""
        if self._session is not None:
            await self._session.close()

    def _open_session(self) -> aiohttp.ClientSession:
        # Needs a running loop, so it cannot be made in the constructor.
        if self._session is None:
            resolver = GuardedResolver(loopback_allowed=self._loopback_allowed, inner=self._inner_resolver)
            connector = Pool(
                limit=self._max_connections,
                keepalive_timeout=_IDLE_S,
                ssl=_system_trust(),
                resolver=resolver,
                ttl_dns_cache=_DNS_FRESH_S,
                socket_factory=guarded_socket(loopback_allowed=self._loopback_allowed),
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                request_class=_Request,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                skip_auto_headers=("User-Agent",),
                read_bufsize=_READ_BUFFER_BYTES,
            )
        return self._session


@cache
def _system_trust() -> ssl.SSLContext:
    """Certificates as the operating system trusts them; reading them takes a while."""
    return httpx2.create_ssl_context()


def describe(failure: BaseException) -> str:
    """The exception's class and its causes', with error numbers: all that may be logged, since messages hold URLs."""
    names: list[str] = []
    link: BaseException | None = failure
    while link is not None and len(names) < 4:
        number = getattr(link, "errno", None)
        names.append(type(link).__name__ + (f"({number})" if isinstance(number, int) else ""))
        link = link.__cause__
    return " from ".join(names)


def _expect_body(response: aiohttp.ClientResponse, idle_s: float | None) -> None:
    connection: Any = response.connection
    if idle_s is not None and connection is not None and connection.protocol is not None:
        connection.protocol.read_timeout = idle_s
        connection.protocol.start_timeout()


def _before_departure(failure: BaseException) -> httpx2.TransportError:
    link: BaseException | None = failure
    while link is not None:
        if isinstance(link, AddressRefused):
            return ForbiddenAddress(link.reason)
        link = link.__cause__
    if isinstance(failure, TimeoutError):
        return httpx2.ConnectTimeout(describe(failure))
    return httpx2.ConnectError(describe(failure))


def _after_departure(failure: BaseException) -> httpx2.TransportError:
    words = describe(failure)
    if isinstance(failure, _WriteTimedOut):
        return httpx2.WriteTimeout(words)
    if isinstance(failure, TimeoutError):
        return httpx2.ReadTimeout(words)
    if isinstance(failure, OSError):
        return httpx2.ReadError(words)
    if isinstance(failure, (aiohttp.ClientResponseError, HttpProcessingError)):
        return MalformedReply(words)
    return httpx2.RemoteProtocolError(words)
