"""Step 5 of 9 · take the request's tokens and set its money aside: all of it or nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gateway.domain.caller import Caller
from gateway.domain.catalogue import Limits as Ceilings
from gateway.domain.catalogue import Route
from gateway.domain.errors import ErrorCode, RequestError
from gateway.domain.facts import LimiterDegraded, RequestRefused, TokensTaken
from gateway.domain.job import Job
from gateway.domain.money import Budget
from gateway.edges.pacing_line import Ahead
from gateway.policies.buckets import Dimension, Granted, Impossible, Lease, Meter, MeterName, Refused, Scope
from gateway.policies.end_users import EndUser, user_hash
from gateway.policies.limit_headers import refusal
from gateway.policies.purses import Reservation, Unaffordable, Verdict, calls_for, purse_of
from gateway.policies.usage_lines import line_name
from gateway.services import Services
from gateway.steps.plan import Plan

__all__ = ["Hold", "debit", "look"]

_LEASE_SLACK_S = 30.0  # beyond the route's deadline, for the last look, the checks and the store
_LOOK_BYTES = 12
_OUTAGE_S = 900.0  # money waits for its settlement as long as keys work without Redis


@dataclass(frozen=True, slots=True)
class Hold:
    """What was taken for one operation, and all that `settle` needs to give it back and to count it."""

    op_id: str
    caller: Caller
    granted: Granted
    dimensions: tuple[Dimension, ...]
    leases: tuple[Lease, ...]
    reservation: Reservation | None
    end_user: EndUser | None = None

    @property
    def meters(self) -> tuple[Meter, ...]:
        """How the buckets stand."""
        return self.granted.meters

    @property
    def degraded(self) -> bool:
        """Whether it was decided without Redis."""
        return self.granted.degraded


async def debit(op_id: str, plan: Plan, caller: Caller, services: Services, ahead: Sequence[Ahead] = ()) -> Hold:
    """Take the tokens and the money of a planned job; and ask for the places `ahead` in the same round trip.

    Raises RequestError: 429 naming the limit that bound, with the exact waiting time, or 400 when `n` could never
    pass or the end user is blocked. A refused call takes nothing. The request's own token stays taken whatever
    happens, so that failing calls cannot be hammered for free.
    """
    job, route = plan.job, plan.route
    end_user = _admitted(job, caller, services)
    dimensions = _dimensions(job, caller, route) + _of_user(job, caller, end_user)
    leases = _leases(caller, route)
    tenant_budget = services.tenant_budgets.get(caller.tenant or "", Budget())
    reservation = _reservation(plan, caller, tenant_budget)
    if ahead and (dimensions or leases or reservation is not None):  # else there will be no receipt
        services.pacing.ask_soon(*ahead)
    decision = await services.limits.take(op_id, dimensions, leases, reservation)
    if not isinstance(decision, Impossible) and decision.degraded:
        services.tell(LimiterDegraded())
    if not isinstance(decision, Granted):
        refused = _refused(decision, caller)
        if refused is not None:
            services.tell(refused)
            line = line_name(caller.key_id, caller.tenant, job.model, "", f"refused_{refused.dimension}")
            services.limits.refusals[line] += 1
        raise refusal(decision)
    for one in dimensions:
        services.tell(TokensTaken(one.name, one.scope, one.cost))
    return Hold(op_id, caller, decision, tuple(dimensions), tuple(leases), reservation, end_user)


async def look(job: Job, caller: Caller, services: Services) -> tuple[Meter, ...]:
    """How the buckets stand that such a request draws on, for a reply that takes nothing from them."""
    end_user = _end_user(job, caller, services)
    dimensions = _dimensions(job, caller, services.catalogue.routes[job.model]) + _of_user(job, caller, end_user)
    free = [replace(one, cost=0) for one in dimensions]
    seen = await services.limits.take(f"look_{services.world.token(_LOOK_BYTES).hex()}", free)
    return seen.meters if isinstance(seen, Granted) else ()


def _dimensions(job: Job, caller: Caller, route: Route) -> list[Dimension]:
    """In the order in which a refusal names them."""
    dimensions: list[Dimension] = []
    tenant = caller.tenant or ""
    _add(dimensions, "requests", "key", caller.key_id, caller.limits, 1)
    _add(dimensions, "requests", "tenant", tenant, caller.tenant_limits, 1)
    _add(dimensions, "images", "key", caller.key_id, caller.limits, job.n)
    _add(dimensions, "images", "tenant", tenant, caller.tenant_limits, job.n)
    _add(dimensions, "images", "model", route.id, route.limits, job.n)
    return dimensions


def _admitted(job: Job, caller: Caller, services: Services) -> EndUser | None:
    """The end user, known by a keyed hash only; None where the request names none. Raises 400 for a blocked one."""
    end_user = _end_user(job, caller, services)
    if end_user is not None and end_user.name in services.blocked_users:
        raise RequestError(
            ErrorCode.INVALID_VALUE,
            "This end user is blocked: no images are made for them. Nothing was done or charged.",
            param="user",
            should_retry=False,
        )
    return end_user


def _end_user(job: Job, caller: Caller, services: Services) -> EndUser | None:
    if job.user is None:
        return None
    return EndUser(caller.key_id, user_hash(caller.key_id, job.user, services.end_user_key))


def _of_user(job: Job, caller: Caller, end_user: EndUser | None) -> list[Dimension]:
    """The limits of one end user of this key."""
    dimensions: list[Dimension] = []
    if end_user is not None:
        _add(dimensions, "requests", "user", end_user.user_hash, caller.per_user, 1)
        _add(dimensions, "images", "user", end_user.user_hash, caller.per_user, job.n)
    return dimensions


def _add(dimensions: list[Dimension], name: MeterName, scope: Scope, key: str, ceilings: Ceilings, cost: int) -> None:
    per_minute = ceilings.requests_per_minute if name == "requests" else ceilings.images_per_minute
    if per_minute is not None:
        dimensions.append(Dimension(name, scope, key, per_minute, ceilings.burst or per_minute, cost))


def _leases(caller: Caller, route: Route) -> list[Lease]:
    if caller.limits.concurrent is None:
        return []
    return [Lease("key", caller.key_id, caller.limits.concurrent, round((route.deadline_s + _LEASE_SLACK_S) * 1000))]


def _reservation(plan: Plan, caller: Caller, tenant_budget: Budget) -> Reservation | None:
    """The most that the job can cost, whichever candidate serves it, top-up of billed images included."""
    purses = (
        *purse_of("key", caller.key_id, caller.budget),
        *purse_of("tenant", caller.tenant or "", tenant_budget),
    )
    if not purses:
        return None
    dearest = max(candidate.price_microusd for candidate in plan.candidates)
    life_s = plan.route.deadline_s + _LEASE_SLACK_S + _OUTAGE_S
    return Reservation(purses, calls_for(plan.job.n) * dearest, round(life_s * 1000))


def _refused(decision: Verdict, caller: Caller) -> RequestRefused | None:
    """The fact of a refusal by a limit; None where no limit was reached."""
    if isinstance(decision, Unaffordable):
        return RequestRefused("budget", decision.by.scope, caller.key_id)
    if isinstance(decision, Refused):
        by = decision.by
        return RequestRefused(by.name if isinstance(by, Dimension) else "concurrency", by.scope, caller.key_id)
    return None
