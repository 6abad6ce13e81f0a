"""The corpus against several servers, bare and behind proxies: who executes what nobody should."""

import asyncio
import base64
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from httptools import HttpParserError
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tests.processes import ROOT, STOP_DEADLINE_S, environment
from tests.servers import free_port
from tests.wire.corpus import CORPUS, Case
from tests.wire.fronts import behind
from tests.wire.harness import PATIENCE_S, Call, Replies, guarded, hardened, stock, talk
from tests.wire.recording import Recorder

__all__ = ["CORPUS", "SERVERS", "Figures", "Outcome", "figures", "outcomes"]

QUIET_S = 0.25  # after a reply: nothing more will come
SILENT_S = 1.0  # before one: nothing will come at all
CANARY = b"GET /-/canary HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

Take = Callable[[], Awaitable[tuple[list[Call], int]]]


@dataclass(frozen=True)
class Target:
    """A running server: its port, and how to ask what it has executed since the last time."""

    port: int
    take: Take


@dataclass(frozen=True)
class Outcome:
    """What came of one case. `past` requests were executed that the proxy in front had not forwarded."""

    case: Case
    calls: tuple[Call, ...]
    past: int
    statuses: tuple[int, ...]
    closed: bool
    canary: bool

    @property
    def hidden(self) -> bool:
        """Whether the request that the case hides was executed as one of its own."""
        wanted = [path for _, path, _ in self.case.executed]
        return "/smuggled" in {path for _, path, _ in self.calls} - set(wanted)

    @property
    def kept(self) -> bool:
        """Whether exactly what should be was executed, and everything was answered or closed."""
        answered = self.statuses.count(200) == len(self.case.executed) and (self.closed or bool(self.statuses))
        return self.calls == self.case.executed and answered


@contextlib.asynccontextmanager
async def ours() -> AsyncIterator[Target]:
    recorder = Recorder()
    async with hardened(guarded(recorder)) as running:
        yield Target(running.port, _taking(recorder))


def uvicorn_with(protocol: type[HttpToolsProtocol | H11Protocol]) -> Callable[[], AbstractAsyncContextManager[Target]]:
    @contextlib.asynccontextmanager
    async def started() -> AsyncIterator[Target]:
        recorder: ASGIApp = Recorder()
        async with stock(recorder, protocol) as port:
            assert isinstance(recorder, Recorder)
            yield Target(port, _taking(recorder))

    return started


@contextlib.asynccontextmanager
async def granian() -> AsyncIterator[Target]:
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "asginl", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--workers", "1", "--no-ws", "tests.wire.recording:app"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment() | {"PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        start_new_session=True,
    )

    async def take() -> tuple[list[Call], int]:
        heard = await talk(port, [b"GET /-/calls HTTP/1.1\r\nHost: a\r\n\r\n"], enough=1)
        calls, past = json.loads(heard.replies.bodies[0])
        return [(method, path, base64.b64decode(body)) for method, path, body in calls], past

    try:
        async with asyncio.timeout(STOP_DEADLINE_S):
            while True:
                with contextlib.suppress(OSError):
                    await take()
                    break
                await asyncio.sleep(0.05)
        yield Target(port, take)
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, STOP_DEADLINE_S)


def _taking(recorder: Recorder) -> Take:
    async def take() -> tuple[list[Call], int]:
        return recorder.take()

    return take


SERVERS: dict[str, Callable[[], AbstractAsyncContextManager[Target]]] = {
    "ours": ours,
    "uvicorn, httptools": uvicorn_with(HttpToolsProtocol),
    "uvicorn, h11": uvicorn_with(H11Protocol),
    "granian": granian,
}
"""The servers by name."""


async def outcomes(server: str, front: str | None, lanes: int = 4, cases: Sequence[Case] = CORPUS) -> list[Outcome]:
    """What came of every case at `server`, bare (None) or behind `front`; `lanes` of each run side by side."""
    async with AsyncExitStack() as stack:
        targets = [await stack.enter_async_context(SERVERS[server]()) for _ in range(lanes)]
        ports = [target.port for target in targets]
        if front is not None:
            folder = Path(stack.enter_context(TemporaryDirectory()))
            ports = await stack.enter_async_context(behind(front, folder, ports))
        waiting = list(reversed(cases))

        async def drive(target: Target, port: int) -> list[Outcome]:
            driven = []
            while waiting:
                driven.append(await _try(waiting.pop(), target, port))
            return driven

        done = await asyncio.gather(*(drive(target, port) for target, port in zip(targets, ports, strict=True)))
    return [outcome for lane in done for outcome in lane]


async def _try(case: Case, target: Target, port: int) -> Outcome:
    replies, closed = await _converse(port, case)
    await asyncio.sleep(0.01)
    calls, past = await target.take()
    after, _ = await _converse(port, Case("canary", CANARY))
    canary = after.statuses == [200] and after.bodies == [b"/-/canary"]
    await target.take()
    return Outcome(case, tuple(calls), past, tuple(replies.statuses), closed, canary)


async def _converse(port: int, case: Case) -> tuple[Replies, bool]:
    """Send a case, and listen until the other side closes or has nothing more to say."""
    replies, closed = Replies(), False
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sending = asyncio.create_task(_send(writer, case))
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not closed:
                async with asyncio.timeout(QUIET_S if replies.complete else SILENT_S):
                    data = await reader.read(65536)
                closed = not data
                replies.feed(data)
    except TimeoutError:
        pass
    except (OSError, HttpParserError):  # a reply without a status line is one of HTTP/0.9 or HTTP/2: no reply here
        closed = True
    finally:
        sending.cancel()
        await asyncio.wait([sending])
        writer.transport.abort()
    return replies, closed


async def _send(writer: asyncio.StreamWriter, case: Case) -> None:
    with contextlib.suppress(OSError):
        writer.write(case.payload)
        await writer.drain()
        if case.half_close:
            writer.write_eof()


@dataclass(frozen=True)
class Figures:
    """One line of the table: cases kept as specified, hidden requests executed, executed past the proxy, and cases
    after which the next client got a wrong answer.
    """

    server: str
    front: str
    cases: int
    kept: int
    hidden: tuple[str, ...]
    past: tuple[str, ...]
    poisoned: tuple[str, ...]

    def row(self) -> str:
        """As a line of Markdown."""
        kept = f"{self.kept} of {self.cases}" if self.front == "none" else "–"
        past = "–" if self.front == "none" else str(len(self.past))
        return f"| {self.server} | {self.front} | {kept} | {len(self.hidden)} | {past} | {len(self.poisoned)} |"


def figures(server: str, front: str | None, found: Sequence[Outcome]) -> Figures:
    """What the outcomes come to."""
    return Figures(
        server,
        front or "none",
        len(found),
        sum(one.kept for one in found),
        tuple(one.case.name for one in found if one.hidden),
        tuple(one.case.name for one in found if one.past) if front else (),
        tuple(one.case.name for one in found if not one.canary),
    )
