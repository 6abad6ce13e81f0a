"""Step 6 of 9 · buy the images: fan out, follow, collect, retry what is free, top up what is missing.

One engine for every vendor. What a vendor's answer means is the dialect's business, what to do after a fault is
`policies.retrying`'s, how one call is followed is `pursue`'s; here is only which calls are made, and their order.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count

from gateway.attempt_log import AttemptLog
from gateway.domain.catalogue import OnRefusal
from gateway.domain.errors import ErrorCode
from gateway.domain.exchange import Delivered, Fault, HttpReply, Outcome
from gateway.domain.facts import CallRetried, FailedOver
from gateway.domain.faults import refusal
from gateway.domain.harvest import Harvest, ShotResult
from gateway.domain.job import Shot
from gateway.edges.limits import receipt_key
from gateway.edges.pacing import Stay
from gateway.edges.pacing_line import Ahead
from gateway.edges.targets import LEAST_WAIT_S, Visit
from gateway.edges.tracing import tell_outcome, vendor_call
from gateway.operation import Operation
from gateway.policies import retrying
from gateway.policies.pacing import WORK_SHARE, patience_s
from gateway.services import Services
from gateway.steps.plan import Candidate, Plan
from gateway.steps.pursue import LATE_S, Finish, Order, Pursuit

__all__ = ["ahead_of", "fulfil"]

_LEAST_TIME_S = 10.0  # the vendors' usual times are 1 to 25 s


def ahead_of(plan: Plan, hold_id: str, services: Services) -> tuple[Ahead, ...]:
    """The places of a plan's first calls, to be asked for together with its tokens."""
    (first, *_), most = _callable(plan.candidates, services)
    if not services.targets.lets_all_in(first.target):  # its calls would keep no place that they have so early
        return ()
    account, receipt, hold_s = first.target.account.id, receipt_key(hold_id), plan.route.deadline_s + LATE_S
    each = first.images_each(plan.job.n, most)
    return tuple(services.pacing.ahead(account, images, hold_s=hold_s, receipt=receipt) for images in each)


def _callable(candidates: Sequence[Candidate], services: Services) -> tuple[Sequence[Candidate], int | None]:
    """Those that may be called, or the first of all; and the most images that a call to the first of them can make."""
    ready = _ready(candidates, services) or candidates[:1]
    return ready, services.pacing.most_images(ready[0].target.account.id)


def _ready(candidates: Sequence[Candidate], services: Services) -> list[Candidate]:
    """Those whose targets are not to be left alone at present."""
    return [one for one in candidates if services.targets.may_call(one.target)]


async def fulfil(
    plan: Plan, operation: Operation, finish: Finish, services: Services, ahead: Sequence[Ahead] = ()
) -> Harvest:
    """Serve the plan within the route's deadline; never raises for a vendor's failure.

    The images that a safety check withheld, or that were just not there, are asked for once more when at least
    one image of the batch was delivered, they are all that is missing, and there is time to make them; a prompt
    refused as a whole is not tried again.
    """
    began, deadline_s = services.world.monotonic(), plan.route.deadline_s
    log = AttemptLog(operation.record, services.writer, services.world, services.tell)
    pursuit = Pursuit(operation, plan.route, log, finish, services, began + deadline_s)
    allowed_s = deadline_s if plan.job.patience_s is None else min(deadline_s, plan.job.patience_s)
    engine = _Engine(plan, pursuit, services, began, allowed_s, ahead)
    results = await engine.obtain(plan.job.n, plan.candidates)
    short = sum(_askable(result) for result in results)
    if not short:
        return Harvest(tuple(results))
    healed = [_without_askable(result) for result in results]
    worth_it = plan.job.partial_allowed or not any(result.faults for result in healed)
    if worth_it and engine.has_time and any(result.finished for result in results):
        return Harvest((*healed, *await engine.obtain(short, plan.candidates)))
    return Harvest(tuple(results))


def _askable(result: ShotResult) -> int:
    refused = any(fault.code is ErrorCode.CONTENT_POLICY_VIOLATION for fault in result.faults)
    return result.asked if refused else result.withheld + result.missing


