"""The journal's copy on this replica's own disk: what was said here survives when Redis forgets it.

One SQLite file (as a file format: nothing to run, forced to disk at every commit) for each replica, locked while its
replica lives. A file that nobody locks is a dead replica's: whoever finds it takes its records over.
"""

import asyncio
import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import structlog

from gateway.domain.facts import JournalForced, Listener

__all__ = ["JournalSpool", "SpoolFailed", "Spooled"]

T = TypeVar("T")

_SOON_S = 0.02  # what need not be on the disk at once is mostly followed by what must be

_SCHEMA = """
CREATE TABLE IF NOT EXISTS operations (
    id TEXT PRIMARY KEY, token INTEGER NOT NULL, live INTEGER NOT NULL, at REAL NOT NULL, record BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_age ON operations (at);
"""
_UPSERT = """
INSERT INTO operations VALUES {rows} ON CONFLICT (id) DO UPDATE SET
    token = excluded.token, live = excluded.live, at = excluded.at, record = excluded.record
WHERE excluded.token >= token
"""
_ROWS = 500  # of five values, in one statement; SQLite takes 32,766 values
_RETIRE = "UPDATE operations SET live = 0 WHERE id IN (SELECT value FROM json_each(?))"
_NOTE = "INSERT INTO notes VALUES ('told', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"


class SpoolFailed(Exception):  # noqa: N818 a state of this edge, beside StoreUnavailable
    """The disk did not take it."""


@dataclass(frozen=True, slots=True)
class Spooled:
    """One record as it is kept: `live` while its operation runs, `at` in seconds since the epoch."""

    id: str
    token: int
    live: bool
    at: float
    record: bytes = field(repr=False)


