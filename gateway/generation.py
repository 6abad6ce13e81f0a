"""The life of one request. Start reading here."""

from collections.abc import Sequence
from contextlib import suppress
from copy import deepcopy
from functools import partial

from gateway.domain.errors import ErrorCode, RequestError
from gateway.domain.exchange import Fault, Picture
from gateway.domain.harvest import Finished, Harvest
from gateway.domain.picture import Blob
from gateway.domain.record import Attempt, AttemptState, OperationState
from gateway.domain.reply import Inbound, Reply
from gateway.edges.journal_writer import Fenced, JournalUnavailable
from gateway.edges.pacing_line import Ahead
from gateway.operation import Operation, Operations
from gateway.policies.doubts import reopen
from gateway.policies.limit_headers import limit_headers
from gateway.policies.verdict import objection
from gateway.services import Services
from gateway.steps.authenticate import authenticate
from gateway.steps.claim import claim
from gateway.steps.conclude import conclude, open_record, put_back, release
from gateway.steps.debit import Hold, debit, look
from gateway.steps.finish import finish
from gateway.steps.fulfil import ahead_of, fulfil
from gateway.steps.plan import Plan, plan
from gateway.steps.read_body import read_body
from gateway.steps.reply import accepted, headers_of, reply_with, stream_of, waits_elsewhere
from gateway.steps.resume import resume
from gateway.steps.settle import settle, settle_late, settle_unforeseen

__all__ = ["carry_on", "carry_out", "handle_generation", "lift"]


async def handle_generation(inbound: Inbound, operations: Operations, services: Services) -> Reply:
    """Serve one request, top to bottom. Raises RequestError, the documented end of a request."""
    await services.turns.turn()
    caller = authenticate(inbound.headers, services.keys.find, services.keys.is_mistyped)
    inbound.notes["key_id"] = caller.key_id
    job = read_body(await inbound.body(), inbound.headers, caller, services.catalogue, services.capabilities_of)
    inbound.notes["model"] = job.model
    with services.traces.step("claim"):
        visit = await claim(inbound.headers, job, caller, operations, services)
    operation = visit.operation
    is_elsewhere = waits_elsewhere(inbound.headers)
    inbound.forget_headers()
    operation.record.asynchronous |= is_elsewhere
    if visit.part == "replayed":
        operation.meters = await look(job, caller, services)
    if visit.part == "begin":
        operations.start(operation, partial(carry_out, services=services))
    operation.attend(inbound.when_gone, services.world.monotonic)
    if is_elsewhere and visit.part != "replayed":
        return await accepted(operation)
    if job.stream:
        return await stream_of(visit, inbound.notes, services)
    harvest = await visit.result()
    inbound.notes["images"] = len(harvest.finished)
    return await reply_with(harvest, visit, services)


async def carry_out(operation: Operation, services: Services) -> None:
    """The part that money hangs on: in a task of its own, which a client's hanging up does not stop."""
    job, finishing = operation.job, partial(_finished, operation, services)
    try:
        harvest = await resume(operation, finishing, services)
        for image in harvest.finished:
            operation.add(image)
        missing = job.n - len(harvest.finished)
        if missing > 0 and (operation.record.resent or not harvest.in_doubt):
            with services.admission.room(job.asking_for(missing), operation.caller):
                bought = await _buy(missing, operation, services)
            harvest = Harvest((*harvest.results, *bought.results))
    except RequestError as refusal:
        if refusal.code is ErrorCode.GATEWAY_OVERLOADED:  # refused before the limits, which every 429 tells
            refusal.headers = {**refusal.headers, **dict(limit_headers(await look(job, operation.caller, services)))}
        await release(operation, refusal, services)
        raise
    operation.harvest = harvest
    problem = objection(harvest, wanted=job.n, partial_allowed=job.partial_allowed, with_options=bool(job.options))
    if problem is not None:
        problem.headers = dict(headers_of(operation, harvest))
    await conclude(operation, harvest, problem, services)
    if problem is not None:
        raise problem
    operation.succeed(harvest)


async def carry_on(operation: Operation, services: Services) -> None:
    """Finish what a dead replica had begun, without its client: nothing more is bought."""
    harvest = await resume(operation, partial(_finished, operation, services), services)
    nothing = RequestError(
        ErrorCode.GATEWAY_DRAINING, "Its replica ended before anything was bought. Ask again.", should_retry=True
    )
    await _end(operation, harvest, nothing, services)


async def lift(operation: Operation, attempt: Attempt, was: OperationState, services: Services) -> None:
    """Look once more at a call whose end nobody knew, since its vendor has called; nothing is bought.

    The operation was over, and `was` how. Where nothing is to be learnt, it is again as it was.
    """
    record, before, was_unpaid = operation.record, deepcopy(operation.record), attempt.state is AttemptState.REJECTED
    reopen(record, attempt)
    with suppress(Fenced, JournalUnavailable):
        await services.writer.write(record)
        harvest = await resume(operation, partial(_finished, operation, services), services)
    if attempt.is_open or attempt.state is AttemptState.UNKNOWN:
        await put_back(operation, before, was, services)
        return
    if was_unpaid and attempt.result is not None:
        await settle_unforeseen(before, record.hold_id, attempt.result, services)
    else:
        await settle_late(before, record, services)
    nothing = RequestError(
        ErrorCode.UPSTREAM_ERROR, "The image vendor made nothing for this request. Ask again.", should_retry=True
    )
    await _end(operation, harvest, nothing, services)


async def _end(operation: Operation, harvest: Harvest, nothing: RequestError, services: Services) -> None:
    """Say how an operation ended whose client is gone; `nothing` is the answer where nothing came of it."""
    problem = objection(harvest, wanted=operation.job.n, partial_allowed=False)
    if problem is not None and not harvest.faults and not harvest.finished:
        problem = nothing
    if problem is not None:
        problem.headers = dict(headers_of(operation, harvest))
    await conclude(operation, harvest, problem, services)
    if problem is None:
        operation.succeed(harvest)
    else:
        operation.fail(problem)


async def _buy(images: int, operation: Operation, services: Services) -> Harvest:
    """Buy so many images: all of a new operation, or what an earlier run left to be bought."""
    shots = plan(
        operation.job.asking_for(images),
        services.catalogue,
        services.dialects,
        seed=services.world.seed,
        end_user_key=services.end_user_key,
        rank=services.targets.rank,
    )
    first = shots.candidates[0]
    operation.served_by, operation.ignored = first.target.served_by, first.ignored
    ahead = ahead_of(shots, operation.record.hold_id, services)
    try:
        with services.traces.step("debit"):
            hold = await debit(operation.record.hold_id, shots, operation.caller, services, ahead)
        return await _bought(hold, shots, ahead, operation, services)
    finally:
        services.pacing.give_back(*ahead)


async def _bought(hold: Hold, shots: Plan, ahead: Sequence[Ahead], operation: Operation, services: Services) -> Harvest:
    open_record(operation, hold, services)
    operation.meters, operation.degraded = hold.meters, hold.degraded
    harvest = await fulfil(shots, operation, partial(_finished, operation, services), services, ahead)
    await settle(hold, harvest, operation.job.model, services, operation.record)
    return harvest


async def _finished(
    operation: Operation, services: Services, blob: Blob, picture: Picture, attempt: Attempt, number: int
) -> Finished | Fault:
    name = services.name_of(operation.record, attempt, number)
    with services.traces.step("finish"):
        image = await finish(blob, picture, operation.job, services, name)
    if isinstance(image, Finished):
        operation.add(image)
    return image
