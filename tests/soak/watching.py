"""Looks at the gateway from outside again and again: memory, open files, tasks, leases, and what Redis holds."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import redis

from tests.faults.deployment import samples_in
from tests.servers import admin_of
from tests.soak.slopes import Point
from tests.soak.stage import Stage

__all__ = ["Sight", "Watcher"]

_PROC = Path("/proc")
_PAGE_BYTES = 4096
_TICKS_S = 100.0
_PATIENCE_S = 1.0  # with a Redis that was stopped
_RECEIPTS = ("taken", "returned", "settled", "pushed")
_SET_ASIDE = b"allowance-"  # money for an outage of Redis, which a replica always holds
_GAUGES = {
    "tasks": "samurai_tasks",
    "operations under way": "samurai_operations_in_flight",
    "settlements that wait": "samurai_settlements_waiting",
    "image bytes in memory": "samurai_in_flight_bytes",
}

Sight = dict[str, float]
"""What was seen at one moment, by name."""


@dataclass
class Watcher:
    """Collects `series`, by name; what cannot be seen at a moment has no point there."""

    stage: Stage
    every_s: float
    series: dict[str, list[Point]] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    async def work(self, enough: Callable[[], bool]) -> None:
        async with httpx2.AsyncClient(timeout=10) as client:
            while not enough():
                at = time.monotonic() - self.began
                for name, value in (await self.seen(client)).items():
                    self.series.setdefault(name, []).append((at, value))
                await asyncio.sleep(self.every_s)

    async def seen(self, client: httpx2.AsyncClient) -> Sight:
        """Everything as it is now."""
        found = processes_of(self.stage.running.process.pid)
        found["files on their way to the store"] = _waiting_in(self.stage.temporary)
        with suppress(httpx2.TransportError):
            told = samples_in((await client.get(f"{self.stage.running.admin_url}/metrics")).text)
            found |= {name: sum(v for (n, _), v in told.items() if n == metric) for name, metric in _GAUGES.items()}
        return found | await asyncio.to_thread(self._redis)

    def _redis(self) -> Sight:
        where = {"unix_socket_path": str(self.stage.redis.path), "socket_timeout": _PATIENCE_S}
        try:
            with admin_of(**where) as admin:
                return _held(admin)
        except (redis.RedisError, OSError):
            return {}


def _held(admin: Any) -> Sight:
    kinds, places, flights = Counter[str](), [], []
    for key in admin.scan_iter(count=5000):
        kind = key.decode().removeprefix("{samurai}:").partition(":")[0]
        kinds[kind] += 1
        if kind == "lease":
            places.append(key)
        elif key.endswith(b":flight"):
            flights.append(key)
    held = admin.zrange("{samurai}:held", 0, -1)
    return {
        "places of keys": float(sum(admin.zcard(key) for key in places)),
        "leases of operations": float(admin.zcard("{samurai}:ops:leases")),
        "places at vendors": float(sum(admin.zcard(key) for key in flights)),
        "money reserved for": float(sum(not one.startswith(_SET_ASIDE) for one in held)),
        "Redis keys without receipts": float(sum(n for kind, n in kinds.items() if kind not in _RECEIPTS)),
        "Redis receipts": float(sum(kinds[kind] for kind in _RECEIPTS)),
        "Redis MB": admin.info("memory")["used_memory"] / 1e6,
    }


def processes_of(pid: int) -> Sight:
    """Memory and processor time of a process and all below it, and its own open files."""
    tree = [pid, *_below(pid)]
    return {
        "memory MB": sum(_resident(one) for one in tree) / 1e6,
        "memory of the gateway alone MB": _resident(pid) / 1e6,
        "processes": float(len(tree)),
        "open files": float(len(list((_PROC / str(pid) / "fd").iterdir()))),
        "threads": float(len(list((_PROC / str(pid) / "task").iterdir()))),
        "processor seconds": sum(_processor_s(one) for one in tree),
    }


def _waiting_in(folder: Path) -> float:
    """Files of images that are not in the store yet; the mark of the folder's owner is none of them."""
    return float(sum(path.is_file() and path.name != "lock" for path in folder.rglob("*")))


def _below(pid: int) -> Iterator[int]:
    for listed in (_PROC / str(pid) / "task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, listed.read_text().split()):
                yield child
                yield from _below(child)


def _resident(pid: int) -> int:
    with suppress(OSError, IndexError):
        return int((_PROC / str(pid) / "statm").read_text().split()[1]) * _PAGE_BYTES
    return 0


def _processor_s(pid: int) -> float:
    with suppress(OSError, IndexError):
        words = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / _TICKS_S
    return 0.0
