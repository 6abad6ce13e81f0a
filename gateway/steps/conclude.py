"""Part of step 8 · say in the journal how an operation ended, before anybody is told."""

from contextlib import suppress
from dataclasses import replace

from gateway.domain.errors import ErrorCode, RequestError
from gateway.domain.facts import OperationRecovered
from gateway.domain.harvest import Harvest, ShotResult
from gateway.domain.journal_facts import Recovery
from gateway.domain.record import Ended, OperationState, Record
from gateway.edges.journal_writer import Fenced, JournalUnavailable
from gateway.edges.redis_store import RedisUnavailable
from gateway.operation import Operation
from gateway.policies.doubts import MORE_CERTAIN
from gateway.services import Services
from gateway.steps.debit import Hold
from gateway.steps.report import announce
from gateway.steps.settle import settle_late

__all__ = ["conclude", "open_record", "put_back", "release"]

_RECOVERIES: dict[OperationState, Recovery] = {
    OperationState.COMPLETED: "completed",
    OperationState.KEPT: "kept",
    OperationState.UNKNOWN: "unknown",
}


def open_record(operation: Operation, hold: Hold, services: Services) -> None:
    """Let other replicas know of the operation, without waiting: nothing is paid for yet."""
    operation.record.hold = hold
    operation.open()
    services.writer.write_soon(operation.record)


async def conclude(operation: Operation, harvest: Harvest, problem: RequestError | None, services: Services) -> None:
    """Write the manifest: from now on a repeated request gets this answer, or goes on from here.

    While neither Redis nor the disk takes it, the client has its answer all the same.
    """
    record = operation.record
    record.earlier = tuple(map(_without_words, harvest.results))
    record.created = max((one.created for one in harvest.results if one.created), default=int(services.world.now()))
    record.state = _state(harvest, problem)
    record.ended = None if problem is None else _ended(problem)
    if operation.job.wants_url:
        record.links = tuple([await services.link_of(image) for image in record.finished])
    if record.token > 1:
        services.tell(OperationRecovered(_RECOVERIES.get(record.state, "released")))
    try:
        await services.writer.write(record, disk_soon=True)
    except JournalUnavailable:
        announce(record, services)
    except Fenced:
        await _say_late(record, services)
    else:
        announce(record, services)


async def release(operation: Operation, problem: RequestError, services: Services) -> None:
    """Nothing was bought: whoever asks again begins anew."""
    record = operation.record
    if not operation.is_recorded:
        return
    if record.earlier and any(result.finished or result.billed for result in record.earlier):
        record.state = OperationState.KEPT
    elif Harvest(record.earlier).in_doubt:
        record.state = OperationState.UNKNOWN
    else:
        record.state = OperationState.RELEASED
    record.attempts = []
    record.ended = _ended(problem)
    try:
        await services.writer.write(record, disk_soon=True)
    except (Fenced, JournalUnavailable):
        return
    announce(record, services)


async def put_back(operation: Operation, before: Record, was: OperationState, services: Services) -> None:
    """Nothing was learnt of an operation that was over, and looked at once more: its record is again as it `was`."""
    before.token, before.version, before.state = operation.record.token, operation.record.version, was
    with suppress(Fenced, JournalUnavailable):  # then who takes up what seems to be begun ends it the same way
        await services.writer.write(before)
    if before.ended is not None:
        operation.fail(before.ended.error())


async def _say_late(record: Record, services: Services) -> None:
    """Another replica took this for dead, and ended it without what we know: tell it, unless it went on to buy.

    What that one had put in suspense is settled by what we know.
    """
    worth_less = MORE_CERTAIN.get(record.state)
    if worth_less is None:
        return
    try:
        theirs = await services.journal.read(record.id)
        went_on = theirs is not None and theirs.calls_made > record.calls_made
        if went_on and record.state is not OperationState.COMPLETED:
            return
        taken = await services.journal.take_over(record.id, worth_less)
        if taken is None:
            return
        record.token, record.version = taken.token, 0
        await services.writer.write(record)
    except (RedisUnavailable, Fenced, JournalUnavailable):
        return
    await settle_late(taken, record, services)
    announce(record, services)


def _state(harvest: Harvest, problem: RequestError | None) -> OperationState:
    if problem is None:
        return OperationState.COMPLETED
    if harvest.in_doubt:
        return OperationState.UNKNOWN
    if problem.code is ErrorCode.CONTENT_POLICY_VIOLATION or harvest.lost:
        return OperationState.FAILED
    return OperationState.KEPT if harvest.finished else OperationState.RELEASED


def _ended(problem: RequestError) -> Ended:
    told = tuple((name, value) for name, value in problem.headers.items() if name.startswith("x-samurai-"))
    return Ended(problem.code.value, problem.message, problem.param, problem.should_retry, told)


def _without_words(result: ShotResult) -> ShotResult:
    """A vendor's own words may repeat a prompt, and stay out of Redis."""
    if not result.faults:
        return result
    return replace(result, faults=tuple(replace(fault, detail="") for fault in result.faults))
