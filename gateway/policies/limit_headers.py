"""What a client is told about its limits: reply headers, and the refusal when one of them binds."""

from collections.abc import Sequence

from gateway.domain.errors import ErrorCode, RequestError
from gateway.domain.money import dollars
from gateway.policies.buckets import Dimension, Impossible, Lease, Meter, MeterName, Refused
from gateway.policies.purses import Closed, Unaffordable

__all__ = ["duration", "limit_headers", "refusal"]

_NAMES: tuple[MeterName, ...] = ("requests", "images")
_OWNERS = {
    "key": "this key",
    "tenant": "this organisation",
    "model": "this model",
    "user": "this key for each of its users",
}
_PERIODS = {"day": "daily", "month": "monthly", "total": "total"}
_CODES = {"requests": ErrorCode.RATE_LIMIT_REQUESTS, "images": ErrorCode.RATE_LIMIT_IMAGES}


def duration(milliseconds: int) -> str:
    """A time span as OpenAI writes it in `x-ratelimit-reset-*`: `0s`, `12ms`, `1.5s`, `6m0s`, `1h0m0s`."""
    if 0 < milliseconds < 1000:
        return f"{milliseconds}ms"
    seconds, rest_ms = divmod(milliseconds, 1000)
    fraction = f".{rest_ms:03d}".rstrip("0") if rest_ms else ""
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{seconds}{fraction}s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def limit_headers(meters: Sequence[Meter], refused: Refused | None = None) -> list[tuple[str, str]]:
    """The limit headers of a 200, or of the 429 for `refused`: OpenAI's per name, then the IETF's two.

    Where several scopes meter the same name, the tightest is shown. Empty where nothing is metered.
    """
    shown = [_tightest(group) for name in _NAMES if (group := [one for one in meters if one.name == name])]
    if not shown:
        return []
    headers = []
    for meter in shown:
        headers += [
            (f"x-ratelimit-limit-{meter.name}", str(meter.limit)),
            (f"x-ratelimit-remaining-{meter.name}", str(meter.remaining)),
            (f"x-ratelimit-reset-{meter.name}", duration(meter.reset_ms)),
        ]
    policies = (f'"{meter.name}";q={meter.limit};w={_window_s(meter)}' for meter in shown)
    headers.append(("ratelimit-policy", ", ".join(policies)))
    headers.append(("ratelimit", _state(shown, refused)))
    return headers


def refusal(decision: Refused | Impossible | Unaffordable | Closed) -> RequestError:
    """The 429 (or, where no waiting helps, the 400) that tells the caller which limit bound and for how long."""
    if isinstance(decision, Unaffordable):
        return _unaffordable(decision)
    if isinstance(decision, Closed):
        return RequestError(
            ErrorCode.GATEWAY_OVERLOADED,
            "Limits cannot be checked at the moment. Nothing was done or charged; please try again.",
            retry_after_ms=decision.wait_ms,
            should_retry=True,
        )
    if isinstance(decision, Impossible):
        limit = decision.dimension
        return RequestError(
            ErrorCode.N_EXCEEDS_LIMIT,
            f"n is {limit.cost}, but {_owner(limit)} allows at most {limit.burst} {limit.name} at once.",
            param="n",
        )
    bound = decision.by
    if isinstance(bound, Lease):
        code, figure = ErrorCode.CONCURRENCY_LIMIT, f"{bound.limit} requests at a time"
    else:
        code, figure = _CODES[bound.name], _figure(bound)
    return RequestError(
        code,
        f"Rate limit reached: {_owner(bound)} allows {figure}. Please try again in {duration(decision.wait_ms)}.",
        retry_after_ms=decision.wait_ms,
        headers=dict(limit_headers(decision.meters, decision)),
    )


def _unaffordable(decision: Unaffordable) -> RequestError:
    """A budget is nothing that a retry by itself heals, so the SDKs are told not to."""
    owner = _OWNERS[decision.by.scope]
    costs = f"This call may cost up to {dollars(decision.microusd)} US dollars"
    if decision.period is None:
        message = f"{costs}, and the budget of {owner} cannot be checked at the moment."
    else:
        message = f"{costs}, more than is left of the {_PERIODS[decision.period]} budget of {owner}."
    return RequestError(
        ErrorCode.INSUFFICIENT_QUOTA,
        message,
        retry_after_ms=decision.wait_ms,
        should_retry=False,
        headers=dict(limit_headers(decision.meters)),
    )


def _tightest(meters: Sequence[Meter]) -> Meter:
    return min(meters, key=lambda meter: (meter.remaining, -meter.reset_ms))


def _window_s(meter: Meter) -> int:
    return max(1, -(-60 * meter.limit // meter.per_minute))


def _state(shown: Sequence[Meter], refused: Refused | None) -> str:
    # The IETF draft wants `t` to agree with Retry-After, so a refusal shows the bucket that bound and its wait.
    if refused is not None and isinstance(refused.by, Dimension):
        name = refused.by.name
        left = next(meter.remaining for meter in shown if meter.name == name)
        return f'"{name}";r={left};t={-(-refused.wait_ms // 1000)}'
    meter = _tightest(shown)
    return f'"{meter.name}";r={meter.remaining};t={-(-meter.reset_ms // 1000)}'


def _owner(limit: Dimension | Lease) -> str:
    return _OWNERS[limit.scope]


def _figure(limit: Dimension) -> str:
    unit = limit.name.removesuffix("s") if limit.per_minute == 1 else limit.name
    burst = f" and {limit.burst} at once" if limit.burst != limit.per_minute else ""
    return f"{limit.per_minute} {unit} per minute{burst}"
