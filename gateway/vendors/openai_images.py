"""OpenAI's Images API, in its two profiles: `gpt-image` (living) and `dall-e` (shut down; still spoken by others).

The profiles differ in what they reject: gpt-image models refuse `response_format` and `style`, DALL-E models know
neither file formats nor moderation. A model of neither family is spoken to as gpt-image, the way new models come.
Facts are from OpenAI's OpenAPI document, its Python SDK, and its deprecation page.
"""

import re
from types import MappingProxyType
from typing import Any

from gateway.domain import faults
from gateway.domain.catalogue import Account, Capabilities, Grid
from gateway.domain.exchange import Delivered, Dialect, Fault, HttpCall, HttpReply, Inline, Outcome, Picture, Remote
from gateway.domain.job import Shot
from gateway.domain.picture import ImageFormat, Size
from gateway.domain.reply_fields import always, at_end, image, sometimes
from gateway.domain.wire import dig, objects, retry_after_s, text, wait_s_in, whole, without

__all__ = ["DIALECT"]

_ORIGIN = "https://api.openai.com/v1"
_INLINE_LIMIT = 24_000_000

_SQUARE = Size(1024, 1024)
_FORMATS = (ImageFormat.PNG, ImageFormat.JPEG, ImageFormat.WEBP)
_THREE_QUALITIES = MappingProxyType({word: word for word in ("low", "medium", "high")})
_FIVE_QUALITIES = MappingProxyType({word: word for word in ("low", "medium", "high", "xhigh", "max")})
# Any size whose edges are multiples of 16, no longer than 3840, at most 3:1, and neither too few pixels nor too many.
_GRID = Grid(step=16, min_edge=16, max_edge=3840, min_pixels=655_360, max_pixels=8_294_400, max_ratio=3)


def _gpt_image(shutdown_date: str | None) -> Capabilities:
    return Capabilities(
        images_per_call=10,
        sizes=(_SQUARE, Size(1536, 1024), Size(1024, 1536)),
        formats=_FORMATS,
        qualities=_THREE_QUALITIES,
        moderations=("low", "auto"),
        transparent=True,
        prompt_limit=32_000,
        shutdown_date=shutdown_date,
        takes_end_user=True,
    )


def _gpt_image_2(qualities: MappingProxyType[str, str]) -> Capabilities:
    return Capabilities(
        images_per_call=10,
        sizes=(_SQUARE, Size(1536, 1024), Size(1024, 1536)),
        grid=_GRID,
        formats=_FORMATS,
        qualities=qualities,
        moderations=("low", "auto"),
        transparent=True,
        prompt_limit=32_000,
        takes_end_user=True,
    )


_MODELS = MappingProxyType(
    {
        "gpt-image-1": _gpt_image("2026-10-23"),
        "gpt-image-1-mini": _gpt_image("2026-12-01"),
        "gpt-image-1.5": _gpt_image("2026-12-01"),
        "chatgpt-image-latest": _gpt_image("2026-12-01"),
        "gpt-image-2": _gpt_image_2(_THREE_QUALITIES),
        "gpt-image-2-2026-04-21": _gpt_image_2(_THREE_QUALITIES),
        "gpt-image-2.5-flare": _gpt_image_2(_FIVE_QUALITIES),
        "gpt-image-2.5-sunburst": _gpt_image_2(_FIVE_QUALITIES),
        # The size rule is documented for 2 and 2.5; 2.6 is taken to keep it.
        "gpt-image-2.6-flare": _gpt_image_2(_FIVE_QUALITIES),
        "gpt-image-2.6-sunburst": _gpt_image_2(_FIVE_QUALITIES),
        "dall-e-3": Capabilities(
            images_per_call=1,
            sizes=(_SQUARE, Size(1792, 1024), Size(1024, 1792)),
            qualities=MappingProxyType({"medium": "standard", "high": "hd"}),
            styles=("vivid", "natural"),
            prompt_limit=4000,
            shutdown_date="2026-05-12",
            takes_end_user=True,
        ),
        "dall-e-2": Capabilities(
            images_per_call=10,
            sizes=(Size(256, 256), Size(512, 512), _SQUARE),
            prompt_limit=1000,
            shutdown_date="2026-05-12",
            takes_end_user=True,
        ),
    }
)

# Ours to decide. Streamed replies are not spoken here, and an end user's name comes only as the keyed hash.
_OURS = frozenset({"model", "prompt", "n", "size", "output_format", "stream", "partial_images", "user"})
_OURS_IN_GPT_IMAGE = _OURS | {"response_format", "safety_identifier"}

_REFUSALS = frozenset({"moderation_blocked", "content_policy_violation", "content_filter"})
_REFUSED = re.compile(r"safety system|content policy|content filter", re.IGNORECASE)
_BROKE = frozenset(
    {
        "billing_hard_limit_reached",
        "credit_balance_exhausted",
        "insufficient_quota",
        "organization_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "project_spend_limit_exceeded",
    }
)


