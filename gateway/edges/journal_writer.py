"""Writes records to Redis and to the disk, many at a time: whoever comes while a write is under way joins the next."""

import asyncio
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from gateway.domain.facts import JournalFenced, JournalMedium, JournalWritten, Listener
from gateway.domain.record import Record
from gateway.edges.journal import (
    WRITE,
    Journal,
    decoded,
    encoded,
    write_arguments,
)
from gateway.edges.journal_spool import JournalSpool, Spooled
from gateway.edges.redis_store import RedisUnavailable, Script
from gateway.edges.world import World

__all__ = ["Fenced", "JournalUnavailable", "JournalWriter"]

_Call = tuple[Script, Sequence[str], Sequence[str | int]]
_SOON_S = 0.02  # what nobody waits for is mostly followed by what somebody does wait for
_DELIVERY_S = 0.05
BATCH = 256  # records in one go; at 2 KB each half a megabyte


class JournalUnavailable(Exception):  # noqa: N818 a state of this edge, beside RedisUnavailable
    """Neither Redis nor the disk took a record: nothing may be bought on its word."""


class Fenced(Exception):  # noqa: N818 a state of one operation
    """Another writer has taken the operation over: this one must buy nothing more for it."""


@dataclass(slots=True)
class _Entry:
    """A record to be written, and who waits for it; `forced`: one of them waits for the disk, too."""

    record: Record
    waiters: list[asyncio.Future[None]] = field(default_factory=list)
    forced: bool = False


@dataclass(frozen=True, slots=True)
class _Companion:
    call: _Call
    lost: Callable[[], None]


