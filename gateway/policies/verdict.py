"""Whether a harvest is what was asked for, and if not, the one truthful error to answer with."""

from collections.abc import Iterable
from types import MappingProxyType

from gateway.domain.errors import ErrorCode, RequestError
from gateway.domain.exchange import Fault, Next
from gateway.domain.harvest import Harvest

__all__ = ["objection", "timed_out"]

LONGEST_WAIT_S = 120.0  # the stock Python SDK gives up on a longer Retry-After
RETRIED_AT_MOST_S = 60.0  # the stock Node SDK ignores a longer one, and would try again at once

# A vendor's own words name accounts and billing pages, so the client gets these; the raw ones go to the log.
_MESSAGES = MappingProxyType(
    {
        ErrorCode.INVALID_VALUE: "The image vendor does not take this prompt.",
        ErrorCode.CONTENT_POLICY_VIOLATION: "The request was refused by the image vendor's safety system.",
        ErrorCode.UPSTREAM_ERROR: "The image vendor failed to serve this request.",
        ErrorCode.UPSTREAM_REJECTED_REQUEST: "The image vendor rejected the request as the gateway put it. "
        "This is a fault of the gateway or of its configuration.",
        ErrorCode.UPSTREAM_OVERLOADED: "The image vendor is overloaded at the moment.",
        ErrorCode.UPSTREAM_TIMEOUT: "The image vendor did not answer in time.",
        ErrorCode.UPSTREAM_UNREACHABLE: "The image vendor could not be reached.",
        ErrorCode.UPSTREAM_AUTH_FAILED: "The gateway's own credentials were not accepted by the image vendor.",
        ErrorCode.UPSTREAM_BILLING: "The gateway's account with the image vendor cannot pay for this request.",
        ErrorCode.UPSTREAM_MODEL_UNAVAILABLE: "The native model behind this model is not available at the vendor.",
        ErrorCode.UPSTREAM_BAD_RESPONSE: "The image vendor's answer could not be used.",
        ErrorCode.UPSTREAM_OUTCOME_UNKNOWN: "It is not known whether the image vendor served this request.",
        ErrorCode.UPSTREAM_RATE_LIMITED: "The image vendor's rate limit for this gateway is reached.",
        ErrorCode.ASSET_STORE_UNAVAILABLE: "The image store is not available.",
        ErrorCode.IDEMPOTENCY_UNAVAILABLE: "It could not be written down that this is bought, so it was not.",
        ErrorCode.REQUEST_TIMEOUT: "Nobody waited for the answer any more, so nothing was bought.",
        ErrorCode.GATEWAY_DRAINING: "This replica is ending. Another one goes on with the work: try again.",
        ErrorCode.INTERNAL_ERROR: "The gateway failed to process this request.",
    }
)

# Where several calls of one operation failed differently, the first of these that occurred is the answer.
_RANK = (
    ErrorCode.CONTENT_POLICY_VIOLATION,
    ErrorCode.UPSTREAM_OUTCOME_UNKNOWN,
    ErrorCode.UPSTREAM_BILLING,
    ErrorCode.UPSTREAM_AUTH_FAILED,
    ErrorCode.UPSTREAM_MODEL_UNAVAILABLE,
    ErrorCode.UPSTREAM_REJECTED_REQUEST,
    ErrorCode.ASSET_STORE_UNAVAILABLE,
)


def objection(
    harvest: Harvest, *, wanted: int, partial_allowed: bool, with_options: bool = False
) -> RequestError | None:
    """None when the caller gets what was asked for (or asked for less if need be), else the error to raise.

    A retry is called free only if it cannot pay twice (what was paid for and is there is not bought again) and can
    help. What a vendor
    rejects is the caller's to mend where the caller spoke to the vendor through `provider_options`.
    """
    made = len(harvest.finished)
    if made >= wanted or (partial_allowed and made > 0):
        return None
    if harvest.withheld and not harvest.faults:
        return _error(ErrorCode.CONTENT_POLICY_VIOLATION, should_retry=False)
    fault = _telling(harvest.faults)
    if fault is None:
        kept = made > 0 and not harvest.in_doubt and not harvest.lost
        return _error(ErrorCode.UPSTREAM_BAD_RESPONSE, should_retry=kept)  # a retry buys only what is missing
    if with_options and fault.code is ErrorCode.UPSTREAM_REJECTED_REQUEST:
        return RequestError(
            ErrorCode.INVALID_VALUE,
            "The image vendor does not take these `provider_options`.",
            param="provider_options",
            should_retry=False,
        )
    free = not harvest.in_doubt and not harvest.lost and fault.next is Next.RETRY
    if fault.code is ErrorCode.UPSTREAM_RATE_LIMITED or (free and fault.retry_after_s is not None):
        wait_s = min(fault.retry_after_s or 1.0, LONGEST_WAIT_S)
        soon = wait_s <= RETRIED_AT_MOST_S
        return _error(fault.code, should_retry=free and soon, retry_after_ms=max(1, round(wait_s * 1000)))
    return _error(fault.code, should_retry=free)


def timed_out(operation: str) -> RequestError:
    """What a client is told when its time has passed inside a call that may be paid for: by its name it is found."""
    problem = _error(ErrorCode.UPSTREAM_TIMEOUT, should_retry=False)
    problem.headers = {"x-samurai-operation-id": operation}
    return problem


def _telling(faults: Iterable[Fault]) -> Fault | None:
    def rank(fault: Fault) -> tuple[int, bool]:
        place = _RANK.index(fault.code) if fault.code in _RANK else len(_RANK)
        return place, not fault.may_have_billed

    return min(faults, key=rank, default=None)


def _error(code: ErrorCode, *, should_retry: bool, retry_after_ms: int | None = None) -> RequestError:
    param = "prompt" if code in (ErrorCode.CONTENT_POLICY_VIOLATION, ErrorCode.INVALID_VALUE) else None
    return RequestError(code, _MESSAGES[code], param=param, should_retry=should_retry, retry_after_ms=retry_after_ms)