def _capabilities(native_model: str) -> Capabilities:
    known = _MODELS.get(native_model)
    if known is not None:
        return known
    # A new model: one size that every image model of this API has had, and nothing that one of them rejected.
    return Capabilities(images_per_call=1, sizes=(_SQUARE,), formats=_FORMATS, takes_end_user=True)


def _call_for(shot: Shot, account: Account) -> HttpCall:
    return HttpCall(
        "POST",
        f"{_base(account)}/images/generations",
        json=_dall_e(shot) if shot.model.startswith("dall-e-") else _gpt_image_body(shot),
        starts_work=True,
        limit_bytes=shot.count * _INLINE_LIMIT + 1_000_000,
    )


def _gpt_image_body(shot: Shot) -> dict[str, Any]:
    lossless = shot.format is ImageFormat.PNG
    options = without(shot.options, _OURS_IN_GPT_IMAGE | ({"output_compression"} if lossless else set()))
    background = {"background": "transparent"} if shot.transparent else {}
    wishes = _given(quality=shot.quality, moderation=shot.moderation, safety_identifier=shot.end_user)
    return wishes | options | background | _asked(shot) | {"output_format": shot.format.value}


def _dall_e(shot: Shot) -> dict[str, Any]:
    """Base64 unless the operator prefers links: then nothing can expire or be refused between reply and download."""
    wishes = _given(response_format="b64_json", quality=shot.quality, style=shot.style, user=shot.end_user)
    return wishes | without(shot.options, _OURS) | _asked(shot)


def _asked(shot: Shot) -> dict[str, Any]:
    # The document's default model is one that was shut down, so the model is always named.
    return {"model": shot.model, "prompt": shot.prompt, "n": shot.count, "size": str(shot.size)}


def _given(**members: str | None) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _outcome_of(reply: HttpReply, shot: Shot, _account: Account) -> Outcome:
    if not 200 <= reply.status < 300 or isinstance(dig(reply.json, "error"), dict):
        return _fault_of(reply)
    pictures = tuple(picture for item in objects(reply.json, "data") if (picture := _picture(item, shot)) is not None)
    if not pictures:
        return faults.unusable(reply.text or "no image in data")
    return Delivered(pictures, billed=len(pictures), created=whole(reply.json, "created"))


def _picture(item: dict[str, Any], shot: Shot) -> Picture | None:
    inline, link = text(item, "b64_json"), text(item, "url")
    revised = text(item, "revised_prompt")
    if not (inline or link.startswith(("https://", "http://"))):
        return None
    source = Inline(inline) if inline else Remote(link)
    return Picture(source, revised if revised and revised != shot.prompt else None)


def _fault_of(reply: HttpReply) -> Fault:
    error = dig(reply.json, "error")
    code, kind, message = text(error, "code"), text(error, "type"), text(error, "message")
    detail = f"{code or kind}: {message}" if message else reply.text
    # An error inside a 200 has no status of its own; it is judged as the bad request it most likely was.
    status = 400 if 200 <= reply.status < 300 else reply.status
    if code in _REFUSALS or (status == 400 and _REFUSED.search(message)):
        stage = text(error, "moderation_details", "moderation_stage")
        return faults.refusal(detail, may_have_billed=stage in ("output", "unknown"))
    if code in _BROKE or kind == "insufficient_quota":
        return faults.no_money(detail)
    if code == "model_not_found" or (status == 400 and re.search(r"model .* does not exist", message)):
        return faults.dead_model(detail)
    if status == 400 and text(error, "param") == "prompt":
        return faults.bad_prompt(detail)
    waited = retry_after_s(reply.headers)
    after_s = wait_s_in(message) if waited is None else waited
    if status == 500 and "slow down" in message.lower():
        return faults.overloaded(detail, after_s)
    return faults.by_status(status, detail, after_s)


def _probe_for(account: Account) -> HttpCall:
    """The list of models, which is free and needs a valid key: `listModels` of the OpenAPI document."""
    return HttpCall("GET", f"{_base(account)}/models")


def _base(account: Account) -> str:
    return account.base_url or _ORIGIN


# `ImagesResponse` of the OpenAPI document; DALL-E models fill the first two only.
_REPLY_FIELDS = MappingProxyType(
    {
        "created": always("number"),
        "data": at_end("array"),
        "data[]": sometimes("object"),
        "data[].b64_json": image("string"),
        "data[].url": image("string"),
        "data[].revised_prompt": sometimes("string"),
        "background": sometimes("string"),
        "output_format": sometimes("string"),
        "quality": sometimes("string"),
        "size": sometimes("string"),
        "safety_identifier": sometimes("string"),
        "usage": sometimes("object"),
    }
)

DIALECT = Dialect(
    name="openai_images",
    vendor="openai",
    credential_header=("Authorization", "Bearer {}"),
    # Where DALL-E's links pointed; gpt-image models give none.
    download_hosts=("oaidalleapiprodscus.blob.core.windows.net",),
    capabilities=_capabilities,
    call_for=_call_for,
    outcome_of=_outcome_of,
    probe_for=_probe_for,
    known_models=tuple(_MODELS),
    reply_fields=_REPLY_FIELDS,
)
"""OpenAI, and the servers that speak like it."""
