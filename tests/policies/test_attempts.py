from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from gateway.policies.attempts import FailedAttempts

GAPS = st.lists(st.floats(0, 30, allow_nan=False), max_size=200)


def test_twenty_failures_a_minute_are_let_through_and_the_next_is_told_when() -> None:
    attempts = FailedAttempts()

    assert [attempts.fail("192.0.2.1", float(second)) for second in range(20)] == [0.0] * 20
    assert attempts.fail("192.0.2.1", 20.0) == 40.0
    assert attempts.wait_s("192.0.2.1", 50.0) == 10.0
    assert attempts.fail("192.0.2.1", 60.0) == 0.0


@given(GAPS)
def test_no_window_holds_more_than_the_limit(gaps: list[float]) -> None:
    attempts, now_s, counted = FailedAttempts(limit=5, window_s=60), 0.0, []
    for gap in gaps:
        now_s += gap
        if attempts.fail("a", now_s) == 0.0:
            counted.append(now_s)
    assert all(later - earlier >= 60 for earlier, later in zip(counted, counted[5:], strict=False))


@given(GAPS)
def test_whoever_waits_as_told_is_let_through(gaps: list[float]) -> None:
    attempts, now_s = FailedAttempts(limit=5, window_s=60), 0.0
    for gap in gaps:
        now_s += gap
        wait_s = attempts.fail("a", now_s)
        if wait_s:
            assert wait_s <= 60
            now_s += ceil(wait_s * 1000) / 1000 + 1e-9  # the reply names whole milliseconds
            assert attempts.fail("a", now_s) == 0.0


def test_addresses_count_apart() -> None:
    attempts = FailedAttempts(limit=1)
    attempts.fail("192.0.2.1", 0.0)

    assert attempts.wait_s("192.0.2.2", 0.0) == 0.0
    assert attempts.wait_s("192.0.2.1", 0.0) == 60.0


def test_one_network_of_a_customer_counts_as_one() -> None:
    attempts = FailedAttempts(limit=1)
    attempts.fail("2001:db8:0:1::1", 0.0)

    assert attempts.wait_s("2001:db8:0:1:ffff::2", 0.0) == 60.0
    assert attempts.wait_s("2001:db8:0:2::1", 0.0) == 0.0
    assert attempts.fail("not:an:address", 0.0) == 0.0


def test_memory_is_bounded_and_the_oldest_failure_is_forgotten_first() -> None:
    attempts = FailedAttempts(limit=1, capacity=100)
    for number in range(1000):
        attempts.fail(f"192.0.2.{number}", float(number) / 1000)

    assert len(attempts) == 100
    assert attempts.wait_s("192.0.2.0", 1.0) == 0.0
    assert attempts.wait_s("192.0.2.999", 1.0) > 0


def test_an_address_that_goes_on_failing_is_not_forgotten() -> None:
    attempts = FailedAttempts(limit=2, capacity=3)
    for address in ("a", "b", "c", "a", "d"):
        attempts.fail(address, 0.0)

    assert attempts.wait_s("a", 0.0) == 60.0
    attempts.fail("b", 0.0)
    assert attempts.wait_s("b", 0.0) == 0.0
