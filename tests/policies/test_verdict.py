import pytest

from gateway.domain.errors import ErrorCode
from gateway.domain.exchange import Fault, Next
from gateway.domain.harvest import Finished, Harvest, ShotResult
from gateway.domain.picture import ImageFormat
from gateway.edges.metrics_words import CALL_END
from gateway.policies.verdict import objection

IMAGE = Finished(ImageFormat.PNG, length=1, asset_id="a")


def fault(code: ErrorCode, *, billed: bool = False, then: Next = Next.STOP, wait_s: float | None = None) -> Fault:
    return Fault(code, then, may_have_billed=billed, counts_against_vendor=True, retry_after_s=wait_s)


def harvest(*, made: int = 0, withheld: int = 0, faults: tuple[Fault, ...] = (), cost: int = 0) -> Harvest:
    return Harvest(
        (ShotResult(10, "vendor/model", (IMAGE,) * made, withheld=withheld, faults=faults, cost_microusd=cost),)
    )


def test_everything_asked_for_is_no_reason_to_object() -> None:
    assert objection(harvest(made=3), wanted=3, partial_allowed=False) is None


def test_fewer_images_are_an_error_unless_the_caller_allowed_it() -> None:
    error = objection(harvest(made=2, cost=80_000), wanted=3, partial_allowed=False)
    assert error is not None
    assert (error.status, error.code) == (500, ErrorCode.UPSTREAM_BAD_RESPONSE)
    assert error.should_retry is True  # what was paid for is kept: only what is missing would be bought
    assert objection(harvest(made=2), wanted=3, partial_allowed=True) is None


def test_no_image_at_all_is_an_error_even_when_fewer_are_allowed() -> None:
    assert objection(harvest(), wanted=3, partial_allowed=True) is not None


@pytest.mark.parametrize(
    "brought_in",
    [harvest(made=1, withheld=2), harvest(faults=(fault(ErrorCode.CONTENT_POLICY_VIOLATION),))],
)
def test_a_safety_refusal_is_the_callers_400_and_not_to_be_retried(brought_in: Harvest) -> None:
    error = objection(brought_in, wanted=3, partial_allowed=False)
    assert error is not None
    assert (error.status, error.code, error.param) == (400, ErrorCode.CONTENT_POLICY_VIOLATION, "prompt")
    assert error.should_retry is False


def test_a_withheld_image_does_not_hide_what_else_went_wrong() -> None:
    error = objection(
        harvest(withheld=1, faults=(fault(ErrorCode.UPSTREAM_TIMEOUT, billed=True),)), wanted=2, partial_allowed=False
    )
    assert error is not None
    assert error.code is ErrorCode.UPSTREAM_TIMEOUT


def test_a_refusal_outranks_a_vendors_failure_in_the_same_operation() -> None:
    both = harvest(faults=(fault(ErrorCode.UPSTREAM_ERROR), fault(ErrorCode.CONTENT_POLICY_VIOLATION)))
    error = objection(both, wanted=3, partial_allowed=False)
    assert error is not None
    assert error.code is ErrorCode.CONTENT_POLICY_VIOLATION


def test_what_a_vendor_rejects_is_the_callers_to_mend_only_where_the_caller_sent_options() -> None:
    rejected = harvest(faults=(fault(ErrorCode.UPSTREAM_REJECTED_REQUEST),))
    ours = objection(rejected, wanted=1, partial_allowed=False)
    theirs = objection(rejected, wanted=1, partial_allowed=False, with_options=True)
    assert ours is not None
    assert (ours.status, ours.code) == (500, ErrorCode.UPSTREAM_REJECTED_REQUEST)
    assert theirs is not None
    assert (theirs.status, theirs.code, theirs.param) == (400, ErrorCode.INVALID_VALUE, "provider_options")
    assert theirs.should_retry is False


def test_a_retry_is_only_called_free_when_nothing_can_be_paid_twice() -> None:
    free = fault(ErrorCode.UPSTREAM_UNREACHABLE, then=Next.RETRY)
    unpaid = objection(harvest(faults=(free,)), wanted=1, partial_allowed=False)
    kept = objection(harvest(faults=(free,), made=1, cost=1), wanted=2, partial_allowed=False)
    unknown = objection(
        harvest(faults=(free, fault(ErrorCode.UPSTREAM_TIMEOUT, billed=True))), wanted=2, partial_allowed=False
    )
    assert unpaid is not None
    assert unpaid.should_retry is True
    assert kept is not None
    assert kept.should_retry is True
    assert unknown is not None
    assert unknown.should_retry is False


def test_a_vendors_throttling_becomes_a_429_with_its_waiting_time_bounded() -> None:
    throttled = fault(ErrorCode.UPSTREAM_RATE_LIMITED, then=Next.RETRY, wait_s=2.5)
    endless = fault(ErrorCode.UPSTREAM_RATE_LIMITED, then=Next.RETRY, wait_s=86_400)
    short = objection(harvest(faults=(throttled,)), wanted=1, partial_allowed=False)
    long = objection(harvest(faults=(endless,)), wanted=1, partial_allowed=False)
    assert short is not None
    assert (short.status, short.retry_after_ms, short.should_retry) == (429, 2500, True)
    assert long is not None
    assert (long.retry_after_ms, long.should_retry) == (120_000, False)


def test_a_vendor_that_says_when_it_will_be_back_is_passed_on_where_a_retry_is_free() -> None:
    busy = fault(ErrorCode.UPSTREAM_OVERLOADED, then=Next.RETRY, wait_s=7.0)
    doubtful = fault(ErrorCode.UPSTREAM_OVERLOADED, then=Next.RETRY, wait_s=7.0, billed=True)
    free = objection(harvest(faults=(busy,)), wanted=1, partial_allowed=False)
    paid = objection(harvest(faults=(doubtful,)), wanted=1, partial_allowed=False)
    assert free is not None
    assert (free.status, free.retry_after_ms, free.should_retry) == (500, 7000, True)
    assert paid is not None
    assert (paid.retry_after_ms, paid.should_retry) == (None, False)


_ENDS = {word for (word,) in CALL_END.words}


@pytest.mark.parametrize("code", [code for code in ErrorCode if code in _ENDS])
def test_everything_a_paid_call_can_end_with_has_a_message_that_names_no_vendor(code: ErrorCode) -> None:
    error = objection(harvest(faults=(fault(code),)), wanted=1, partial_allowed=False)
    assert error is not None
    assert error.code is code
    assert not any(name in error.message.lower() for name in ("replicate", "openai", "ideogram", "vertex", "http"))
