"""What to do after a vendor's fault: once more, with another target, or give up. Retry as data.

Nothing that may have been billed is ever bought again, whatever else speaks for it.
"""

from dataclasses import dataclass

from gateway.domain.errors import ErrorCode
from gateway.domain.exchange import Fault, Next

__all__ = ["Again", "Elsewhere", "GiveUp", "after"]

ATTEMPTS_PER_SHOT = 3  # one try and two more, as the stock SDKs do
BACKOFF_FIRST_S = 0.5  # the stock SDKs' first wait; doubled each time
BACKOFF_LAST_S = 8.0  # and their longest


@dataclass(frozen=True, slots=True)
class Again:
    """Try the same target once more after `wait_s` seconds; `fresh_credential` asks for a new token first."""

    wait_s: float
    fresh_credential: bool = False


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Try the next target, at once."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The fault is the answer."""


def after(
    fault: Fault, *, attempt: int, left_s: float, others: bool, jitter: float, refusals_go_on: bool = False
) -> Again | Elsewhere | GiveUp:
    """Decide after the `attempt`-th try (from 1) failed.

    `left_s` is what remains of the time in which trying is worth it, `others` whether another target could serve,
    `jitter` a random number in [0, 1) that spreads the waits (full jitter). A vendor's own waiting time is a floor.
    `refusals_go_on`: the route wants a safety refusal that was not billed to be shown to another target.
    """
    if fault.may_have_billed:
        return GiveUp()
    if fault.next is Next.STOP:
        goes_on = refusals_go_on and others and fault.code is ErrorCode.CONTENT_POLICY_VIOLATION
        return Elsewhere() if goes_on else GiveUp()
    if fault.transient_auth and attempt == 1:
        return Again(0.0, fresh_credential=True)
    wait_s = _wait_s(fault, attempt, jitter)
    may_repeat = fault.next is Next.RETRY and attempt < ATTEMPTS_PER_SHOT and wait_s < left_s
    if may_repeat and not (others and _is_lasting(fault, wait_s)):
        return Again(wait_s)
    return Elsewhere() if others else GiveUp()


def _wait_s(fault: Fault, attempt: int, jitter: float) -> float:
    backoff_s = min(BACKOFF_FIRST_S * 2.0 ** (attempt - 1), BACKOFF_LAST_S) * jitter
    return backoff_s if fault.retry_after_s is None else max(fault.retry_after_s, backoff_s)


def _is_lasting(fault: Fault, wait_s: float) -> bool:
    """Whether another target will surely answer sooner than this one: only a 429 says when it is worth waiting for."""
    return fault.code is not ErrorCode.UPSTREAM_RATE_LIMITED or wait_s > BACKOFF_LAST_S
