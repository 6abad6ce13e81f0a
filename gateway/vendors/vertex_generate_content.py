"""Gemini's image models on Vertex AI, by `:generateContent`. One image a call: the models do not count reliably.

The size is asked for by `responseFormat`, not by the older `imageConfig`: the discovery document (revision 20261106)
deprecates the latter, and only the former can say 512. One spelling for every size, so that a deployment does not
depend on two; `mimeType` has no word for PNG there, which is what comes when it is left out.
"""

import re
from types import MappingProxyType
from typing import Any

from gateway.domain import faults
from gateway.domain.catalogue import Account, Capabilities
from gateway.domain.exchange import Delivered, Dialect, Fault, HttpCall, HttpReply, Inline, Outcome, Picture
from gateway.domain.job import Shot
from gateway.domain.picture import ImageFormat, Size
from gateway.domain.reply_fields import always, at_end, image, sometimes
from gateway.domain.wire import objects, text, unix_seconds, without
from gateway.vendors._google_errors import catalogue_probe, error_in, fault_of, method_url

__all__ = ["DIALECT"]

_INLINE_LIMIT = 24_000_000
_SEEDS = 1 << 31  # exclusive; `seed` is an int32

_ONE_K = Size(1024, 1024)
_SIZE_WORDS = MappingProxyType(
    {
        Size(512, 512): "IMAGE_SIZE_FIVE_TWELVE",
        _ONE_K: "IMAGE_SIZE_ONE_K",
        Size(2048, 2048): "IMAGE_SIZE_TWO_K",
        Size(4096, 4096): "IMAGE_SIZE_FOUR_K",
    }
)


def _gemini(*sizes: Size, shutdown_date: str | None = None) -> Capabilities:
    return Capabilities(
        images_per_call=1,
        sizes=sizes,
        formats=(ImageFormat.PNG, ImageFormat.JPEG),
        shutdown_date=shutdown_date,
        takes_seed=True,
    )


_MODELS = MappingProxyType(
    {
        "gemini-3.1-flash-image": _gemini(*_SIZE_WORDS),
        "gemini-3-pro-image": _gemini(*(size for size in _SIZE_WORDS if size.width >= 1024)),
        "gemini-3.1-flash-lite-image": _gemini(_ONE_K),
        # On Vertex, by a third party; the Gemini API's own date for it was 2026-10-02.
        "gemini-2.5-flash-image": _gemini(_ONE_K, shutdown_date="2027-03-15"),
    }
)

# Options that stand beside `generationConfig`; all others belong into it.
_BESIDE = frozenset({"labels", "modelArmorConfig", "safetySettings", "systemInstruction", "toolConfig", "tools"})
_OURS = frozenset(
    {
        "candidateCount",
        "contents",
        "generationConfig",
        "imageConfig",
        "responseFormat",
        "responseJsonSchema",
        "responseMimeType",
        "responseModalities",
        "responseSchema",
    }
)

_SAFETY_ENDS = frozenset(
    {
        "BLOCKLIST",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
        "IMAGE_SAFETY",
        "MODEL_ARMOR",
        "PROHIBITED_CONTENT",
        "RECITATION",
        "SAFETY",
        "SPII",
    }
)
# A soft refusal is prose: that it cannot, together with a word of why.
_CANNOT = re.compile(r"\b(can(?:no|['’])t|unable to|not able to|won['’]t|not allowed to)\b", re.IGNORECASE)
_WHY = re.compile(r"polic|guideline|safety|harmful|inappropriate|explicit|sexual|violen|hate|illegal", re.IGNORECASE)


def _capabilities(native_model: str) -> Capabilities:
    return _MODELS.get(native_model) or _gemini(_ONE_K)


def _call_for(shot: Shot, account: Account) -> HttpCall:
    options = without(shot.options, _OURS)
    return HttpCall(
        "POST",
        method_url(account, shot.model, "generateContent"),
        json={
            **{name: value for name, value in options.items() if name in _BESIDE},
            "contents": [{"role": "user", "parts": [{"text": shot.prompt}]}],
            "generationConfig": _config(shot, without(options, _BESIDE)),
        },
        starts_work=True,
        limit_bytes=shot.count * _INLINE_LIMIT + 1_000_000,
    )


