"""The table of what may be done after which failure, checked column by column."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain import faults
from gateway.domain.errors import ErrorCode
from gateway.domain.exchange import Fault, Next


@pytest.mark.parametrize(
    ("fault", "code", "following", "billed", "counts"),
    [
        (faults.refusal("x"), ErrorCode.CONTENT_POLICY_VIOLATION, Next.STOP, False, False),
        (faults.rejected("x"), ErrorCode.UPSTREAM_REJECTED_REQUEST, Next.ELSEWHERE, False, False),
        (faults.bad_prompt("x"), ErrorCode.INVALID_VALUE, Next.ELSEWHERE, False, False),
        (faults.dead_model("x"), ErrorCode.UPSTREAM_MODEL_UNAVAILABLE, Next.ELSEWHERE, False, True),
        (faults.bad_credential("x"), ErrorCode.UPSTREAM_AUTH_FAILED, Next.ELSEWHERE, False, True),
        (faults.no_money("x"), ErrorCode.UPSTREAM_BILLING, Next.ELSEWHERE, False, True),
        (faults.throttled("x", 3.0), ErrorCode.UPSTREAM_RATE_LIMITED, Next.RETRY, False, False),
        (faults.overloaded("x", 3.0), ErrorCode.UPSTREAM_OVERLOADED, Next.RETRY, False, True),
        (faults.failed("x", may_have_billed=True), ErrorCode.UPSTREAM_ERROR, Next.ELSEWHERE, True, True),
        (faults.timed_out("x"), ErrorCode.UPSTREAM_TIMEOUT, Next.ELSEWHERE, True, True),
        (faults.aborted("x"), ErrorCode.UPSTREAM_TIMEOUT, Next.ELSEWHERE, False, True),
        (faults.no_image("x"), ErrorCode.UPSTREAM_BAD_RESPONSE, Next.RETRY, True, False),
        (faults.unusable("x"), ErrorCode.UPSTREAM_BAD_RESPONSE, Next.ELSEWHERE, True, True),
    ],
)
def test_each_row_has_its_columns(fault: Fault, code: ErrorCode, following: Next, billed: bool, counts: bool) -> None:
    assert (fault.code, fault.next) == (code, following)
    assert (fault.may_have_billed, fault.counts_against_vendor) == (billed, counts)
    assert fault.detail == "x"


@pytest.mark.parametrize("status", [500, 502, 504, 408, 499, 520])
def test_money_may_be_gone_when_the_vendor_broke_down_at_work(status: int) -> None:
    assert faults.by_status(status, "").may_have_billed


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 413, 422, 429, 503])
def test_no_money_is_gone_when_the_vendor_turned_it_away(status: int) -> None:
    assert not faults.by_status(status, "").may_have_billed


def test_waits_reach_the_two_faults_that_waiting_heals() -> None:
    assert [faults.by_status(status, "", 4.0).retry_after_s for status in (429, 503, 500)] == [4.0, 4.0, None]


@given(status=st.integers(100, 999), detail=st.text(max_size=2000))
def test_every_status_is_some_fault_of_a_short_detail(status: int, detail: str) -> None:
    fault = faults.by_status(status, detail)
    assert len(fault.detail) <= 500
    assert not fault.transient_auth
