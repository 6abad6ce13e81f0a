from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.domain import faults
from gateway.domain.exchange import Fault
from gateway.domain.harvest import Finished, ShotResult
from gateway.domain.picture import ImageFormat
from gateway.policies.breaker import LONGEST_COOLDOWNS, Breaker, BreakerRules, Lesson, Pass, State, lesson_of

RULES = BreakerRules(failures=0.5, over=10, window_s=30.0, cooldown_s=5.0)
LONGEST_S = RULES.cooldown_s * LONGEST_COOLDOWNS


def call(breaker: Breaker, lesson: Lesson, now_s: float, *, early: bool = False) -> None:
    passed = breaker.enter(now_s, early=early)
    assert passed is not None
    breaker.leave(passed, lesson, now_s, 0.5)


def stands(breaker: Breaker) -> State:
    """Asked anew each time: a type checker takes a property for a constant."""
    return breaker.state


def opened(now_s: float = 0.0) -> Breaker:
    breaker = Breaker(RULES)
    for _ in range(RULES.over):
        call(breaker, Lesson.FAILED, now_s)
    assert stands(breaker) is State.OPEN
    return breaker


def result(*of: Fault, finished: int = 0, withheld: int = 0) -> ShotResult:
    images = tuple(Finished(ImageFormat.PNG) for _ in range(finished))
    return ShotResult(1, "vendor/model", finished=images, withheld=withheld, faults=of)


def test_fewer_calls_than_are_judged_open_nothing() -> None:
    breaker = Breaker(RULES)
    for _ in range(RULES.over - 1):
        call(breaker, Lesson.FAILED, 0.0)
    assert stands(breaker) is State.CLOSED
    assert not breaker.is_well


def test_half_of_ten_calls_open_it() -> None:
    breaker = Breaker(RULES)
    for _ in range(5):
        call(breaker, Lesson.SERVED, 0.0)
    for _ in range(4):
        call(breaker, Lesson.FAILED, 1.0)
    assert stands(breaker) is State.CLOSED
    call(breaker, Lesson.FAILED, 2.0)
    assert stands(breaker) is State.OPEN


def test_failures_in_a_row_open_it_however_many_were_served_before() -> None:
    breaker = Breaker(RULES)
    for _ in range(200):
        call(breaker, Lesson.SERVED, 0.0)
    for _ in range(RULES.over):
        call(breaker, Lesson.FAILED, 1.0)
    assert stands(breaker) is State.OPEN


def test_failures_older_than_the_window_are_forgotten() -> None:
    breaker = Breaker(RULES)
    for _ in range(9):
        call(breaker, Lesson.FAILED, 0.0)
    call(breaker, Lesson.SERVED, 20.0)
    for _ in range(8):
        call(breaker, Lesson.FAILED, 40.0)
    assert stands(breaker) is State.CLOSED


def test_an_open_target_is_probed_by_one_call_and_comes_back_with_it() -> None:
    breaker = opened()
    wait_s = breaker.wait_s(0.0)
    assert 0 < wait_s <= RULES.cooldown_s
    assert breaker.enter(wait_s - 0.01) is None
    probe = breaker.enter(wait_s)
    assert probe is not None
    assert stands(breaker) is State.HALF_OPEN
    assert breaker.enter(wait_s + 100) is None
    assert breaker.enter(wait_s + 100, early=True) is None
    breaker.leave(probe, Lesson.SERVED, wait_s + 1, 0.5)
    assert stands(breaker) is State.CLOSED
    assert breaker.enter(wait_s + 1) is not None


@given(jitters=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=20))
def test_the_cool_down_grows_with_failed_probes_up_to_its_cap(jitters: list[float]) -> None:
    breaker, now_s, waits = opened(), 0.0, []
    for jitter in jitters:
        now_s += breaker.wait_s(now_s) + 0.001
        probe = breaker.enter(now_s)
        assert probe is not None
        breaker.leave(probe, Lesson.FAILED, now_s, jitter)
        waits.append(breaker.wait_s(now_s))
    rounding_s = 1e-6  # a difference of two times is not exact
    assert all(0.74 * RULES.cooldown_s < wait_s <= LONGEST_S + rounding_s for wait_s in waits)
    assert all(wait_s > 0.74 * LONGEST_S for wait_s in waits[1:])


@given(
    failed_probes=st.integers(0, 20),
    jitter=st.floats(0, 1, exclude_max=True),
    since_opened=st.floats(0, 1, exclude_max=True),
)
def test_as_shipped_a_vendor_that_has_healed_is_back_within_thirty_seconds(
    failed_probes: int, jitter: float, since_opened: float
) -> None:
    breaker, now_s = Breaker(BreakerRules()), 0.0
    for _ in range(breaker.rules.over):
        call(breaker, Lesson.FAILED, now_s)
    for _ in range(failed_probes):
        now_s += breaker.wait_s(now_s)
        probe = breaker.enter(now_s)
        assert probe is not None
        breaker.leave(probe, Lesson.FAILED, now_s, jitter)
    healed_s = now_s = now_s + since_opened * breaker.wait_s(now_s)
    while stands(breaker) is not State.CLOSED:
        now_s += 1.0  # a request a second
        if (probe := breaker.enter(now_s)) is not None:
            breaker.leave(probe, Lesson.SERVED, now_s, jitter)
        assert now_s - healed_s <= 30.0


