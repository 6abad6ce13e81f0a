"""What may have cost money, and nobody knows: listed, and resolved by who learns what it cost.

That is somebody who has looked at the vendor's bill, or the gateway itself when a vendor speaks late.
"""

from collections.abc import Sequence
from pathlib import Path

from gateway.edges.key_store import AUDIT, AUDIT_LINES, Deed, audit_line
from gateway.edges.limits import BOOKS, BOOKS_KEPT_DAYS, SETTLED_MS, SUSPENSE, settled_key
from gateway.edges.redis_store import RedisStore, Script
from gateway.edges.usage_books import Suspended, read_suspense, suspended_of
from gateway.policies.usage_lines import line_name

__all__ = ["Suspense"]

_RESOLVE = Script.load(Path(__file__).with_name("suspense.lua"))
_DAY_S = 86_400


class Suspense:
    """Every method raises RedisUnavailable. After a `resolve` that raised, look whether it is still listed."""

    def __init__(self, redis: RedisStore) -> None:
        self._redis = redis

    async def all(self) -> tuple[Suspended, ...]:
        """Everything in suspense, oldest day first."""
        return await read_suspense(self._redis)

    async def resolve(self, op_id: str, billed_microusd: int, deed: Deed) -> Suspended | None:
        """Book what the operation cost (0: nothing) to the day it was reserved on, and take it off the list.

        None, with nothing done, when it is not in suspense (any more).
        """
        record: bytes | None = await self._redis.call("HGET", SUSPENSE, op_id)
        if record is None:
            return None
        one = suspended_of(op_id.encode(), record)
        _, _, day, month, *purses = record.decode().partition("|")[0].split()
        key_id, line = _line_of(one)
        seen = {"operation": op_id, "kind": one.kind, "microusd": one.microusd, "note": one.note}
        audit = audit_line(
            deed, key_id, {**seen, "billed_microusd": None}, {**seen, "billed_microusd": billed_microusd}
        )
        change = billed_microusd - (one.microusd if one.kind == "unknown" else 0)
        ends_s = (int(day) + BOOKS_KEPT_DAYS + 1) * _DAY_S
        keys = (SUSPENSE, settled_key(op_id), f"{BOOKS}{day}", AUDIT, *purses)
        args = (op_id, record.decode(), SETTLED_MS, day, month, change, billed_microusd, line, ends_s, audit)
        return one if await self._redis.run(_RESOLVE, keys, (*args, AUDIT_LINES, "")) else None

    async def learn(
        self, op_id: str, doubted_microusd: int, cost_microusd: int, books: Sequence[tuple[str, int]]
    ) -> bool:
        """Calls that may have cost `doubted_microusd` cost `cost_microusd`, booked to the day they were reserved on.

        `books` are lines of that day and what is added to them. What else is in doubt stays listed. False, with nothing
        done, when there is not so much in suspense (any more): somebody has settled it by hand.
        """
        record: bytes | None = await self._redis.call("HGET", SUSPENSE, op_id)
        if record is None:
            return False
        one = suspended_of(op_id.encode(), record)
        left = one.microusd - doubted_microusd
        if one.kind != "unknown" or left < 0:
            return False
        kind, _, rest = record.decode().split(" ", 2)
        day, month, *purses = rest.partition("|")[0].split()
        ends_s = (int(day) + BOOKS_KEPT_DAYS + 1) * _DAY_S
        keys = (SUSPENSE, settled_key(op_id), f"{BOOKS}{day}", AUDIT, *purses)
        args = (op_id, record.decode(), SETTLED_MS, day, month, cost_microusd - doubted_microusd, 0, "", ends_s, "")
        stays = f"{kind} {left} {rest}" if left else ""
        lines = (word for line in books for word in line)
        return bool(await self._redis.run(_RESOLVE, keys, (*args, AUDIT_LINES, stays, *lines)))


def _line_of(one: Suspended) -> tuple[str, str]:
    """Whose key it is and the line of the books, as far as they are known: of a lapsed one only the purses are."""
    owners = dict(purse.split(":", 1) for purse in one.purses)
    noted_key, _, model = one.note.partition(" ")
    key_id = noted_key or owners.get("key", "")
    return key_id, line_name(key_id, owners.get("tenant"), model, "", "cost_microusd")
