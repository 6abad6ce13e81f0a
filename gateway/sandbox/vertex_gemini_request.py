"""Reads a `generateContent` request: what it may hold, and which picture it wants."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.sandbox import vertex_errors as errors
from gateway.sandbox.fields import Field, problems
from gateway.sandbox.native_error import RefusedError

__all__ = ["GEMINI_MODELS", "GeminiModel", "Wanted", "wanted_of"]


@dataclass(frozen=True, slots=True)
class GeminiModel:
    """One image model: the square edges it makes by name, and micro-dollars an image by the sandbox's own list."""

    edges: Mapping[str, int]
    price: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """The picture asked for. `edge` is that of a square one. `text` and `image` are the modalities asked for."""

    edge: int
    ratio: str
    file_format: str
    quality: int
    seed: int | None
    text: bool
    image: bool


_EDGES = {"512": 512, "1K": 1024, "2K": 2048, "4K": 4096}
GEMINI_MODELS: Mapping[str, GeminiModel] = {
    "gemini-3.1-flash-image": GeminiModel(_EDGES, 40_000),
    "gemini-3.1-flash-lite-image": GeminiModel({"1K": 1024}, 20_000),
    "gemini-3-pro-image": GeminiModel({name: edge for name, edge in _EDGES.items() if name != "512"}, 134_000),
    "gemini-2.5-flash-image": GeminiModel({"1K": 1024}, 39_000),
}
_RATIOS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9", "1:8", "8:1", "1:4", "4:1")
_NUMBERS = {
    "1": "ONE",
    "2": "TWO",
    "3": "THREE",
    "4": "FOUR",
    "5": "FIVE",
    "8": "EIGHT",
    "9": "NINE",
    "16": "SIXTEEN",
    "21": "TWENTY_ONE",
}  # fmt: skip - a table reads better in rows
_RATIO_NAMES = {"ASPECT_RATIO_" + "_BY_".join(_NUMBERS[part] for part in ratio.split(":")): ratio for ratio in _RATIOS}
_SIZE_NAMES = {
    "IMAGE_SIZE_FIVE_TWELVE": "512",
    "IMAGE_SIZE_ONE_K": "1K",
    "IMAGE_SIZE_TWO_K": "2K",
    "IMAGE_SIZE_FOUR_K": "4K",
}


def _listed(words: str) -> tuple[str, ...]:
    return tuple(words.split())


_BODY_NAMES = _listed(
    "contents cachedContent generationConfig labels modelArmorConfig safetySettings systemInstruction toolConfig tools"
)
# GenerationConfig and ImageConfig: the vendor's discovery document, revision 20261106
_CONFIG_NAMES = _listed(
    "audioTimestamp candidateCount frequencyPenalty imageConfig logprobs maxOutputTokens mediaResolution"
    " presencePenalty responseFormat responseModalities routingConfig seed stopSequences temperature thinkingConfig"
    " topK topP"
)
_IMAGE_CONFIG: Mapping[str, Field] = {
    "aspectRatio": Field("string", choices=_RATIOS),
    "imageSize": Field("string", choices=tuple(_EDGES)),
    "imageOutputOptions": Field("object"),
    "personGeneration": Field("string", choices=("ALLOW_ALL", "ALLOW_ADULT", "ALLOW_NONE")),
    "prominentPeople": Field("string", choices=("ALLOW_PROMINENT_PEOPLE", "BLOCK_PROMINENT_PEOPLE")),
}
_OUTPUT_OPTIONS: Mapping[str, Field] = {
    "mimeType": Field("string", choices=("image/png", "image/jpeg")),
    "compressionQuality": Field("integer", 0, 100),
}
_IMAGE_FORMAT: Mapping[str, Field] = {
    "aspectRatio": Field("string", choices=("ASPECT_RATIO_UNSPECIFIED", *_RATIO_NAMES)),
    "imageSize": Field("string", choices=("IMAGE_SIZE_UNSPECIFIED", *_SIZE_NAMES)),
    "mimeType": Field("string", choices=("MIME_TYPE_UNSPECIFIED", "IMAGE_JPEG")),
    "delivery": Field("string", choices=("DELIVERY_UNSPECIFIED", "INLINE")),
}


