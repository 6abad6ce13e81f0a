"""What a replica does for its journal beside the requests: says that it lives, and mends what Redis forgot."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from gateway.domain.record import Attempt, OperationState
from gateway.edges.journal import Journal, UnreadableRecord, decoded
from gateway.edges.journal_spool import JournalSpool, Spooled, SpoolFailed
from gateway.edges.journal_writer import Fenced, JournalUnavailable, JournalWriter
from gateway.edges.redis_store import RedisUnavailable
from gateway.edges.world import World

__all__ = ["JournalUpkeep"]

Writers = Callable[[], Sequence[tuple[str, int]]]
"""The operations that this replica works on, with its tokens."""

_EVERY_SHARE = 1 / 3  # of a lease: two renewals may be late or lost
_LONGEST_S = 5.0  # also how long a Redis that has forgotten may go unnoticed
_FORGET_EVERY_S = 300.0
_AT_ONCE = 100  # records told in one go; at 2 KB each a fifth of a megabyte, well within Redis's time
_UNSEEN = "?"
_ENDED = (OperationState.RELEASED, OperationState.UNKNOWN, OperationState.KEPT, OperationState.FAILED)


@dataclass(slots=True)
class JournalUpkeep:
    """The background work of one replica's journal. Who has lost an operation learns it at the next write."""

    journal: Journal
    writer: JournalWriter
    spool: JournalSpool | None
    writers: Writers
    world: World
    _forgotten_s: float = 0.0
    _ending: asyncio.Event = field(default_factory=asyncio.Event)
    _task: "asyncio.Task[None] | None" = None

    async def start(self) -> None:
        """Bring in what dead replicas left on this disk, then go on in the background."""
        self.journal.memory = _UNSEEN
        if self.spool is not None:
            with suppress(SpoolFailed):
                self.writer.unsynced.update(one.id for one in await self.spool.inherit())
        await self.once()
        self._task = asyncio.create_task(self._run(), name="journal-upkeep")

    async def stop(self) -> None:
        """End the background work."""
        self._ending.set()
        if self._task is not None:
            await self._task

    async def once(self) -> None:
        """One round; it ends early, and quietly, when Redis is away."""
        try:
            memory = await self._look_at_memory()
            await self._catch_up()
            await self.journal.renew(self.writers())
            await self._trust(memory)
        except RedisUnavailable:
            return
        now = self.world.now()
        if self.spool is not None and now - self._forgotten_s > _FORGET_EVERY_S:
            self._forgotten_s = now
            with suppress(SpoolFailed):
                await self.spool.forget(now - self.journal.keeping.keep_s)

    async def _run(self) -> None:
        every_s = min(_LONGEST_S, self.journal.keeping.lease_s * _EVERY_SHARE)
        while not self._ending.is_set():
            await _either(self._ending, self.journal.doubted, within_s=every_s)
            self.journal.doubted.clear()
            await self.once()

    async def _look_at_memory(self) -> str:
        """Notice that Redis is another one than before, or has lost its memory; then it is to be told everything."""
        memory, journal = await self.journal.look_at_memory(), self.journal
        if memory == journal.memory:
            return memory
        told: str | None = journal.memory
        if self.spool is not None:
            with suppress(SpoolFailed):
                told = await self.spool.told()
        if told not in (None, memory, _UNSEEN):
            structlog.get_logger("journal").warning("Redis lost its memory or failed over: the journal is told again")
            if journal.keeping.is_shared:
                await journal.say_lost()
            await self._tell_all()
        return memory

    async def _tell_all(self) -> None:
        if self.spool is not None:
            since = self.world.now() - self.journal.keeping.keep_s
            with suppress(SpoolFailed):
                self.writer.unsynced.update(one.id for one in await self.spool.kept(since=since))

    async def _trust(self, memory: str) -> None:
        """Redis's present memory knows by now all that this replica knows: claims may rely on it."""
        if memory != self.journal.memory:
            self.journal.memory = memory
            if self.spool is not None:
                with suppress(SpoolFailed):
                    await self.spool.note_told(memory)

    async def _catch_up(self) -> None:
        """Tell Redis what only the disk knows; nobody's lease runs out meanwhile."""
        if self.spool is None:
            return
        for ids in _portions(sorted(self.writer.unsynced)):
            try:
                kept = await self.spool.kept(ids)
                history = set(await self.writer.catch_up(kept))
                late = [one.id for one in kept if one.id in history and not await self._is_known(one)]
                self.writer.unsynced.difference_update(set(ids) - set(late))
                await self.spool.retire(sorted(history - set(late)))
            except SpoolFailed:
                return
            await self.journal.renew(self.writers())

    async def _is_known(self, spooled: Spooled) -> bool:
        """Whether who went on with an operation knows of all its calls; False: to be asked again later.

        A call that Redis had lost when the operation was taken over, and that only this disk knows of, is added to it:
        then it is looked at once more.
        """
        try:
            mine, theirs = decoded(spooled.record), await self.journal.read(spooled.id)
        except UnreadableRecord:
            return False
        if theirs is None or theirs.state is OperationState.COMPLETED:
            return True
        missed = [one for one in mine.attempts if one.number > theirs.calls_made and _may_be_paid(one)]
        if not missed:
            return True
        taken = await self.journal.take_over(spooled.id, _ENDED)
        if taken is None:
            return False
        taken.begin_again()
        taken.attempts = missed
        with suppress(Fenced, JournalUnavailable):
            await self.writer.write(taken)
        await self.journal.let_go([taken.id])
        return True


def _may_be_paid(attempt: Attempt) -> bool:
    if attempt.result is None:
        return attempt.is_open
    return attempt.result.billed > 0 or any(fault.may_have_billed for fault in attempt.result.faults)


def _portions(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE)]


async def _either(*events: asyncio.Event, within_s: float) -> None:
    """Wait until one of them is set, but not for long."""
    waits = [asyncio.create_task(one.wait()) for one in events]
    try:
        await asyncio.wait(waits, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
