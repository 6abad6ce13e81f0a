"""One replica's journal by itself: its Redis, its disk, its writer, and its upkeep done by hand."""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from gateway.domain.facts import Fact
from gateway.domain.job import Job
from gateway.domain.picture import Size
from gateway.domain.record import Record
from gateway.edges.journal import Journal, Keeping
from gateway.edges.journal_spool import JournalSpool
from gateway.edges.journal_upkeep import JournalUpkeep
from gateway.edges.journal_writer import JournalWriter
from gateway.edges.redis_store import RedisStore
from gateway.edges.world import World
from tests.servers import Server

__all__ = ["House", "asked", "busy_disk", "house", "record"]

LEASE_S = 0.3


class House:
    """One replica's journal, with its upkeep done by hand."""

    def __init__(self, server: Server, disk: Path) -> None:
        self.clock = World()
        self.redis = RedisStore(server.url, call_s=2)
        self.journal = Journal(self.redis, Keeping(lease_s=LEASE_S), self.clock)
        self.facts: list[Fact] = []
        self.spool = JournalSpool(disk, self.facts.append)
        self.writer = JournalWriter(self.journal, self.spool, self.facts.append, world=self.clock)
        self.upkeep = JournalUpkeep(self.journal, self.writer, self.spool, list, self.clock)


@asynccontextmanager
async def house(server: Server, disk: Path) -> AsyncIterator[House]:
    built = House(server, disk)
    await built.upkeep.start()
    try:
        yield built
    finally:
        await built.upkeep.stop()
        await built.writer.drained()
        await built.spool.aclose()
        await built.redis.aclose()


def record(op_id: str, **members: Any) -> Record:
    job = Job(model="m", prompt="", n=1, size=Size(256, 256), wants_url=True)
    return Record(op_id, "key", job, fingerprint="f", prompt_hash="p", begun_s=0, due_s=9, idempotency="i", **members)


async def asked(journal: Journal, op_id: str) -> str:
    return (await journal.claim(record(op_id))).kind


@contextmanager
def busy_disk(directory: Path) -> Iterator[None]:
    """Whoever commits waits meanwhile, as for a slow disk: another process holds the file for writing."""
    other = sqlite3.connect(directory / "replica-0.journal", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("COMMIT")
        other.close()
