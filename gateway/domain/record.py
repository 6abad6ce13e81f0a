"""The journal's record of an operation: enough, without its prompt or its bytes, for another replica to finish it.

An operation is made by attempts (paid vendor calls). Each goes `planned → sent → accepted → stored → done`, or leaves
by `rejected` (surely unpaid) or `unknown`. A record has one writer, who holds its fencing token.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gateway.domain.errors import ErrorCode, RequestError
from gateway.domain.exchange import Pending
from gateway.domain.harvest import Finished, ShotResult
from gateway.domain.job import Job
from gateway.domain.picture import ImageFormat, Size

__all__ = ["Attempt", "AttemptState", "Ended", "OperationState", "Record"]


class AttemptState(StrEnum):
    """How far one paid call has come."""

    PLANNED = "planned"
    SENT = "sent"
    ACCEPTED = "accepted"
    STORED = "stored"
    DONE = "done"
    REJECTED = "rejected"
    UNKNOWN = "unknown"


class OperationState(StrEnum):
    """How far an operation has come. `kept`: it failed, and its paid images wait for a retry to deliver them.

    `failed` is final and replayed; `released` cost nothing, so a retry begins anew; `unknown` may have been paid.
    """

    RUNNING = "running"
    COMPLETED = "completed"
    KEPT = "kept"
    FAILED = "failed"
    RELEASED = "released"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Attempt:
    """One paid call for `count` images, as far as it has come.

    `sent_s` is in seconds since the epoch. `place` is what it holds at its account (see `pacing`), empty for none.
    `pending` is what the vendor accepted. `stored` are the images that are in the store already. `result` is how it
    ended, and without it the attempt is still open.
    """

    number: int
    account: str
    dialect: str
    model: str
    served_by: str
    count: int
    size: Size
    format: ImageFormat
    unit_microusd: int
    seed: int | None = None
    state: AttemptState = AttemptState.PLANNED
    sent_s: float = 0.0
    place: str = ""
    pending: Pending | None = None
    stored: list[Finished] = field(default_factory=list)
    result: ShotResult | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is still to be found out what became of it."""
        return self.state in (AttemptState.SENT, AttemptState.ACCEPTED, AttemptState.STORED)


@dataclass(frozen=True, slots=True)
class Ended:
    """The error that an operation ended with, as it is answered again; `headers` are those that name its costs."""

    code: str
    message: str
    param: str | None = None
    should_retry: bool | None = None
    headers: tuple[tuple[str, str], ...] = ()

    def error(self) -> RequestError:
        """The error, to be answered again."""
        words = ErrorCode(self.code), self.message
        return RequestError(*words, param=self.param, should_retry=self.should_retry, headers=dict(self.headers))


@dataclass(slots=True)
class Record:
    """One operation. Times are seconds since the epoch; `due_s` is when its client is to have an answer.

    `job` has no prompt, no end user and no vendor options in it; `prompt_hash` is what is left of the prompt.
    `fingerprint` stands for the whole request. `idempotency` is the hash of the client's key, empty without one.
    `hold` is what was debited, as plain data once it was read back. `links` are those handed out, one an image. `token`
    fences off writers who lost it; `version` counts the writes. `earlier` is how everything ended when it was over the
    last time, with `calls_before` paid calls; `attempts` are those of the present run, `doubts` the ones of earlier
    runs whose outcome nobody knows.
    """

    id: str
    key_id: str
    job: Job
    fingerprint: str
    prompt_hash: str
    begun_s: float
    due_s: float
    tenant: str | None = None
    idempotency: str = ""
    asynchronous: bool = False
    token: int = 1
    version: int = 0
    state: OperationState = OperationState.RUNNING
    attempts: list[Attempt] = field(default_factory=list)
    doubts: list[Attempt] = field(default_factory=list)
    hold: Any = None
    calls_before: int = 0
    earlier: tuple[ShotResult, ...] = ()
    created: int = 0
    links: tuple[str, ...] = ()
    ended: Ended | None = None
    resent: bool = False

    @property
    def is_over(self) -> bool:
        """Whether nobody works on it any more."""
        return self.state is not OperationState.RUNNING

    @property
    def finished(self) -> tuple[Finished, ...]:
        """The images that it brought in when it was over the last time, in order."""
        return tuple(image for result in self.earlier for image in result.finished)

    @property
    def calls_made(self) -> int:
        """How many paid calls all its runs together have planned."""
        return self.calls_before + len(self.attempts)

    @property
    def hold_id(self) -> str:
        """The name under which this run's tokens and money were taken."""
        return self.id if self.token == 1 else f"{self.id}.{self.token}"

    @property
    def hold_ids(self) -> tuple[str, ...]:
        """The names under which its runs took tokens and money, the last one first."""
        return (*(f"{self.id}.{run}" for run in range(self.token, 1, -1)), self.id)

    def begin_again(self) -> None:
        """Make ready for a further run, once it was over: what was brought in stays, the attempts are history."""
        self.calls_before += len(self.attempts)
        self.doubts += [attempt for attempt in self.attempts if attempt.state is AttemptState.UNKNOWN]
        self.attempts, self.hold, self.ended, self.links = [], None, None, ()
