"""Paid calls whose end nobody knew, of operations that are over: what may still be learnt, and what was learnt of them.

Only a call of which nothing is known is looked at once more; nothing is ever sent again.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from gateway.domain.harvest import Harvest, ShotResult
from gateway.domain.record import Attempt, AttemptState, OperationState, Record

__all__ = ["LIFTED", "MORE_CERTAIN", "doubted", "doubted_microusd", "gained", "reopen"]

LIFTED = (OperationState.UNKNOWN, OperationState.KEPT, OperationState.FAILED, OperationState.RELEASED)
"""What an operation may have ended as for a call of it to be looked at once more: it has not all its images."""

MORE_CERTAIN: Mapping[OperationState, tuple[OperationState, ...]] = {
    OperationState.COMPLETED: (OperationState.UNKNOWN, OperationState.KEPT, OperationState.RELEASED),
    OperationState.KEPT: (OperationState.UNKNOWN, OperationState.RELEASED),
    OperationState.FAILED: (OperationState.UNKNOWN,),
    OperationState.RELEASED: (OperationState.UNKNOWN,),
}
"""How an operation ended for who carried it out, and which words of who thought that one dead are worth less."""


def doubted(record: Record, number: int, vendor_id: str = "") -> Attempt | None:
    """Paid call `number`, if nobody knows how it ended; or if it was thought unpaid, and a vendor calls about it.

    `vendor_id` is what the vendor calls the work; another one than it was accepted under is somebody else's.
    """
    for attempt in (*record.attempts, *record.doubts):
        if attempt.number != number:
            continue
        known = "" if attempt.pending is None else attempt.pending.vendor_id
        is_its = not known or not vendor_id or known == vendor_id
        surprising = attempt.state is AttemptState.REJECTED and not known
        return attempt if is_its and (attempt.state is AttemptState.UNKNOWN or surprising) else None
    return None


def reopen(record: Record, attempt: Attempt) -> None:
    """Make an operation that is over ready for this one call to be looked at: what came of all others stays."""
    record.earlier = _without(record.earlier, attempt)
    record.begin_again()
    record.doubts = [one for one in record.doubts if one.number != attempt.number]
    record.calls_before -= 1  # it is one of the present run again
    attempt.state = AttemptState.SENT if attempt.pending is None else AttemptState.ACCEPTED
    attempt.result = None
    record.attempts = [attempt]


def doubted_microusd(record: Record) -> int:
    """What the calls may have cost whose end nobody knows."""
    unsure = {one.number: one for one in (*record.doubts, *record.attempts) if one.state is AttemptState.UNKNOWN}
    return sum(one.count * one.unit_microusd for one in unsure.values())


def gained(before: Iterable[ShotResult], after: Iterable[ShotResult]) -> Mapping[tuple[str, str], int]:
    """What is known to be delivered, billed and spent beyond what was known before: by who served, and by measure."""
    more = _sums(after)
    more.subtract(_sums(before))
    return {place: amount for place, amount in more.items() if amount > 0}


def _sums(results: Iterable[ShotResult]) -> Counter[tuple[str, str]]:
    sums: Counter[tuple[str, str]] = Counter()
    for one in results:
        sums[one.served_by, "delivered"] += len(one.finished)
        sums[one.served_by, "billed"] += one.billed
        sums[one.served_by, "cost_microusd"] += one.cost_microusd
    return sums


def _without(results: tuple[ShotResult, ...], attempt: Attempt) -> tuple[ShotResult, ...]:
    """All but the result of this call. Calls alike in all that a result says of a failure stand for one another."""
    in_doubt = attempt.state is AttemptState.UNKNOWN
    for place, one in enumerate(results):
        is_alike = one.served_by == attempt.served_by and not one.finished and not one.billed
        if is_alike and Harvest((one,)).in_doubt == in_doubt:
            return (*results[:place], *results[place + 1 :])
    return results
