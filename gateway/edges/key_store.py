"""The keys that are kept in Redis, and the log of everything that was ever done to them.

Keys, all in one hash slot:
  {samurai}:key:<id>       hash: the record, its members as JSON; of secrets only SHA-256
  {samurai}:keys:version   counter: one more with every change of any key
  {samurai}:keys:changes   sorted set: every id that there ever was, by the version of its last change
  {samurai}:audit          stream: who did what to which key, its users and its money when, before and after
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from gateway.edges.redis_store import RedisStore, Script
from gateway.policies.key_fields import UnreadableRecordError, fields_of, moment, read_fields, view_of, with_strange
from gateway.policies.key_records import KeyRecord

__all__ = ["AUDIT", "AUDIT_LINES", "AuditLine", "Changes", "Deed", "KeyStore", "TooManyWritersError", "audit_line"]

AUDIT = "{samurai}:audit"
"""The name of the audit log in Redis."""

AUDIT_LINES = 100_000
"""How many lines the audit log keeps, about: some 100 MB at the very most. Older ones must have been exported."""

_RECORD = "{samurai}:key:"
_VERSION = "{samurai}:keys:version"
_CHANGES = "{samurai}:keys:changes"
_TRIES = 5  # one is enough unless people change the same key in the same millisecond

_WRITE = Script.load(Path(__file__).with_name("key_write.lua"))
_WHAT_CHANGED = Script.load(Path(__file__).with_name("key_changes.lua"))
_READ = Script.load(Path(__file__).with_name("key_read.lua"))


class TooManyWritersError(Exception):
    """Others kept changing the same key, so nothing was written."""


@dataclass(frozen=True, slots=True)
class Deed:
    """What is about to be done, by whom and from which address, at which Unix time."""

    action: str
    who: str
    address: str
    at: float


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One line of the audit log: its place in the log (`milliseconds-number`) and what it says."""

    id: str
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Changes:
    """The store's version, and the records that changed, oldest change first: None for a deleted one.

    `seen` is the version that is known once these are; below `version` there are more to ask for.
    """

    version: int
    seen: int
    records: Mapping[str, KeyRecord | None]


class KeyStore:
    """Creates, changes, deletes and lists keys in Redis. Every method raises RedisUnavailable.

    After a write that raised, whether it was done is unknown: look before doing it again.
    """

    def __init__(self, redis: RedisStore) -> None:
        self._redis = redis
        self._log = structlog.get_logger("keys")

    async def create(self, record: KeyRecord, deed: Deed) -> bool:
        """Write a new record; False, with nothing done, when its id is taken."""
        return await self._write(record.id, (None, record), fields_of(record), deed)

    async def get(self, key_id: str) -> KeyRecord | None:
        """The record with this id. Raises UnreadableRecordError."""
        [reply] = await self._replies([key_id])
        return read_fields(key_id, reply) if reply else None

    async def change(
        self, key_id: str, deed: Deed, edit: Callable[[KeyRecord], KeyRecord | None]
    ) -> tuple[KeyRecord, KeyRecord | None] | None:
        """Put what `edit` makes of a record in its place, or delete it where that is None: before and after.

        None when there is no such key. `edit` may be asked more than once. Raises TooManyWritersError.
        """
        for _ in range(_TRIES):
            [kept] = await self._replies([key_id])
            if not kept:
                return None
            before = read_fields(key_id, kept)
            after = edit(before)
            fields = {} if after is None else with_strange(fields_of(after), kept)
            if await self._write(key_id, (before, after), fields, deed):
                return before, after
        raise TooManyWritersError

    async def all(self) -> list[KeyRecord]:
        """Every record, by id."""
        found: dict[str, KeyRecord | None] = {}
        seen, version = 0, 1
        while seen < version:
            changes = await self.changes(seen)
            found.update(changes.records)
            seen, version = changes.seen, changes.version
        return sorted((record for record in found.values() if record is not None), key=lambda record: record.id)

    async def changes(self, since: int, limit: int = 500) -> Changes:
        """What changed after the version `since`, `limit` keys at most. A record that cannot be read is no record."""
        version, pairs = await self._redis.run(_WHAT_CHANGED, (_VERSION, _CHANGES), (since, limit))
        ids = [key_id.decode() for key_id in pairs[::2]]
        records = await self._read(ids) if ids else {}
        # An id whose record changed between the two calls is named again by the next one.
        seen = int(pairs[-1]) if len(ids) == limit else max(int(version), since)
        return Changes(int(version), seen, records)

    async def audit(self, since: str, limit: int) -> list[AuditLine]:
        """At most `limit` lines after the place `since` (`0` for the first), oldest first."""
        milliseconds, _, number = since.partition("-")
        start = f"{milliseconds}-{int(number) + 1}" if number else milliseconds
        lines = await self._redis.call("XRANGE", AUDIT, start, "+", "COUNT", limit)
        return [AuditLine(place.decode(), json.loads(dict(_pairs(fields))[b"line"])) for place, fields in lines]

    async def _read(self, ids: Sequence[str]) -> dict[str, KeyRecord | None]:
        records: dict[str, KeyRecord | None] = dict.fromkeys(ids)
        for key_id, reply in zip(ids, await self._replies(ids), strict=True):
            try:
                records[key_id] = read_fields(key_id, reply) if reply else None
            except UnreadableRecordError as problem:
                self._log.error("key refused", reason=str(problem))
        return records

    async def _replies(self, ids: Sequence[str]) -> list[dict[bytes, bytes]]:
        replies = await self._redis.run(_READ, [_RECORD + key_id for key_id in ids], ())
        return [dict(_pairs(reply)) for reply in replies]

    async def _write(
        self, key_id: str, change: tuple[KeyRecord | None, KeyRecord | None], fields: Mapping[str, str], deed: Deed
    ) -> bool:
        keys, before = (_RECORD + key_id, _VERSION, _CHANGES, AUDIT), change[0]
        revision = "" if before is None else before.revision
        flat = [text for pair in fields.items() for text in pair]
        views = (None if record is None else view_of(record) for record in change)
        line = audit_line(deed, key_id, *views)
        written = await self._redis.run(_WRITE, keys, [key_id, revision, line, AUDIT_LINES, *flat])
        return bool(int(written))


def audit_line(deed: Deed, key_id: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> str:
    """A line of the audit log: the deed, which key it touched, and what was changed, before and after it."""
    line = {
        "at": moment(deed.at),
        "who": deed.who,
        "address": deed.address,
        "action": deed.action,
        "key_id": key_id,
        "before": before,
        "after": after,
    }
    return json.dumps(line, separators=(",", ":"))


def _pairs(flat: Any) -> list[tuple[bytes, bytes]]:
    """What a flat reply (name, value, name, …) pairs up to; the client hands some replies over paired already."""
    if isinstance(flat, dict):
        return list(flat.items())
    return list(zip(flat[::2], flat[1::2], strict=True))
