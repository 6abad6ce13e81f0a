"""Part of step 6 · find out what became of the paid calls that a dead replica had begun. Nothing is ever sent again."""

import asyncio
from dataclasses import replace

import msgspec

from gateway.attempt_log import AttemptLog
from gateway.domain.catalogue import Route, Target
from gateway.domain.errors import ErrorCode
from gateway.domain.exchange import Fault, HttpReply, Next, Outcome
from gateway.domain.harvest import Finished, Harvest, ShotResult
from gateway.domain.job import Shot
from gateway.domain.record import Attempt, AttemptState
from gateway.edges.assets import StoreUnavailable
from gateway.operation import Operation
from gateway.services import Services
from gateway.steps.debit import Hold
from gateway.steps.pursue import Finish, Pursuit
from gateway.steps.searching import Order, found_again
from gateway.steps.settle import settle

__all__ = ["resume"]

_SEARCH_S = 20.0  # a prediction may take a moment to show up in the list
_FOLLOW_S = 120.0  # at least so long is accepted work followed, whatever is left of the deadline: it is paid for
_LOST = Fault(ErrorCode.UPSTREAM_OUTCOME_UNKNOWN, Next.STOP, may_have_billed=True, counts_against_vendor=False)


async def resume(operation: Operation, finish: Finish, services: Services) -> Harvest:
    """What an operation's earlier runs brought in: at once where they were over, else by asking the vendors.

    The tokens and the money of a run that had no end are settled.
    """
    record = operation.record
    if record.ended is not None:
        record.begin_again()  # it was over before: who had taken it up to go on died without a word
    if not record.attempts:
        if record.hold is not None:
            await _settle(operation, Harvest(), services)
        return Harvest(tuple(map(_healed, record.earlier)))
    log = AttemptLog(record, services.writer, services.world, services.tell)
    route = services.catalogue.routes.get(record.job.model) or Route(record.job.model, ())  # it may be gone by now
    left_s = max(_FOLLOW_S, record.due_s - services.world.now())
    pursuit = Pursuit(operation, route, log, finish, services, services.world.monotonic() + left_s)
    results = await asyncio.gather(*(_ended(attempt, pursuit, log, services) for attempt in record.attempts))
    run = Harvest(tuple(result for result in results if result is not None))
    await _settle(operation, run, services)
    record.earlier = (*record.earlier, *run.results)
    record.begin_again()
    return Harvest(tuple(map(_healed, record.earlier)))


def _healed(result: ShotResult) -> ShotResult:
    """What is still missing will be bought by the next run, so that it is nobody's fault any more; doubts stay."""
    doubts = tuple(fault for fault in result.faults if fault.may_have_billed and not result.billed)
    return replace(result, asked=len(result.finished), withheld=0, missing=0, faults=doubts)


async def _settle(operation: Operation, run: Harvest, services: Services) -> None:
    if operation.record.hold is not None:
        hold = msgspec.convert(operation.record.hold, Hold)
        await settle(hold, run, operation.record.job.model, services)
        operation.record.hold = None


async def _ended(attempt: Attempt, pursuit: Pursuit, log: AttemptLog, services: Services) -> ShotResult | None:
    """As `_found_out`; then what it held at its account, in the name of who is gone, is free for others."""
    result = await _found_out(attempt, pursuit, log, services)
    if attempt.place:
        await services.pacing.leave(attempt.account, attempt.place)
    return result


async def _found_out(attempt: Attempt, pursuit: Pursuit, log: AttemptLog, services: Services) -> ShotResult | None:
    """How one attempt ended; None where nothing was ever sent."""
    if attempt.result is not None:
        return attempt.result
    if attempt.state is AttemptState.PLANNED or attempt.state is AttemptState.REJECTED:
        return None
    stored = await _stored(attempt, pursuit, services)
    if stored is not None:
        log.end(attempt, stored)
        return stored
    order = _order(attempt, pursuit, services)
    if order is None:
        return _unknown(attempt, log)
    started = services.world.monotonic()
    reply, outcome, polls = await _asked(order, pursuit)
    result = await pursuit.settled(order, reply, outcome)
    pursuit.tell(order, result, polls, started)
    return result


def _unknown(attempt: Attempt, log: AttemptLog) -> ShotResult:
    result = ShotResult(attempt.count, attempt.served_by, faults=(_LOST,), unit_microusd=attempt.unit_microusd)
    log.end(attempt, result)
    return result


async def _asked(order: Order, pursuit: Pursuit) -> tuple[HttpReply | None, Outcome, int]:
    """Ask the vendor what became of it, as far as the vendor can tell."""
    pending = order.attempt.pending
    if pending is None:
        pending = await found_again(order, pursuit.operation, pursuit.services, _SEARCH_S, pursuit.left_s())
    if pending is None:
        return None, _LOST, 0
    return await pursuit.follow(order, None, pending)


async def _stored(attempt: Attempt, pursuit: Pursuit, services: Services) -> ShotResult | None:
    """The result of an attempt whose images had all reached the store; None when they had not, or nobody can say."""
    job, record = pursuit.job, pursuit.operation.record
    names = [services.name_of(record, attempt, number) for number in range(attempt.count)]
    try:
        facts = await asyncio.gather(*(services.assets.head(name, job.format) for name in names))
    except StoreUnavailable:
        return None
    if not all(facts):
        return None
    known = {image.asset_id: image for image in attempt.stored}
    images = tuple(
        known.get(name) or Finished(job.format, length=fact.size, asset_id=name)
        for name, fact in zip(names, facts, strict=True)
        if fact is not None
    )
    return ShotResult(
        asked=attempt.count,
        served_by=attempt.served_by,
        finished=images,
        billed=attempt.count,
        cost_microusd=attempt.count * attempt.unit_microusd,
        unit_microusd=attempt.unit_microusd,
    )


def _order(attempt: Attempt, pursuit: Pursuit, services: Services) -> Order | None:
    """The attempt as it can be asked about; None where the configuration does not know its account any more."""
    dialect, target = services.dialects.get(attempt.dialect), _target(attempt, services)
    if dialect is None or target is None:
        return None
    shot = Shot(
        target=target,
        prompt="",
        count=attempt.count,
        size=attempt.size,
        format=attempt.format,
        deadline_s=max(1.0, pursuit.left_s()),
        seed=attempt.seed,
    )
    return Order(shot, dialect, attempt)


def _target(attempt: Attempt, services: Services) -> Target | None:
    for route in services.catalogue.routes.values():
        for target in route.targets:
            if target.account.id == attempt.account:
                return replace(target, model=attempt.model, dialect=attempt.dialect)
    return None
