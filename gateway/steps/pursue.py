"""Part of step 6 · one paid call, from its first byte until its images are in the store: send, follow, collect.

The same for a call of this replica and for one that a dead replica made: only the sending is left out there.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from math import inf

from gateway.attempt_log import AttemptLog
from gateway.domain.catalogue import Route
from gateway.domain.errors import ErrorCode
from gateway.domain.exchange import (
    Delivered,
    Fault,
    HttpCall,
    HttpReply,
    Next,
    Outcome,
    Pending,
    Picture,
    Remote,
)
from gateway.domain.facts import ClientLeft, LateSuccess, ShotEnded
from gateway.domain.harvest import Finished, ShotResult
from gateway.domain.job import Job, Shot
from gateway.domain.picture import Blob
from gateway.domain.record import Attempt
from gateway.operation import Operation
from gateway.policies import polling
from gateway.policies.callbacks import Callback
from gateway.policies.prompt_echo import without_prompt
from gateway.policies.verdict import timed_out
from gateway.services import Services
from gateway.steps.searching import Order, found_again

__all__ = ["Finish", "Order", "Pursuit"]

Finish = Callable[[Blob, Picture, Attempt, int], Awaitable[Finished | Fault]]
"""Checks, fits and stores image number so-and-so of an attempt; a Fault when it cannot be delivered."""

LATE_S = 60.0
"""How long a call that was paid for is listened to beyond the deadline: the images may still come, and are kept."""

_LAST_LOOK_S = 5.0  # for the cancel and the look after it, once the deadline has passed
_SEARCH_S = 5.0  # for a lost reply: the prediction was begun a while ago, and its client waits
_REFUSED_LOOKS = 5  # a record may take a second to show up everywhere; five looks take three or more
_PASSING_STATUSES = (408, 429)
_REJOIN_S = 3.0  # an SDK whose patience has ended asks again within a second or two
_TOO_LATE = Fault(ErrorCode.UPSTREAM_TIMEOUT, Next.STOP, may_have_billed=True, counts_against_vendor=True)
_NOBODY_WAITS = Fault(
    ErrorCode.REQUEST_TIMEOUT,
    Next.STOP,
    may_have_billed=False,
    counts_against_vendor=False,
    detail="the client left before anything was bought",
)


@dataclass(frozen=True, slots=True)
class Pursuit:
    """Follows the calls of one operation until `deadline`, a moment of the monotonic clock."""

    operation: Operation
    route: Route
    log: AttemptLog
    finish: Finish
    services: Services
    deadline: float

    @property
    def job(self) -> Job:
        """What was asked for."""
        return self.operation.job

    def left_s(self) -> float:
        """What is left of the deadline; negative once it has passed."""
        return self.deadline - self.services.world.monotonic()

    async def ask(self, order: Order, *, fresh: bool) -> tuple[HttpReply | None, Outcome, int]:
        """Make the call and look after it until it is over: the last reply, its meaning, how often we looked."""
        if self.operation.abandoned_for_s(self.services.world.monotonic()) > 0:
            self.services.tell(ClientLeft("before_paid"))
            return None, _NOBODY_WAITS, 0
        unwritten = await self.log.send(order.attempt)
        if unwritten is not None:
            return None, unwritten, 0
        return await self.follow(order, *await self._made(order, fresh=fresh))

    async def _made(self, order: Order, *, fresh: bool) -> tuple[HttpReply | None, Outcome]:
        """The call itself, found again where its reply was lost. What it weighs is not kept while its work goes on."""
        account = order.shot.target.account
        late = asyncio.get_running_loop().call_later(max(0.0, self.left_s()), self._give_up_on_the_client)
        try:
            webhook = self._webhook(order)
            shot = order.shot if webhook is None else replace(order.shot, webhook=webhook)
            call = order.dialect.call_for(shot, account)
            reply, outcome = await self._exchange(call, order, max(1.0, self.left_s()) + LATE_S, fresh=fresh)
        finally:
            late.cancel()
        if reply is None and isinstance(outcome, Fault) and outcome.may_have_billed:
            outcome = await found_again(order, self.operation, self.services, _SEARCH_S, self.left_s()) or outcome
        return reply, outcome

    async def follow(
        self, order: Order, reply: HttpReply | None, outcome: Outcome
    ) -> tuple[HttpReply | None, Outcome, int]:
        """Look after pending work until it is over, or the deadline has passed."""
        polls = refused = 0
        is_promised = reply is not None and self._webhook(order) is not None
        while isinstance(outcome, Pending):
            reply = None  # a parsed reply weighs more than all else that is known of the work
            order.taken()
            await self.log.accept(order.attempt, outcome)
            wait_s = self._wait_s(outcome, order, polls + 1, is_promised=is_promised)
            if wait_s >= self.left_s() or self._is_unwanted(outcome):
                return *await self._abandon(outcome, order), polls + 1
            if is_promised:
                is_promised = not await self._called_back(order, outcome, wait_s)
            else:
                await self._sleep(wait_s, outcome)
            polls += 1
            reply, seen = await self._exchange(outcome.check, order, max(1.0, self.left_s()))
            if reply is not None and reply.status < 400:
                outcome, refused = seen, 0
                continue
            # A look that failed says nothing about the work, which goes on and is paid for; only a vendor that
            # keeps refusing to be asked is believed.
            refused = refused + 1 if _is_refused(reply) else 0
            if refused == _REFUSED_LOOKS and isinstance(seen, Fault):
                outcome = replace(seen, next=Next.STOP, may_have_billed=True, transient_auth=False)
        if polls and isinstance(outcome, Delivered):
            self.services.targets.took(order.shot.target, order.shot.count, self._elapsed_s(order))
        return reply, outcome, polls

    def _elapsed_s(self, order: Order) -> float:
        """Since the call was sent, also by another replica: its clock may differ from ours, and a clock may jump."""
        return max(0.0, self.services.world.now() - order.attempt.sent_s)

    def _wait_s(self, pending: Pending, order: Order, look: int, *, is_promised: bool) -> float:
        """Until the next look; within the deadline, whatever is usual. A vendor that calls back is listened for."""
        jitter, elapsed_s = self.services.world.jitter(), self._elapsed_s(order)
        soon_s = polling.wait_s(pending.wait_s, look, jitter)
        if is_promised:
            return soon_s
        usual_s = self.services.targets.usual_s(order.shot.target, order.shot.count)
        wait_s = polling.wait_s(pending.wait_s, look, jitter, usual_s=usual_s, elapsed_s=elapsed_s)
        return max(soon_s, min(wait_s, self.left_s() - soon_s))

    async def _sleep(self, wait_s: float, pending: Pending) -> None:
        """Wait; no longer than it takes to notice that nobody wants it any more."""
        ends_at = self.services.world.monotonic() + wait_s
        while (left_s := min(ends_at - self.services.world.monotonic(), self._wanted_s(pending))) > 0:
            await self.services.world.sleep(left_s)

    async def settled(self, order: Order, reply: HttpReply | None, outcome: Outcome) -> ShotResult:
        """Bring in the images of a call that is over, and write down how it ended."""
        result = await self._result(order, reply, outcome)
        self.log.end(order.attempt, result)
        if result.finished and self.operation.is_late:
            self.services.tell(LateSuccess(order.shot.target.account.id))
        return result

    def tell(self, order: Order, result: ShotResult, polls: int, started: float) -> None:
        """Let the metrics know of a call that is over."""
        account = order.shot.target.account
        self.services.tell(
            ShotEnded(
                model=self.job.model,
                account=account.id,
                vendor=account.vendor,
                native_model=order.shot.model,
                code=result.faults[0].code if result.faults else "ok",
                seconds=self.services.world.monotonic() - started,
                polls=polls,
                delivered=len(result.finished),
                billed=result.billed,
                cost_microusd=result.cost_microusd,
                detail=without_prompt("; ".join(fault.detail for fault in result.faults), self.job.prompt),
            )
        )

    def _webhook(self, order: Order) -> str | None:
        """Where the vendor is to tell of this call's end; None where it cannot, or is not to."""
        base, record = self.services.callbacks.url, self.operation.record
        if base is None or order.dialect.callback is None:
            return None
        return Callback(order.shot.target.account.id, record.id, order.attempt.number).url(base)

    async def _called_back(self, order: Order, pending: Pending, wait_s: float) -> bool:
        """Wait until the vendor has called, or for as long as one may rely on that; whether it has."""
        return await self.services.callbacks.bells.wait(
            self.operation.id,
            order.attempt.number,
            every_s=wait_s,
            most_s=self.left_s() - wait_s,
            enough=lambda: self._is_unwanted(pending),
        )

    def _give_up_on_the_client(self) -> None:
        """The deadline has passed inside a paid call: the client gets its answer now, the images are still awaited."""
        if not self.job.partial_allowed:
            self.operation.is_late = True
            self.operation.fail(timed_out(self.operation.id))

    def _is_unwanted(self, pending: Pending) -> bool:
        """Whether stopping it now costs nothing, and nobody would miss it."""
        return self._wanted_s(pending) <= 0

    def _wanted_s(self, pending: Pending) -> float:
        """For how long it is surely wanted from now on, whatever its client does."""
        if not pending.cancel_is_free:
            return inf
        return _REJOIN_S - self.operation.abandoned_for_s(self.services.world.monotonic())

    async def _abandon(self, pending: Pending, order: Order) -> tuple[HttpReply | None, Outcome]:
        """Cancel, then look once more, since it may have succeeded in the meantime."""
        if pending.cancel is not None:
            await self._exchange(pending.cancel, order, _LAST_LOOK_S)
        reply, outcome = await self._exchange(pending.check, order, _LAST_LOOK_S)
        return (reply, outcome) if not isinstance(outcome, Pending) else (None, _TOO_LATE)

    async def _exchange(
        self, call: HttpCall, order: Order, deadline_s: float, *, fresh: bool = False
    ) -> tuple[HttpReply | None, Outcome]:
        account = order.shot.target.account
        answer = await self.services.upstreams.send(
            account.id, order.dialect, call, deadline_s=deadline_s, fresh_credential=fresh
        )
        if isinstance(answer, Fault):
            return None, answer
        outcome = order.dialect.outcome_of(answer, order.shot, account)
        if not isinstance(outcome, Delivered):
            self.services.upstreams.discard(answer)
        return answer, outcome

    async def _result(self, order: Order, reply: HttpReply | None, outcome: Outcome) -> ShotResult:
        shot, attempt = order.shot, order.attempt
        if not isinstance(outcome, Delivered) or reply is None:
            fault = outcome if isinstance(outcome, Fault) else _TOO_LATE
            cost = fault.billed * attempt.unit_microusd
            return ShotResult(
                shot.count,
                attempt.served_by,
                billed=fault.billed,
                cost_microusd=cost,
                faults=(fault,),
                unit_microusd=attempt.unit_microusd,
            )
        wanted = outcome.pictures[: shot.count]
        collecting = [self._collect(one, number, order, reply) for number, one in enumerate(wanted)]
        got = [await collecting[0]] if len(collecting) == 1 else await asyncio.gather(*collecting)
        self.services.upstreams.discard(reply)
        return ShotResult(
            asked=shot.count,
            served_by=attempt.served_by,
            finished=tuple(image for image in got if isinstance(image, Finished)),
            billed=outcome.billed,
            cost_microusd=outcome.billed * attempt.unit_microusd,
            withheld=min(outcome.withheld, shot.count - len(wanted)),
            missing=max(0, shot.count - len(wanted) - outcome.withheld),
            created=outcome.created,
            faults=tuple(image for image in got if isinstance(image, Fault)),
            ignored=order.ignored,
            unit_microusd=attempt.unit_microusd,
        )

    async def _collect(self, picture: Picture, number: int, order: Order, reply: HttpReply) -> Finished | Fault:
        shot = order.shot
        if self._may_pass_through(shot) and isinstance(picture.source, Remote):
            return Finished(shot.format, link=picture.source.url, revised_prompt=picture.revised_prompt)
        deadline_s = max(5.0, self.left_s())
        blob = await self.services.upstreams.collect(
            shot.target.account.id, order.dialect, picture.source, reply, deadline_s=deadline_s
        )
        if isinstance(blob, Fault):
            return blob
        image = await self.finish(blob, picture, order.attempt, number)
        if isinstance(image, Finished):
            self.log.store(order.attempt, image)
        return image

    def _may_pass_through(self, shot: Shot) -> bool:
        job = self.job
        native = shot.size == job.size and shot.format is job.format and job.output_compression is None
        return self.route.passthrough_url and job.wants_url and not job.stream and native


def _is_refused(reply: HttpReply | None) -> bool:
    """Whether the vendor will not show the work, rather than cannot at the moment."""
    return reply is not None and 400 <= reply.status < 500 and reply.status not in _PASSING_STATUSES
