"""What nobody tells by itself, looked at again and again for the metrics: the loop's lag, money, and the store."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from gateway.domain.facts import BudgetSeen, Listener, LoopLagged, ReservedSeen, StoreSeen, SuspenseSeen
from gateway.edges.assets import StoreUnavailable
from gateway.edges.redis_store import RedisStore, RedisUnavailable
from gateway.edges.usage_books import read_purse, read_reserved, scan_suspense
from gateway.policies.purses import Period, Purse

__all__ = ["LAG_EVERY_S", "LOOK_EVERY_S", "Watch"]

LAG_EVERY_S = 0.25
LOOK_EVERY_S = 10.0  # the store's probe costs money in a cloud; readiness goes by the same ones
MOST_PURSES = 500  # a look, some tens of milliseconds of Redis's time; the others come next


class _Purses(Protocol):
    @property
    def purses(self) -> tuple[Purse, ...]: ...


@dataclass(slots=True)
class Watch:
    """Looks in the background and tells what it sees. `in_use` knows the purses that calls are paid from.

    `check_store` raises StoreUnavailable.
    """

    tell: Listener
    redis: RedisStore
    in_use: _Purses
    check_store: Callable[[], Awaitable[None]]
    look_every_s: float = LOOK_EVERY_S
    now: Callable[[], float] = time.time
    _next_purse: int = 0
    _tasks: list["asyncio.Task[None]"] = field(default_factory=list)

    def start(self) -> None:
        """Begin to look."""
        self._tasks = [
            asyncio.create_task(self._time_the_loop(), name="loop-lag"),
            asyncio.create_task(self._look_on(), name="watch"),
        ]

    async def stop(self) -> None:
        """Look no more."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task

    async def look(self) -> None:
        """Look at everything once. What cannot be read keeps its last figure."""
        try:
            await self.check_store()
        except StoreUnavailable:
            self.tell(StoreSeen(works=False))
        else:
            self.tell(StoreSeen(works=True))
        with suppress(RedisUnavailable):
            await self._look_at_money()

    async def _look_on(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(self.look_every_s)

    async def _time_the_loop(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_EVERY_S
            await asyncio.sleep(LAG_EVERY_S)
            self.tell(LoopLagged(max(0.0, loop.time() - due)))

    async def _look_at_money(self) -> None:
        operations, microusd = Counter[str](), Counter[str]()
        async for one in scan_suspense(self.redis):
            operations[one.kind] += 1
            microusd[one.kind] += one.microusd
        for kind in ("unknown", "lapsed"):
            self.tell(SuspenseSeen(kind, operations[kind], microusd[kind]))
        self.tell(ReservedSeen(await read_reserved(self.redis)))
        now = datetime.fromtimestamp(self.now(), UTC)
        for purse in self._some_purses():
            spent = await read_purse(self.redis, purse, now.date())
            for (period, ends_at), ceiling, used in zip(_periods(now), purse.ceilings, spent, strict=True):
                if ceiling is not None:
                    share = used / ceiling if ceiling else 1.0
                    self.tell(BudgetSeen(purse.scope, purse.key, period, share, ends_at))

    def _some_purses(self) -> tuple[Purse, ...]:
        """As many as may be asked for at once; the next time those after them."""
        purses = self.in_use.purses
        first = self._next_purse if self._next_purse < len(purses) else 0
        self._next_purse = first + MOST_PURSES
        return purses[first : first + MOST_PURSES]


def _periods(now: datetime) -> Iterator[tuple[Period, float]]:
    """Each kind of period with the moment at which the present one ends, in Unix seconds."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    next_month = (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
    yield "day", (midnight + timedelta(days=1)).timestamp()
    yield "month", next_month.timestamp()
    yield "total", float("inf")
