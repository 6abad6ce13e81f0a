import asyncio
from collections.abc import Callable

import pytest

from gateway.domain import faults
from gateway.domain.catalogue import Account, Strategy, Target
from gateway.domain.errors import ErrorCode
from gateway.domain.exchange import Fault, Next
from gateway.domain.facts import BreakerMoved, Fact, RetryDenied
from gateway.domain.harvest import Finished, ShotResult
from gateway.domain.money import Price
from gateway.domain.picture import ImageFormat
from gateway.edges.targets import Targets
from gateway.edges.world import World
from gateway.policies.breaker import BreakerRules

RULES = BreakerRules(over=3, cooldown_s=5.0)
FIRST = Target(Account("first", "openai"), "openai_images", "gpt-image-2", Price(flat=1))
SECOND = Target(Account("second", "openai"), "openai_images", "gpt-image-2", Price(flat=1))
SERVED = ShotResult(1, "openai/gpt-image-2", finished=(Finished(ImageFormat.PNG),))
FAILED = ShotResult(1, "openai/gpt-image-2", faults=(faults.overloaded("503", None),))
UNPAID = ShotResult(1, "openai/gpt-image-2", faults=(faults.no_money("402"),))


class Clock(World):
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def jitter(self) -> float:
        return 0.5


class House:
    def __init__(self) -> None:
        self.clock = Clock()
        self.facts: list[Fact] = []
        self.entered = 0
        self.targets = Targets(RULES, 0.1, self.clock, self.facts.append)

    async def call(self, target: Target, result: ShotResult | None, *, last_resort: bool = False) -> Fault | None:
        with self.targets.visit(target) as visit:
            refusal = await visit.enter(last_resort=last_resort, patience_s=0.0)
            visit.result = result
            return refusal

    async def break_down(self, target: Target) -> None:
        for _ in range(RULES.over):
            assert await self.call(target, FAILED) is None

    @property
    def moves(self) -> list[str]:
        return [fact.state for fact in self.facts if isinstance(fact, BreakerMoved)]


@pytest.fixture
def house() -> House:
    return House()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def test_a_target_that_fails_is_left_alone_and_says_of_what_it_failed(house: House) -> None:
    await house.break_down(FIRST)
    assert not house.targets.may_call(FIRST)
    assert house.targets.may_call(SECOND)
    refusal = await house.call(FIRST, SERVED)
    assert refusal is not None
    assert (refusal.code, refusal.next) == (ErrorCode.UPSTREAM_OVERLOADED, Next.RETRY)
    assert not refusal.may_have_billed
    assert not refusal.counts_against_vendor
    assert refusal.retry_after_s == pytest.approx(5.0 * 0.875)
    assert house.moves == ["open"]


async def test_a_door_closed_for_want_of_money_does_not_promise_that_waiting_helps(house: House) -> None:
    assert await house.call(FIRST, UNPAID) is None
    refusal = await house.call(FIRST, SERVED)
    assert refusal is not None
    assert (refusal.code, refusal.next) == (ErrorCode.UPSTREAM_BILLING, Next.ELSEWHERE)


async def test_it_comes_back_with_one_probe_after_its_cool_down(house: House) -> None:
    await house.break_down(FIRST)
    house.clock.seconds = 5.0
    assert house.targets.may_call(FIRST)
    assert await house.call(FIRST, SERVED) is None
    assert house.moves == ["open", "half_open", "closed"]


async def test_a_last_resort_probes_at_once(house: House) -> None:
    await house.break_down(FIRST)
    assert await house.call(FIRST, SERVED, last_resort=True) is None
    assert await house.call(FIRST, SERVED) is None


async def test_who_has_nowhere_else_to_go_waits_for_the_probes_luck(house: House) -> None:
    await house.break_down(FIRST)
    let_in: list[Fault | None] = []

    async def wait_for_it() -> None:
        house.entered += 1
        with house.targets.visit(FIRST) as visit:
            let_in.append(await visit.enter(last_resort=True, patience_s=60.0))
            visit.result = SERVED

    with house.targets.visit(FIRST) as probe:
        assert await probe.enter(last_resort=True, patience_s=0.0) is None
        async with asyncio.TaskGroup() as tasks:
            for _ in range(5):
                tasks.create_task(wait_for_it())
            await until(lambda: house.entered == 5)
            assert let_in == []
            probe.result = SERVED
            probe.leave()
    assert let_in == [None] * 5


