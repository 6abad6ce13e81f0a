"""Deployments to write documents for."""

from gateway.domain.catalogue import Account, Capabilities, Catalogue, Grid, Route, Target
from gateway.domain.money import Price
from gateway.domain.picture import ImageFormat, Size

SQUARE = Size(1024, 1024)
POWERS = {
    "schnell": Capabilities(4, sizes=(Size(512, 512), SQUARE), delivers_links=True, takes_seed=True),
    "pro": Capabilities(
        1,
        grid=Grid(32, 256, 1440),
        formats=(ImageFormat.PNG, ImageFormat.JPEG, ImageFormat.WEBP),
        delivers_links=True,
    ),
    "glass": Capabilities(
        10,
        sizes=(SQUARE,),
        formats=(ImageFormat.PNG, ImageFormat.JPEG, ImageFormat.WEBP),
        qualities={"low": "low", "high": "high"},
        moderations=("low",),
        transparent=True,
        shutdown_date="2027-06-01",
    ),
    "old": Capabilities(1, sizes=(SQUARE,), styles=("vivid", "natural"), shutdown_date="2026-05-12"),
}
TABLE = Price(table={"1024x1024": {"low": 10_000, "high": 200_000, "*": 50_000}})


def capabilities_of(target: Target) -> Capabilities:
    return POWERS[target.model]


def target(model: str, price: Price, vendor: str = "vendor") -> Target:
    return Target(Account("account", vendor), "dialect", model, price)


SCHNELL = Route("flux-schnell", (target("schnell", Price(flat=3_000), "replicate"),), provider_options=("seed",))
PRO = Route("flux-1.1-pro", (target("pro", Price(flat=40_000)),), prompt_limit=40, passthrough_url=True)
DALL_E = Route(
    "dall-e-3", (target("glass", TABLE), target("old", Price(flat=60_000))), provider_options=("seed", "style_type")
)
ROUTES = {route.id: route for route in (SCHNELL, PRO, DALL_E)}
USUAL = Catalogue(ROUTES)
WITH_DEFAULT = Catalogue(ROUTES, default_model="flux-1.1-pro", sizes=(SQUARE, Size(1536, 1024)))
LENIENT = Catalogue({"flux-schnell": SCHNELL}, ignore_unknown_fields=True)
GLASS_BY_DEFAULT = Catalogue(ROUTES, default_model="dall-e-3")
EVERY = (USUAL, WITH_DEFAULT, LENIENT, GLASS_BY_DEFAULT)
