"""The books as Redis holds them: what was used on which day, and what is in suspense."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import date

from gateway.edges.limits import BOOKS, PURSE, RECORDS, SUSPENSE
from gateway.edges.redis_store import RedisStore
from gateway.policies.purses import Purse

__all__ = [
    "Suspended",
    "day_number",
    "pairs_of",
    "read_books",
    "read_purse",
    "read_reserved",
    "read_suspense",
    "scan_suspense",
    "suspended_of",
]

_PAGE = 500
_EPOCH = date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class Suspended:
    """One operation that may have cost `microusd`.

    `kind` is `unknown` (the money stays taken) or `lapsed` (whoever reserved it is gone; the money is free again).
    `day` is the one it was reserved on, `purses` whose it is (`key:web-team`), `note` the key and the model.
    """

    op_id: str
    kind: str
    microusd: int
    day: str
    purses: tuple[str, ...]
    note: str


async def read_books(redis: RedisStore, first: date, last: date) -> dict[str, list[tuple[str, int]]]:
    """The lines of each day (ISO) from `first` to `last`, both included. Raises RedisUnavailable."""
    books = {}
    for day in range(day_number(first), day_number(last) + 1):
        flat: Iterable[bytes] | dict[bytes, bytes] = await redis.call("HGETALL", f"{BOOKS}{day}")
        lines = [(name.decode(), int(amount)) for name, amount in pairs_of(flat)]
        if lines:
            books[date.fromordinal(day + _EPOCH).isoformat()] = lines
    return books


async def read_suspense(redis: RedisStore) -> tuple[Suspended, ...]:
    """Everything in suspense, by operation id. Raises RedisUnavailable."""
    flat: Iterable[bytes] | dict[bytes, bytes] = await redis.call("HGETALL", SUSPENSE)
    return tuple(sorted((suspended_of(*pair) for pair in pairs_of(flat)), key=lambda one: (one.day, one.op_id)))


async def scan_suspense(redis: RedisStore) -> AsyncIterator[Suspended]:
    """Everything in suspense, a page at a time, so that a long list keeps nobody waiting. Raises RedisUnavailable."""
    async for op_id, record in _scan(redis, SUSPENSE):
        yield suspended_of(op_id, record)


async def read_reserved(redis: RedisStore) -> int:
    """The micro-dollars that are reserved at present. Raises RedisUnavailable."""
    return sum([int(record.split()[0]) async for _, record in _scan(redis, RECORDS)])


async def read_purse(redis: RedisStore, purse: Purse, today: date) -> tuple[int, int, int]:
    """What is spent or reserved of a purse: today, this month, in all. Raises RedisUnavailable."""
    month = today.year * 12 + today.month - 1
    fields = (f"d{day_number(today)}", f"m{month}", "t")
    day, of_month, total = await redis.call("HMGET", f"{PURSE}{purse.name}", *fields)
    return int(day or 0), int(of_month or 0), int(total or 0)


async def _scan(redis: RedisStore, key: str) -> AsyncIterator[tuple[bytes, bytes]]:
    """A hash, a page at a time. Redis may tell of a field twice while the hash changes."""
    cursor, seen = b"0", set[bytes]()
    while True:
        cursor, flat = await redis.call("HSCAN", key, cursor, "COUNT", _PAGE)
        for name, record in pairs_of(flat):
            if name not in seen:
                seen.add(name)
                yield name, record
        if int(cursor) == 0:
            return


def day_number(day: date) -> int:
    """A day as the names of the books count it, from 1970."""
    return day.toordinal() - _EPOCH


def pairs_of(flat: Iterable[bytes] | dict[bytes, bytes]) -> Iterable[tuple[bytes, bytes]]:
    """Names and values of a hash, from either form of reply (it differs by the protocol's version)."""
    if isinstance(flat, dict):
        return flat.items()
    items = list(flat)
    return zip(items[::2], items[1::2], strict=True)


def suspended_of(op_id: bytes, record: bytes) -> Suspended:
    """What a record of the list of suspense says."""
    facts, _, note = record.decode().partition("|")
    kind, microusd, day, _month, *purses = facts.split()
    names = tuple(purse.partition("purse:")[2] for purse in purses)
    return Suspended(
        op_id.decode(), kind, int(microusd), date.fromordinal(int(day) + _EPOCH).isoformat(), names, note.strip()
    )
