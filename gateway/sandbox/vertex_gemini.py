"""Gemini's image models by `:generateContent`, with sizes spelled the old way and the new."""

import math
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from gateway.sandbox import vertex_errors as errors
from gateway.sandbox.artist import inline_text, made, media_type_of
from gateway.sandbox.clock import iso
from gateway.sandbox.drawing import Picture
from gateway.sandbox.exchange import Call, Operation, json_reply
from gateway.sandbox.native_error import RefusedError
from gateway.sandbox.vertex_access import admit, missing_model, read_object
from gateway.sandbox.vertex_gemini_request import GEMINI_MODELS, Wanted, wanted_of

__all__ = ["ROUTES"]

_NATURAL_S = 6.0
_RULE = "vertex: per image delivered, blocked ones are not charged"
_IMAGE_TOKENS = 1120  # an image of 1K or less
_RATINGS = ("HARM_CATEGORY_HATE_SPEECH", "HARM_CATEGORY_SEXUALLY_EXPLICIT")
_REFUSALS = {"image_safety": "IMAGE_SAFETY", "no_image": "NO_IMAGE"}
_SORRY = "I can't create that picture, but I can help you to describe something else."
_STEP = 16


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the one candidate says and why it stopped."""

    parts: list[dict[str, Any]]
    finish: str
    images: int = 0


def _subject(call: Call) -> tuple[str, str]:
    contents = call.body.get("contents")
    texts = (text for content in _objects(contents) for text in _texts_of(content))
    return call.request.path_params["model"], " ".join(texts)


def _texts_of(content: dict[str, Any]) -> Iterator[str]:
    for part in _objects(content.get("parts")):
        if isinstance(part.get("text"), str):
            yield part["text"]


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


async def _generate(call: Call) -> Response:
    model = GEMINI_MODELS.get(call.model)
    if model is None:
        raise missing_model(call)
    wanted = wanted_of(call.body, model)
    if not call.prompt:
        raise RefusedError(errors.invalid("Unable to submit request because it must have a text parameter."))
    await call.work(_NATURAL_S)
    if call.then.refuse == "block_reason":
        return json_reply(_framed(call, {"promptFeedback": _blocked()}, 0))
    spoken = await _spoken(call, wanted)
    call.inline_images = spoken.images
    call.charge(spoken.images, _RULE, model.price)
    candidate: dict[str, Any] = {"index": 0, "finishReason": spoken.finish}
    if spoken.parts:
        candidate["content"] = {"role": "model", "parts": spoken.parts}
    return json_reply(_framed(call, {"candidates": [candidate]}, spoken.images))


async def _spoken(call: Call, wanted: Wanted) -> _Parts:
    refusal = call.then.refuse or ""
    if refusal in _REFUSALS:
        return _Parts([], _REFUSALS[refusal])
    if refusal == "text_only" or not wanted.image or call.then.drop:
        return _Parts([{"text": _SORRY}], "STOP")
    width, height = _pixels(wanted)
    seed = wanted.seed if wanted.seed is not None else secrets.randbelow(2**31)
    picture = Picture("vertex", call.model, call.prompt, seed, 0, 1, width, height, wanted.file_format, wanted.quality)
    file = await made(picture, call.then.image)
    blob = {"mimeType": media_type_of(picture.format, call.then.image), "data": inline_text(file, call.then.image)}
    words = [{"text": "Here is your picture."}] if wanted.text else []
    return _Parts([*words, {"inlineData": blob}], "STOP", 1)


def _pixels(wanted: Wanted) -> tuple[int, int]:
    """Pixels of about the asked edge squared, in steps of 16, in the asked ratio."""
    across, down = (int(part) for part in wanted.ratio.split(":"))
    if across == down:
        return wanted.edge, wanted.edge
    unit = wanted.edge / math.sqrt(across * down)
    return round(across * unit / _STEP) * _STEP, round(down * unit / _STEP) * _STEP


def _blocked() -> dict[str, Any]:
    ratings = [{"category": category, "probability": "HIGH"} for category in _RATINGS]
    return {
        "blockReason": "PROHIBITED_CONTENT",
        "safetyRatings": ratings,
        "blockReasonMessage": "The prompt was blocked.",
    }


def _framed(call: Call, answer: Mapping[str, Any], images: int) -> dict[str, Any]:
    text, made_tokens = len(call.prompt) // 4 + 1, _IMAGE_TOKENS * images
    usage: dict[str, Any] = {
        "promptTokenCount": text,
        "totalTokenCount": text + made_tokens,
        "trafficType": "ON_DEMAND",
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": text}],
    }
    if images:
        usage["candidatesTokenCount"] = made_tokens
        usage["candidatesTokensDetails"] = [{"modality": "IMAGE", "tokenCount": made_tokens}]
    return {
        **answer,
        "usageMetadata": usage,
        "modelVersion": call.model,
        "createTime": iso(call.now),
        "responseId": secrets.token_urlsafe(16),
    }


async def _count_tokens(call: Call) -> Response:
    if call.model not in GEMINI_MODELS:
        raise missing_model(call)
    words = len(re.findall(r"\S+", call.prompt))
    return json_reply({"totalTokens": words, "totalBillableCharacters": len(call.prompt)})


async def _model(call: Call) -> Response:
    name = call.request.path_params["model"]
    if name not in GEMINI_MODELS:
        raise RefusedError(errors.model_missing(f"publishers/google/models/{name}"))
    shown = {"name": f"publishers/google/models/{name}", "versionId": "default", "launchStage": "GA"}
    return json_reply(shown)


_MODEL_PATH = "/vertex/{version}/projects/{project}/locations/{location}/publishers/google/models/{model}"
ROUTES: tuple[tuple[str, str, Operation], ...] = (
    (
        "POST",
        f"{_MODEL_PATH}:generateContent",
        Operation("vertex", "create", _generate, admit, read_object, _subject),
    ),
    (
        "POST",
        f"{_MODEL_PATH}:countTokens",
        Operation("vertex", "count_tokens", _count_tokens, admit, read_object, _subject),
    ),
    (
        "GET",
        "/vertex/{version}/publishers/google/models/{model}",
        Operation("vertex", "model", _model, admit),
    ),
)
"""Method, path and what it does."""
