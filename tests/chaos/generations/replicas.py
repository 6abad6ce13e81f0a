"""The gateway's replicas on the stage: killed, stopped and ended by others, restarted by their supervisor."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.chaos.generations.wires import Streams
from tests.processes import ROOT, environment

__all__ = ["STATES", "Fleet", "Replica", "running_fleet"]

STATES = ("planned", "sent", "accepted", "stored", "done")
_LOOK_S = 0.02
_UP_S = 60.0
_GONE_S, _END_S = 5.0, 20.0
_LIVE = "SELECT record FROM operations WHERE live AND at >= ?"


@contextmanager
def running_nursery() -> Iterator[Callable[[Path, Path], int]]:
    """Starts a gateway with this configuration and this log, and tells its process number (see `nursery`)."""
    command = [sys.executable, "-m", "tests.chaos.generations.nursery"]
    where = {"env": environment() | {"PYTHONPATH": str(ROOT)}, "cwd": ROOT}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **where) as nursery:  # type: ignore[call-overload]

        def start(config: Path, log: Path) -> int:
            log.touch()
            nursery.stdin.write(f"{config}\t{log}\n".encode())
            nursery.stdin.flush()
            return int(nursery.stdout.readline())

        try:
            yield start
        finally:
            nursery.stdin.close()


@dataclass
class Replica:
    """One gateway process after another, always on the same port, with the same disk."""

    number: int
    folder: Path
    port: int
    spawn: Callable[[Path, Path], int]
    pid: int = 0
    started_s: float = 0.0
    is_stopped: bool = False

    def start(self) -> None:
        """Begin a new life."""
        self.started_s, self.is_stopped = time.time(), False
        self.pid = self.spawn(self.folder / "gateway.yaml", self.folder / "log")

    @property
    def is_alive(self) -> bool:
        if not self.pid:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def tell(self, number: signal.Signals) -> None:
        """Send a signal, if it lives."""
        if not self.pid:
            return  # 0 would mean this process and all its family
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)
            self.is_stopped = number is signal.SIGSTOP or (self.is_stopped and number is not signal.SIGCONT)

    def kill(self) -> frozenset[str]:
        """End it without warning; the states in which its journal says that attempts were at that moment."""
        self.tell(signal.SIGKILL)
        self.wait(_GONE_S)
        return self.states()

    def wait(self, patience_s: float) -> bool:
        """Wait until it is gone; whether it is."""
        deadline = time.monotonic() + patience_s
        while self.is_alive and time.monotonic() < deadline:
            time.sleep(0.001)
        return not self.is_alive

    def states(self) -> frozenset[str]:
        """The states of the attempts of what this life works on, as its disk tells them."""
        found: set[str] = set()
        for record in self._live():
            attempts = record["attempts"]
            found |= {attempt["state"] for attempt in attempts} if attempts else {"planned"}
        return frozenset(found & set(STATES))

    def _live(self) -> Iterable[dict[str, Any]]:
        path = self.folder / "spool" / "replica-0.journal"
        with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=0.2)) as spool:
            rows = spool.execute(_LIVE, (self.started_s,)).fetchall()
            return [json.loads(text) for (text,) in rows]
        return []


@dataclass
class Fleet:
    """The replicas, and who serves the next connection."""

    replicas: Sequence[Replica]
    restarts: int = 0
    _next: int = 0
    _ending: asyncio.Event = field(default_factory=asyncio.Event)

    async def connect(self) -> Streams | None:
        """A connection to the next replica that takes one, as a balancer would make it."""
        for _ in self.replicas:
            self._next += 1
            with suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", self.replicas[self._next % len(self.replicas)].port)
        return None

    @property
    def serving(self) -> list[Replica]:
        """Those that live and are not stopped."""
        return [one for one in self.replicas if one.is_alive and not one.is_stopped]

    async def all_up(self) -> None:
        """Wait until every replica takes connections."""
        deadline = time.monotonic() + _UP_S
        for one in self.replicas:
            while True:
                with suppress(OSError):  # refused, as long as it starts
                    _, writer = await asyncio.open_connection("127.0.0.1", one.port)
                    writer.close()
                    break
                assert time.monotonic() < deadline, (one.folder / "log").read_text()[-3000:]
                await asyncio.sleep(0.05)

    async def supervise(self) -> None:
        """Restart whoever has ended, until told to end."""
        while not self._ending.is_set():
            for one in self.replicas:
                if not one.is_alive:
                    self.restarts += 1
                    one.start()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._ending.wait()

    def end(self) -> None:
        self._ending.set()
        for one in self.replicas:
            one.tell(signal.SIGCONT)
            one.tell(signal.SIGTERM)
        for one in self.replicas:
            if not one.wait(_END_S):
                one.tell(signal.SIGKILL)


@asynccontextmanager
async def running_fleet(folder: Path, ports: Sequence[int], settings: Mapping[str, Any]) -> AsyncIterator[Fleet]:
    """A supervised gateway on each port, each with a disk of its own and the same settings otherwise."""
    replicas = []
    for number, port in enumerate(ports):
        own = folder / f"replica-{number}"
        own.mkdir()
        mine = json.loads(json.dumps(settings))
        mine["server"]["public"]["port"] = port
        mine["idempotency"]["spool"] = str(own / "spool")
        (own / "gateway.yaml").write_text(yaml.safe_dump(mine))
        replicas.append((number, own, port))
    with running_nursery() as spawn:
        fleet = Fleet([Replica(*one, spawn) for one in replicas])
        try:
            keeper = asyncio.create_task(fleet.supervise())
            await fleet.all_up()
            yield fleet
            fleet._ending.set()
            await keeper
        finally:
            fleet.end()
