"""What happened, told to whoever listens: metrics, logs and the books hear the same facts.

Words out of a closed set are spelt out as types below; a metric shows each of them from the start, as zero.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from gateway.domain.journal_facts import (
    AttemptMoved,
    AttemptState,
    IdempotencyKind,
    IdempotencyUsed,
    JournalFenced,
    JournalForced,
    JournalMedium,
    JournalWritten,
    LateSuccess,
    OperationRecovered,
    OutcomeUnknown,
    Recovery,
    WebhookRefused,
    WebhookSent,
    WebhookTaken,
)
from gateway.domain.money_facts import BudgetSeen, MoneySettled, ReservedSeen, SuspenseSeen, TokensTaken

__all__ = [
    "AttemptMoved",
    "AttemptState",
    "BreakerMoved",
    "BreakerState",
    "BudgetSeen",
    "CallRetried",
    "ClientLeft",
    "ClientPhase",
    "ConfigReloaded",
    "ConnectionRefused",
    "Fact",
    "FailedOver",
    "IdempotencyKind",
    "IdempotencyUsed",
    "ImageFinished",
    "JournalFenced",
    "JournalForced",
    "JournalMedium",
    "JournalWritten",
    "KeyRefused",
    "LateSuccess",
    "LimiterDegraded",
    "Listener",
    "LoadShed",
    "LoopLagged",
    "MoneySettled",
    "OperationRecovered",
    "OutcomeUnknown",
    "PlaceAwaited",
    "PriorityClass",
    "Recovery",
    "RequestEnded",
    "RequestRefused",
    "RequestTurnedAway",
    "ReservedSeen",
    "RetryDenied",
    "ShedReason",
    "ShotEnded",
    "StoreSeen",
    "SuspenseSeen",
    "TokensTaken",
    "VendorThrottled",
    "WebhookRefused",
    "WebhookSent",
    "WebhookTaken",
]

BreakerState = Literal["closed", "open", "half_open"]
ShedReason = Literal["memory", "cpu", "queue", "connections"]
PriorityClass = Literal["low", "normal", "high"]
ClientPhase = Literal["before_paid", "paid"]


@dataclass(frozen=True, slots=True)
class RequestEnded:
    """A generation request was answered. `code` is `ok` or the error code; `model` is None before it was known.

    `key_id` is empty before the caller was known.
    """

    model: str | None
    code: str
    status: int
    seconds: float
    images: int = 0
    key_id: str = ""


@dataclass(frozen=True, slots=True)
class RequestTurnedAway:
    """A request was refused that never came to be one for a generation: by its framing, its address or its key."""

    code: str
    status: int


@dataclass(frozen=True, slots=True)
class RequestRefused:
    """A limit bound. `dimension` is `requests`, `images`, `concurrency` or `budget`; `scope` says whose it is."""

    dimension: str
    scope: str
    key_id: str = ""


@dataclass(frozen=True, slots=True)
class ConnectionRefused:
    """A connection was refused or cut before or below the application; `reason` is one of a closed set of words."""

    reason: str


@dataclass(frozen=True, slots=True)
class KeyRefused:
    """A request came without a key that is good; `reason` is one of a closed set of words."""

    reason: str


@dataclass(frozen=True, slots=True)
class LimiterDegraded:
    """A decision was made without Redis, on this replica's own share."""


@dataclass(frozen=True, slots=True)
class ShotEnded:
    """One paid vendor call came to its end, after `polls` looks. `code` is `ok` or the fault's.

    `detail` is the vendor's own wording of what went wrong, for the log.
    """

    model: str
    account: str
    vendor: str
    native_model: str
    code: str
    seconds: float
    polls: int
    delivered: int
    billed: int
    cost_microusd: int
    detail: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class ImageFinished:
    """One image was checked and stored. `fitted` when its pixels or its file had to be changed."""

    model: str
    length_bytes: int
    pixels: int
    fitted: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class PlaceAwaited:
    """An attempt's wait for a place at an account ended, `granted` or in vain.

    `limit` is how many calls may be in flight there at present, by what the vendor's answers taught.
    """

    account: str
    seconds: float
    granted: bool
    limit: int


@dataclass(frozen=True, slots=True)
class VendorThrottled:
    """A vendor answered 429. All calls of the account pause for `pause_s`, 0 where the vendor named no time."""

    account: str
    pause_s: float


@dataclass(frozen=True, slots=True)
class BreakerMoved:
    """The breaker in front of a `target`, an account's id, came into `state`. `open`: it gets no calls."""

    target: str
    state: BreakerState


@dataclass(frozen=True, slots=True)
class FailedOver:
    """Images of `model` that one account did not make were asked of another one."""

    model: str
    from_account: str
    to_account: str


@dataclass(frozen=True, slots=True)
class CallRetried:
    """A call to this account failed free of charge, and is sent once more."""

    account: str


@dataclass(frozen=True, slots=True)
class RetryDenied:
    """A call to this account was worth trying again, and was not, since the budget for retries was spent."""

    account: str


@dataclass(frozen=True, slots=True)
class ConfigReloaded:
    """The configuration was read anew. `ok` false: it was refused, and the old one stays; `version` is in force."""

    ok: bool
    version: str


@dataclass(frozen=True, slots=True)
class LoadShed:
    """A request was refused so that others can be served. `priority` is the class of the caller's key."""

    reason: ShedReason
    priority: PriorityClass


@dataclass(frozen=True, slots=True)
class ClientLeft:
    """A client hung up before its answer. `paid`: after the first paid call was sent, so the work goes on."""

    phase: ClientPhase


@dataclass(frozen=True, slots=True)
class LoopLagged:
    """The event loop came to a task so many seconds later than it had asked for."""

    seconds: float


@dataclass(frozen=True, slots=True)
class StoreSeen:
    """Whether the image store took and gave back a probe."""

    works: bool


Fact = (
    AttemptMoved
    | BreakerMoved
    | BudgetSeen
    | CallRetried
    | ClientLeft
    | ConfigReloaded
    | ConnectionRefused
    | FailedOver
    | IdempotencyUsed
    | ImageFinished
    | JournalFenced
    | JournalForced
    | JournalWritten
    | KeyRefused
    | LateSuccess
    | LimiterDegraded
    | LoadShed
    | LoopLagged
    | MoneySettled
    | OperationRecovered
    | OutcomeUnknown
    | PlaceAwaited
    | RequestEnded
    | RequestRefused
    | RequestTurnedAway
    | ReservedSeen
    | RetryDenied
    | ShotEnded
    | StoreSeen
    | SuspenseSeen
    | TokensTaken
    | VendorThrottled
    | WebhookRefused
    | WebhookSent
    | WebhookTaken
)
Listener = Callable[[Fact], None]
