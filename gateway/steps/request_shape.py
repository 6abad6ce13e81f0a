"""The body of POST /v1/images/generations as one type: it validates, and the published schema is made from it.

The order of the fields is the order in which they are checked, and so decides which fault is reported.
What only a deployment knows (its models, sizes and prompt limits) is not here. `null` means absent everywhere.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

__all__ = ["ALLOWED", "KINDS", "NOT_BLANK", "OPTION_KINDS", "ImageRequest", "OptionValue"]

NOT_BLANK = r"[^\t\n\u000b\u000c\r\u001c-\u001f \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]"
"""Some character that is white space neither to Unicode nor to Python nor to JavaScript, for both regex dialects."""

_END_USER_LIMIT = 256
_OPTION_TEXT_LIMIT = 1000
_EXACT = (1 << 53) - 1  # beyond it a JSON number does not survive every reader
_SEEDS = (1 << 31) - 1  # the range that every vendor's seed allows

ResponseFormat = Literal["url", "b64_json"]
Quality = Literal["auto", "low", "medium", "high", "xhigh", "max", "standard", "hd"]
Style = Literal["vivid", "natural"]
Moderation = Literal["auto", "low"]
Background = Literal["auto", "opaque", "transparent"]
OutputFormat = Literal["png", "jpeg", "webp"]
Complexity = Literal["low", "medium", "high"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
EndUser = Annotated[str, Meta(max_length=_END_USER_LIMIT)]
OptionValue = (
    Annotated[str, Meta(max_length=_OPTION_TEXT_LIMIT)]
    | Annotated[int, Meta(ge=-_EXACT, le=_EXACT)]
    | Annotated[float, Meta(ge=-_EXACT, le=_EXACT)]
    | bool
)
Seed = Annotated[int, Meta(ge=0, le=_SEEDS)]


class SvgReasoning(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How hard OpenAI's SVG author would think. Understood; it has no effect here."""

    effort: Effort | None = None


class Svg(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """OpenAI's choice of an SVG author. Understood; it has no effect here."""

    model: str
    reasoning: SvgReasoning | None = None


class ImageRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to make. `null` for a field is the same as leaving it out."""

    model: Annotated[str, Meta(description="The public id of a model.")]
    prompt: Annotated[
        str,
        Meta(
            min_length=1,
            pattern=NOT_BLANK,
            description="What the images show. Counted in Unicode code points; not only white space.",
            examples=["A lighthouse in fog, woodcut"],
        ),
    ]
    n: Annotated[int, Meta(ge=1, le=10, description="How many images; you get exactly as many.")] = 1
    size: Annotated[str, Meta(description="The exact size in pixels. `auto` is the deployment's default.")] = "auto"
    response_format: Annotated[
        ResponseFormat, Meta(description="A signed link to each image, or the image itself in base64.")
    ] = "url"
    user: Annotated[EndUser, Meta(description="Your end user's id, for abuse monitoring. Never sent on as it is.")] = ""
    quality: Annotated[
        Quality, Meta(description="A hint. `standard` is medium, `hd` is high. Ignored, by name, where not supported.")
    ] = "auto"
    style: Annotated[Style | None, Meta(description="A hint. Ignored, by name, where not supported.")] = None
    moderation: Annotated[Moderation, Meta(description="A hint. Ignored, by name, where not supported.")] = "auto"
    output_format: Annotated[OutputFormat, Meta(description="The file format, on every model.")] = "png"
    output_compression: Annotated[
        int, Meta(ge=0, le=100, description="Quality of a jpeg or webp file. A png takes only 100.")
    ] = 100
    background: Annotated[
        Background, Meta(description="`transparent` only where the model can, and with png or webp.")
    ] = "auto"
    stream: Annotated[bool, Meta(description="Send each image as a server-sent event as soon as it is ready.")] = False
    partial_images: Annotated[int, Meta(ge=0, le=3, description="Understood; unfinished images are not sent.")] = 0
    safety_identifier: Annotated[EndUser, Meta(description="As `user`, which it replaces when it is not empty.")] = ""
    complexity: Annotated[Complexity | None, Meta(description="Understood; it has no effect here.")] = None
    frame_count: Annotated[
        Annotated[int, Meta(ge=2, le=16)] | None, Meta(description="Understood; it has no effect here.")
    ] = None
    frame_duration_ms: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="Understood; it has no effect here.")
    ] = None
    svg: Annotated[Svg | None, Meta(description="Understood; it has no effect here.")] = None
    provider_options: Annotated[
        dict[str, OptionValue | None],
        Meta(description="A vendor's own extras, as far as the model's allow-list goes (see GET /v1/models)."),
    ] = {}


KINDS: Mapping[str, Any] = MappingProxyType({field.name: field.type for field in msgspec.structs.fields(ImageRequest)})
"""Each field's type, in checking order."""

OPTION_KINDS: Mapping[str, Any] = MappingProxyType({"seed": Seed})
"""The types of those provider options that the gateway itself reads."""


def _one_of(words: Any) -> str:
    return "one of " + ", ".join(f"`{word}`" for word in get_args(words))


_END_USER = f"a string of at most {_END_USER_LIMIT} code points"

ALLOWED: Mapping[str, str] = MappingProxyType(
    {
        "model": "a string, the id of a model",
        "prompt": "a string that is not only white space",
        "n": "a whole number from 1 to 10",
        "size": "a string such as `1024x1024`, or `auto`",
        "response_format": _one_of(ResponseFormat),
        "user": _END_USER,
        "quality": _one_of(Quality),
        "style": _one_of(Style),
        "moderation": _one_of(Moderation),
        "output_format": _one_of(OutputFormat),
        "output_compression": "a whole number from 0 to 100",
        "background": _one_of(Background),
        "stream": "`true` or `false`",
        "partial_images": "a whole number from 0 to 3",
        "safety_identifier": _END_USER,
        "complexity": _one_of(Complexity),
        "frame_count": "a whole number from 2 to 16",
        "frame_duration_ms": "a whole number of at least 1",
        "svg": "an object with a `model` (string) and perhaps a `reasoning` with an `effort`",
        "provider_options": f"an object of numbers, booleans and strings of at most {_OPTION_TEXT_LIMIT} code points",
    }
)
"""What each field may be, for the end of a sentence: `must be …`."""
