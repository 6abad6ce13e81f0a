"""What Ideogram's two APIs take: fields, sizes and prices of its models."""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.sandbox.fields import Field

__all__ = ["SIZE_OF_RATIO", "V1_FIELDS", "V1_PRICES", "V2_MODELS", "V2Model"]


def _listed(words: str) -> tuple[str, ...]:
    return tuple(words.split())


# Ideogram 3.0's resolutions: the vendor's OpenAPI document, ResolutionV3
_V3_SIZES = _listed(
    "512x1536 576x1408 576x1472 576x1536 640x1344 640x1408 640x1472 640x1536 704x1152 704x1216 704x1280 704x1344"
    " 704x1408 704x1472 736x1312 768x1088 768x1216 768x1280 768x1344 800x1280 832x960 832x1024 832x1088 832x1152"
    " 832x1216 832x1248 864x1152 896x960 896x1024 896x1088 896x1120 896x1152 960x832 960x896 960x1024 960x1088"
    " 1024x832 1024x896 1024x960 1024x1024 1088x768 1088x832 1088x896 1088x960 1120x896 1152x704 1152x832 1152x864"
    " 1152x896 1216x704 1216x768 1216x832 1248x832 1280x704 1280x768 1280x800 1312x736 1344x640 1344x704 1344x768"
    " 1408x576 1408x640 1408x704 1472x576 1472x640 1472x704 1536x512 1536x576 1536x640"
)
# Sizes of 4.5: the vendor's partners list them as presets of 1K and 2K; the square ones and the common 2K shapes
_V4_5_SIZES = _listed(
    "auto 1024x1024 2048x2048 1440x2880 2880x1440 1664x2496 2496x1664 1792x2240 2240x1792 1440x2560 2560x1440"
    " 1600x2560 2560x1600 1728x2304 2304x1728"
)
_PRESETS = _listed(
    "80S_ILLUSTRATION 90S_NOSTALGIA ABSTRACT_ORGANIC ANALOG_NOSTALGIA ART_BRUT ART_DECO ART_POSTER AURA AVANT_GARDE"
    " BAUHAUS BLUEPRINT BLURRY_MOTION BRIGHT_ART C4D_CARTOON CHILDRENS_BOOK COLLAGE COLORING_BOOK_I"
    " COLORING_BOOK_II CUBISM DARK_AURA DOODLE DOUBLE_EXPOSURE DRAMATIC_CINEMA EDITORIAL EMOTIONAL_MINIMAL"
    " ETHEREAL_PARTY EXPIRED_FILM FLAT_ART FLAT_VECTOR FOREST_REVERIE GEO_MINIMALIST GLASS_PRISM GOLDEN_HOUR GRAFFITI_I"
    " GRAFFITI_II HALFTONE_PRINT HIGH_CONTRAST HIPPIE_ERA ICONIC JAPANDI_FUSION JAZZY LONG_EXPOSURE MAGAZINE_EDITORIAL"
    " MINIMAL_ILLUSTRATION MIXED_MEDIA MONOCHROME NIGHTLIFE OIL_PAINTING OLD_CARTOONS PAINT_GESTURE POP_ART"
    " RETRO_ETCHING RIVIERA_POP SPOTLIGHT_80S STYLIZED_RED SURREAL_COLLAGE TRAVEL_POSTER VINTAGE_GEO VINTAGE_POSTER"
    " WATERCOLOR WEIRD WOODBLOCK_PRINT"
)
SIZE_OF_RATIO = {
    "1x1": "1024x1024",
    "16x9": "1312x736",
    "9x16": "736x1312",
    "4x3": "1152x864",
    "3x4": "864x1152",
    "3x2": "1248x832",
    "2x3": "832x1248",
    "16x10": "1280x800",
    "10x16": "800x1280",
    "2x1": "1408x704",
    "1x2": "704x1408",
    "3x1": "1536x512",
    "1x3": "512x1536",
    "5x4": "1120x896",
    "4x5": "896x1120",
}
_SPEEDS = ("FLASH", "TURBO", "BALANCED", "DEFAULT", "QUALITY")
_STYLES = ("AUTO", "GENERAL", "REALISTIC", "DESIGN", "CUSTOM", "FICTION", "STYLIZED")
_MAGIC = ("AUTO", "ON", "OFF")
_SEED = Field("integer", 0, 2147483647)
_COUNT = Field("integer", 1, 8)

