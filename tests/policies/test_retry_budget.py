from hypothesis import given
from hypothesis import strategies as st

from gateway.policies.retry_budget import RESERVE_PER_S, TTL_S, RetryBudget

steps = st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=300)


@given(share=st.floats(0.001, 1), steps=steps)
def test_retries_never_exceed_the_share_of_the_requests_and_the_reserve(
    share: float, steps: list[tuple[float, bool]]
) -> None:
    budget, now_s, requests, granted = RetryBudget(share), 0.0, 0, 0
    for passed_s, is_request in steps:
        now_s += passed_s
        if is_request:
            budget.request(now_s)
            requests += 1
        else:
            granted += budget.take(now_s)
        assert granted <= requests * (share + 0.0005) + RESERVE_PER_S * (now_s + TTL_S) + 1e-6


@given(share=st.floats(0.001, 1), before=steps)
def test_after_ten_quiet_seconds_a_retry_is_always_granted(share: float, before: list[tuple[float, bool]]) -> None:
    budget, now_s = RetryBudget(share), 0.0
    for passed_s, is_request in before:
        now_s += passed_s
        budget.request(now_s) if is_request else budget.take(now_s)
    assert budget.take(now_s + TTL_S)


def test_ten_requests_bring_one_retry_beside_the_reserve() -> None:
    budget = RetryBudget(0.1, per_s=0.0)
    for _ in range(9):
        budget.request(0.0)
    assert not budget.take(0.0)
    budget.request(0.5)
    assert budget.take(0.5)
    assert not budget.take(0.5)


def test_what_requests_brought_is_void_after_its_time() -> None:
    budget = RetryBudget(1.0, per_s=0.0)
    budget.request(0.0)
    budget.request(6.0)
    assert budget.take(10.5)
    assert not budget.take(10.5)


def test_one_retry_a_second_is_allowed_without_any_requests() -> None:
    budget = RetryBudget(0.1)
    assert sum(budget.take(0.0) for _ in range(50)) == RESERVE_PER_S * TTL_S
    assert [budget.take(second) for second in (0.5, 1.0, 1.5, 2.0)] == [False, True, False, True]
