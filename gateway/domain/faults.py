"""What may be done after which kind of vendor failure: the one table of it, one function a row.

A dialect decides which row a reply belongs to; the row decides whether the same vendor may be tried again, whether
another one may, whether the vendor's health suffers, and whether money may be gone. `detail` is always the vendor's
own wording, cut short, for the log.
"""

from dataclasses import replace

from gateway.domain.errors import ErrorCode
from gateway.domain.exchange import Fault, Next

__all__ = [
    "aborted",
    "bad_credential",
    "bad_prompt",
    "by_status",
    "dead_model",
    "failed",
    "no_image",
    "no_money",
    "overloaded",
    "refusal",
    "rejected",
    "throttled",
    "timed_out",
    "unusable",
]

_DETAIL_LIMIT = 500


def refusal(detail: str, *, may_have_billed: bool = False, billed: int = 0) -> Fault:
    """A safety system said no, to the prompt or to everything made from it, of which `billed` images are charged."""
    return Fault(
        ErrorCode.CONTENT_POLICY_VIOLATION,
        Next.STOP,
        may_have_billed=may_have_billed or billed > 0,
        counts_against_vendor=False,
        detail=_short(detail),
        billed=billed,
    )


def rejected(detail: str) -> Fault:
    """The vendor did not like the request as we put it: our mistake, so another vendor may well take it."""
    return _our_doing(ErrorCode.UPSTREAM_REJECTED_REQUEST, detail)


def bad_prompt(detail: str) -> Fault:
    """The vendor did not like the prompt itself (too long, say): the caller's to mend, or another vendor's to take."""
    return _our_doing(ErrorCode.INVALID_VALUE, detail)


def dead_model(detail: str) -> Fault:
    """The native model is unknown, retired, or not for this account."""
    return _out_of_order(ErrorCode.UPSTREAM_MODEL_UNAVAILABLE, detail)


def bad_credential(detail: str, *, transient: bool = False) -> Fault:
    """Our key was not accepted; `transient` where a fresh token may be."""
    return replace(_out_of_order(ErrorCode.UPSTREAM_AUTH_FAILED, detail), transient_auth=transient)


def no_money(detail: str) -> Fault:
    """The account cannot pay, or may not: nothing that waiting a minute would heal."""
    return _out_of_order(ErrorCode.UPSTREAM_BILLING, detail)


def throttled(detail: str, after_s: float | None) -> Fault:
    """Too fast for the vendor's limits; the wish to wait is in seconds."""
    return Fault(
        ErrorCode.UPSTREAM_RATE_LIMITED,
        Next.RETRY,
        may_have_billed=False,
        counts_against_vendor=False,
        retry_after_s=after_s,
        detail=_short(detail),
    )


def overloaded(detail: str, after_s: float | None) -> Fault:
    """The vendor has no capacity now and did not begin; the wish to wait is in seconds."""
    return Fault(
        ErrorCode.UPSTREAM_OVERLOADED,
        Next.RETRY,
        may_have_billed=False,
        counts_against_vendor=True,
        retry_after_s=after_s,
        detail=_short(detail),
    )


def failed(detail: str, *, may_have_billed: bool, again: bool = False) -> Fault:
    """The vendor broke down at it; `again` where the same vendor is worth one more try."""
    return Fault(
        ErrorCode.UPSTREAM_ERROR,
        Next.RETRY if again else Next.ELSEWHERE,
        may_have_billed=may_have_billed,
        counts_against_vendor=True,
        detail=_short(detail),
    )


def timed_out(detail: str) -> Fault:
    """Time ran out after the work had begun."""
    return _spoilt(ErrorCode.UPSTREAM_TIMEOUT, detail)


def aborted(detail: str) -> Fault:
    """Time ran out before the work had begun."""
    return _out_of_order(ErrorCode.UPSTREAM_TIMEOUT, detail)


def no_image(detail: str) -> Fault:
    """The model answered, well-formed, without an image: its whim rather than the vendor's ill health."""
    return Fault(
        ErrorCode.UPSTREAM_BAD_RESPONSE,
        Next.RETRY,
        may_have_billed=True,
        counts_against_vendor=False,
        detail=_short(detail),
    )


def unusable(detail: str) -> Fault:
    """An answer that is not what the vendor's documents promise, or a result that is gone."""
    return _spoilt(ErrorCode.UPSTREAM_BAD_RESPONSE, detail)


def by_status(status: int, detail: str, after_s: float | None = None) -> Fault:
    """What an HTTP status means by itself, when the body told nothing more."""
    match status:
        case 401 | 403:
            return bad_credential(detail)
        case 402:
            return no_money(detail)
        case 404 | 410:
            return dead_model(detail)
        case 429:
            return throttled(detail, after_s)
        case 503:
            return overloaded(detail, after_s)
        case 408 | 504:
            return timed_out(detail)
    if 400 <= status < 499:
        return rejected(detail)
    return failed(detail, may_have_billed=True) if status >= 499 else unusable(detail)


def _our_doing(code: ErrorCode, detail: str) -> Fault:
    return Fault(code, Next.ELSEWHERE, may_have_billed=False, counts_against_vendor=False, detail=_short(detail))


def _out_of_order(code: ErrorCode, detail: str) -> Fault:
    return Fault(code, Next.ELSEWHERE, may_have_billed=False, counts_against_vendor=True, detail=_short(detail))


def _spoilt(code: ErrorCode, detail: str) -> Fault:
    return Fault(code, Next.ELSEWHERE, may_have_billed=True, counts_against_vendor=True, detail=_short(detail))


def _short(detail: str) -> str:
    return detail[:_DETAIL_LIMIT]
