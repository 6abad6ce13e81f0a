"""What a failed call means for money: one place that says what may be tried again and what may have been paid."""

import httpx2

from gateway.domain.errors import ErrorCode
from gateway.domain.exchange import Fault, HttpCall, Next
from gateway.edges.transport import ForbiddenAddress, MalformedReply, describe

__all__ = ["broken_image", "fault_of", "lost", "no_credential", "unkept_image", "wrong_origin"]

_NEVER_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.UnsupportedProtocol,
    httpx2.LocalProtocolError,
)


def fault_of(failure: httpx2.TransportError, call: HttpCall, *, in_body: bool) -> Fault:
    """The fault that a transport's failure is; `in_body` after the reply's headers were there."""
    if isinstance(failure, ForbiddenAddress):
        return _unreachable(Next.ELSEWHERE, f"ssrf: {failure.reason}")
    if isinstance(failure, _NEVER_SENT):
        return _unreachable(Next.RETRY, describe(failure))
    if isinstance(failure, httpx2.TimeoutException):
        return lost(call, ErrorCode.UPSTREAM_TIMEOUT, describe(failure))
    came = in_body or isinstance(failure, MalformedReply)
    return lost(call, ErrorCode.UPSTREAM_BAD_RESPONSE if came else ErrorCode.UPSTREAM_ERROR, describe(failure))


def lost(call: HttpCall, code: ErrorCode, detail: str) -> Fault:
    """The call was sent and its reply is lost: paid for, perhaps, if it starts work; else free to repeat."""
    return Fault(
        code,
        Next.STOP if call.starts_work else Next.RETRY,
        may_have_billed=call.starts_work,
        counts_against_vendor=code is not ErrorCode.ASSET_STORE_UNAVAILABLE,
        detail=detail,
    )


def no_credential(failure: BaseException) -> Fault:
    """There is nothing to prove ourselves with; another account may have it."""
    return Fault(
        ErrorCode.UPSTREAM_AUTH_FAILED,
        Next.ELSEWHERE,
        may_have_billed=False,
        counts_against_vendor=True,
        detail=f"{type(failure).__name__}: {failure}",
    )


def wrong_origin() -> Fault:
    """The call leads away from the account's own address and would take the credential along."""
    return Fault(
        ErrorCode.UPSTREAM_BAD_RESPONSE,
        Next.STOP,
        may_have_billed=False,
        counts_against_vendor=False,
        detail="refused: a call to another origin than the account's",
    )


def broken_image(detail: str) -> Fault:
    """The vendor delivered and we cannot read it; making another would pay again."""
    return Fault(
        ErrorCode.UPSTREAM_BAD_RESPONSE, Next.STOP, may_have_billed=True, counts_against_vendor=True, detail=detail
    )


def unkept_image(detail: str) -> Fault:
    """The vendor delivered and we cannot write it down: paid for, and no fault of the vendor's."""
    return Fault(
        ErrorCode.ASSET_STORE_UNAVAILABLE, Next.STOP, may_have_billed=True, counts_against_vendor=False, detail=detail
    )


def _unreachable(what_next: Next, detail: str) -> Fault:
    return Fault(
        ErrorCode.UPSTREAM_UNREACHABLE, what_next, may_have_billed=False, counts_against_vendor=True, detail=detail
    )