V1_FIELDS: Mapping[str, Field] = {
    "prompt": Field("string"),
    "seed": _SEED,
    "resolution": Field("string", choices=_V3_SIZES),
    "aspect_ratio": Field("string", choices=tuple(SIZE_OF_RATIO)),
    "rendering_speed": Field("string", choices=_SPEEDS),
    "magic_prompt": Field("string", choices=_MAGIC),
    "negative_prompt": Field("string"),
    "num_images": _COUNT,
    "color_palette": Field("object"),
    "style_codes": Field("array"),
    "style_type": Field("string", choices=_STYLES),
    "style_preset": Field("string", choices=_PRESETS),
    "custom_model_uri": Field("string", pattern=r"model/[^/]+/version/[^/]+"),
    "style_reference_images": Field("array"),
    "character_reference_images": Field("array"),
    "character_reference_images_mask": Field("array"),
}
# Micro-dollars an image: the vendor's price list of 2026-11-16 for Turbo, Default and Quality
V1_PRICES = {"FLASH": 30_000, "TURBO": 30_000, "BALANCED": 60_000, "DEFAULT": 60_000, "QUALITY": 90_000}
_QUALITY_PRICES = {"VERY_LOW": 30_000, "LOW": 30_000, "MEDIUM": 60_000, "HIGH": 100_000}


@dataclass(frozen=True, slots=True)
class V2Model:
    """One model of the v2 API. `dial` is the field that sets its price, `usual` that field's default."""

    name: str
    fields: Mapping[str, Field]
    dial: str
    usual: str
    prices: Mapping[str, int]
    billing_identifier: str


# The v2 pages write enums in small letters, the v1 document in capitals; which of them the older models insist on
# under v2 could not be read, so the sandbox takes either.
_V2_SHARED: Mapping[str, Field] = {
    "prompt": Field("string", 1, 10_000),
    "magic_prompt": Field("string", choices=_MAGIC, any_case=True),
    "seed": _SEED,
    "num_images": _COUNT,
    "async": Field("boolean"),
    "webhook_url": Field("string", pattern=r"https://.+"),
}
_V2_PLAIN_SIZES: Mapping[str, Field] = {"aspect_ratio": Field("string", choices=tuple(SIZE_OF_RATIO))}
_V2_SPEED = {"rendering_speed": Field("string", choices=_SPEEDS, any_case=True)}
_V2_STYLE: Mapping[str, Field] = {
    "negative_prompt": Field("string"),
    "style_type": Field("string", choices=_STYLES, any_case=True),
    "style_preset": Field("string", choices=_PRESETS, any_case=True),
    "style_codes": Field("array"),
    "color_palette": Field("object"),
}
_V2_SIZED: Mapping[str, Field] = {
    "size": Field("string", choices=_V4_5_SIZES),
    "quality": Field("string", choices=tuple(_QUALITY_PRICES), any_case=True),
}


def _spoken_3_or_4(name: str, sizes: tuple[str, ...], more: Mapping[str, Field]) -> V2Model:
    fields = {**_V2_SHARED, **_V2_PLAIN_SIZES, **_V2_SPEED, **more, "resolution": Field("string", choices=sizes)}
    identifier = f"{name.replace('-', '_')}_generate"
    return V2Model(name, fields, "rendering_speed", "DEFAULT", V1_PRICES, identifier)


def _spoken_4_5(name: str) -> V2Model:
    identifier = f"{name.replace('-', '_')}_generate"
    return V2Model(name, {**_V2_SHARED, **_V2_SIZED}, "quality", "MEDIUM", _QUALITY_PRICES, identifier)


V2_MODELS: Mapping[str, V2Model] = {
    model.name: model
    for model in (
        _spoken_3_or_4("ideogram-3", _V3_SIZES, _V2_STYLE),
        _spoken_3_or_4("ideogram-4", ("512x512", *_V3_SIZES, "2048x2048"), {}),
        _spoken_4_5("ideogram-4-5"),
        _spoken_4_5("ideogram-4-6"),
    )
}
