"""Imagen by `:predict` (`/vertex` stands for Vertex AI's hosts): retired by Google, so spoken only when asked to."""

import secrets
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from gateway.sandbox import vertex_errors as errors
from gateway.sandbox.artist import inline_text, made_all
from gateway.sandbox.drawing import Picture
from gateway.sandbox.exchange import Call, Operation, json_reply
from gateway.sandbox.fields import Field, Problem, problems
from gateway.sandbox.native_error import RefusedError
from gateway.sandbox.vertex_access import admit, missing_model, read_object

__all__ = ["ROUTES"]

_NATURAL_S = 5.0
_RULE = "vertex: per image delivered, blocked ones are not charged"
_PROMPT_LIMIT = 480 * 6  # 480 tokens by third-party tests; counted here as six characters a token at most
_SIZES = {
    "1:1": (1024, 1024),
    "3:4": (896, 1280),
    "4:3": (1280, 896),
    "9:16": (768, 1408),
    "16:9": (1408, 768),
}
_MODELS = {  # micro-dollars an image, by the sandbox's own list
    "imagen-3.0-generate-001": 40_000,
    "imagen-3.0-generate-002": 40_000,
    "imagen-3.0-fast-generate-001": 20_000,
    "imagen-4.0-generate-001": 40_000,
    "imagen-4.0-fast-generate-001": 20_000,
    "imagen-4.0-ultra-generate-001": 60_000,
}
_TAKES_2K = ("imagen-4.0-generate-001", "imagen-4.0-ultra-generate-001")
_PARAMETERS: Mapping[str, Field] = {
    "sampleCount": Field("integer", 1, 4),
    "aspectRatio": Field("string", choices=tuple(_SIZES)),
    "sampleImageSize": Field("string", choices=("1K", "2K")),
    "outputOptions": Field("object"),
    "storageUri": Field("string", pattern=r"gs://.+"),
    "enhancePrompt": Field("boolean"),
    "negativePrompt": Field("string"),
    "guidanceScale": Field("number"),
    "safetySetting": Field(
        "string",
        choices=("BLOCK_LOW_AND_ABOVE", "BLOCK_MEDIUM_AND_ABOVE", "BLOCK_ONLY_HIGH", "BLOCK_NONE"),
        any_case=True,
    ),
    "personGeneration": Field("string", choices=("DONT_ALLOW", "ALLOW_ADULT", "ALLOW_ALL"), any_case=True),
    "seed": Field("integer", 0, 2**32 - 1),
    "addWatermark": Field("boolean"),
    "language": Field("string", choices=("auto", "en", "zh", "zh-TW", "hi", "ja", "ko", "pt", "es")),
    "includeRaiReason": Field("boolean"),
    "includeSafetyAttributes": Field("boolean"),
}
_OUTPUT: Mapping[str, Field] = {
    "mimeType": Field("string", choices=("image/png", "image/jpeg")),
    "compressionQuality": Field("integer", 0, 100),
}
_BODY: Mapping[str, Field] = {
    "instances": Field("array", 1),
    "parameters": Field("object"),
    "labels": Field("object"),
}
_ALL_FILTERED = (
    "Unable to show generated images. All images were filtered out because they violated Vertex AI's usage guidelines."
    " You will not be charged for blocked images. Try rephrasing the prompt. If you think this was an error, send"
    " feedback. Support codes: 39322892, 29310472"
)
_SOME_FILTERED = (
    "Your current safety filter threshold filtered out {count} generated images. You will not be charged for blocked"
    " images. Try rephrasing the prompt. If you think this was an error, send feedback."
)


def _subject(call: Call) -> tuple[str, str]:
    instances = call.body.get("instances")
    first = instances[0] if isinstance(instances, list) and instances else {}
    prompt = first.get("prompt") if isinstance(first, dict) else ""
    return call.request.path_params["model"], str(prompt or "")