class JournalSpool:
    """One replica's file in `directory`, which is made if need be. Raises OSError or sqlite3.Error when it cannot be.

    The first file that no living replica has is taken, so that a restarted replica finds its own again.
    """

    def __init__(self, directory: Path, tell: Listener = lambda _: None) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._path, self._lock = next(
            (path, lock)
            for number in count()
            if (lock := _locked(path := directory / f"replica-{number}.journal")) is not None
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._db = _opened(self._path)
        self._tell = tell
        self._entered: dict[str, Spooled] = {}
        self._outcome: asyncio.Future[bool] | None = None  # of the commit in which they will be
        self._flying: asyncio.Future[bool] | None = None  # of the one that is under way
        self._is_due = False
        self._alarm: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None

    async def commit(self, records: Sequence[Spooled]) -> None:
        """Keep these for good: they are on the disk when this returns. Raises SpoolFailed."""
        await self._within(self._commit, records)

    def enter(self, records: Sequence[Spooled], *, soon: bool = False) -> "asyncio.Future[bool]":
        """Keep these in one commit with all that comes while another one is under way: whether the disk took them.

        With `soon` they may wait a moment for company. Of two forms of one record the later one is kept.
        """
        loop = asyncio.get_running_loop()
        self._entered.update((one.id, one) for one in records)
        if self._outcome is None:
            self._outcome = loop.create_future()
        outcome = self._outcome
        if not soon:
            self.hurry()
        elif self._alarm is None:
            self._alarm = loop.call_later(_SOON_S, self.hurry)
        return outcome

    def hurry(self) -> None:
        """What was entered waits no longer."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._is_due = bool(self._entered)
        if self._is_due and (self._writing is None or self._writing.done()):
            self._writing = asyncio.create_task(self._write(), name="journal-spool")

    async def flushed(self) -> None:
        """All that was entered so far is on the disk, or the disk does not take it."""
        self.hurry()
        last = self._outcome or self._flying
        if last is not None:
            await asyncio.shield(last)

    async def kept(self, ids: Sequence[str] | None = None, *, since: float = 0.0) -> list[Spooled]:
        """The records with these ids, or all not older than `since`. Raises SpoolFailed."""
        return await self._run(self._kept, ids, since)

    async def forget(self, before: float) -> None:
        """Drop what is over and older than `before`. Raises SpoolFailed."""
        await self._run(self._forget, before)

    async def retire(self, ids: Sequence[str]) -> None:
        """Others have gone on with these: they are no longer this replica's to bring in. Raises SpoolFailed."""
        await self._run(self._retire, ids)

    async def told(self) -> str | None:
        """Which memory of Redis was last told all that is in here; None for none. Raises SpoolFailed."""
        return await self._run(self._told)

    async def note_told(self, memory: str) -> None:
        """Note that this memory of Redis knows all that is in here. Raises SpoolFailed."""
        await self._run(self._note_told, memory)

    async def inherit(self) -> list[Spooled]:
        """What dead replicas left in the same directory, this one's former life included. Raises SpoolFailed.

        It is moved into this replica's own file.
        """
        return await self._run(self._inherit)

    async def aclose(self) -> None:
        """Close the file and let go of it."""
        await self.flushed()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._db.close)
        self._thread.shutdown()
        os.close(self._lock)

    async def _write(self) -> None:
        while self._is_due:
            records, self._entered, self._is_due = list(self._entered.values()), {}, False
            self._flying, self._outcome = self._outcome, None
            taken, started = False, time.monotonic()
            try:
                await self.commit(records)
                taken = True
                self._tell(JournalForced(time.monotonic() - started, len(records)))
            except SpoolFailed as problem:
                structlog.get_logger("journal").error("the journal's disk does not take records", reason=str(problem))
            finally:
                if self._flying is not None:
                    self._flying.set_result(taken)

    async def _run(self, act: Callable[..., T], *args: Any) -> T:
        """As `_within`, but with what was entered before."""
        await self.flushed()
        return await self._within(act, *args)

    async def _within(self, act: Callable[..., T], *args: Any) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, act, *args)
        except (sqlite3.Error, OSError) as error:
            raise SpoolFailed(str(error)) from error

    def _commit(self, records: Sequence[Spooled]) -> None:
        """One statement, and thereby one transaction: the interpreter's lock is waited for once, not for each."""
        for start in range(0, len(records), _ROWS):
            some = records[start : start + _ROWS]
            values = [value for one in some for value in (one.id, one.token, one.live, one.at, one.record)]
            self._db.execute(_UPSERT.format(rows=", ".join(["(?, ?, ?, ?, ?)"] * len(some))), values)

    def _kept(self, ids: Sequence[str] | None, since: float) -> list[Spooled]:
        if ids is None:
            return _rows(self._db, "at >= ?", since)
        return [row for one in ids for row in _rows(self._db, "id = ?", one)]

    def _forget(self, before: float) -> None:
        self._db.execute("DELETE FROM operations WHERE at < ? AND NOT live", (before,))

    def _retire(self, ids: Sequence[str]) -> None:
        self._db.execute(_RETIRE, (json.dumps(list(ids)),))

    def _told(self) -> str | None:
        return _noted(self._db)

    def _note_told(self, memory: str) -> None:
        self._db.execute(_NOTE, (memory,))

    def _inherit(self) -> list[Spooled]:
        found = _rows(self._db, "live", None)
        for path in sorted(self._directory.glob("*.journal")):
            lock = None if path == self._path else _locked(path)
            if lock is None:
                continue
            try:
                other = _opened(path)
                left, told = _rows(other, "1", None), _noted(other)
                other.close()
                self._commit(left)
                if left and told != _noted(self._db):
                    self._note_told("")  # nobody can say any more what Redis was told of which
                found += [one for one in left if one.live]
                for suffix in ("", "-wal", "-shm"):
                    path.with_name(path.name + suffix).unlink(missing_ok=True)
            finally:
                os.close(lock)
        return found


def _rows(db: sqlite3.Connection, where: str, value: Any) -> list[Spooled]:
    given = () if value is None else (value,)
    rows = db.execute(f"SELECT id, token, live, at, record FROM operations WHERE {where}", given)  # noqa: S608 ours
    return [Spooled(op_id, token, bool(live), at, record) for op_id, token, live, at, record in rows]


def _noted(db: sqlite3.Connection) -> str | None:
    row = db.execute("SELECT value FROM notes WHERE name = 'told'").fetchone()
    return None if row is None else str(row[0])


def _opened(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)  # a statement is a transaction
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")  # a commit is on the disk, also after a power cut
    db.executescript(_SCHEMA)
    return db


def _locked(path: Path) -> int | None:
    """A descriptor that holds the file's lock for as long as this process lives; None when another process does.

    The lock is on a file of its own, since SQLite uses locks of the same kind on its file.
    """
    lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock
