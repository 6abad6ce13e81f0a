"""Who is calling, and what they may do."""

from dataclasses import dataclass, field

from gateway.domain.catalogue import Limits
from gateway.domain.money import Budget

__all__ = ["Caller"]


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
