"""The journal: what was bought, is being bought and may have been bought, written down before the money moves.

Keys, all in one hash slot:
  {samurai}:op:<id>            hash: token, version, state, fp, doc (the record), delivered (µs), heir
  {samurai}:ops:leases         sorted set: operations that somebody works on, by the moment that counts as dead, in µs
  {samurai}:ops:unknown        sorted set: operations whose outcome nobody knows, by the second they ended
  {samurai}:ops:epoch          which memory this is: another value, and Redis has forgotten
  {samurai}:ops:lost           for as long as a lease after Redis has forgotten: replicas are telling it again
  {samurai}:idem:<hash>        the operation of an Idempotency-Key of one API key
  {samurai}:fp:<hash>          the newest operation with this fingerprint

A write is done when Redis has it and this replica's disk has it (see `journal_writer`). While one of them is away the
other alone will do; when both are, nothing may be bought.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import structlog

from gateway.domain.record import OperationState, Record
from gateway.edges.redis_store import Reason, RedisStore, RedisUnavailable, Script
from gateway.edges.world import World

__all__ = ["WRITE", "Claim", "Journal", "Keeping", "UnreadableRecord", "decoded", "encoded", "write_arguments"]

_SLOT = "{samurai}"
LEASES, UNKNOWN, EPOCH = f"{_SLOT}:ops:leases", f"{_SLOT}:ops:unknown", f"{_SLOT}:ops:epoch"
LOST = f"{_SLOT}:ops:lost"
DELIVERED_JOINS_US = 60_000_000  # a kernel's acceptance is no delivery behind a proxy

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)


def _script(name: str) -> Script:
    return Script.load(Path(__file__).with_name(name))


_CLAIM, _TAKE, _RENEW, _DELIVERED = (_script(f"journal_{name}.lua") for name in ("claim", "take", "renew", "delivered"))
WRITE = _script("journal_write.lua")
_MEMORY = _script("journal_memory.lua")


class UnreadableRecord(RedisUnavailable):
    """A record that only another version of the gateway can read: left as it is, and nothing is done on its word."""

    def __init__(self) -> None:
        super().__init__(Reason.ERROR, "a record cannot be read by this version")


def encoded(record: Record) -> bytes:
    """The record as it is kept."""
    return _encoder.encode(record)


def decoded(text: bytes) -> Record:
    """A record that was kept, also by another version: unknown members are passed over. Raises ValueError."""
    return _decoder.decode(text)


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long things hold, in seconds: a record, the way from a fingerprint to it, and a writer's lease.

    `is_shared`: other replicas may know what Redis has forgotten.
    """

    keep_s: float = 86_400.0
    join_s: float = 900.0
    lease_s: float = 30.0
    is_shared: bool = True


@dataclass(frozen=True, slots=True)
class Claim:
    """Whose turn it is. `new`: this operation's. `reused`: the key belongs to another body.

    `running`, `dead`, `over`: an earlier operation's, whose record as last written is `record`. `delivered`: the answer
    was taken by its client's end of the connection. `forgot`: Redis has lost something, and cannot say until every
    replica has told it again what it knows.
    """

    kind: Literal["new", "reused", "running", "dead", "over", "forgot"]
    record: Record | None = None
    delivered: bool = False


