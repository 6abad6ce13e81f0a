"""The limiter: every dimension of a request taken at once in Redis, or in a bounded local share while it is away.

Keys, all in one hash slot (`KEY` is a key's, tenant's, model's or user's id):
  {samurai}:limit:<scope>:<name>:KEY   bucket: the moment it is full again, in µs of the server's clock
  {samurai}:lease:<scope>:KEY          sorted set: operation ids by the moment their lease ends, in µs
  {samurai}:purse:<scope>:KEY          hash: micro-dollars spent or reserved, by day (d20779), month (m24322), all (t)
  {samurai}:held                       sorted set: operations with reserved money, by the moment it falls free
  {samurai}:records                    hash: what each of them reserved, and for which day and month
  {samurai}:suspense                   hash: operations that may have cost money, and nobody knows
  {samurai}:usage:<day>                hash: the books of one day (counted from 1970)
  {samurai}:usage:refused:<day>        hash: that day's refused prompts, by end user (see `blocked_users`)
  {samurai}:taken:<operation>          receipt of a grant; also `returned`, `settled`, `pushed`
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from gateway.edges.allowances import Allowances
from gateway.edges.local_shares import LocalShares
from gateway.edges.redis_store import RedisStore, RedisUnavailable, Script
from gateway.policies.buckets import LEASE_WAIT_MS, Dimension, Granted, Impossible, Lease, Refused, meter_of
from gateway.policies.purses import Closed, Period, Purse, Reservation, Settlement, Unaffordable, Verdict

__all__ = [
    "BOOKS",
    "BOOKS_KEPT_DAYS",
    "PURSE",
    "RECORDS",
    "SETTLED_MS",
    "SUSPENSE",
    "Limits",
    "Settling",
    "receipt_key",
    "settled_key",
]

RECEIPT_MS = 900_000  # longer than any operation and its client's retries (the stock SDKs give up after 600 s each)
SETTLED_MS = 7_200_000  # a settlement may have to wait for an outage to end
BOOKS_KEPT_DAYS = 400
BACKLOG = 100_000  # settlements that wait for Redis: an hour of 28 a second, some tens of megabytes

_SLOT = "{samurai}"
_GRANTED, _IMPOSSIBLE, _NO_PLACE, _NO_MONEY = 1, -1, -2, -3  # the verdicts; 0 is a bucket that lacks something
_NEVER_US = (1 << 53) - 1
_PERIODS: tuple[Period, ...] = ("day", "month", "total")
_MONEY = (f"{_SLOT}:held", f"{_SLOT}:records", f"{_SLOT}:suspense")
RECORDS, SUSPENSE = _MONEY[1:]
PURSE = f"{_SLOT}:purse:"
BOOKS = f"{_SLOT}:usage:"


_TAKE, _REFUND, _SETTLE, _CONSUME = (
    Script.load(Path(__file__).with_name(f"{name}.lua")) for name in ("limits", "refund", "settle", "consume")
)

Settling = tuple[Script, list[str], list[str | int]]
"""A script with its keys and arguments, which waits for Redis."""


class Limits:
    """Takes from and gives back to buckets, places and purses. Never raises because of Redis.

    `replicas` is how many gateways share the limits: while Redis is away each grants its part only. `on_failure` says
    for requests, images, concurrent and budget what is done then: `share`, `open` (all pass) or `closed` (none).
    """

    def __init__(
        self,
        redis: RedisStore,
        *,
        replicas: int = 1,
        on_failure: Mapping[str, str] = MappingProxyType({}),
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._redis = redis
        self._clock_ns = clock_ns
        self._on_failure = on_failure
        self._pushes = 0
        self.shares = LocalShares(replicas)
        self.allowances = Allowances()
        self.backlog: deque[Settling] = deque(maxlen=BACKLOG)
        self.refusals: Counter[str] = Counter()

    async def take(
        self,
        op_id: str,
        dimensions: Sequence[Dimension],
        leases: Sequence[Lease] = (),
        reservation: Reservation | None = None,
    ) -> Verdict:
        """Take every dimension's cost, a place in every lease and the money, or nothing. The same `op_id` takes once.

        Dimensions must differ in scope, name or key. With nothing to take, it is granted without asking anybody.
        """
        if not dimensions and not leases and reservation is None:
            return Granted(())
        asked = self._redis.outage is None
        try:
            words = await self._ask(op_id, dimensions, leases, reservation)
        except RedisUnavailable:
            decision = self._alone(op_id, dimensions, leases, reservation)
            if asked and not isinstance(decision, Granted):
                # Redis may have taken it and failed to say so; nobody else will ever give it back.
                await self.settle(op_id, leases, None, Settlement())
            return decision
        return self._verdict(op_id, words, dimensions, leases, reservation)

    async def set_aside(self, op_id: str, reservation: Reservation) -> bool:
        """Reserve money for later; False when there is not enough, or Redis is away."""
        try:
            words = await self._ask(op_id, (), (), reservation)
        except RedisUnavailable:
            await self.settle(op_id, (), None, Settlement())  # it may have been reserved, and the reply lost
            return False
        return words[0] == _GRANTED

    async def refund(self, op_id: str, granted: Granted, dimensions: Sequence[Dimension]) -> None:
        """Give back `cost` units of each dimension, once per `op_id`, and only what `granted` had taken.

        To give back a part of a dimension, replace its cost. While Redis is away the units simply grow back.
        """
        given = [dimension for dimension in dimensions if dimension.cost]
        if not given:
            return
        self.shares.give_back(granted, given, self.now_us())
        keys = [receipt_key(op_id), f"{_SLOT}:returned:{op_id}", *map(_bucket_key, given)]
        with suppress(RedisUnavailable):
            await self._redis.run(_REFUND, keys, [RECEIPT_MS, *(one.cost * one.interval_us for one in given)])

    async def release(self, op_id: str, leases: Sequence[Lease]) -> None:
        """Leave the places that `op_id` holds. While Redis is away they fall free when their time is up."""
        self.shares.drop(op_id, leases)
        for lease in leases:
            with suppress(RedisUnavailable):
                await self._redis.call("ZREM", _lease_key(lease), op_id)

    async def settle(
        self, op_id: str, leases: Sequence[Lease], reservation: Reservation | None, settlement: Settlement
    ) -> None:
        """End an operation, once: leave its places, keep of its money what was spent, write the books.

        While Redis is away this waits in the backlog (see `upkeep`).
        """
        await self.run_or_keep(self.settling(op_id, leases, reservation, settlement))

    def settling(
        self, op_id: str, leases: Sequence[Lease], reservation: Reservation | None, settlement: Settlement
    ) -> Settling:
        """What `settle` has to tell Redis, for whoever tells it in company; what was not told is for the backlog."""
        self.shares.drop(op_id, leases)
        covered = self.allowances.settle(op_id, settlement.kept_microusd)
        purses = () if covered or reservation is None else reservation.purses
        kept = 0 if covered else settlement.kept_microusd
        keys = [settled_key(op_id), *_MONEY, BOOKS, *map(_lease_key, leases), *map(_purse_key, purses)]
        today = datetime.now(UTC).date()
        args: list[str | int] = [op_id, SETTLED_MS, kept, settlement.suspended_microusd]
        args += [today.toordinal() - _EPOCH, today.year * 12 + today.month - 1, settlement.note]
        args += [len(leases), BOOKS_KEPT_DAYS]
        for line in settlement.usage:
            args += line
        return _SETTLE, keys, args

    async def run_or_keep(self, settling: Settling) -> bool:
        """Whether Redis did it now; if not, it waits in the backlog."""
        try:
            await self._redis.run(*settling)
        except RedisUnavailable:
            self.backlog.append(settling)
            return False
        return True

    def push_shares(self, replica: str) -> None:
        """Put into the backlog what was granted here alone, so that Redis learns of it once."""
        owed = self.shares.owed(self.now_us())
        if owed:
            self._pushes += 1
            keys = [f"{_SLOT}:pushed:{replica}-{self._pushes}", *(f"{_SLOT}:limit:{bucket}" for bucket in owed)]
            self.backlog.append((_CONSUME, keys, [SETTLED_MS, *owed.values()]))

    def now_us(self) -> int:
        """The monotonic clock of this process."""
        return self._clock_ns() // 1000

    async def _ask(
        self,
        op_id: str,
        dimensions: Sequence[Dimension],
        leases: Sequence[Lease],
        reservation: Reservation | None,
    ) -> list[int]:
        keys = [receipt_key(op_id), *map(_lease_key, leases), *map(_bucket_key, dimensions)]
        if reservation is not None:
            keys += [*_MONEY, *map(_purse_key, reservation.purses)]
        reply: bytes = await self._redis.run(_TAKE, keys, _take_args(op_id, dimensions, leases, reservation))
        return [int(word) for word in reply.split()]

    def _verdict(
        self,
        op_id: str,
        words: Sequence[int],
        dimensions: Sequence[Dimension],
        leases: Sequence[Lease],
        reservation: Reservation | None,
    ) -> Verdict:
        verdict, which, wait_us, _, *rest = words
        now_us, purses = self.now_us(), () if reservation is None else reservation.purses
        period = 0
        if reservation is not None and len(rest) > len(purses):
            *rest, period = rest
            self.allowances.observe(reservation, rest[-len(purses) :], now_us)
            rest = rest[: -len(purses)]
        self.shares.observe(dimensions, rest, now_us)
        # A receipt may be older than a change of the configuration: then it knows fewer or more dimensions.
        meters = tuple(meter_of(one, debt_us) for one, debt_us in zip(dimensions, rest, strict=False))
        if verdict == _GRANTED:
            self.shares.hold(op_id, leases, now_us)
            return Granted(meters)
        if verdict == _IMPOSSIBLE:
            return Impossible(dimensions[which - 1])
        if verdict == _NO_PLACE:
            return Refused(leases[which - 1], LEASE_WAIT_MS, meters)
        if verdict == _NO_MONEY and reservation is not None:
            wait_ms = None if wait_us == _NEVER_US else -(-wait_us // 1000)
            return Unaffordable(purses[which - 1], _PERIODS[period - 1], reservation.microusd, wait_ms, meters)
        return Refused(dimensions[which - 1], -(-wait_us // 1000), meters)

    def _alone(
        self,
        op_id: str,
        dimensions: Sequence[Dimension],
        leases: Sequence[Lease],
        reservation: Reservation | None,
    ) -> Verdict:
        """Decide without Redis, each limit by its policy."""
        names = [*(one.name for one in dimensions), *("concurrent" for _ in leases)]
        names += ["budget"] if reservation is not None else []
        for name in names:
            if self._policy(name) == "closed":
                return Closed(name)
        shared = [one for one in dimensions if self._policy(one.name) == "share"]
        places = leases if self._policy("concurrent") == "share" else ()
        money = reservation if self._policy("budget") == "share" else None
        now_us = self.now_us()
        if money is not None and (purse := self.allowances.lacking(money, now_us)) is not None:
            return Unaffordable(purse, None, money.microusd, degraded=True)
        decision = self.shares.take(op_id, shared, places, now_us)
        if isinstance(decision, Granted) and money is not None:
            self.allowances.spend(op_id, money)
        return decision

    def _policy(self, name: str) -> str:
        return self._on_failure.get(name, "share")


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC).toordinal()


def settled_key(op_id: str) -> str:
    """The name of the receipt that an operation was settled."""
    return f"{_SLOT}:settled:{op_id}"


def receipt_key(op_id: str) -> str:
    """The name of the receipt of what an operation took; it is there once, and only if, that was granted."""
    return f"{_SLOT}:taken:{op_id}"


def _bucket_key(dimension: Dimension) -> str:
    return f"{_SLOT}:limit:{dimension.bucket}"


def _lease_key(lease: Lease) -> str:
    return f"{_SLOT}:lease:{lease.bucket}"


def _purse_key(purse: Purse) -> str:
    return f"{PURSE}{purse.name}"


def _take_args(
    op_id: str,
    dimensions: Sequence[Dimension],
    leases: Sequence[Lease],
    reservation: Reservation | None = None,
) -> list[str | int]:
    purses = () if reservation is None else reservation.purses
    money = (0, 0) if reservation is None else (reservation.microusd, reservation.life_ms * 1000)
    args: list[str | int] = [op_id, RECEIPT_MS, len(leases), len(purses), *money]
    for lease in leases:
        args += [lease.limit, lease.ttl_ms * 1000]
    for dimension in dimensions:
        args += [dimension.interval_us, dimension.burst, dimension.cost]
    for purse in purses:
        args += [-1 if ceiling is None else ceiling for ceiling in purse.ceilings]
    return args