async def _predict(call: Call) -> Response:
    price = _MODELS.get(call.model)
    if price is None and call.model.startswith("gemini"):
        raise RefusedError(
            errors.worded(400, "Gemini cannot be accessed through Vertex Predict API.", "FAILED_PRECONDITION")
        )
    if price is None or not call.state.options.speak_retired:
        raise missing_model(call)
    given = _checked(call)
    await call.work(_NATURAL_S)
    pictures, filtered = _pictures(call, given)
    call.charge(len(pictures), _RULE, price)
    shown = await _shown(call, given, pictures)
    if call.then.refuse == "positive_prompt":
        shown.append(
            {"safetyAttributes": {"categories": ["Violence"], "scores": [0.1]}, "contentType": "Positive Prompt"}
        )
    if filtered and given.get("includeRaiReason") and call.then.refuse != "rai_silent":
        reason = _SOME_FILTERED.format(count=filtered) if pictures else _ALL_FILTERED
        shown.append({"raiFilteredReason": reason})
    if call.then.refuse == "rai_missing" or not shown:
        return json_reply({})
    return json_reply({"predictions": shown})


def _checked(call: Call) -> dict[str, Any]:
    """The parameters, once everything about the body is right."""
    _refuse(problems(call.body, _BODY, ("instances",)))
    instance = call.body["instances"][0]
    if len(call.body["instances"]) != 1 or not isinstance(instance, dict):
        raise RefusedError(errors.invalid("Only one instance is supported for this model."))
    _refuse(problems(instance, {"prompt": Field("string", 1, _PROMPT_LIMIT)}, ("prompt",)))
    given: dict[str, Any] = call.body.get("parameters", {})
    _refuse(problems(given, _PARAMETERS))
    _refuse(problems(given.get("outputOptions", {}), _OUTPUT))
    if "seed" in given and given.get("addWatermark", True):
        raise RefusedError(errors.invalid("Seed is not supported when watermark is enabled."))
    if "sampleImageSize" in given and call.model not in _TAKES_2K:
        raise RefusedError(errors.invalid("sampleImageSize is not supported for this model."))
    return given


def _refuse(found: list[Problem]) -> None:
    if not found:
        return
    problem = found[0]
    reasons = {
        "required": "is required",
        "unknown": "is not a known parameter",
        "enum": f"must be one of {', '.join(problem.rule.choices) if problem.rule else ''}",
        "minimum": f"must be at least {problem.rule.minimum if problem.rule else ''}",
        "maximum": f"must be at most {problem.rule.maximum if problem.rule else ''}",
    }
    raise RefusedError(errors.invalid(f"{problem.name} {reasons.get(problem.kind, 'has an invalid value')}."))


def _pictures(call: Call, given: dict[str, Any]) -> tuple[list[Picture], int]:
    """The images that pass the filter, and how many do not."""
    asked = given.get("sampleCount", 1)
    some = call.then.drop or 1
    filtered = {"rai_all": asked, "rai_some": some, "rai_silent": some, "rai_missing": asked}.get(
        call.then.refuse or "", call.then.drop
    )
    width, height = _SIZES[given.get("aspectRatio", "1:1")]
    scale = 2 if given.get("sampleImageSize") == "2K" else 1
    output = given.get("outputOptions", {})
    seed = given.get("seed", secrets.randbelow(2**31))
    file_format = output.get("mimeType", "image/png").removeprefix("image/")
    quality = output.get("compressionQuality", 75)
    return [
        Picture(
            "vertex", call.model, call.prompt, seed, index, asked, width * scale, height * scale, file_format, quality
        )
        for index in range(filtered, asked)
    ], min(filtered, asked)


async def _shown(call: Call, given: dict[str, Any], pictures: list[Picture]) -> list[dict[str, Any]]:
    rewritten = call.then.rewritten_prompt or (
        f"{call.prompt}, finely detailed" if given.get("enhancePrompt") else None
    )
    more = {"prompt": rewritten} if rewritten else {}
    if "storageUri" in given:
        folder = given["storageUri"].rstrip("/")
        return [
            {"mimeType": f"image/{one.format}", "gcsUri": f"{folder}/sample_{one.index}.{one.format}"}
            for one in pictures
        ]
    files = await made_all(pictures, call.then.image)
    call.inline_images = len(files)
    return [
        {"mimeType": f"image/{one.format}", "bytesBase64Encoded": inline_text(file, call.then.image)} | more
        for one, file in zip(pictures, files, strict=True)
    ]


ROUTES: tuple[tuple[str, str, Operation], ...] = (
    (
        "POST",
        "/vertex/{version}/projects/{project}/locations/{location}/publishers/google/models/{model}:predict",
        Operation("vertex", "create", _predict, admit, read_object, _subject),
    ),
)
"""Method, path and what it does."""