def wanted_of(body: dict[str, Any], model: GeminiModel) -> Wanted:
    """Read the body. Raises RefusedError for whatever the model or the API does not know."""
    _known(body, _BODY_NAMES, "")
    _check_contents(body.get("contents"))
    config = body.get("generationConfig", {})
    if not isinstance(config, dict):
        raise _wrong("generation_config", "must be an object")
    _known(config, _CONFIG_NAMES, " at 'generation_config'")
    if config.get("candidateCount", 1) != 1:
        raise RefusedError(errors.invalid("Multiple candidates is not enabled for this model."))
    if "imageConfig" in config and "responseFormat" in config:
        raise RefusedError(errors.invalid("Only one of image_config and response_format may be set."))
    modalities = config.get("responseModalities", ["TEXT", "IMAGE"])
    if not isinstance(modalities, list) or not set(modalities) <= {"TEXT", "IMAGE"} or not modalities:
        raise _wrong("generation_config.response_modalities", "must list TEXT and IMAGE")
    spelled = _new_way(config["responseFormat"]) if "responseFormat" in config else _old_way(config)
    size, ratio, file_format, quality = spelled
    if size not in model.edges:
        raise _wrong("generation_config", f"image size {size} is not supported by this model")
    text, image = "TEXT" in modalities, "IMAGE" in modalities
    return Wanted(model.edges[size], ratio, file_format, quality, config.get("seed"), text, image)


def _check_contents(contents: Any) -> None:
    if not isinstance(contents, list) or not contents:
        raise RefusedError(errors.invalid("Unable to submit request because at least one contents field is required."))
    for content in contents:
        if not isinstance(content, dict) or not isinstance(content.get("parts"), list):
            raise _wrong("contents", "must hold parts")
        if content.get("role") not in ("user", "model"):
            raise RefusedError(errors.invalid("Please use a valid role: user, model."))


def _old_way(config: dict[str, Any]) -> tuple[str, str, str, int]:
    image = config.get("imageConfig", {})
    _fits(image, _IMAGE_CONFIG, "image_config")
    output = image.get("imageOutputOptions", {})
    _fits(output, _OUTPUT_OPTIONS, "image_output_options")
    file_format = output.get("mimeType", "image/png").removeprefix("image/")
    return (
        image.get("imageSize", "1K"),
        image.get("aspectRatio", "1:1"),
        file_format,
        output.get("compressionQuality", 75),
    )


def _new_way(formats: Any) -> tuple[str, str, str, int]:
    if not isinstance(formats, list) or len(formats) != 1 or not isinstance(formats[0], dict):
        raise _wrong("generation_config.response_format", "must be an array of one image format")
    _known(formats[0], ["image"], " at 'generation_config.response_format[0]'")
    image = formats[0].get("image", {})
    _fits(image, _IMAGE_FORMAT, "response_format.image")
    size = _SIZE_NAMES.get(image.get("imageSize", ""), "1K")
    ratio = _RATIO_NAMES.get(image.get("aspectRatio", ""), "1:1")
    return size, ratio, "jpeg" if image.get("mimeType") == "IMAGE_JPEG" else "png", 75


def _known(given: dict[str, Any], names: Collection[str], where: str) -> None:
    for name in given:
        if name not in names:
            text = f'Invalid JSON payload received. Unknown name "{name}"{where}: Cannot find field.'
            raise RefusedError(errors.invalid(text))


def _fits(given: Any, fields: Mapping[str, Field], where: str) -> None:
    if not isinstance(given, dict):
        raise _wrong(where, "must be an object")
    _known(given, fields, f" at '{where}'")
    found = problems(given, fields)
    if found:
        raise _wrong(f"{where}.{found[0].name}", "has an invalid value")


def _wrong(name: str, why: str) -> RefusedError:
    return RefusedError(errors.invalid(f"Invalid value at '{name}': {why}."))
