"""Money as a limit: purses, what is reserved in them before it is spent, and how a reservation ends."""

from dataclasses import dataclass
from typing import Literal

from gateway.domain.money import Budget
from gateway.policies.buckets import Decision, Meter

__all__ = ["Closed", "Period", "Purse", "Reservation", "Settlement", "Unaffordable", "Verdict", "calls_for", "purse_of"]

CLOSED_WAIT_MS = 1_000  # the connection's own probe asks twice a second whether the server is back

Period = Literal["day", "month", "total"]


@dataclass(frozen=True, slots=True)
class Purse:
    """What one key or tenant (`key` is its id) may spend by its `budget`."""

    scope: Literal["key", "tenant"]
    key: str
    budget: Budget

    @property
    def name(self) -> str:
        """The name under which its spending is counted."""
        return f"{self.scope}:{self.key}"

    @property
    def ceilings(self) -> tuple[int | None, int | None, int | None]:
        """Micro-dollars a day, a month, in all; None is no ceiling."""
        return self.budget.per_day_microusd, self.budget.per_month_microusd, self.budget.total_microusd


@dataclass(frozen=True, slots=True)
class Reservation:
    """The most that one operation can cost, to be set aside in every purse or in none.

    It falls free after `life_ms` when nobody settles it: give it the operation's deadline and the longest outage.
    """

    purses: tuple[Purse, ...]
    microusd: int
    life_ms: int


@dataclass(frozen=True, slots=True)
class Unaffordable:
    """Nothing was taken: `by` has less left for its `period` than the `microusd` that the call can cost.

    `wait_ms` is the time until the period ends, None when waiting does not help. `period` None (and `degraded`):
    Redis is away and this replica's allowance is used up.
    """

    by: Purse
    period: Period | None
    microusd: int
    wait_ms: int | None = None
    meters: tuple[Meter, ...] = ()
    degraded: bool = False


@dataclass(frozen=True, slots=True)
class Closed:
    """Nothing was taken: the limit `name` cannot be checked without Redis, and the operator wants it checked."""

    name: str
    wait_ms: int = CLOSED_WAIT_MS
    degraded: bool = True


Verdict = Decision | Unaffordable | Closed


@dataclass(frozen=True, slots=True)
class Settlement:
    """How an operation ended: what the vendors billed, what they may have billed, and its lines for the books.

    `usage` holds pairs of a line's name and what is added to it. `note` says in the list of what is in suspense whose
    it is.
    """

    cost_microusd: int = 0
    suspended_microusd: int = 0
    usage: tuple[tuple[str, int], ...] = ()
    note: str = ""

    @property
    def kept_microusd(self) -> int:
        """What stays taken from the purses."""
        return self.cost_microusd + self.suspended_microusd


def purse_of(scope: Literal["key", "tenant"], key: str, budget: Budget) -> tuple[Purse, ...]:
    """The purse of a holder, or nothing where the budget has no ceiling."""
    purse = Purse(scope, key, budget)
    return () if purse.ceilings == (None, None, None) else (purse,)


def calls_for(images: int) -> int:
    """The most images that can be billed when `images` are asked for.

    Every image but one may be withheld, billed all the same, and asked for once more.
    """
    return 2 * images - 1
