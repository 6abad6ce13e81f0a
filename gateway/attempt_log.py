"""Writes down what an operation's paid calls come to, before the money moves and after."""

from dataclasses import dataclass

from gateway.domain.errors import ErrorCode
from gateway.domain.exchange import Fault, Next, Pending
from gateway.domain.facts import AttemptMoved, Listener, OutcomeUnknown
from gateway.domain.harvest import Finished, ShotResult
from gateway.domain.job import Shot
from gateway.domain.journal_facts import AttemptState as Word
from gateway.domain.record import Attempt, AttemptState, Record
from gateway.edges.journal_writer import Fenced, JournalUnavailable, JournalWriter
from gateway.edges.world import World

__all__ = ["AttemptLog"]

_WORDS: dict[AttemptState, Word] = {
    AttemptState.PLANNED: "planned",
    AttemptState.SENT: "sent",
    AttemptState.ACCEPTED: "accepted",
    AttemptState.STORED: "stored",
    AttemptState.DONE: "done",
    AttemptState.REJECTED: "rejected",
    AttemptState.UNKNOWN: "unknown",
}
_TAKEN_OVER = Fault(
    ErrorCode.UPSTREAM_OUTCOME_UNKNOWN,
    Next.STOP,
    may_have_billed=False,
    counts_against_vendor=False,
    detail="another replica has taken this operation over",
)
_NOT_WRITTEN = Fault(
    ErrorCode.IDEMPOTENCY_UNAVAILABLE,
    Next.RETRY,
    may_have_billed=False,
    counts_against_vendor=False,
    detail="the record could not be made safe",
)


@dataclass(frozen=True, slots=True)
class AttemptLog:
    """The attempts of one operation's record, and the journal that keeps it."""

    record: Record
    writer: JournalWriter
    world: World
    tell: Listener

    def plan(self, shot: Shot, unit_microusd: int, place: str = "") -> Attempt:
        """A further attempt, of which nothing was sent yet. `place` is what it holds at the account."""
        attempt = Attempt(
            number=self.record.calls_before + len(self.record.attempts) + 1,
            account=shot.target.account.id,
            dialect=shot.target.dialect,
            model=shot.model,
            served_by=shot.target.served_by,
            count=shot.count,
            size=shot.size,
            format=shot.format,
            unit_microusd=unit_microusd,
            seed=shot.seed,
            place=place,
        )
        self.record.attempts.append(attempt)
        self.tell(AttemptMoved("planned"))
        return attempt

    async def send(self, attempt: Attempt) -> Fault | None:
        """Must return None before the first byte of the call is sent: from now on it may have been paid for."""
        attempt.sent_s = self.world.now()
        self._move(attempt, AttemptState.SENT)
        try:
            await self.writer.write(self.record)
        except Fenced:
            self._move(attempt, AttemptState.REJECTED)
            return _TAKEN_OVER
        except JournalUnavailable:
            self._move(attempt, AttemptState.REJECTED)
            return _NOT_WRITTEN
        return None

    async def accept(self, attempt: Attempt, pending: Pending) -> None:
        """The vendor works on it, and this is how it is asked about."""
        first = attempt.pending is None or attempt.pending.vendor_id != pending.vendor_id
        attempt.pending = pending
        if not first:
            return
        self._move(attempt, AttemptState.ACCEPTED)
        try:
            await self.writer.write(self.record, disk_soon=True)
        except (Fenced, JournalUnavailable):
            return  # it is paid for: whoever has the operation now, its images are brought in

    def store(self, attempt: Attempt, image: Finished) -> None:
        """One of its images is in the store: whoever has to go on from here need not fetch it again."""
        attempt.stored.append(image)
        if attempt.state is not AttemptState.STORED:
            self._move(attempt, AttemptState.STORED)
        self.writer.write_soon(self.record)

    def end(self, attempt: Attempt, result: ShotResult) -> None:
        """It is known how it ended, or known that nobody knows."""
        attempt.result = result
        if result.finished or result.billed:
            self._move(attempt, AttemptState.DONE)
        elif any(fault.may_have_billed for fault in result.faults):
            self._move(attempt, AttemptState.UNKNOWN)
            self.tell(OutcomeUnknown(attempt.account))
        else:
            self._move(attempt, AttemptState.REJECTED)
        self.writer.write_soon(self.record)

    def _move(self, attempt: Attempt, state: AttemptState) -> None:
        attempt.state = state
        self.tell(AttemptMoved(_WORDS[state]))
