import pytest

from gateway.domain.errors import ErrorCode
from gateway.domain.money import Budget
from gateway.policies.buckets import Dimension, Lease, Refused
from gateway.policies.limit_headers import refusal
from gateway.policies.purses import Closed, Purse, Settlement, Unaffordable, calls_for, purse_of

KEY = Purse("key", "web", Budget(per_day_microusd=100_000))


def test_a_budget_without_a_ceiling_is_no_purse() -> None:
    assert purse_of("key", "web", Budget()) == ()
    assert purse_of("tenant", "acme", Budget(total_microusd=5)) == (Purse("tenant", "acme", Budget(None, None, 5)),)


@pytest.mark.parametrize(("asked", "most"), [(1, 1), (2, 3), (10, 19)])
def test_all_images_but_one_may_be_billed_twice(asked: int, most: int) -> None:
    assert calls_for(asked) == most


def test_what_is_spent_and_what_may_be_stay_taken() -> None:
    assert Settlement(3, 4).kept_microusd == 7


@pytest.mark.parametrize(
    ("decision", "words"),
    [
        (
            Unaffordable(KEY, "day", 40_000, 3_600_000),
            "0.04 US dollars, more than is left of the daily budget of this key",
        ),
        (Unaffordable(Purse("tenant", "a", Budget()), "total", 5), "the total budget of this organisation"),
        (Unaffordable(KEY, None, 5, degraded=True), "cannot be checked at the moment"),
    ],
)
def test_an_empty_purse_is_a_429_that_sdks_do_not_retry(decision: Unaffordable, words: str) -> None:
    error = refusal(decision)
    assert (error.code, error.status, error.should_retry) == (ErrorCode.INSUFFICIENT_QUOTA, 429, False)
    assert error.retry_after_ms == decision.wait_ms
    assert words in error.message


def test_a_limit_that_cannot_be_checked_is_a_429_that_may_be_retried_at_once() -> None:
    error = refusal(Closed("budget"))
    assert (error.status, error.should_retry, error.retry_after_ms) == (429, True, 1000)


def test_a_users_limit_is_named_as_such() -> None:
    bucket = Dimension("images", "user", "0123", 5, 5, 1)
    assert "this key for each of its users" in refusal(Refused(bucket, 10, ())).message
    assert "this key allows" in refusal(Refused(Lease("key", "k", 2, 1000), 10, ())).message
