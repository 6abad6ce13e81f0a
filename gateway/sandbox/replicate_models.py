"""The two FLUX models as Replicate describes them: inputs, sizes, prices, speed."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.sandbox.fields import Field

__all__ = ["MODELS", "NativeModel", "model_of_version"]

# Pixel sizes of one megapixel: cog-flux, the vendor's own source
_RATIOS = {
    "1:1": (1024, 1024),
    "16:9": (1344, 768),
    "21:9": (1536, 640),
    "3:2": (1216, 832),
    "2:3": (832, 1216),
    "4:5": (896, 1088),
    "5:4": (1088, 896),
    "3:4": (896, 1152),
    "4:3": (1152, 896),
    "9:16": (768, 1344),
    "9:21": (640, 1536),
}
_PRO_RATIOS = ("custom", "1:1", "16:9", "3:2", "2:3", "4:5", "5:4", "9:16", "3:4", "4:3")
_FORMAT = Field("string", choices=("webp", "jpg", "png"))
_QUALITY = Field("integer", 0, 100)
_STEP = 32


@dataclass(frozen=True, slots=True)
class NativeModel:
    """One model. `price` is in micro-dollars an image; `natural_s` is how long the vendor takes for a prediction."""

    name: str
    version: str
    fields: Mapping[str, Field]
    single: bool
    natural_s: float
    price: int
    size_of: Callable[[Mapping[str, Any]], tuple[int, int]]


def _schnell_size(given: Mapping[str, Any]) -> tuple[int, int]:
    width, height = _RATIOS[given.get("aspect_ratio", "1:1")]
    return (width // 2, height // 2) if given.get("megapixels") == "0.25" else (width, height)


def _pro_size(given: Mapping[str, Any]) -> tuple[int, int]:
    ratio = given.get("aspect_ratio", "1:1")
    if ratio != "custom":
        return _RATIOS[ratio]
    return _rounded(given.get("width", 1024)), _rounded(given.get("height", 1024))


def _rounded(edge: int) -> int:
    """The schema's own rule: what is no multiple of 32 is rounded to the nearest."""
    return round(edge / _STEP) * _STEP


_SCHNELL = NativeModel(
    name="black-forest-labs/flux-schnell",
    version="53d5d1586a229bd033e060941789bfb0c177cefd5ef638f34b3099658343a897",
    fields={
        "prompt": Field("string"),
        "num_outputs": Field("integer", 1, 4),
        "aspect_ratio": Field("string", choices=tuple(_RATIOS)),
        "megapixels": Field("string", choices=("1", "0.25")),
        "num_inference_steps": Field("integer", 1, 4),
        "seed": Field("integer"),
        "output_format": _FORMAT,
        "output_quality": _QUALITY,
        "go_fast": Field("boolean"),
        "disable_safety_checker": Field("boolean"),
    },
    single=False,
    natural_s=0.9,
    price=3_000,
    size_of=_schnell_size,
)
_PRO = NativeModel(
    name="black-forest-labs/flux-1.1-pro",
    version="badb73d13c01c716f59b538fae81023a6c0a4f3aaedd00d477602c204c9e1232",
    fields={
        "prompt": Field("string"),
        "image_prompt": Field("string", pattern=r"(https?|data):.+"),
        "aspect_ratio": Field("string", choices=_PRO_RATIOS),
        "width": Field("integer", 256, 1440),
        "height": Field("integer", 256, 1440),
        "safety_tolerance": Field("integer", 1, 6),
        "prompt_upsampling": Field("boolean"),
        "seed": Field("integer"),
        "output_format": _FORMAT,
        "output_quality": _QUALITY,
    },
    single=True,
    natural_s=3.8,
    price=40_000,
    size_of=_pro_size,
)
MODELS: Mapping[str, NativeModel] = {model.name: model for model in (_SCHNELL, _PRO)}


def model_of_version(version: str) -> NativeModel | None:
    """The model behind a version: `owner/name`, `owner/name:version` or the 64 hex digits alone."""
    if re.fullmatch(r"[0-9a-f]{64}", version):
        return next((model for model in MODELS.values() if model.version == version), None)
    name, _, wanted = version.partition(":")
    model = MODELS.get(name)
    return model if model is not None and wanted in ("", model.version) else None
