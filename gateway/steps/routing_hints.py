"""Part of step 2 · what a request's headers wish of routing: by whom it is served, and how long its client waits."""

from collections.abc import Mapping

from gateway.domain.caller import Caller
from gateway.domain.catalogue import Route
from gateway.domain.errors import ErrorCode, RequestError
from gateway.domain.wire import wait_s
from gateway.policies.routing import answers_to
from gateway.policies.wording import seen

__all__ = ["patience_s", "wanted_targets"]

_ROUTE = "x-samurai-route"
_TIMEOUTS = ("x-stainless-read-timeout", "x-stainless-timeout")  # the stock Python and Node SDKs', in seconds
_MARGIN_S = 2.0  # for the checks, the store, and the answer's way back


def wanted_targets(headers: Mapping[str, str], caller: Caller, route: Route) -> tuple[str, ...]:
    """The names in `x-samurai-route`, in their order; none where the caller leaves it to the gateway.

    Raises RequestError (400) for a key that may not choose, and for a name that no target of the route answers to.
    """
    wish = headers.get(_ROUTE)
    if wish is None:
        return ()
    if not caller.may_route:
        raise RequestError(
            ErrorCode.INVALID_VALUE, f"This key may not choose who serves its requests with `{_ROUTE}`.", param=_ROUTE
        )
    names = tuple(name for part in wish.split(",") if (name := part.strip()))
    if not names or not all(any(answers_to(target, name) for target in route.targets) for name in names):
        known = ", ".join(f"`{account}`" for account in dict.fromkeys(one.account.id for one in route.targets))
        raise RequestError(
            ErrorCode.INVALID_VALUE,
            f"`{_ROUTE}` must name accounts that serve the model `{route.id}`, of {known}; got {seen(wish)}.",
            param=_ROUTE,
        )
    return names


def patience_s(headers: Mapping[str, str], *, stream: bool) -> float | None:
    """For how many seconds a further attempt is worth beginning, since the client still waits; None if it did not say.

    Only a hint: it ends no work that is under way. A stream is kept alive, so its client does not run out of patience.
    """
    waits = [wait for name in _TIMEOUTS if (wait := wait_s(headers.get(name))) is not None]
    return max(0.0, min(waits) - _MARGIN_S) if waits and not stream else None