class Journal:
    """Reads and claims. Every method that waits raises RedisUnavailable; those that read, UnreadableRecord too.

    `memory` is the one that this replica has told all it knows; empty until `journal_upkeep` looks after it. `doubted`
    is set when Redis was found to have another one.
    """

    def __init__(self, redis: RedisStore, keeping: Keeping = Keeping(), world: World | None = None) -> None:
        self.redis = redis
        self.keeping = keeping
        self.memory = ""
        self.doubted = asyncio.Event()
        self._world = world or World()
        self._known: set[str] = set()
        self._unreadable: set[str] = set()

    async def claim(self, record: Record) -> Claim:
        """Make `record` the operation of its idempotency key or fingerprint, unless an earlier one is to be joined."""
        keeping, keyed = self.keeping, bool(record.idempotency)
        by_print = fingerprint_key(record)
        reply = await self.redis.run(
            _CLAIM,
            [idempotency_key(record) if keyed else by_print, by_print, op_key(record.id), LEASES, EPOCH, LOST],
            [
                record.id,
                record.fingerprint,
                "1" if keyed else "0",
                encoded(record).decode(),
                record.state.value,
                round(keeping.lease_s * 1e6),
                round(keeping.keep_s * 1000),
                round(keeping.join_s * 1000),
                DELIVERED_JOINS_US,
                self.memory,
            ],
        )
        kind = reply[0].decode()
        if kind == "forgot":
            self.doubted.set()
        if kind == "new":
            self.note_known(record.id)
        found = self._understood(reply[1].decode(), reply[2]) if len(reply) > 2 else None
        return Claim(kind, found, len(reply) > 3 and bool(reply[3]))

    async def read(self, op_id: str) -> Record | None:
        """The record of an operation, None when there is none (any more)."""
        text: bytes | None = await self.redis.call("HGET", op_key(op_id), "doc")
        return None if text is None else self._understood(op_id, text)

    def _understood(self, op_id: str, text: bytes) -> Record:
        try:
            return decoded(text)
        except ValueError:
            if op_id not in self._unreadable:
                self._unreadable.add(op_id)
                structlog.get_logger("journal").error("a record cannot be read by this version", operation=op_id)
            raise UnreadableRecord from None

    async def take_over(self, op_id: str, states: Sequence[OperationState] = ()) -> Record | None:
        """Become the writer of an operation whose writer is dead, or that is over in one of `states`.

        None when somebody else has it. Raises UnreadableRecord, and then has taken nothing.
        """
        await self.read(op_id)
        lease_us = round(self.keeping.lease_s * 1e6)
        reply = await self.redis.run(_TAKE, [op_key(op_id), LEASES], [op_id, lease_us, *(one.value for one in states)])
        if reply is None:
            return None
        record = self._understood(op_id, reply[1])
        record.token, record.version, record.state = int(reply[0]), 0, OperationState.RUNNING
        self.note_known(op_id)
        return record

    async def renew(self, writers: Sequence[tuple[str, int]]) -> frozenset[str]:
        """Say that the writers (operation, token) live; the operations that they have lost."""
        if not writers:
            return frozenset()
        keys = [LEASES, *(op_key(op_id) for op_id, _ in writers)]
        args: list[str | int] = [round(self.keeping.lease_s * 1e6)]
        for op_id, token in writers:
            args += [op_id, token]
        return frozenset(lost.decode() for lost in await self.redis.run(_RENEW, keys, args))

    def is_known(self, op_id: str) -> bool:
        """Whether Redis was told of an operation that this replica works on, so that others may know of it."""
        return op_id in self._known

    def note_known(self, op_id: str) -> None:
        """Redis knows of this operation."""
        self._known.add(op_id)

    def forget(self, op_id: str) -> None:
        """The operation is over, or no longer this replica's."""
        self._known.discard(op_id)

    async def look_at_memory(self) -> str:
        """The name of the memory that Redis has now."""
        name: bytes = await self.redis.run(_MEMORY, [EPOCH], [self._world.token(8).hex()])
        return name.decode()

    async def say_lost(self) -> None:
        """Let nobody begin what Redis may only have forgotten, until the replicas have told it again."""
        await self.redis.call("SET", LOST, 1, "PX", round(self.keeping.lease_s * 1000))

    async def abandoned(self, most: int) -> list[str]:
        """Operations whose writers have not been heard of for as long as a lease lasts."""
        seconds, micros = await self.redis.call("TIME")
        now_us = int(seconds) * 1_000_000 + int(micros)
        found: list[bytes] = await self.redis.call("ZRANGEBYSCORE", LEASES, "-inf", now_us, "LIMIT", 0, most)
        return [op_id.decode() for op_id in found]

    async def let_go(self, op_ids: Sequence[str]) -> None:
        """Hand operations over: their leases end now."""
        for op_id in op_ids:
            await self.redis.call("ZADD", LEASES, "XX", 0, op_id)

    async def delivered(self, op_ids: Sequence[str]) -> None:
        """The last bytes of their answers were taken by the kernel."""
        await self.redis.run(_DELIVERED, [op_key(op_id) for op_id in op_ids], ())

    async def unknown(self, most: int = 1000) -> list[str]:
        """Operations whose outcome nobody knows, oldest first."""
        found: list[bytes] = await self.redis.call("ZRANGE", UNKNOWN, 0, most - 1)
        return [op_id.decode() for op_id in found]


def op_key(op_id: str) -> str:
    """Where an operation's record lies."""
    return f"{_SLOT}:op:{op_id}"


def idempotency_key(record: Record) -> str:
    """Where the operation of its Idempotency-Key is told."""
    return f"{_SLOT}:idem:{record.idempotency}"


def fingerprint_key(record: Record) -> str:
    """Where the newest operation with its fingerprint is told; the key's id is part of the fingerprint."""
    return f"{_SLOT}:fp:{record.fingerprint}"


def write_arguments(record: Record, text: bytes, keeping: Keeping, now: float) -> tuple[list[str], list[str | int]]:
    """The keys and arguments of journal_write.lua for this record, encoded as `text`."""
    keyed = bool(record.idempotency)
    by_print = fingerprint_key(record)
    keys = [op_key(record.id), LEASES, UNKNOWN, by_print, idempotency_key(record) if keyed else by_print]
    return keys, [
        record.id,
        record.token,
        record.version,
        text.decode(),
        record.state.value,
        record.fingerprint,
        "1" if keyed else "0",
        round(keeping.lease_s * 1e6),
        round(keeping.keep_s * 1000),
        round(keeping.join_s * 1000),
        int(now),
        round(record.begun_s * 1e6),
    ]
