"""Trouble below HTTP: resets, stalls, half replies and replies without end, on the connection itself."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import cast

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.sandbox.clock import Clock
from gateway.sandbox.scripts import Wire

__all__ = ["OpenProtocol", "Silence", "Trouble", "giant"]

_TRANSPORT = "sandbox.transport"
_GIANT_CHUNK = b"a" * 65_536
_GIANT_CHUNKS = 8_192  # half a gibibyte: far more than anybody should read, yet no danger to the machine
_LINGER_ZERO = struct.pack("ii", 1, 0)  # closing a socket so sends a reset


class OpenProtocol(HttpToolsProtocol):
    """Uvicorn's protocol, which lets the application at the connection itself."""

    def on_message_begin(self) -> None:
        """A request begins: put the transport where `Trouble` finds it."""
        super().on_message_begin()
        extensions = {_TRANSPORT: {"transport": self.transport}}
        self.scope["extensions"] = cast("dict[str, dict[object, object]]", extensions)


class Silence(Response):
    """No reply at all: ends when the client has gone."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait for the client's end of the connection to close."""
        while (await receive())["type"] != "http.disconnect":
            pass


class Trouble(Silence):
    """A reply that goes wrong on the wire. `reply` is what should have been said, where it gets that far."""

    def __init__(self, wire: Wire, clock: Clock, reply: Response | None = None) -> None:
        super().__init__()
        self._wire = wire
        self._clock = clock
        self._reply = reply

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Do the damage, then wait for the client to be gone."""
        transport = scope["extensions"][_TRANSPORT]["transport"]
        if self._reply is not None:
            head, body = _head_of(self._reply, chunked=self._wire == "chunk_cut"), bytes(self._reply.body)
            await self._say(transport, head, body)
        if self._wire.startswith("reset"):
            _reset(transport)
        elif not self._wire.startswith("stall"):
            transport.close()
        await super().__call__(scope, receive, send)

    async def _say(self, transport: asyncio.Transport, head: bytes, body: bytes) -> None:
        half = body[: max(len(body) // 2, 1)]
        if self._wire == "drip":
            await self._drip(transport, head + body)
        elif self._wire == "chunk_cut":
            transport.write(head + b"%x\r\n" % len(half) + half + b"\r\n")
        else:
            transport.write(head + half)
            await self._until_sent(transport)

    async def _drip(self, transport: asyncio.Transport, everything: bytes) -> None:
        for place in range(len(everything)):
            if transport.is_closing() or self._clock.stopped:
                return
            transport.write(everything[place : place + 1])
            await self._clock.wait(1.0)

    async def _until_sent(self, transport: asyncio.Transport) -> None:
        """A reset throws away what is still buffered, so let it out first."""
        while transport.get_write_buffer_size() and not transport.is_closing() and not self._clock.stopped:
            await self._clock.wait(0.005)


def giant(headers: dict[str, str]) -> StreamingResponse:
    """A well-begun JSON object with a string of half a gibibyte; stops when the client hangs up."""

    async def endless() -> AsyncIterator[bytes]:
        yield b'{"endless":"'
        for _ in range(_GIANT_CHUNKS):
            yield _GIANT_CHUNK
            await asyncio.sleep(0)  # let the server notice that the client has gone

    return StreamingResponse(endless(), 200, headers, "application/json")


def _head_of(reply: Response, *, chunked: bool) -> bytes:
    lines = [f"HTTP/1.1 {reply.status_code} {HTTPStatus(reply.status_code).phrase}".encode()]
    lines += [name + b": " + value for name, value in reply.raw_headers if not (chunked and name == b"content-length")]
    if chunked:
        lines.append(b"transfer-encoding: chunked")
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _reset(transport: asyncio.Transport) -> None:
    connection = cast("socket.socket", transport.get_extra_info("socket"))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    transport.abort()
