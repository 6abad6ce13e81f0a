from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import ErrorCode
from gateway.domain.exchange import Fault, Next
from gateway.policies.retrying import ATTEMPTS_PER_SHOT, Again, Elsewhere, GiveUp, after

THROTTLED = Fault(ErrorCode.UPSTREAM_RATE_LIMITED, Next.RETRY, may_have_billed=False, counts_against_vendor=False)
faults = st.builds(
    Fault,
    st.sampled_from(ErrorCode),
    st.sampled_from(Next),
    may_have_billed=st.booleans(),
    counts_against_vendor=st.booleans(),
    retry_after_s=st.none() | st.floats(0, 1e5),
    transient_auth=st.booleans(),
)


@given(
    fault=faults, attempt=st.integers(1, 5), left_s=st.floats(0, 300), others=st.booleans(), jitter=st.floats(0, 0.99)
)
def test_what_may_have_been_billed_is_never_bought_again(
    fault: Fault, attempt: int, left_s: float, others: bool, jitter: float
) -> None:
    billed = replace(fault, may_have_billed=True)
    assert after(billed, attempt=attempt, left_s=left_s, others=others, jitter=jitter) == GiveUp()


@given(
    fault=faults, attempt=st.integers(1, 9), left_s=st.floats(0, 300), others=st.booleans(), jitter=st.floats(0, 0.99)
)
def test_a_wait_ends_before_the_deadline_and_attempts_are_bounded(
    fault: Fault, attempt: int, left_s: float, others: bool, jitter: float
) -> None:
    decision = after(fault, attempt=attempt, left_s=left_s, others=others, jitter=jitter)
    if isinstance(decision, Again) and not decision.fresh_credential:
        assert decision.wait_s < left_s
        assert attempt < ATTEMPTS_PER_SHOT
        assert fault.next is Next.RETRY
    if isinstance(decision, Elsewhere):
        assert others


def test_a_vendors_own_waiting_time_is_kept() -> None:
    decision = after(replace(THROTTLED, retry_after_s=3.0), attempt=1, left_s=60, others=False, jitter=0.1)
    assert decision == Again(3.0)


def test_a_wait_beyond_the_deadline_is_given_up_or_taken_elsewhere() -> None:
    long = replace(THROTTLED, retry_after_s=3600.0)
    assert after(long, attempt=1, left_s=60, others=False, jitter=0.5) == GiveUp()
    assert after(long, attempt=1, left_s=60, others=True, jitter=0.5) == Elsewhere()


def test_a_rejected_token_is_renewed_once() -> None:
    rejected = Fault(
        ErrorCode.UPSTREAM_AUTH_FAILED,
        Next.ELSEWHERE,
        may_have_billed=False,
        counts_against_vendor=True,
        transient_auth=True,
    )
    assert after(rejected, attempt=1, left_s=60, others=True, jitter=0.5) == Again(0.0, fresh_credential=True)
    assert after(rejected, attempt=2, left_s=60, others=True, jitter=0.5) == Elsewhere()
    assert after(rejected, attempt=2, left_s=60, others=False, jitter=0.5) == GiveUp()


def test_an_unreachable_vendor_is_left_at_once_when_another_can_serve() -> None:
    down = replace(THROTTLED, code=ErrorCode.UPSTREAM_UNREACHABLE)
    assert after(down, attempt=1, left_s=60, others=True, jitter=0.5) == Elsewhere()
    assert isinstance(after(down, attempt=1, left_s=60, others=False, jitter=0.5), Again)


@pytest.mark.parametrize("code", [ErrorCode.UPSTREAM_OVERLOADED, ErrorCode.UPSTREAM_ERROR])
def test_a_failing_vendor_is_left_at_once_when_another_can_serve(code: ErrorCode) -> None:
    failing = replace(THROTTLED, code=code)
    assert after(failing, attempt=1, left_s=60, others=True, jitter=0.5) == Elsewhere()
    assert after(failing, attempt=1, left_s=60, others=False, jitter=0.5) == Again(0.25)


REFUSED = Fault(ErrorCode.CONTENT_POLICY_VIOLATION, Next.STOP, may_have_billed=False, counts_against_vendor=False)


@pytest.mark.parametrize(
    ("fault", "others", "wanted", "decision"),
    [
        (REFUSED, True, True, Elsewhere()),
        (REFUSED, True, False, GiveUp()),
        (REFUSED, False, True, GiveUp()),
        (replace(REFUSED, may_have_billed=True), True, True, GiveUp()),
        (replace(REFUSED, code=ErrorCode.UPSTREAM_BAD_RESPONSE), True, True, GiveUp()),
    ],
)
def test_a_refusal_goes_to_another_target_only_where_the_route_wants_it_and_nothing_was_billed(
    fault: Fault, others: bool, wanted: bool, decision: Elsewhere | GiveUp
) -> None:
    assert after(fault, attempt=1, left_s=60, others=others, jitter=0.5, refusals_go_on=wanted) == decision