class JournalWriter:
    """The one writer of this replica. `spool` None: Redis alone (a directory that cannot be written to).

    With `replicas`, a write waits up to `wait_ms` for as many of Redis's replicas to have it.
    """

    def __init__(
        self,
        journal: Journal,
        spool: JournalSpool | None,
        tell: Listener,
        *,
        replicas: int = 0,
        wait_ms: int = 50,
        world: World | None = None,
    ) -> None:
        self._journal = journal
        self._spool = spool
        self._tell = tell
        self._wait = ("WAIT", replicas, wait_ms) if replicas else None
        self._world = world or World()
        self._waiting: dict[str, _Entry] = {}
        self._later: dict[str, tuple[Record, float]] = {}  # with the moment at which each is due, the first one first
        self._company: dict[str, list[_Companion]] = {}  # what goes to Redis right before a record's next write
        self._writing: asyncio.Task[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._delivered: set[str] = set()
        self.unsynced: set[str] = set()

    async def write(self, record: Record, *, disk_soon: bool = False) -> None:
        """Write `record` as it is now, or later: it is safe when this returns. Raises Fenced or JournalUnavailable.

        A Redis that was only slow to answer is waited for: were the disk's word taken instead, nobody else would know.
        With `disk_soon` Redis's word is enough, and the disk has it a moment later: not for what must be known before
        money moves.
        """
        try:
            await self._written(record, forced=not disk_soon)
        except JournalUnavailable:
            if not await self._journal.redis.is_surely_away() or self._may_stand_alone(record.id):
                await self._written(record, forced=not disk_soon)
            else:
                raise

    def _may_stand_alone(self, op_id: str) -> bool:
        """Whether the disk's word is good without Redis.

        Where Redis knows of an operation, others can take it over by what Redis has of it: this replica's disk may be
        gone with it by then.
        """
        redis = self._journal.redis
        return redis.outage is not None and redis.is_confirmed and not self._journal.is_known(op_id)

    async def _written(self, record: Record, *, forced: bool) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = self._enter(record)
        entry.forced |= forced
        entry.waiters.append(future)
        self._wake()
        await future

    def write_soon(self, record: Record) -> None:
        """Write `record` without anybody waiting for it: with its next write, or a moment from now by itself."""
        if record.id in self._waiting:
            self._enter(record)
            return
        known = self._later.get(record.id)
        due_s = asyncio.get_running_loop().time() + _SOON_S if known is None else known[1]
        self._later[record.id] = record, due_s
        self._wake_within(_SOON_S)

    def write_soon_after(self, call: _Call, record: Record, lost: Callable[[], None]) -> None:
        """As `write_soon`; and right before it Redis runs `call`, which must tolerate being run again.

        `lost` is called where Redis may not have done it.
        """
        self._company.setdefault(record.id, []).append(_Companion(call, lost))
        self.write_soon(record)

    def deliver_soon(self, op_id: str) -> None:
        """Note that the answer was taken by the client's end of the connection."""
        self._delivered.add(op_id)
        self._wake_within(_DELIVERY_S)

    async def catch_up(self, spooled: Sequence[Spooled]) -> list[str]:
        """Tell Redis again what the disk has; what Redis has in a newer form stays. Raises RedisUnavailable.

        Replies with the operations that other writers have gone on with: what the disk has of them is history.
        """
        records, now = list(_readable(spooled)), self._world.now()
        calls = [(WRITE, *write_arguments(one, encoded(one), self._journal.keeping, now)) for one in records]
        replies = await self._journal.redis.run_all(calls) if calls else []
        return [one.id for one, reply in zip(records, replies, strict=True) if reply == 0]

    async def drained(self) -> None:
        """Everything that was entered so far is written, or is known not to be."""
        self._take_due(math.inf)
        self._wake()
        while self._writing is not None and not self._writing.done():
            with suppress(Exception):
                await asyncio.shield(self._writing)
        if self._spool is not None:
            await self._spool.flushed()

    def _enter(self, record: Record) -> _Entry:
        self._later.pop(record.id, None)
        entry = self._waiting.get(record.id)
        if entry is None or entry.record is not record:
            others = ([], False) if entry is None else (entry.waiters, entry.forced)
            entry = self._waiting[record.id] = _Entry(record, *others)
        return entry

    def _wake_within(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if self._alarm is not None:
            if self._alarm.when() <= loop.time() + seconds:
                return
            self._alarm.cancel()
        self._alarm = loop.call_later(seconds, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._take_due(asyncio.get_running_loop().time())
        if self._waiting or self._delivered:
            self._wake()
        if self._later:
            self._wake_within(_SOON_S)

    def _take_due(self, now_s: float) -> None:
        while self._later:
            record, due_s = next(iter(self._later.values()))
            if due_s > now_s:
                return
            self._enter(record)

    def _wake(self) -> None:
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._run(), name="journal-writer")

    async def _run(self) -> None:
        while self._waiting or self._delivered:
            ids = list(self._waiting)[:BATCH]
            if ids:
                await self._write([self._waiting.pop(op_id) for op_id in ids])
            else:
                await self._deliver()

    async def _deliver(self) -> None:
        delivered, self._delivered = self._delivered, set()
        with suppress(RedisUnavailable):  # unsaid, a retry within the next minutes gets the same answer once more
            await self._journal.delivered(sorted(delivered))

    async def _write(self, batch: Sequence[_Entry]) -> None:
        started, now = self._world.monotonic(), self._world.now()
        calls: list[_Call] = []
        company: list[_Companion] = []
        rows: list[Spooled] = []
        for entry in batch:  # all that is said of a record at once: its owner goes on with it while this waits
            record = entry.record
            company += self._company.pop(record.id, ())
            record.version += 1
            text = encoded(record)
            calls.append((WRITE, *write_arguments(record, text, self._journal.keeping, now)))
            rows.append(Spooled(record.id, record.token, not record.is_over, now, text))
        on_disk = None if self._spool is None else self._spool.enter(rows, soon=not any(one.forced for one in batch))
        redis = await self._to_redis(calls, company)
        if redis is None and self._spool is not None:
            self._spool.hurry()
        wrote = [None] * len(batch) if redis is None else redis
        written = zip(batch, rows, wrote, strict=True)
        late = [(entry, row, done) for entry, row, done in written if not self._is_settled(entry, row, wrote=done)]
        if not late:
            self._tell(JournalWritten(self._world.monotonic() - started, "redis"))
        elif on_disk is None:
            self._settle(late, started, disk=False)
        else:
            on_disk.add_done_callback(lambda taken: self._settle(late, started, disk=taken.result()))

    def _is_settled(self, entry: _Entry, row: Spooled, *, wrote: bool | None) -> bool:
        """Whether Redis's word was all that was waited for; then who waits for it has it."""
        if wrote is None:
            return False
        if wrote:
            self._journal.note_known(row.id)
        else:
            self._tell(JournalFenced())
        if not wrote or not row.live:
            self._journal.forget(row.id)
        if not entry.forced:
            _answer(entry, fenced=not wrote, kept=True)
        return not entry.forced

    def _settle(self, late: Sequence[tuple[_Entry, Spooled, bool | None]], started: float, *, disk: bool) -> None:
        """Tell those who waited for the disk: they, or Redis not being there, made it count."""
        by: JournalMedium = "both" if disk else "redis"
        for entry, row, wrote in late:
            if wrote is None and disk:
                by = "spool"
                self.unsynced.add(row.id)
            _answer(entry, fenced=wrote is False, kept=wrote is not None or (disk and self._may_stand_alone(row.id)))
            if wrote is None and not row.live:
                self._journal.forget(row.id)
        self._tell(JournalWritten(self._world.monotonic() - started, by))

    async def _to_redis(self, calls: Sequence[_Call], company: Sequence[_Companion] = ()) -> list[bool] | None:
        """Whether each was written (or was fenced off); None when Redis is away."""
        try:
            replies = await self._journal.redis.run_all([*(one.call for one in company), *calls], then=self._wait)
        except RedisUnavailable:
            for one in company:
                one.lost()
            if company and self._journal.redis.outage is None:  # one that Redis refuses must not cost the records
                return await self._to_redis(calls)
            return None
        return [reply == 1 for reply in replies[len(company) :][: len(calls)]]


def _readable(spooled: Sequence[Spooled]) -> Iterator[Record]:
    """The records that this version understands; another one's may be too new."""
    for one in spooled:
        try:
            yield decoded(one.record)
        except ValueError:
            structlog.get_logger("journal").exception("a record cannot be read", operation=one.id)


def _answer(entry: _Entry, *, fenced: bool, kept: bool) -> None:
    for waiter in entry.waiters:
        if waiter.done():
            continue
        if fenced:
            waiter.set_exception(Fenced())
        elif not kept:
            waiter.set_exception(JournalUnavailable())
        else:
            waiter.set_result(None)
