"""How the targets are, as this process has seen it: breakers, calls under way, and budgets for retries.

Nothing is shared between replicas: each learns within seconds by itself, and a replica that cannot reach a vendor
says nothing about the others.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Self

from gateway.domain.catalogue import Strategy, Target
from gateway.domain.errors import ErrorCode
from gateway.domain.exchange import Fault, Next
from gateway.domain.facts import BreakerMoved, Listener, RetryDenied
from gateway.domain.harvest import ShotResult
from gateway.edges.world import World
from gateway.policies.breaker import Breaker, BreakerRules, Pass, State, lesson_of
from gateway.policies.polling import Usual
from gateway.policies.retry_budget import RetryBudget
from gateway.policies.routing import Standing, order

__all__ = ["LEAST_WAIT_S", "Targets", "Visit"]

LEAST_WAIT_S = 1.0  # a breaker's end is no promise; a second is soon, and no hot loop

# What comes back by itself; a credential, a bill or a dead model wants a person.
_HEALS = frozenset(
    (
        *(ErrorCode.UPSTREAM_ERROR, ErrorCode.UPSTREAM_OVERLOADED, ErrorCode.UPSTREAM_TIMEOUT),
        *(ErrorCode.UPSTREAM_UNREACHABLE, ErrorCode.UPSTREAM_BAD_RESPONSE),
    )
)


class _Health:
    """One target's breaker with a clock and dice, and its calls under way. Calls `moved` when its state is another."""

    def __init__(self, rules: BreakerRules, world: World, moved: Callable[[], None]) -> None:
        self.breaker = Breaker(rules)
        self.visits = 0
        self._world, self._when_moved = world, moved
        self._because = ErrorCode.UPSTREAM_OVERLOADED
        self._no_probe_out = asyncio.Event()

    @property
    def wait_s(self) -> float:
        return self.breaker.wait_s(self._world.monotonic())

    def enter(self, *, early: bool) -> Pass | None:
        before = self.breaker.state
        given = self.breaker.enter(self._world.monotonic(), early=early)
        self._moved(before)
        return given

    def leave(self, given: Pass, result: ShotResult | None) -> None:
        before = self.breaker.state
        counted = [fault.code for fault in result.faults if fault.counts_against_vendor] if result else []
        if counted:
            self._because = counted[0]
        self.breaker.leave(given, lesson_of(result), self._world.monotonic(), self._world.jitter())
        self._moved(before)

    async def await_probe(self, longest_s: float) -> None:
        """Wait for the end of the probe that is out."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, longest_s)):
                await self._no_probe_out.wait()

    def closed_door(self) -> Fault:
        """Why nothing is asked of the target at present: what it failed of. Nothing was sent."""
        return Fault(
            self._because,
            Next.RETRY if self._because in _HEALS else Next.ELSEWHERE,
            may_have_billed=False,
            counts_against_vendor=False,
            retry_after_s=max(LEAST_WAIT_S, self.wait_s),
            detail="left alone, since it failed too often",
        )

    def _moved(self, before: State) -> None:
        if self.breaker.is_probed:
            self._no_probe_out.clear()
        else:
            self._no_probe_out.set()
        if self.breaker.state is not before:
            self._when_moved()


class Visit:
    """One call to a target, from the wish to make it to its end. Set `result` to what came of it."""

    def __init__(self, health: _Health, world: World) -> None:
        self.result: ShotResult | None = None
        self._health, self._world = health, world
        self._given: Pass | None = None

    def __enter__(self) -> Self:
        self._health.visits += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._health.visits -= 1
        self.leave()

    async def enter(self, *, last_resort: bool, patience_s: float) -> Fault | None:
        """Ask to be let through; the fault is a refusal.

        A last resort, with nowhere else to go, need not wait for the end of the target's cool-down; while a probe is
        out it waits up to `patience_s` for that one's luck.
        """
        self.leave()
        until = self._world.monotonic() + patience_s
        self._given = self._health.enter(early=last_resort)
        while self._given is None and last_resort and self._health.breaker.is_probed:
            left_s = until - self._world.monotonic()
            if left_s <= 0:
                break
            await self._health.await_probe(left_s)
            self._given = self._health.enter(early=self._health.breaker.state is State.HALF_OPEN)
        return None if self._given is not None else self._health.closed_door()

    @property
    def is_current(self) -> bool:
        """Whether the target stands as it stood when this visit was let through."""
        return self._given is not None and self._health.breaker.is_current(self._given)

    def leave(self) -> None:
        """The call is over, and its target learns from `result`."""
        if self._given is not None:
            given, self._given = self._given, None
            self._health.leave(given, self.result)


class Targets:
    """The health of all targets. `retry_share` is how many retries each request to an account brings it."""

    def __init__(self, rules: BreakerRules, retry_share: float, world: World, tell: Listener) -> None:
        self._rules, self._retry_share = rules, retry_share
        self._world, self._tell = world, tell
        self._health: dict[tuple[str, str, str], _Health] = {}
        self._budgets: dict[str, RetryBudget] = {}
        self._told: dict[str, State] = {}
        self._usual: dict[tuple[str, str, int], Usual] = {}

    def adopt(self, rules: BreakerRules, retry_share: float, *, afresh: bool) -> None:
        """Go by these rules from now on; `afresh` forgets how the targets were, since their accounts are others now."""
        self._rules, self._retry_share = rules, retry_share
        self._budgets.clear()
        if afresh:
            self._health.clear()
            for account in [account for account, state in self._told.items() if state is not State.CLOSED]:
                self._told[account] = State.CLOSED
                self._tell(BreakerMoved(account, State.CLOSED.value))
        for health in self._health.values():
            health.breaker.rules = rules

    def rank(self, strategy: Strategy, priced: Sequence[tuple[Target, int]]) -> Sequence[int]:
        """Places of targets, best first, each given with what an image of the job costs there."""
        return order([self._standing(*one) for one in priced], strategy, self._world.jitter())

    def wait_s(self, target: Target) -> float:
        """Seconds until a call is let through; 0.0 when one would be now."""
        return self._of(target).wait_s

    def may_call(self, target: Target) -> bool:
        """Whether a call would be let through now."""
        return self.wait_s(target) <= 0

    def lets_all_in(self, target: Target) -> bool:
        """Whether no call to it has to wait for the luck of another one."""
        return self._of(target).breaker.state is State.CLOSED

    def usual_s(self, target: Target, images: int) -> float:
        """How long a call for so many images takes the vendor, at the quicker end; 0.0 while that is not known."""
        known = self._usual.get((target.account.id, target.model, images))
        return 0.0 if known is None else known.seconds

    def took(self, target: Target, images: int, seconds: float) -> None:
        """A call for so many images was found done, so long after it was sent."""
        self._usual.setdefault((target.account.id, target.model, images), Usual()).note(seconds)

    def count_requests(self, target: Target, calls: int) -> None:
        """So many first calls are about to be made: each brings a share of a retry."""
        for _ in range(calls):
            self._budget(target).request(self._world.monotonic())

    def grant_retry(self, target: Target) -> bool:
        """Whether a call to `target` that failed may be made once more; spends of its account's budget."""
        granted = self._budget(target).take(self._world.monotonic())
        if not granted:
            self._tell(RetryDenied(target.account.id))
        return granted

    def grant_failover(self, failed: Target, other: Target) -> bool:
        """Whether what `failed` at one target may be asked of `other`.

        Spends as a retry does, of the failed one's account; but a target that is known to be well is not refused for
        want of budget, since one call there is no storm.
        """
        if not self._of(other).breaker.is_well:
            return self.grant_retry(failed)
        self._budget(failed).take(self._world.monotonic())
        return True

    def visit(self, target: Target) -> Visit:
        """To be entered for as long as from the wish to call a target to the end of the call, waiting included."""
        return Visit(self._of(target), self._world)

    def _standing(self, target: Target, price_microusd: int) -> Standing:
        health = self._of(target)
        return Standing(health.wait_s, target.weight, health.visits, price_microusd)

    def _of(self, target: Target) -> _Health:
        account = target.account.id
        key = (account, target.dialect, target.model)
        if key not in self._health:
            self._health[key] = _Health(self._rules, self._world, partial(self._tell_moves, account))
        return self._health[key]

    def _tell_moves(self, account: str) -> None:
        """An account is as bad as its worst target."""
        states = {health.breaker.state for key, health in self._health.items() if key[0] == account}
        worst = next((state for state in (State.OPEN, State.HALF_OPEN) if state in states), State.CLOSED)
        if worst is not self._told.get(account, State.CLOSED):
            self._told[account] = worst
            self._tell(BreakerMoved(account, worst.value))

    def _budget(self, target: Target) -> RetryBudget:
        account = target.account.id
        if account not in self._budgets:
            self._budgets[account] = RetryBudget(self._retry_share)
        return self._budgets[account]
