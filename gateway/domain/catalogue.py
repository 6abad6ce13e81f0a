"""What a deployment offers: routes with a public name, their targets, and the accounts that pay.

A public model id is the name of a route, never a vendor's model: vendors retire models, clients keep names.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gateway.domain.money import Price
from gateway.domain.picture import ImageFormat, Size

__all__ = ["Account", "Capabilities", "Catalogue", "Grid", "Limits", "OnRefusal", "Route", "Strategy", "Target"]

Json = Any


class Strategy(StrEnum):
    """In which order a route's targets are tried."""

    ORDERED = "ordered"
    WEIGHTED = "weighted"
    CHEAPEST = "cheapest"
    LEAST_BUSY = "least_busy"


class OnRefusal(StrEnum):
    """What a safety refusal leads to."""

    STOP = "stop"
    NEXT_TARGET = "next_target"


@dataclass(frozen=True, slots=True)
class Account:
    """A vendor account (or region) as a dialect may see it: where it is, never its credential.

    `base_url` has no trailing slash and is None for the vendor's own address.
    """

    id: str
    vendor: str
    base_url: str | None = None
    project: str | None = None
    location: str | None = None


@dataclass(frozen=True, slots=True)
class Grid:
    """Sizes given by a rule: edges in steps of `step`, within bounds (inclusive), pixels and ratio bounded too."""

    step: int
    min_edge: int
    max_edge: int
    min_pixels: int = 1
    max_pixels: int = 1 << 62
    max_ratio: float = 1e9


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one native model does by itself; everything else is emulated by the gateway.

    `sizes` are exact pixel sizes the vendor delivers; `grid` is a rule beside them. `images_per_call` is the
    vendor's own maximum. `qualities` maps our words (low, medium, high, xhigh,
    max) to the model's own. `prompt_limit` is in code points, None for no limit
    below ours. `shutdown_date` is ISO (YYYY-MM-DD) where the vendor has announced or made one.
    `delivers_links` is true where the vendor's reply is a link a client could be handed.
    """

    images_per_call: int
    sizes: tuple[Size, ...] = ()
    grid: Grid | None = None
    formats: tuple[ImageFormat, ...] = (ImageFormat.PNG,)
    qualities: Mapping[str, str] = field(default_factory=dict)
    styles: tuple[str, ...] = ()
    moderations: tuple[str, ...] = ()
    transparent: bool = False
    prompt_limit: int | None = None
    shutdown_date: str | None = None
    delivers_links: bool = False
    takes_end_user: bool = False
    takes_seed: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """One way to serve a route: an account, the dialect it is spoken to in, and a native model.

    `parameters` are the operator's native parameters, merged into every call.
    """

    account: Account
    dialect: str
    model: str
    price: Price
    parameters: Mapping[str, Json] = field(default_factory=dict)
    weight: int = 1

    @property
    def served_by(self) -> str:
        """`vendor/native model`, for the reply header and the books."""
        return f"{self.account.vendor}/{self.model}"


@dataclass(frozen=True, slots=True)
class Limits:
    """Ceilings of one key, tenant or model. None means no ceiling. `burst` None means one minute's limit."""

    requests_per_minute: int | None = None
    images_per_minute: int | None = None
    concurrent: int | None = None
    burst: int | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """A public model. `deadline_s` bounds the whole operation; `provider_options` are the vendor extras allowed."""

    id: str
    targets: tuple[Target, ...]
    deadline_s: float = 180.0
    prompt_limit: int = 1000
    limits: Limits = field(default_factory=Limits)
    provider_options: tuple[str, ...] = ()
    strategy: Strategy = Strategy.ORDERED
    on_refusal: OnRefusal = OnRefusal.STOP
    passthrough_url: bool = False


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All routes, and what the deployment lets every request ask for."""

    routes: Mapping[str, Route]
    sizes: tuple[Size, ...] = field(default_factory=lambda: (Size(256, 256), Size(512, 512), Size(1024, 1024)))
    default_size: Size = field(default_factory=lambda: Size(1024, 1024))
    default_model: str | None = None
    ignore_unknown_fields: bool = False
