"""Who is calling, and what they may do."""

from dataclasses import dataclass, field, replace

from gateway.domain.catalogue import Limits
from gateway.domain.money import Budget

__all__ = ["Caller", "Tenant"]

_PRIORITY_AT_MOST = 9


@dataclass(frozen=True, slots=True)
class Tenant:
    """Whom keys belong to: what none of them goes beyond, and what all of them share (`limits`)."""

    limits: Limits = field(default_factory=Limits)
    models: tuple[str, ...] = ("*",)
    priority: int = _PRIORITY_AT_MOST


@dataclass(frozen=True, slots=True)
class Caller:
    """The holder of a valid key. `models` holds public ids, `*` for all. A higher `priority` is shed later.

    `per_user` are the ceilings of each of the key's end users (`user` of a request), by requests and images.
    `may_route`: its requests may choose among a route's targets.
    """

    key_id: str
    tenant: str | None = None
    models: tuple[str, ...] = ("*",)
    limits: Limits = field(default_factory=Limits)
    tenant_limits: Limits = field(default_factory=Limits)
    priority: int = 5
    budget: Budget = field(default_factory=Budget)
    per_user: Limits = field(default_factory=Limits)
    may_route: bool = False

    def may_use(self, model: str) -> bool:
        """Whether this key may call the public model `model`."""
        return "*" in self.models or model in self.models

    def within(self, tenant: Tenant) -> "Caller":
        """The same caller as a member of `tenant`."""
        models = self.models if "*" in tenant.models else tuple(model for model in tenant.models if self.may_use(model))
        priority = min(self.priority, tenant.priority)
        return replace(self, tenant_limits=tenant.limits, models=models, priority=priority)
