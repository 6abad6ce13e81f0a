"""GET /v1/models: OpenAI's shape, and what each model does by itself, what the gateway adds, and what it costs."""

from collections.abc import Callable, Iterable
from typing import Any

from gateway.domain.caller import Caller
from gateway.domain.catalogue import Capabilities, Catalogue, Route, Target
from gateway.domain.money import dollars
from gateway.domain.picture import ImageFormat, Size
from gateway.policies.fitting import native_size

__all__ = ["capability_manifest", "find_model", "model_entry", "models_list"]

IMAGES_AT_MOST = 10  # contract §2, row n
_WORDS = ("low", "medium", "high", "xhigh", "max")

CapabilitiesOf = Callable[[Target], Capabilities]


def models_list(caller: Caller, catalogue: Catalogue, capabilities_of: CapabilitiesOf, created: int) -> dict[str, Any]:
    """All models that the caller may use. `created` is the Unix time to give for each."""
    routes = {route.id: route for route in catalogue.routes.values() if caller.may_use(route.id)}
    return {
        "object": "list",
        "data": [model_entry(route, catalogue, capabilities_of, created) for route in routes.values()],
    }


def find_model(
    name: str, caller: Caller, catalogue: Catalogue, capabilities_of: CapabilitiesOf, created: int
) -> dict[str, Any] | None:
    """The model of that name, an alias included; None where there is none, or none for this caller."""
    route = catalogue.routes.get(name)
    if route is None or not caller.may_use(route.id):
        return None
    return model_entry(route, catalogue, capabilities_of, created)


def model_entry(route: Route, catalogue: Catalogue, capabilities_of: CapabilitiesOf, created: int) -> dict[str, Any]:
    """One model. Its `shutdown_date` (ISO, or None) is the day on which the last of its native models is gone."""
    known = [capabilities_of(target) for target in route.targets]
    return {
        "id": route.id,
        "object": "model",
        "created": created,
        "owned_by": route.targets[0].account.vendor,
        "shutdown_date": _last_day(known),
        "capabilities": capability_manifest(route, catalogue, capabilities_of),
    }


def capability_manifest(route: Route, catalogue: Catalogue, capabilities_of: CapabilitiesOf) -> dict[str, Any]:
    """What the route offers. `native` is said only of what every target does by itself."""
    powers = [(target, capabilities_of(target)) for target in route.targets]
    known = [each for _, each in powers]
    sizes = [size for size in catalogue.sizes if any(native_size(size, each) for each in known)]
    linked = route.passthrough_url and all(each.delivers_links for each in known)
    return {
        "sizes": [{"size": str(size), "support": _size_support(size, known)} for size in sizes],
        "default_size": str(catalogue.default_size),
        "output_formats": [
            {"format": form.value, "support": _support(form in each.formats for each in known)} for form in ImageFormat
        ],
        "response_formats": [
            {"format": "url", "support": _support([linked])},
            {"format": "b64_json", "support": _support(not each.delivers_links for each in known)},
        ],
        "n": {"max": IMAGES_AT_MOST, "native_max": min(IMAGES_AT_MOST, *(each.images_per_call for each in known))},
        "prompt": {"max_code_points": route.prompt_limit},
        "stream": {"support": "emulated", "partial_images": False},
        "background": ["auto", "opaque", *(["transparent"] if any(each.transparent for each in known) else [])],
        "quality": _qualities(known),
        "style": _union(each.styles for each in known),
        "moderation": _union(each.moderations for each in known),
        "provider_options": list(route.provider_options),
        "price_per_image_usd": [
            _price(size, quality, powers) for size in sizes for quality in ("auto", *_qualities(known))
        ],
    }


def _last_day(known: Iterable[Capabilities]) -> str | None:
    days = [each.shutdown_date for each in known]
    dated = [day for day in days if day is not None]
    return max(dated) if len(dated) == len(days) else None


def _support(natively: Iterable[bool]) -> str:
    return "native" if all(natively) else "emulated"


def _size_support(size: Size, known: Iterable[Capabilities]) -> str:
    return _support(native_size(size, each) == size for each in known)


def _qualities(known: Iterable[Capabilities]) -> list[str]:
    offered = set().union(*(each.qualities for each in known))
    return [word for word in _WORDS if word in offered]


def _union(words: Iterable[Iterable[str]]) -> list[str]:
    return list(dict.fromkeys(word for some in words for word in some))


def _price(size: Size, quality: str, powers: Iterable[tuple[Target, Capabilities]]) -> dict[str, Any]:
    """What one image costs by the operator's price table, over all targets that can make it."""
    figures = [
        _figure(target, native, each.qualities.get(quality))
        for target, each in powers
        if (native := native_size(size, each)) is not None
    ]
    lowest, highest = (float(dollars(figure)) for figure in (min(figures), max(figures)))
    return {"size": str(size), "quality": quality, "lowest": lowest, "highest": highest}


def _figure(target: Target, native: Size, word: str | None) -> int:
    """Micro-dollars for one image. A quality that the model does not take, or has no price, is ignored."""
    chosen = target.parameters.get("quality")
    usual = target.price.of(native, chosen if isinstance(chosen, str) else None)
    asked = target.price.of(native, word) if word else None
    return next((figure for figure in (asked, usual) if figure is not None), target.price.highest)