def _config(shot: Shot, options: dict[str, Any]) -> dict[str, Any]:
    image = {"aspectRatio": "ASPECT_RATIO_ONE_BY_ONE"}
    # Models of one size are not told it: the older of them do not know the word.
    if len(_capabilities(shot.model).sizes) > 1 and shot.size in _SIZE_WORDS:
        image["imageSize"] = _SIZE_WORDS[shot.size]
    if shot.format is ImageFormat.JPEG:
        image["mimeType"] = "IMAGE_JPEG"
    seed = {} if shot.seed is None else {"seed": shot.seed % _SEEDS}
    return seed | options | {"responseModalities": ["IMAGE"], "responseFormat": [{"image": image}]}


def _outcome_of(reply: HttpReply, _shot: Shot, _account: Account) -> Outcome:
    body = reply.json
    if not 200 <= reply.status < 300 or error_in(body) is not None:
        return fault_of(reply)
    candidates = tuple(objects(body, "candidates"))
    pictures = tuple(picture for candidate in candidates for picture in _pictures(candidate))
    if pictures:
        return Delivered(pictures, billed=len(pictures), created=unix_seconds(text(body, "createTime")))
    blocked = text(body, "promptFeedback", "blockReason")
    if blocked:
        return faults.refusal(f"{blocked}: {text(body, 'promptFeedback', 'blockReasonMessage')}")
    return _without_image(candidates[0]) if candidates else faults.unusable(reply.text or "no candidates")


def _pictures(candidate: dict[str, Any]) -> tuple[Picture, ...]:
    """The images of a candidate; sketches made while thinking are none of them."""
    parts = (part for part in objects(candidate, "content", "parts") if part.get("thought") is not True)
    return tuple(Picture(Inline(data)) for part in parts if (data := text(part, "inlineData", "data")))


def _without_image(candidate: dict[str, Any]) -> Fault:
    end = text(candidate, "finishReason")
    prose = " ".join(text(part, "text") for part in objects(candidate, "content", "parts"))
    detail = f"{end}: {text(candidate, 'finishMessage') or prose}"
    if end in _SAFETY_ENDS:
        return faults.refusal(detail)  # what is blocked is not billed
    if _CANNOT.search(prose) and _WHY.search(prose):
        return faults.refusal(detail, may_have_billed=True)  # words cost tokens
    return faults.no_image(detail)


# `GenerateContentResponse` of the discovery document, without the parts that only tools and other media make.
_REPLY_FIELDS = MappingProxyType(
    {
        "candidates": at_end("array"),
        "candidates[]": sometimes("object"),
        "candidates[].content": sometimes("object"),
        "candidates[].content.role": sometimes("string"),
        "candidates[].content.parts": sometimes("array"),
        "candidates[].content.parts[]": sometimes("object"),
        "candidates[].content.parts[].text": sometimes("string"),
        "candidates[].content.parts[].inlineData": sometimes("object"),
        "candidates[].content.parts[].inlineData.data": image("string"),
        "candidates[].content.parts[].inlineData.mimeType": always("string"),
        "candidates[].content.parts[].inlineData.displayName": sometimes("string"),
        "candidates[].content.parts[].thought": sometimes("boolean"),
        "candidates[].content.parts[].thoughtSignature": sometimes("string"),
        "candidates[].finishReason": sometimes("string"),
        "candidates[].finishMessage": sometimes("string"),
        "candidates[].index": sometimes("number"),
        "candidates[].avgLogprobs": sometimes("number"),
        "candidates[].safetyRatings": sometimes("array"),
        "candidates[].citationMetadata": sometimes("object"),
        "candidates[].groundingMetadata": sometimes("object"),
        "promptFeedback": sometimes("object"),
        "usageMetadata": sometimes("object"),
        "modelVersion": sometimes("string"),
        "createTime": sometimes("string"),
        "responseId": sometimes("string"),
    }
)

DIALECT = Dialect(
    name="vertex_generate_content",
    vendor="vertex",
    credential_header=("Authorization", "Bearer {}"),
    download_hosts=(),
    capabilities=_capabilities,
    call_for=_call_for,
    outcome_of=_outcome_of,
    probe_for=catalogue_probe,
    known_models=tuple(_MODELS),
    reply_fields=_REPLY_FIELDS,
)
"""Gemini's image models."""
