"""What the kernel says of a process and its descendants: processor time, and the memory they hold."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Usage", "cpu_of", "family", "measured", "parse_stat", "resident_bytes"]

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGESIZE")
_REDIS = frozenset({"valkey-server", "redis-server"})  # their time is told apart from the gateway's own
SAMPLE_S = 0.025


@dataclass(slots=True)
class Usage:
    """What a family of processes used during a measurement. A Redis among them counts as memory, not as `cpu_s`."""

    cpu_s: float = 0.0
    redis_cpu_s: float = 0.0
    seconds: float = 0.0
    rss_before_bytes: int = 0
    rss_peak_bytes: int = 0
    curve: list[tuple[float, int]] = field(default_factory=list)
    """(seconds since the start, resident bytes of all), at every sample."""


def parse_stat(text: str) -> tuple[str, float]:
    """The name in a /proc/PID/stat, and the user and system time in seconds, of it and of its children that ended."""
    name, _, rest = text.partition("(")[2].rpartition(")")
    numbers = rest.split()  # begins with the third field of proc(5)
    return name, sum(map(int, numbers[11:15])) / _TICKS


def family(pid: int) -> list[int]:
    """The process and all its descendants, as far as they still live."""
    found = [pid]
    for one in found:
        try:
            for task in Path(f"/proc/{one}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        except OSError:
            continue
    return found


def cpu_of(pid: int) -> tuple[float, float]:
    """Seconds of processor time that the family has used so far: (all but Redis, Redis)."""
    own = redis = 0.0
    for one in family(pid):
        try:
            name, used = parse_stat(Path(f"/proc/{one}/stat").read_text())
        except OSError:
            continue
        if name in _REDIS:
            redis += used
        else:
            own += used
    return own, redis


def resident_bytes(pid: int) -> int:
    """The resident memory of the family: the sum over its processes; but of a forked one what is its own alone.

    A Valkey that writes its file anew forks: all its pages are there twice then, and in memory once. Libraries that
    processes share count more than once.
    """
    total = 0
    for one in family(pid):
        try:
            total += _own_bytes(one) if _is_forked(one) else _resident_bytes(one)
        except (OSError, IndexError):
            continue
    return total


def _resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES


def _own_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("Private_Clean:", "Private_Dirty:")))


def _is_forked(pid: int) -> bool:
    """Whether it still runs its parent's program, in a copy of its memory: its stack begins where the parent's does."""
    parent, stack = _parent_and_stack(pid)
    return stack != 0 and parent > 1 and _parent_and_stack(parent)[1] == stack


def _parent_and_stack(pid: int) -> tuple[int, int]:
    numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()  # begins with the third field of proc(5)
    return int(numbers[1]), int(numbers[25])


@contextmanager
def measured(pid: int) -> Iterator[Usage]:
    """Measure the family of `pid` while the block runs; the figures are complete after it."""
    usage, over = Usage(rss_before_bytes=resident_bytes(pid)), threading.Event()
    began = time.monotonic()

    def look_on() -> None:
        while not over.wait(SAMPLE_S):
            usage.curve.append((time.monotonic() - began, resident_bytes(pid)))

    watcher = threading.Thread(target=look_on, daemon=True)
    own_s, redis_s = cpu_of(pid)
    watcher.start()
    try:
        yield usage
    finally:
        usage.seconds = time.monotonic() - began
        own_after_s, redis_after_s = cpu_of(pid)
        over.set()
        watcher.join()
        usage.cpu_s, usage.redis_cpu_s = own_after_s - own_s, redis_after_s - redis_s
        usage.rss_peak_bytes = max((held for _, held in usage.curve), default=usage.rss_before_bytes)
