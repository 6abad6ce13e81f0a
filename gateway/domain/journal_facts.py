"""What happened to work that must be neither lost nor paid twice; part of `facts`, which is where to import from."""

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "AttemptMoved",
    "AttemptState",
    "IdempotencyKind",
    "IdempotencyUsed",
    "JournalFenced",
    "JournalForced",
    "JournalMedium",
    "JournalWritten",
    "LateSuccess",
    "OperationRecovered",
    "OutcomeUnknown",
    "Recovery",
    "WebhookRefused",
    "WebhookSent",
    "WebhookTaken",
]

IdempotencyKind = Literal["replayed", "joined", "waited", "conflict", "reused", "resumed"]
AttemptState = Literal["planned", "sent", "accepted", "stored", "done", "rejected", "unknown"]
Recovery = Literal["completed", "kept", "unknown", "released"]
JournalMedium = Literal["redis", "spool", "both"]


@dataclass(frozen=True, slots=True)
class IdempotencyUsed:
    """A repeated request was recognised.

    `replayed`: got the finished reply again. `joined`: took part in the running call. `waited`: waited for it.
    `conflict`: was told to come back. `reused`: refused, for another body came with the key. `resumed`: took over
    what a dead replica had begun.
    """

    kind: IdempotencyKind


@dataclass(frozen=True, slots=True)
class AttemptMoved:
    """The journal says that one paid call came into `state`."""

    state: AttemptState


@dataclass(frozen=True, slots=True)
class OperationRecovered:
    """An operation whose replica died was taken up, and came to this.

    `completed`: its images were delivered into the store. `kept`: some of them are. `unknown`: nobody knows what was
    paid. `released`: nothing had been sent, and its money is free again.
    """

    outcome: Recovery


@dataclass(frozen=True, slots=True)
class OutcomeUnknown:
    """A call to this account may have been paid for, and nobody can tell any more; its money stays in suspense."""

    account: str


@dataclass(frozen=True, slots=True)
class LateSuccess:
    """Images arrived from this account after the client had been given up on, and were kept."""

    account: str


@dataclass(frozen=True, slots=True)
class JournalWritten:
    """The journal was written, in so many seconds. `waited_for` says which copy the request waited for."""

    seconds: float
    waited_for: JournalMedium


@dataclass(frozen=True, slots=True)
class JournalForced:
    """The replica's disk took so many records with one forced write, in so many seconds."""

    seconds: float
    records: int


@dataclass(frozen=True, slots=True)
class JournalFenced:
    """A replica that had lost an operation to another one was kept from writing to its journal."""


@dataclass(frozen=True, slots=True)
class WebhookTaken:
    """A vendor's call back to us was genuine, and woke its operation."""

    vendor: str


@dataclass(frozen=True, slots=True)
class WebhookRefused:
    """A call to the webhook address was refused, or of no use; `reason` is one of a closed set of words."""

    reason: str


@dataclass(frozen=True, slots=True)
class WebhookSent:
    """The end of an operation was told to its key's owner, or could not be: `ok` false, after all tries."""

    ok: bool
