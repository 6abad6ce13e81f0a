"""The way in when there is little room: a few figures sampled all the time, and one verdict a request."""

import asyncio
import gc
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path

import structlog

from gateway.domain.caller import Caller
from gateway.domain.errors import ErrorCode, RequestError
from gateway.domain.facts import Listener, LoadShed
from gateway.domain.job import Job
from gateway.edges import machine
from gateway.edges.world import World
from gateway.policies.admission import Budgets, Load, Need, Shed, class_of, judge, need_of

__all__ = ["Admission", "Allowance"]

_SAMPLE_EVERY_S = 0.1
_SAMPLES = 3  # a lag counts once it lasts: one long step of the garbage collector is no overload
_ENDINGS_OVER_S = 10.0
_MEMORY_SHARE, _SPOOL_SHARE = 0.8, 0.5  # of what is found where the operator names nothing
_TRIM_ABOVE, _TRIM_EVERY_S = 0.7, 5.0
_TRIM_AT_LEAST_EVERY_S = 60.0  # what the allocator keeps and nobody uses grows by megabytes an hour otherwise
_COLLECT_EVERY_S = 60.0  # what a request leaves, served, refused or left, goes without the collector
_COLLECT_ANYWAY_EVERY_S = 600.0  # however busy: a second's stop is better than what failed connections leave for ever
_FEW = 500  # under way, at whose objects the collector looks within some tens of milliseconds
_SAID_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the operator grants; None: by what the machine has, shared with as many `replicas` on it.

    Bytes of memory, bytes of images under way, and in seconds the loop's lag and the wait for an image process.
    """

    memory_bytes: int | None = None
    spool_bytes: int | None = None
    loop_lag_s: float = inf
    queue_s: float = inf
    replicas: int = 1


class Admission:
    """Lets requests in while there is room for them. Start it, or memory, disk and lag are never looked at.

    `spool` is where images lie on their way. `queue_s` tells how long the first in the queue for an image process
    has been waiting.
    """

    def __init__(
        self, allowance: Allowance, world: World, tell: Listener, *, spool: Path, queue_s: Callable[[], float]
    ) -> None:
        self._allowance, self._world, self._tell = allowance, world, tell
        self._spool, self._queue_s = spool, queue_s
        self._load = Load()
        self._budgets = Budgets()
        self._lags: deque[float] = deque(maxlen=_SAMPLES)
        self._endings: deque[tuple[float, int]] = deque()
        self._ended_bytes = 0
        self._trimmed_at = self._said_at = -inf
        self._collected_at = world.monotonic() - 2 * _COLLECT_EVERY_S
        self._memory_limit = machine.memory_limit_bytes()
        self._task: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("admission")
        self.adopt(allowance)

    @property
    def load(self) -> Load:
        """What is taken, as last looked at."""
        return self._load

    @property
    def budgets(self) -> Budgets:
        """What there is."""
        return self._budgets

    def adopt(self, allowance: Allowance) -> None:
        """Go by these figures from now on."""
        self._allowance = allowance
        self._look_at_disk()

    async def start(self) -> None:
        """Look at memory, disk and lag from now on. What the process takes now is what it takes idle."""
        self._load.idle_bytes = machine.resident_bytes()
        self._sample(0.0)
        self._task = asyncio.create_task(self._watch(), name="admission")

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    @contextmanager
    def room(self, job: Job, caller: Caller) -> Iterator[None]:
        """Room for a job, for as long as it takes. Raises RequestError `gateway_overloaded` where there is none."""
        need = need_of(job.n, job.size)
        shed = judge(self._load, self._budgets, need, caller.priority, self._world.jitter())
        if shed is not None:
            raise self._refusal(shed, caller)
        self._promise(need, 1)
        try:
            yield
        finally:
            self._promise(need, -1)
            self._endings.append((self._world.monotonic(), need.spool_bytes))
            self._ended_bytes += need.spool_bytes

    def _promise(self, need: Need, sign: int) -> None:
        promised = self._load.promised
        memory, spool = promised.memory_bytes + sign * need.memory_bytes, promised.spool_bytes + sign * need.spool_bytes
        self._load.running += sign
        self._load.promised = Need(memory, spool)

    def _refusal(self, shed: Shed, caller: Caller) -> RequestError:
        self._tell(LoadShed(shed.reason, class_of(caller.priority)))
        now = self._world.monotonic()
        if now - self._said_at > _SAID_EVERY_S:
            self._said_at = now
            self._log.warning("requests are refused for want of room", **_figures(shed, self._load, self._budgets))
        return RequestError(
            ErrorCode.GATEWAY_OVERLOADED,
            "The gateway is busy to capacity. Nothing was done or charged; try again later.",
            retry_after_ms=round(shed.wait_s * 1000),
            should_retry=True,
        )

    async def _watch(self) -> None:
        while True:
            wanted = self._world.monotonic() + _SAMPLE_EVERY_S
            await self._world.sleep(_SAMPLE_EVERY_S)
            self._sample(max(0.0, self._world.monotonic() - wanted))

    def _sample(self, lag_s: float) -> None:
        now = self._world.monotonic()
        self._lags.append(lag_s)
        while self._endings and self._endings[0][0] < now - _ENDINGS_OVER_S:
            self._ended_bytes -= self._endings.popleft()[1]
        load = self._load
        load.resident_bytes = machine.resident_bytes()
        load.loop_lag_s = min(self._lags) if len(self._lags) == _SAMPLES else 0.0
        load.queue_s = self._queue_s()
        load.freed_bytes_per_s = self._ended_bytes / _ENDINGS_OVER_S
        load.ended_per_s = len(self._endings) / _ENDINGS_OVER_S
        self._look_at_disk()
        crowded = load.resident_bytes > _TRIM_ABOVE * self._budgets.memory_bytes
        if now - self._trimmed_at > (_TRIM_EVERY_S if crowded else _TRIM_AT_LEAST_EVERY_S):
            self._trimmed_at = now
            machine.give_memory_back()
        since_s, has_time = now - self._collected_at, crowded or self._load.running < _FEW
        if since_s > (_COLLECT_EVERY_S if has_time else _COLLECT_ANYWAY_EVERY_S):
            self._collected_at = now
            gc.collect()

    def _look_at_disk(self) -> None:
        allowed, share = self._allowance, 1 / self._allowance.replicas
        memory, spool = allowed.memory_bytes, allowed.spool_bytes
        free = machine.free_disk_bytes(self._spool) if spool is None else None
        self._budgets = Budgets(
            memory_bytes=memory or _share(_MEMORY_SHARE * share, self._memory_limit),
            # What is promised already counts against what is free only in part, as far as it is written: be careful.
            spool_bytes=spool or _share(_SPOOL_SHARE * share, free),
            loop_lag_s=allowed.loop_lag_s,
            queue_s=allowed.queue_s,
        )


def _share(share: float, amount: int | None) -> float:
    return inf if amount is None else share * amount


def _figures(shed: Shed, load: Load, budgets: Budgets) -> dict[str, str | float | int]:
    return {
        "reason": shed.reason,
        "running": load.running,
        "resident_bytes": load.resident_bytes,
        "promised_spool_bytes": load.promised.spool_bytes,
        "spool_bytes": -1 if budgets.spool_bytes == inf else round(budgets.spool_bytes),
        "memory_bytes": -1 if budgets.memory_bytes == inf else round(budgets.memory_bytes),
        "loop_lag_s": round(load.loop_lag_s, 3),
        "queue_s": round(load.queue_s, 3),
    }
