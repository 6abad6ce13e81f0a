"""Several independent gateways on one public port, for a machine with several processors.

The parent serves nothing: it holds the port, owns an embedded Valkey, starts the replicas, starts one again that
ends by itself, and passes signals on. Every replica has a second port of its own, so each is measured by itself.
"""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import orjson
import structlog

from gateway.edges.embedded_valkey import EmbeddedValkey
from gateway.edges.logs import start_logs
from gateway.edges.parentage import die_with_parent
from gateway.server import Address, reserve
from gateway.settings.groups import Settings
from gateway.settings.secrets import Secret

__all__ = ["Fleet", "Replica", "supervise", "wait_before"]

_VARIABLE = "SAMURAI_REPLICA"  # set by the parent, for its children alone
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 30.0
_STEADY_S = 60.0  # who lived as long did not fail at its start
_GRACE_S = 15.0  # beyond the drain, for closing what is left
_READY = b"1"


@dataclass(frozen=True, slots=True)
class Replica:
    """What a replica is told by its parent: how many there are, a Valkey in place of an embedded one, and a pipe.

    Into the pipe `ready_fd` it says when it is ready.
    """

    of: int
    ready_fd: int
    redis_url: str | None = None

    @classmethod
    def here(cls) -> Self | None:
        """What this process was told; None for one that is not a replica of a parent."""
        text = os.environ.get(_VARIABLE)
        return None if text is None else cls(**orjson.loads(text))

    def environment(self) -> Mapping[str, str]:
        """What a child of ours is to find in its environment."""
        told = {"of": self.of, "ready_fd": self.ready_fd, "redis_url": self.redis_url}
        return {**os.environ, _VARIABLE: orjson.dumps(told).decode()}

    def fitted(self, settings: Settings) -> Settings:
        """The settings for one of several: machine and limits are shared, and so is a Valkey of our own."""
        redis = replace(settings.redis, replicas_max=max(self.of, settings.redis.replicas_max or 0))
        server = settings.server
        if self.redis_url is not None:
            redis = replace(redis, url=Secret(self.redis_url))
            server = replace(server, drain_delay_s=0.0)  # one machine with a Valkey of its own: nobody balances
        admission = replace(settings.admission, replicas=self.of)
        return replace(settings, redis=redis, server=server, admission=admission)

    def say_ready(self) -> None:
        """Tell the parent."""
        with suppress(OSError):
            os.write(self.ready_fd, _READY)
            os.close(self.ready_fd)


@dataclass(frozen=True, slots=True)
class Fleet:
    """What is to be run: so many replicas, by these settings. `command` makes one, given its two ports.

    `state` is where an embedded Valkey keeps its data; None: nowhere.
    """

    settings: Settings
    replicas: int
    command: Callable[[int, int], tuple[str, ...]]
    state: Path | None = None


def supervise(fleet: Fleet) -> int:
    """Run all replicas until SIGINT or SIGTERM; the exit code. SIGHUP reaches all of them.

    Raises CannotListen, EmbeddedError or OSError when it cannot start.
    """
    return asyncio.run(_supervise(fleet))


def wait_before(restarts: int) -> float:
    """Seconds before a replica is started again that has ended so many times in a row."""
    return float(min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** min(restarts, 16)))


async def _supervise(fleet: Fleet) -> int:
    settings, server = fleet.settings, fleet.settings.server
    async with AsyncExitStack() as stack:
        held = stack.enter_context(reserve(Address(server.public_host, server.public_port, "--public-port")))
        sink = start_logs(settings.logging.level)
        stack.callback(sink.close)
        url = await _valkey(fleet.state, stack) if settings.redis.is_embedded else None
        crew = _Crew(fleet, _port_of(held), url)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, crew.ending.set)
        loop.add_signal_handler(signal.SIGHUP, crew.signal, signal.SIGHUP)
        return await crew.run()


async def _valkey(state: Path | None, stack: AsyncExitStack) -> str:
    valkey = EmbeddedValkey(state, durable=state is not None)
    stack.push_async_callback(valkey.stop)
    return await valkey.start()


def _port_of(bound: socket.socket) -> int:
    port: int = bound.getsockname()[1]
    return port


@dataclass(slots=True)
class _Crew:
    """The replicas of one parent. `failed` is the exit code of one that could not start before any had."""

    fleet: Fleet
    port: int
    redis_url: str | None
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    failed: int = 0
    _running: dict[int, asyncio.subprocess.Process] = field(default_factory=dict)

    async def run(self) -> int:
        """Keep all replicas running until the end; the exit code."""
        keepers = [asyncio.create_task(self._keep(number)) for number in range(self.fleet.replicas)]
        await self.ending.wait()
        self.signal(signal.SIGTERM)
        codes = await asyncio.gather(*keepers)
        return self.failed or int(any(codes))

    def signal(self, number: int) -> None:
        """Pass a signal on to all that run."""
        for process in self._running.values():
            with suppress(ProcessLookupError):
                process.send_signal(number)

    async def _keep(self, number: int) -> int:
        """Run one replica, again and again, until the end; its last exit code."""
        log, restarts, ever_ready = structlog.get_logger("replicas"), 0, False
        while True:
            began = asyncio.get_running_loop().time()
            code, was_ready = await self._live(number)
            if self.ending.is_set():
                return code
            ever_ready = ever_ready or was_ready
            if not ever_ready:
                self.failed = code or 1  # it says why itself; nothing would change by trying again
                self.ending.set()
                return code
            lived_s = asyncio.get_running_loop().time() - began
            restarts = 0 if was_ready and lived_s > _STEADY_S else restarts + 1
            wait_s = wait_before(restarts - 1) if restarts else 0.0
            log.error("a replica ended by itself and is started again", replica=number, code=code, wait_s=wait_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self.ending.wait()
                    return code

    async def _live(self, number: int) -> tuple[int, bool]:
        """One life of a replica: its exit code, and whether it had been ready."""
        heard, told = os.pipe()
        admin = self.fleet.settings.server.admin_port
        replica = Replica(self.fleet.replicas, told, self.redis_url)
        try:
            process = await asyncio.create_subprocess_exec(
                *self.fleet.command(self.port, admin + number if admin else 0),
                stdin=asyncio.subprocess.DEVNULL,
                env=replica.environment(),
                pass_fds=(told,),
                start_new_session=True,  # a Ctrl-C is for the parent, which passes it on
                preexec_fn=die_with_parent(),
            )
        finally:
            os.close(told)
        self._running[number] = process
        ready = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(heard, _hear, heard, ready)
        try:
            if self.ending.is_set():  # it came while the process was being started
                process.terminate()
            return await self._end_of(process), ready.done() and not ready.cancelled() and ready.result()
        finally:
            asyncio.get_running_loop().remove_reader(heard)
            os.close(heard)
            del self._running[number]

    async def _end_of(self, process: asyncio.subprocess.Process) -> int:
        over = asyncio.ensure_future(process.wait())
        told = asyncio.ensure_future(self.ending.wait())
        await asyncio.wait((over, told), return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        server = self.fleet.settings.server
        try:
            async with asyncio.timeout(server.drain_delay_s + server.drain_deadline_s + _GRACE_S):
                return await asyncio.shield(over)
        except TimeoutError:
            process.kill()
            return await over


def _hear(heard: int, ready: "asyncio.Future[bool]") -> None:
    """The pipe has a word, or has ended without one."""
    asyncio.get_running_loop().remove_reader(heard)
    word = os.read(heard, 1)
    if not ready.done():
        ready.set_result(word == _READY)
