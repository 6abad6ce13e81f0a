"""OpenAI's image models: which live, which are gone, and what each takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.sandbox.fields import Field

__all__ = ["MODELS", "OpenAIModel"]

_FORMAT_NAMES = ("png", "jpeg", "webp")
_COUNT = Field("integer", 1, 10, nullable=True)
_USER = Field("string", nullable=True)
_PROMPT_LIMIT = 32_000


@dataclass(frozen=True, slots=True)
class OpenAIModel:
    """One model. `fixed_sizes` are its sizes; None means any size within the rule of the newer ones.

    `price` is in micro-dollars for a medium 1024 × 1024 image, by the sandbox's own list.
    """

    id: str
    created: int
    fields: Mapping[str, Field]
    price: int
    shutdown_date: str | None = None
    fixed_sizes: tuple[str, ...] | None = None

    @property
    def gpt(self) -> bool:
        """Whether it speaks the newer profile: base64 only, no style, no response_format."""
        return not self.id.startswith("dall-e")

    def is_gone(self, now: float) -> bool:
        """Whether the vendor has shut it down by now."""
        today = datetime.fromtimestamp(now, UTC).date().isoformat()
        return self.shutdown_date is not None and today >= self.shutdown_date


def _dall(limit: int, most: int, sizes: tuple[str, ...], **more: Field) -> dict[str, Field]:
    return {
        "model": Field("string"),
        "prompt": Field("string", 1, limit),
        "n": Field("integer", 1, most, nullable=True),
        "size": Field("string", choices=sizes, nullable=True),
        "response_format": Field("string", choices=("url", "b64_json"), nullable=True),
        "user": _USER,
    } | more


def _gpt(qualities: tuple[str, ...], formats: tuple[str, ...], **more: Field) -> dict[str, Field]:
    return {
        "model": Field("string"),
        "prompt": Field("string", 1, _PROMPT_LIMIT),
        "n": _COUNT,
        "size": Field("string", nullable=True),
        "quality": Field("string", choices=qualities, nullable=True),
        "background": Field("string", choices=("transparent", "opaque", "auto"), nullable=True),
        "output_format": Field("string", choices=formats, nullable=True),
        "output_compression": Field("integer", 0, 100, nullable=True),
        "moderation": Field("string", choices=("low", "auto"), nullable=True),
        "stream": Field("boolean", nullable=True),
        "partial_images": Field("integer", 0, 3, nullable=True),
        "user": _USER,
        "safety_identifier": Field("string", nullable=True),
    } | more


_SQUARES = ("256x256", "512x512", "1024x1024")
_WIDE = ("1024x1024", "1792x1024", "1024x1792")
_CLASSIC = ("auto", "1024x1024", "1536x1024", "1024x1536")
_QUALITIES = ("auto", "low", "medium", "high")
_OLD_GPT = _gpt(_QUALITIES, _FORMAT_NAMES)
_NEWEST_GPT = _gpt(
    (*_QUALITIES, "xhigh", "max"),
    (*_FORMAT_NAMES, "gif", "svg"),
    complexity=Field("string", choices=("low", "medium", "high"), nullable=True),
    frame_count=Field("integer", 2, 16, nullable=True),
    frame_duration_ms=Field("integer", 1, nullable=True),
    svg=Field("object", nullable=True),
)
_DALL_E_2 = _dall(1000, 10, _SQUARES, quality=Field("string", choices=("standard",), nullable=True))
_DALL_E_3 = _dall(
    4000,
    1,
    _WIDE,
    quality=Field("string", choices=("standard", "hd"), nullable=True),
    style=Field("string", choices=("vivid", "natural"), nullable=True),
)
_LIST = (
    OpenAIModel("dall-e-2", 1698798177, _DALL_E_2, 20_000, shutdown_date="2026-05-12"),
    OpenAIModel("dall-e-3", 1698785189, _DALL_E_3, 40_000, shutdown_date="2026-05-12"),
    OpenAIModel("gpt-image-1", 1745517030, _OLD_GPT, 42_000, "2026-10-23", _CLASSIC),
    OpenAIModel("gpt-image-1-mini", 1759521600, _OLD_GPT, 11_000, "2026-12-01", _CLASSIC),
    OpenAIModel("gpt-image-1.5", 1765843200, _OLD_GPT, 34_000, "2026-12-01", _CLASSIC),
    OpenAIModel("chatgpt-image-latest", 1765843200, _OLD_GPT, 34_000, "2026-12-01", _CLASSIC),
    OpenAIModel("gpt-image-2", 1776729600, _OLD_GPT, 50_000),
    OpenAIModel("gpt-image-2.5-flare", 1782864000, _NEWEST_GPT, 30_000),
    OpenAIModel("gpt-image-2.5-sunburst", 1782864000, _NEWEST_GPT, 60_000),
    OpenAIModel("gpt-image-2.6-flare", 1791590400, _NEWEST_GPT, 30_000),
    OpenAIModel("gpt-image-2.6-sunburst", 1791590400, _NEWEST_GPT, 60_000),
)
MODELS: Mapping[str, OpenAIModel] = {model.id: model for model in _LIST}