def _without_askable(result: ShotResult) -> ShotResult:
    """The same result once its shortfall has become the next round's business; what it may have cost stays with it."""
    if len(result.finished) == result.asked and not result.faults:
        return result
    faults = tuple(fault for fault in result.faults if fault.code is not ErrorCode.CONTENT_POLICY_VIOLATION)
    unsure = not result.billed and any(fault.may_have_billed for fault in result.faults)
    return replace(
        result,
        asked=len(result.finished),
        withheld=0,
        missing=0,
        faults=faults,
        doubtful=result.asked if unsure else 0,
    )


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What came of one attempt. `order` is None when no call was made, since the target is left alone or had no place.

    `too_large`: smaller calls could have had places.
    """

    outcome: Outcome
    order: Order | None = None
    reply: HttpReply | None = None
    polls: int = 0
    started: float = 0.0
    too_large: bool = False


@dataclass(slots=True)
class _Engine:
    """Nothing more is tried once `allowed_s` have passed since it `began`: the deadline, or less as the client said."""

    plan: Plan
    pursuit: Pursuit
    services: Services
    began: float
    allowed_s: float
    ahead: Sequence[Ahead] = ()
    calls_planned: int = 0

    def trying_s(self) -> float:
        """What is left of the time in which waiting and trying again are worth it."""
        return min(self.pursuit.left_s(), self.began + self.allowed_s - self.services.world.monotonic())

    @property
    def has_time(self) -> bool:
        """Whether a call that is begun now can end in time: what would be cut off is better not bought."""
        return self.trying_s() >= min(_LEAST_TIME_S, WORK_SHARE * self.allowed_s)

    async def obtain(
        self, images: int, candidates: Sequence[Candidate], *, is_further: bool = False
    ) -> list[ShotResult]:
        """Buy `images` from the first candidate that may be called, with the others behind it.

        `is_further`: calls were made for these images before, so that these are no first calls.
        """
        (first, *others), most = _callable(candidates, self.services)
        left_s = max(1.0, self.pursuit.left_s())
        shots = self.plan.shots(first, images, most=most, before=self.calls_planned, deadline_s=left_s)
        self.calls_planned += len(shots)
        if not is_further:
            self.services.targets.count_requests(first.target, len(shots))
        ahead = self._asked_ahead(shots)
        if len(shots) == 1:  # without a task of its own
            return await self._serve(shots[0], first, others, ahead[0])
        serving = (self._serve(shot, first, others, one) for shot, one in zip(shots, ahead, strict=True))
        return [result for results in await asyncio.gather(*serving) for result in results]

    def _asked_ahead(self, shots: Sequence[Shot]) -> list[Ahead | None]:
        """For each shot a place that was asked for ahead and fits it, if there is one; the others are given back."""
        left, self.ahead = list(self.ahead), ()
        found: list[Ahead | None] = []
        for shot in shots:
            found.append(next((one for one in left if one.fits(shot.target.account.id, shot.count)), None))
            left = [one for one in left if one is not found[-1]]
        self.services.pacing.give_back(*left)
        return found

    async def _serve(
        self, shot: Shot, candidate: Candidate, others: Sequence[Candidate], ahead: Ahead | None
    ) -> list[ShotResult]:
        fresh = False
        for number in count(1):
            with self.services.targets.visit(candidate.target) as visit:
                attempt = await self._attempt(shot, candidate, visit, ahead, last_resort=not others, fresh=fresh)
                result = visit.result = await self._settled(shot, candidate, attempt)
            if attempt.too_large and self.pursuit.left_s() > 0:
                return await self.obtain(shot.count, (candidate, *others), is_further=True)
            fault = _ending(attempt.outcome, result)
            if fault is None:
                return [result]
            ready = _ready(others, self.services)
            decision = retrying.after(
                fault,
                attempt=number,
                left_s=0.0 if attempt.order is None else self.trying_s(),  # who had no patience left waits no more
                others=bool(ready),
                jitter=self.services.world.jitter(),
                refusals_go_on=self.plan.route.on_refusal is OnRefusal.NEXT_TARGET,
            )
            if isinstance(decision, retrying.Again) and self._may_repeat(decision, candidate):
                fresh = decision.fresh_credential
                shut_s = 0.0 if fresh else self.services.targets.wait_s(candidate.target)
                await self.services.world.sleep(max(decision.wait_s, shut_s))
            elif not isinstance(decision, retrying.GiveUp) and self._may_go_on(fault, candidate, ready):
                return await self.obtain(shot.count, ready, is_further=True)
            else:
                return [self._with_wait(result, candidate)]
        raise AssertionError("count() does not end")

    def _with_wait(self, result: ShotResult, candidate: Candidate) -> ShotResult:
        """The same; where the target is left alone from now on, its faults say for how long."""
        shut_s = self.services.targets.wait_s(candidate.target)
        if shut_s <= 0:
            return result
        least_s = max(shut_s, LEAST_WAIT_S)
        told = (replace(fault, retry_after_s=max(least_s, fault.retry_after_s or 0.0)) for fault in result.faults)
        return replace(result, faults=tuple(told))

    def _may_repeat(self, decision: retrying.Again, candidate: Candidate) -> bool:
        """Not what is left alone from now on; but a token that has run out is renewed in any case."""
        targets, target = self.services.targets, candidate.target
        is_soon = targets.wait_s(target) <= retrying.BACKOFF_FIRST_S
        granted = decision.fresh_credential or (is_soon and targets.grant_retry(target))
        if granted:
            self.services.tell(CallRetried(target.account.id))
        return granted

    def _may_go_on(self, fault: Fault, candidate: Candidate, ready: Sequence[Candidate]) -> bool:
        """Whether another target is asked; a refusal that the route passes on is no vendor's failure, and free."""
        if not ready or not self.has_time:
            return False
        failed, other = candidate.target, ready[0].target
        is_refusal = fault.code is ErrorCode.CONTENT_POLICY_VIOLATION
        granted = is_refusal or self.services.targets.grant_failover(failed, other)
        if granted:
            self.services.tell(FailedOver(self.plan.job.model, failed.account.id, other.account.id))
        return granted

    async def _attempt(
        self,
        shot: Shot,
        candidate: Candidate,
        visit: Visit,
        ahead: Ahead | None,
        *,
        last_resort: bool,
        fresh: bool,
    ) -> _Attempt:
        """One paid call, once its target lets it through and the account has a place for it, kept to the work's end."""
        account = candidate.target.account.id
        while True:
            if ahead is not None and not self.services.targets.lets_all_in(candidate.target):
                # Who waits for a probe's luck, or goes on to another target, keeps no place meanwhile.
                self.services.pacing.give_back(ahead)
            shut = await visit.enter(last_resort=last_resort, patience_s=self._patience_s(last_resort=last_resort))
            if shut is not None:
                return _Attempt(shut)
            waits_s, hold_s = self._patience_s(last_resort=last_resort), self.pursuit.left_s() + LATE_S
            async with self.services.pacing.place(
                account, shot.count, patience_s=waits_s, hold_s=hold_s, ahead=ahead
            ) as stay:
                if stay.refusal is not None:
                    return _Attempt(stay.refusal, too_large=stay.too_large)
                if visit.is_current:  # else the target was shut while this call waited for its place
                    attempt = await self._call(shot, candidate, stay, fresh=fresh)
                    stay.outcome = attempt.outcome
                    return attempt

    def _patience_s(self, *, last_resort: bool) -> float:
        return patience_s(self.trying_s(), self.allowed_s, others=not last_resort)

    async def _call(self, shot: Shot, candidate: Candidate, stay: Stay, *, fresh: bool) -> _Attempt:
        started = self.services.world.monotonic()
        entry = self.pursuit.log.plan(shot, candidate.price_microusd, stay.place)
        order = Order(shot, candidate.dialect, entry, candidate.ignored, stay.accepted)
        with vendor_call(self.services.traces, shot, candidate.dialect) as span:
            reply, outcome, polls = await self.pursuit.ask(order, fresh=fresh)
            tell_outcome(span, reply, outcome, polls)
        return _Attempt(outcome, order, reply, polls, started)

    async def _settled(self, shot: Shot, candidate: Candidate, attempt: _Attempt) -> ShotResult:
        if attempt.order is None:
            faults = (attempt.outcome,) if isinstance(attempt.outcome, Fault) else ()
            return ShotResult(shot.count, candidate.target.served_by, faults=faults)
        result = await self.pursuit.settled(attempt.order, attempt.reply, attempt.outcome)
        self.pursuit.tell(attempt.order, result, attempt.polls, attempt.started)
        return result


def _ending(outcome: Outcome, result: ShotResult) -> Fault | None:
    """The fault that a call ended with as a whole; None when it delivered, be it too little.

    Images that were all withheld, and not billed, are a refusal.
    """
    if not isinstance(outcome, Delivered):
        return result.faults[0]
    came_to_something = result.finished or result.billed or result.missing or result.faults
    return refusal("every image was withheld") if result.withheld and not came_to_something else None
