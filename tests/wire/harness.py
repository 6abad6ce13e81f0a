"""Servers to talk to in raw bytes, and a client that only notes what it hears."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httptools
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from gateway.access import Access, ClientGone
from gateway.guard import Guard, read_body
from gateway.server import Address, Server
from gateway.transport import Terms

PATIENCE_S = 5.0
Call = tuple[str, str, bytes]


class CountingApp:
    """Reads each request's body to its end, and only then counts the request as executed."""

    def __init__(self, body_deadline_s: float = 30.0) -> None:
        self.calls: list[Call] = []
        self.gone = 0
        self._deadline_s = body_deadline_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        try:
            body = await read_body(receive, 64 * 1024, self._deadline_s)
        except ClientGone:
            self.gone += 1
            raise
        self.calls.append((scope["method"], scope["path"], body))
        reply = b"%d" % len(self.calls)
        headers = [(b"content-length", b"%d" % len(reply))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": reply})


async def admin_app(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"admin"})


class Sends:
    """An app that answers everything with `body`, without looking at the request."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        headers = [(b"content-length", b"%d" % len(self.body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


@dataclass
class Running:
    server: Server
    refusals: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.server.public_address[1]


@contextlib.asynccontextmanager
async def hardened(app: ASGIApp, terms: Terms | None = None) -> AsyncIterator[Running]:
    """Our server with `app` on the public port. Nothing may fail unnoticed inside the loop's callbacks."""
    refusals: list[str] = []
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    loopback = Address("127.0.0.1", 0, "server.public.port")
    server = Server.bind(loopback, Address("127.0.0.1", 0, "server.admin.port"), terms, refusals.append)
    await server.start(app, admin_app)
    try:
        yield Running(server, refusals)
    finally:
        await server.stop()
    assert failures == []


@contextlib.asynccontextmanager
async def stock(
    app: ASGIApp, protocol: type[HttpToolsProtocol | H11Protocol] = HttpToolsProtocol
) -> AsyncIterator[int]:
    """Uvicorn as it comes, with httptools or h11; yields its port."""
    config = Config(app, http=protocol, ws="none", lifespan="off", log_config=None, access_log=False)
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: protocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(state.tasks):
            task.cancel()
        for connection in list(state.connections):
            connection.transport.abort()
        async with asyncio.timeout(PATIENCE_S):
            while state.connections or state.tasks:
                await asyncio.sleep(0)


def guarded(app: ASGIApp) -> ASGIApp:
    """`app` behind both of our wrappers, as in production."""
    return Access(Guard(app))


class Replies:
    """Reads replies out of a byte stream."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.complete = 0
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self.headers.append({})
        self.bodies.append(b"")

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[-1][name.decode().lower()] = value.decode()

    def on_headers_complete(self) -> None:
        self.statuses.append(self._parser.get_status_code())

    def on_body(self, body: bytes) -> None:
        self.bodies[-1] += body

    def on_message_complete(self) -> None:
        self.complete += 1

    def envelope(self) -> dict[str, Any]:
        """The last reply's error."""
        error: dict[str, Any] = json.loads(self.bodies[-1])["error"]
        return error


@dataclass
class Heard:
    """What came back, and whether the server then ended the connection."""

    replies: Replies
    closed: bool


async def talk(
    port: int,
    segments: Sequence[bytes],
    *,
    half_close: bool = False,
    enough: int | None = None,
    patience_s: float = PATIENCE_S,
) -> Heard:
    """Send the segments one by one; listen until the server closes, `enough` replies are in, or patience ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    heard = Heard(Replies(), closed=False)
    sending = asyncio.create_task(_send(writer, segments, half_close=half_close))
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await _listen(reader, heard, enough)
                await sending
    finally:
        sending.cancel()
        await asyncio.wait([sending])
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return heard


async def _send(writer: asyncio.StreamWriter, segments: Sequence[bytes], *, half_close: bool) -> None:
    with contextlib.suppress(OSError):
        for segment in segments:
            writer.write(segment)
            await writer.drain()
            await asyncio.sleep(0)
        if half_close:
            writer.write_eof()


async def _listen(reader: asyncio.StreamReader, heard: Heard, enough: int | None) -> None:
    while enough is None or heard.replies.complete < enough:
        try:
            data = await reader.read(65536)
        except OSError:
            data = b""
        if not data:
            heard.closed = True
            return
        heard.replies.feed(data)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something to become true, for as long as patience lasts."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.005)