async def test_when_the_probe_fails_those_who_waited_are_sent_away(house: House) -> None:
    await house.break_down(FIRST)
    with house.targets.visit(FIRST) as probe, house.targets.visit(FIRST) as other:
        assert await probe.enter(last_resort=True, patience_s=0.0) is None
        waiting = asyncio.create_task(other.enter(last_resort=True, patience_s=60.0))
        await asyncio.sleep(0)
        probe.result = FAILED
        probe.leave()
        refusal = await waiting
    assert refusal is not None
    assert refusal.retry_after_s == pytest.approx(10.0 * 0.875)


async def test_a_probe_that_is_given_up_does_not_lock_the_target_out(house: House) -> None:
    await house.break_down(FIRST)
    house.clock.seconds = 5.0
    assert await house.call(FIRST, None) is None
    assert house.targets.may_call(FIRST)
    assert await house.call(FIRST, SERVED) is None
    assert house.moves == ["open", "half_open", "closed"]


async def test_a_visit_knows_when_the_target_was_shut_while_it_waited(house: House) -> None:
    with house.targets.visit(FIRST) as early:
        assert await early.enter(last_resort=False, patience_s=0.0) is None
        assert early.is_current
        await house.break_down(FIRST)
        assert not early.is_current


async def test_targets_are_ranked_by_health_and_by_the_calls_under_way(house: House) -> None:
    both = [(FIRST, 20), (SECOND, 10)]
    with house.targets.visit(FIRST):
        assert list(house.targets.rank(Strategy.ORDERED, both)) == [0, 1]
        assert list(house.targets.rank(Strategy.LEAST_BUSY, both)) == [1, 0]
        assert list(house.targets.rank(Strategy.CHEAPEST, both)) == [1, 0]
    assert list(house.targets.rank(Strategy.LEAST_BUSY, both)) == [0, 1]
    await house.break_down(FIRST)
    assert list(house.targets.rank(Strategy.ORDERED, both)) == [1, 0]


async def test_an_account_is_told_to_be_as_bad_as_its_worst_model(house: House) -> None:
    other = Target(FIRST.account, "openai_images", "another", Price(flat=1))
    await house.break_down(other)
    await house.break_down(FIRST)
    assert house.moves == ["open"]
    for target in (FIRST, other):
        await house.call(target, SERVED, last_resort=True)
    assert house.moves == ["open", "half_open", "closed"]


async def test_other_accounts_begin_in_good_health(house: House) -> None:
    await house.break_down(FIRST)
    house.targets.adopt(RULES, 0.1, afresh=False)
    assert not house.targets.may_call(FIRST)
    with house.targets.visit(FIRST) as visit:
        house.targets.adopt(RULES, 0.1, afresh=True)
        assert house.targets.may_call(FIRST)
        assert house.moves == ["open", "closed"]
        assert await visit.enter(last_resort=False, patience_s=0.0) is not None  # a request keeps what it began with


async def test_new_rules_hold_at_once(house: House) -> None:
    house.targets.adopt(BreakerRules(over=2), 0.1, afresh=False)
    await house.call(FIRST, FAILED)
    house.targets.adopt(BreakerRules(over=1), 0.1, afresh=False)
    await house.call(FIRST, FAILED)
    assert house.moves == ["open"]


async def test_retries_are_granted_out_of_the_accounts_budget(house: House) -> None:
    granted = [house.targets.grant_retry(FIRST) for _ in range(11)]
    assert granted == [True] * 10 + [False]
    assert house.facts == [RetryDenied("first")]
    assert house.targets.grant_retry(SECOND)
    house.targets.count_requests(FIRST, 10)
    assert house.targets.grant_retry(FIRST)


async def test_a_failover_to_a_target_in_good_health_needs_no_budget_and_to_an_ailing_one_does(house: House) -> None:
    assert all(house.targets.grant_failover(FIRST, SECOND) for _ in range(20))
    assert not house.targets.grant_retry(FIRST)
    await house.call(SECOND, FAILED)
    assert not house.targets.grant_failover(FIRST, SECOND)
    await house.call(SECOND, SERVED)
    assert house.targets.grant_failover(FIRST, SECOND)
