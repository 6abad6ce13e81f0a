"""What a replica does for its limits beside the requests: says that it lives, keeps allowances, pays its debts.

While Redis answers, every two seconds: one heartbeat (which also tells how many replicas share the limits), then
whatever had to wait for an outage to end, the counts of refusals, and allowances that are to be taken or returned.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from gateway.edges.allowances import LIFE_US, Allowance
from gateway.edges.limits import Limits
from gateway.edges.redis_store import RedisStore, RedisUnavailable, Script
from gateway.policies.purses import Reservation, Settlement

__all__ = ["Upkeep"]

BEAT_EVERY_S = 2.0
BEAT_COUNTS_US = 10_000_000  # five beats may be late or lost
REPLICAS = "{samurai}:replicas"

_BEAT = Script.load(Path(__file__).with_name("beat.lua"))


@dataclass(slots=True)
class Upkeep:
    """The background work of one replica's `limits`. `replica` is unique to this process.

    `replicas_max` is the most replicas there can be; limits are never shared out among fewer.
    """

    limits: Limits
    redis: RedisStore
    replica: str
    replicas_max: int = 1
    every_s: float = BEAT_EVERY_S
    _count: int = 0
    _ending: asyncio.Event = field(default_factory=asyncio.Event)
    _task: "asyncio.Task[None] | None" = None

    async def start(self) -> None:
        """Do one round, then go on in the background."""
        await self.once()
        self._task = asyncio.create_task(self._run(), name="limits-upkeep")

    async def stop(self) -> None:
        """End the background work and say goodbye."""
        self._ending.set()
        if self._task is not None:
            await self._task  # never cut short: what it has in hand would be lost
        await self.leave()

    async def once(self) -> None:
        """One round; it ends early, and quietly, when Redis is away."""
        if not await self._beat():
            return
        self.limits.push_shares(self.replica)
        if not await self._catch_up():
            return
        await self._write_refusals()
        self.limits.allowances.retire(self.limits.now_us())
        await self._return_allowances()
        await self._take_allowances()

    async def leave(self) -> None:
        """Say goodbye: return what is set aside, write what is counted. What Redis does not hear lapses by itself."""
        await self._catch_up()
        await self._write_refusals()
        self.limits.allowances.retire(self.limits.now_us(), everything=True)
        await self._return_allowances()
        try:
            await self.redis.call("ZREM", REPLICAS, self.replica)
        except RedisUnavailable:
            return

    async def _run(self) -> None:
        while not self._ending.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self.every_s):
                    await self._ending.wait()
            await self.once()

    async def _beat(self) -> bool:
        try:
            alive: int = await self.redis.run(_BEAT, [REPLICAS], [self.replica, BEAT_COUNTS_US])
        except RedisUnavailable:
            return False
        self.limits.shares.replicas = max(1, alive, self.replicas_max)
        return True

    async def _catch_up(self) -> bool:
        """Tell Redis what had to wait; False when it went away again meanwhile."""
        backlog = self.limits.backlog
        for _ in range(len(backlog)):
            if not await self.limits.run_or_keep(backlog.popleft()) and self.redis.outage is not None:
                return False
        return True

    async def _write_refusals(self) -> None:
        lines = tuple(self.limits.refusals.items())
        if lines:
            self.limits.refusals.clear()
            await self.limits.settle(self._name("refusals"), (), None, Settlement(usage=lines))

    async def _return_allowances(self) -> None:
        for op_id, allowance in self.limits.allowances.returned().items():
            own = Reservation((allowance.purse,), allowance.microusd, 0)
            await self.limits.settle(op_id, (), own, Settlement(allowance.spent_microusd))

    async def _take_allowances(self) -> None:
        for purse, microusd in list(self.limits.allowances.wanted(self.limits.now_us())):
            op_id, ends_us = self._name("allowance"), self.limits.now_us() + LIFE_US
            if await self.limits.set_aside(op_id, Reservation((purse,), microusd, LIFE_US // 1000)):
                self.limits.allowances.add(Allowance(op_id, purse, microusd, ends_us))

    def _name(self, what: str) -> str:
        self._count += 1
        return f"{what}-{self.replica}-{self._count}"