def test_a_last_resort_does_not_wait_for_the_cool_down() -> None:
    breaker = opened()
    assert breaker.enter(0.0) is None
    call(breaker, Lesson.SERVED, 0.0, early=True)
    assert stands(breaker) is State.CLOSED


def test_what_is_out_of_order_opens_it_at_once_and_for_longest() -> None:
    breaker = Breaker(RULES)
    call(breaker, Lesson.OUT_OF_ORDER, 0.0)
    assert stands(breaker) is State.OPEN
    assert 0.74 * LONGEST_S < breaker.wait_s(0.0) <= LONGEST_S


def test_a_probe_that_taught_nothing_is_followed_by_another() -> None:
    breaker = opened()
    call(breaker, Lesson.NOTHING, 10.0)
    assert stands(breaker) is State.HALF_OPEN
    call(breaker, Lesson.SERVED, 10.0)
    assert stands(breaker) is State.CLOSED


def test_calls_that_began_before_it_opened_do_not_decide_about_its_return() -> None:
    breaker = Breaker(RULES)
    late = [breaker.enter(0.0) for _ in range(3)]
    for _ in range(RULES.over):
        call(breaker, Lesson.FAILED, 0.0)
    for passed in late:
        assert passed is not None
        breaker.leave(passed, Lesson.SERVED, 1.0, 0.5)
    assert stands(breaker) is State.OPEN


CALLERS_DOING = [
    faults.refusal("moderated"),
    faults.refusal("moderated, and billed", may_have_billed=True),
    faults.rejected("no such option"),
    faults.bad_prompt("too long"),
    faults.throttled("too fast", 3.0),
    faults.no_image("words only"),
]


@given(st.lists(st.sampled_from(CALLERS_DOING), max_size=200), st.floats(0, 0.99))
def test_a_callers_bad_requests_never_open_it(ends: list[Fault], jitter: float) -> None:
    breaker = Breaker(RULES)
    for number, fault in enumerate(ends):
        passed = breaker.enter(number / 10)
        assert passed is not None
        breaker.leave(passed, lesson_of(result(fault)), number / 10, jitter)
    assert stands(breaker) is State.CLOSED
    assert breaker.is_well


@pytest.mark.parametrize(
    ("ended", "lesson"),
    [
        (result(finished=1), Lesson.SERVED),
        (result(withheld=1), Lesson.NOTHING),
        (None, Lesson.NOTHING),
        (result(faults.failed("500", may_have_billed=True)), Lesson.FAILED),
        (result(faults.timed_out("late")), Lesson.FAILED),
        (result(faults.overloaded("503", None)), Lesson.FAILED),
        (result(faults.unusable("half an image"), finished=3), Lesson.FAILED),
        (result(faults.bad_credential("401")), Lesson.OUT_OF_ORDER),
        (result(faults.no_money("402")), Lesson.OUT_OF_ORDER),
        (result(faults.dead_model("404")), Lesson.OUT_OF_ORDER),
        (result(faults.bad_credential("stale token", transient=True)), Lesson.FAILED),
    ],
)
def test_only_what_the_vendor_did_teaches(ended: ShotResult | None, lesson: Lesson) -> None:
    assert lesson_of(ended) is lesson


ROUNDING_S = 1e-9  # moments are floating-point numbers, and a wait is the difference of two


class AnyLife(RuleBasedStateMachine):
    """Calls that overlap in every way, with time passing."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(RULES)
        self.now_s = 0.0
        self.under_way: list[Pass] = []

    @rule(seconds=st.floats(0, 40))
    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(early=st.booleans())
    def enter(self, early: bool) -> None:
        closed, wait_s = self.breaker.state is State.CLOSED, self.breaker.wait_s(self.now_s)
        probed = self.breaker.is_probed
        passed = self.breaker.enter(self.now_s, early=early)
        assert (passed is not None) == (closed or (not probed and (early or wait_s <= 0)))
        if passed is not None:
            self.under_way.append(passed)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), lesson=st.sampled_from(Lesson), jitter=st.floats(0, 1, exclude_max=True))
    def leave(self, data: Any, lesson: Lesson, jitter: float) -> None:
        passed = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        before = self.breaker.state
        self.breaker.leave(passed, lesson, self.now_s, jitter)
        if self.breaker.state is State.CLOSED and before is not State.CLOSED:
            assert passed.probe
            assert lesson is Lesson.SERVED

    @invariant()
    def at_most_one_probe_is_out_and_nobody_waits_longer_than_the_cap(self) -> None:
        current = [one for one in self.under_way if one.probe and self.breaker.is_current(one)]
        assert len(current) == int(self.breaker.is_probed)
        assert self.breaker.wait_s(self.now_s) <= LONGEST_S + ROUNDING_S
        assert (self.breaker.state is State.CLOSED) <= (self.breaker.wait_s(self.now_s) == 0)


TestAnyLife = AnyLife.TestCase
