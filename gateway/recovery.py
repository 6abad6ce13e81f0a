"""Takes up what dead replicas had begun, and keeps this replica's own operations known as alive."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from gateway.edges.journal import UnreadableRecord
from gateway.edges.journal_spool import JournalSpool
from gateway.edges.journal_upkeep import JournalUpkeep
from gateway.edges.redis_store import RedisUnavailable
from gateway.operation import Operations
from gateway.services import Services
from gateway.takeover import take_up

__all__ = ["Recovery"]

_AT_ONCE, _MOST = 50, 500  # a dead replica may leave thousands, and those who take them up have work of their own
_LOOK_SHARE = 1 / 6  # of a lease: a dead replica's work is taken up a lease and a sixth after its last word


@dataclass(slots=True)
class Recovery:
    """The background work of one replica's journal. `services` gives those in force."""

    services: Callable[[], Services]
    operations: Operations
    spool: JournalSpool | None
    _upkeep: JournalUpkeep | None = None
    _ending: asyncio.Event = field(default_factory=asyncio.Event)
    _task: "asyncio.Task[None] | None" = None
    _left: set[str] = field(default_factory=set)

    async def start(self) -> None:
        """Begin; Redis may be away."""
        now = self.services()
        self._upkeep = JournalUpkeep(now.journal, now.writer, self.spool, self.operations.writers, now.world)
        await self._upkeep.start()
        self._task = asyncio.create_task(self._run(), name="recovery")

    async def stop(self) -> None:
        """Hand over what is left, and end."""
        self._ending.set()
        if self._task is not None:
            await self._task
        left = await self.operations.hand_over()
        services = self.services()
        await services.writer.drained()
        with suppress(RedisUnavailable):
            await services.journal.let_go(left)
        if self._upkeep is not None:
            await self._upkeep.stop()
        if self.spool is not None:
            await self.spool.aclose()

    async def once(self) -> int:
        """Take up what nobody works on; how many operations that were.

        What only another version can read is left to it, and must not stand before what this one can finish.
        """
        services, taken = self.services(), 0
        with suppress(RedisUnavailable):
            room = min(_AT_ONCE, _MOST - self.operations.taken_up)
            found = [] if room <= 0 else await services.journal.abandoned(room + len(self._left))
            self._left.intersection_update(found)
            for op_id in (one for one in found if one not in self._left):
                try:
                    taken += await take_up(op_id, self.operations, services)
                except UnreadableRecord:
                    self._left.add(op_id)
        return taken

    async def _run(self) -> None:
        world = self.services().world
        while not self._ending.is_set():
            every_s = self.services().journal.keeping.lease_s * _LOOK_SHARE
            with suppress(TimeoutError):
                async with asyncio.timeout(every_s * (0.8 + 0.4 * world.jitter())):
                    await self._ending.wait()
            if not self._ending.is_set():
                await self.once()
