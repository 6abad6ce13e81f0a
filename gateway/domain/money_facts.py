"""What happened to limits and money; part of `facts`, which is where to import from."""

from dataclasses import dataclass

__all__ = ["BudgetSeen", "MoneySettled", "ReservedSeen", "SuspenseSeen", "TokensTaken"]


@dataclass(frozen=True, slots=True)
class TokensTaken:
    """A request was let through and took `tokens` of a limit, named as in RequestRefused; images count one each."""

    dimension: str
    scope: str
    tokens: int


@dataclass(frozen=True, slots=True)
class BudgetSeen:
    """What is spent or reserved of one holder's budget, as a share of it; `scope` is key or tenant, `holder` its id.

    `period` is day, month or total; after `ends_at` (Unix seconds, infinite for total) the figure means nothing.
    """

    scope: str
    holder: str
    period: str
    used_ratio: float
    ends_at: float


@dataclass(frozen=True, slots=True)
class MoneySettled:
    """An operation's money was settled: what the vendors billed, and what they may have billed."""

    key_id: str
    model: str
    images: int
    cost_microusd: int
    suspended_microusd: int


@dataclass(frozen=True, slots=True)
class ReservedSeen:
    """What the whole deployment has reserved for operations under way."""

    microusd: int


@dataclass(frozen=True, slots=True)
class SuspenseSeen:
    """What the whole deployment has in suspense of a kind, `unknown` or `lapsed`."""

    kind: str
    operations: int
    microusd: int
