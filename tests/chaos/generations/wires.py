"""Relays between two parts of the stage, which can be cut, switched over, and made to lose what goes through them."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

__all__ = ["Relay", "relay_to"]

_CHUNK = 65_536
_PREFER = re.compile(rb"(?i)\r\nprefer: wait")

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Relay:
    """A TCP relay on `port`; `connect` finds the other end for each connection.

    `losing` replies are cut off instead of being passed on. `hides_prefer`: the wish to be answered only once the
    work is done does not come through, so that the vendor answers at once.
    """

    port: int = 0
    connect: Callable[[], Awaitable[Streams | None]] | None = None
    losing: int = 0
    lost: int = 0
    hides_prefer: bool = False
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """End every connection that leads through here."""
        for writer in list(self._writers):
            writer.transport.abort()

    def welcome(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        """Relay one connection until either end is gone, in a task of its own."""
        task = asyncio.create_task(self._relay(client, to_client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """End everything."""
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.cut()
        for writer in list(self._writers):
            await self._closed(writer)

    async def _relay(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        assert self.connect is not None
        far = await self.connect()
        self._writers.add(to_client)
        if far is None:
            to_client.transport.abort()
            await self._closed(to_client)
            return
        server, to_server = far
        self._writers.add(to_server)
        there = asyncio.create_task(self._pump(client, to_server, replies=False))
        back = asyncio.create_task(self._pump(server, to_client, replies=True))
        try:
            await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
        finally:
            there.cancel()
            back.cancel()
            await asyncio.gather(there, back, return_exceptions=True)
            to_client.close()  # sends what is left, unless it was aborted
            to_server.close()
            await self._closed(to_client)
            await self._closed(to_server)

    async def _closed(self, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await asyncio.shield(writer.wait_closed())
        self._writers.discard(writer)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, replies: bool) -> None:
        with suppress(OSError):
            while data := await source.read(_CHUNK):
                if replies and self.losing > 0:
                    self.losing -= 1
                    self.lost += 1
                    sink.transport.abort()
                    return
                if self.hides_prefer and not replies:
                    data = _PREFER.sub(b"\r\nx-hidden: wait", data)
                sink.write(data)
                await sink.drain()


@asynccontextmanager
async def relay_to(
    connect: Callable[[], Awaitable[Streams | None]], *, hides_prefer: bool = False
) -> AsyncIterator[Relay]:
    """A relay on a free loopback port."""
    relay = Relay(connect=connect, hides_prefer=hides_prefer)
    listener = await asyncio.start_server(relay.welcome, "127.0.0.1", 0)
    relay.port = listener.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        listener.close()
        await relay.aclose()
