"""Token buckets as plain arithmetic (GCRA), in whole microseconds: what may pass, and how long to wait otherwise.

A bucket is one number: the moment at which it is full again. Taking moves that moment into the future by
`interval` for each unit; a bucket whose moment has passed is full, and need not be remembered. Since the number is
written only when something was granted, a refusal costs nothing and there is no drift. `limits.lua` does the same
sums inside Redis; this module is what it is measured against, and what decides alone while Redis is away.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "Decision",
    "Dimension",
    "Granted",
    "Impossible",
    "Lease",
    "Meter",
    "MeterName",
    "Refused",
    "Scope",
    "Taken",
    "give_back",
    "meter_of",
    "take",
]

MINUTE_US = 60_000_000
LEASE_WAIT_MS = 1_000  # nobody knows when a running request ends; a second is soon, and no hot loop

MeterName = Literal["requests", "images"]
Scope = Literal["key", "tenant", "model", "user"]


@dataclass(frozen=True, slots=True)
class Dimension:
    """One bucket that a request draws on: `cost` units from the `name` bucket of this key, tenant, model or user.

    `key` is the holder's id. `per_minute` and `burst` are at least 1, `cost` at least 0; ValueError otherwise.
    """

    name: MeterName
    scope: Scope
    key: str
    per_minute: int
    burst: int
    cost: int

    def __post_init__(self) -> None:
        if self.per_minute < 1 or self.burst < 1 or self.cost < 0:
            raise ValueError(f"impossible bucket: {self.per_minute}/min, burst {self.burst}, cost {self.cost}")

    @property
    def bucket(self) -> str:
        """The bucket's own name, the same for all requests that draw on it."""
        return f"{self.scope}:{self.name}:{self.key}"

    @property
    def interval_us(self) -> int:
        """The time in which one unit grows back, rounded up, so that rounding can only admit less."""
        return -(-MINUTE_US // self.per_minute)


@dataclass(frozen=True, slots=True)
class Lease:
    """One place among the `limit` requests that this key, tenant or model may have running at once.

    A place that nobody releases falls free after `ttl_ms`: give it the operation's deadline and a little more.
    """

    scope: Scope
    key: str
    limit: int
    ttl_ms: int

    def __post_init__(self) -> None:
        if self.limit < 1 or self.ttl_ms < 1:
            raise ValueError(f"impossible lease: {self.limit} places for {self.ttl_ms} ms")

    @property
    def bucket(self) -> str:
        """The name under which the places are counted."""
        return f"{self.scope}:{self.key}"


@dataclass(frozen=True, slots=True)
class Meter:
    """How a bucket stands after the decision. `limit` is its burst; `reset_ms` the time until it is full again."""

    name: MeterName
    scope: Scope
    limit: int
    per_minute: int
    remaining: int
    reset_ms: int


@dataclass(frozen=True, slots=True)
class Granted:
    """Every dimension had enough, and all of it is taken. `degraded`: decided without Redis."""

    meters: tuple[Meter, ...]
    degraded: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was taken. `by` is the limit that bound; after `wait_ms` (at least 1) the same call would pass."""

    by: Dimension | Lease
    wait_ms: int
    meters: tuple[Meter, ...]
    degraded: bool = False


@dataclass(frozen=True, slots=True)
class Impossible:
    """The call costs more than the bucket ever holds: no waiting helps."""

    dimension: Dimension


Decision = Granted | Refused | Impossible


@dataclass(frozen=True, slots=True)
class Taken:
    """A decision, and the moments (bucket → µs) to remember; empty unless granted."""

    decision: Decision
    full_at_us: Mapping[str, int] = field(default_factory=dict)


def meter_of(dimension: Dimension, debt_us: int, replicas: int = 1) -> Meter:
    """The meter of a bucket that needs `debt_us` to be full. With `replicas`, of one replica's share of it."""
    interval_us, burst = _share(dimension, replicas)
    left = (interval_us * burst - debt_us) // interval_us
    return Meter(dimension.name, dimension.scope, burst, dimension.per_minute, max(0, left), _ms(debt_us))


def take(
    full_at_us: Mapping[str, int],
    held: Mapping[str, int],
    now_us: int,
    dimensions: Sequence[Dimension],
    leases: Sequence[Lease] = (),
    replicas: int = 1,
) -> Taken:
    """Take all of it or nothing, from buckets (bucket → µs when full) and `held` places (lease → how many).

    With `replicas` > 1 it decides over one replica's share: rate, burst and places divided by it, rounded down,
    but never below one unit, so that a small limit is not a closed door.
    """
    for dimension in dimensions:
        if dimension.cost > dimension.burst:
            return Taken(Impossible(dimension))
    debts = [_debt_us(one, full_at_us.get(one.bucket, 0), now_us, replicas) for one in dimensions]
    costs = [one.cost * _share(one, replicas)[0] for one in dimensions]

    waits = [
        debt + cost - _capacity_us(one, replicas) for one, debt, cost in zip(dimensions, debts, costs, strict=True)
    ]
    longest_us = max(waits, default=0)
    if longest_us > 0:
        by = dimensions[waits.index(longest_us)]
        return Taken(Refused(by, _ms(longest_us), _meters(dimensions, debts, replicas)))
    for lease in leases:
        if held.get(lease.bucket, 0) >= max(1, lease.limit // replicas):
            return Taken(Refused(lease, LEASE_WAIT_MS, _meters(dimensions, debts, replicas)))

    after = [debt + cost for debt, cost in zip(debts, costs, strict=True)]
    moments = {one.bucket: now_us + debt for one, debt in zip(dimensions, after, strict=True)}
    return Taken(Granted(_meters(dimensions, after, replicas)), moments)


def give_back(
    full_at_us: Mapping[str, int], now_us: int, dimensions: Sequence[Dimension], replicas: int = 1
) -> dict[str, int]:
    """The moments (bucket → µs) after `cost` units of each dimension went back; never fuller than full."""
    return {
        one.bucket: max(now_us, full_at_us.get(one.bucket, 0) - one.cost * _share(one, replicas)[0])
        for one in dimensions
    }


def _share(dimension: Dimension, replicas: int) -> tuple[int, int]:
    return dimension.interval_us * replicas, max(1, dimension.burst // replicas)


def _capacity_us(dimension: Dimension, replicas: int) -> int:
    interval_us, burst = _share(dimension, replicas)
    return interval_us * burst


def _debt_us(dimension: Dimension, full_at_us: int, now_us: int, replicas: int) -> int:
    # The upper bound heals a clock that jumped back and a limit that was lowered.
    return min(max(0, full_at_us - now_us), _capacity_us(dimension, replicas))


def _meters(dimensions: Sequence[Dimension], debts_us: Sequence[int], replicas: int) -> tuple[Meter, ...]:
    return tuple(meter_of(one, debt, replicas) for one, debt in zip(dimensions, debts_us, strict=True))


def _ms(microseconds: int) -> int:
    return -(-microseconds // 1000)
