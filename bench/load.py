"""A load generator for replies of any size, in a process of its own: `python -m bench.load`, its order on stdin.

A closed loop keeps so many requests under way; an open loop (`per_second`) begins them by the clock, whatever became
of the earlier ones, and counts each one's time from the moment at which it should have begun.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import uvloop

from bench.asking import Ask
from bench.crowd import Served
from bench.figures import percentile
from bench.replies import Images, Reply
from tests.processes import ROOT

__all__ = ["Answers", "Order", "load"]

_BUFFER_BYTES = 1 << 18
_SAMPLES = 3
_PATIENCE_S = 240.0


@dataclass(slots=True)
class Order:
    """What is to be sent, by how many at a time, and what the replies must hold.

    It ends after `requests` or `seconds`, whichever is set. `images` are files of base64, the images of each reply in
    their order; without them a reply must hold so many `links`.
    """

    port: int
    wire: str
    connections: int
    requests: int = 0
    seconds: float = 0.0
    per_second: float = 0.0
    images: list[str] = field(default_factory=list)
    links: int = 1


@dataclass(frozen=True, slots=True)
class Answers:
    """How an order was served, and the first few bodies of links."""

    served: Served
    bytes_received: int
    statuses: dict[str, int]
    samples: list[str]


def load(ask: Ask, connections: int, **more: Any) -> Answers:
    """Have another process send `ask`; `more` are the other fields of Order."""
    order = Order(ask.port, ask.wire().decode(), connections, **more)
    done = subprocess.run(
        [sys.executable, "-m", "bench.load"],
        input=json.dumps(asdict(order)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=ROOT,
    )
    told = json.loads(done.stdout)
    return Answers(Served(**told.pop("served")), **told)


class _Connection(asyncio.BufferedProtocol):
    """One keep-alive connection with at most one request under way."""

    buffer = memoryview(bytearray(_BUFFER_BYTES))  # read at once, so that all connections share it

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._reply: Reply | None = None
        self._over: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are none of asyncio's classes

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._reply is not None:
            self._reply.feed(bytes(self.buffer[:nbytes]))
            if self._reply.done:
                self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._end()

    def _end(self) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

    async def ask(self, wire: bytes, reply: Reply) -> None:
        """Send, and wait until the reply is whole or the connection is lost."""
        assert self.transport is not None
        self._reply, self._over = reply, asyncio.get_running_loop().create_future()
        self.transport.write(wire)
        await self._over
        self._reply = None
        if reply.closes or not reply.done:
            self.drop()

    def drop(self) -> None:
        """Have done with this connection."""
        if self.transport is not None:
            self.transport.abort()
            self.transport = None


class _Crowd:
    """All connections of an order, and what they saw."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.images = [Path(name).read_bytes() for name in order.images]
        self.wire = order.wire.encode()
        self.idle: deque[_Connection] = deque()
        self.times_ms: list[float] = []
        self.statuses: Counter[str] = Counter()
        self.samples: list[str] = []
        self.errors = self.bytes_received = 0

    async def one(self, began: float) -> None:
        """One request, whose time counts from `began`."""
        reply = Reply(Images(self.images) if self.images else None, self.order.links)
        try:
            connection = await self._connection()
            async with asyncio.timeout(_PATIENCE_S):
                await connection.ask(self.wire, reply)
        except (OSError, TimeoutError):
            self.errors += 1
            self.statuses["lost"] += 1
            return
        if connection.transport is not None:
            self.idle.append(connection)
        self.statuses[str(reply.status) if reply.done else "lost"] += 1
        self.bytes_received += reply.length
        if not reply.right:
            self.errors += 1
            if len(self.samples) < _SAMPLES:
                self.samples.append(f"{reply.status} {bytes(reply.body[:300])!r}")
            return
        if not self.images and len(self.samples) < _SAMPLES:
            self.samples.append(reply.body.decode())
        self.times_ms.append((time.perf_counter() - began) * 1000)

    async def _connection(self) -> _Connection:
        while self.idle:
            connection = self.idle.popleft()
            if connection.transport is not None:
                return connection
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(_Connection, "127.0.0.1", self.order.port)
        return made

    async def closed_loop(self) -> None:
        """So many at a time, until all are sent or the time is over."""
        left = self.order.requests or sys.maxsize
        end = time.perf_counter() + (self.order.seconds or 1e9)

        async def work() -> None:
            nonlocal left
            while left > 0 and time.perf_counter() < end:
                left -= 1
                await self.one(time.perf_counter())

        await asyncio.gather(*(work() for _ in range(self.order.connections)))

    async def open_loop(self) -> None:
        """One after the other by the clock."""
        began, under_way = time.perf_counter(), set()
        for number in range(round(self.order.per_second * self.order.seconds)):
            due = began + number / self.order.per_second
            if (wait_s := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait_s)
            task = asyncio.create_task(self.one(due))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        await asyncio.gather(*under_way)

    def answers(self, seconds: float) -> dict[str, Any]:
        times = self.times_ms or [0.0]
        served = Served(len(self.times_ms), seconds, self.errors, percentile(times, 50), percentile(times, 99))
        return asdict(Answers(served, self.bytes_received, dict(self.statuses), self.samples))


async def _serve(order: Order) -> dict[str, Any]:
    crowd = _Crowd(order)
    began = time.perf_counter()
    await (crowd.open_loop() if order.per_second else crowd.closed_loop())
    seconds = time.perf_counter() - began
    for connection in crowd.idle:
        connection.drop()
    return crowd.answers(seconds)


if __name__ == "__main__":
    json.dump(uvloop.run(_serve(Order(**json.load(sys.stdin)))), sys.stdout)
