"""Imagen on Vertex AI, by `:predict`. The models were discontinued in 2026; private and regional ones still answer.

Facts are from Google's gen-AI SDK, its Imagen reference, and the replies that Google's own SDKs are tested with.
"""

import re
from types import MappingProxyType
from typing import Any

from gateway.domain import faults
from gateway.domain.catalogue import Account, Capabilities
from gateway.domain.exchange import Delivered, Dialect, HttpCall, HttpReply, Inline, Outcome, Picture
from gateway.domain.job import Shot
from gateway.domain.picture import ImageFormat, Size
from gateway.domain.reply_fields import at_end, image, sometimes
from gateway.domain.wire import objects, text, without
from gateway.vendors._google_errors import catalogue_probe, error_in, fault_of, method_url

__all__ = ["DIALECT"]

_INLINE_LIMIT = 24_000_000
_SEEDS = 1 << 31  # exclusive

# "Update before June 30, 2026": the vendor's own page. Other pages of its say the 24th, and August for Imagen 4.
_GONE = "2026-06-30"
_ONE_K, _TWO_K = Size(1024, 1024), Size(2048, 2048)
_FORMATS = (ImageFormat.PNG, ImageFormat.JPEG)


def _imagen(*sizes: Size, shutdown_date: str | None = _GONE) -> Capabilities:
    return Capabilities(images_per_call=4, sizes=sizes, formats=_FORMATS, shutdown_date=shutdown_date, takes_seed=True)


# `sampleImageSize` is for two of the Imagen 4 models only, and an error on Imagen 3.
_MODELS = MappingProxyType(
    {
        "imagen-3.0-generate-001": _imagen(_ONE_K),
        "imagen-3.0-generate-002": _imagen(_ONE_K),
        "imagen-3.0-fast-generate-001": _imagen(_ONE_K),
        "imagen-4.0-generate-001": _imagen(_ONE_K, _TWO_K),
        "imagen-4.0-ultra-generate-001": _imagen(_ONE_K, _TWO_K),
        "imagen-4.0-fast-generate-001": _imagen(_ONE_K),
    }
)

# With `storageUri` the images would go to a bucket instead of coming back.
_OURS = frozenset({"sampleCount", "aspectRatio", "sampleImageSize", "outputOptions", "storageUri", "includeRaiReason"})
_FILTERED = re.compile(r"filtered out (\d{1,3}) generated", re.ASCII)


def _capabilities(native_model: str) -> Capabilities:
    return _MODELS.get(native_model) or _imagen(_ONE_K, shutdown_date=None)


def _call_for(shot: Shot, account: Account) -> HttpCall:
    labels = {"labels": shot.options["labels"]} if "labels" in shot.options else {}
    return HttpCall(
        "POST",
        method_url(account, shot.model, "predict"),
        json={"instances": [{"prompt": shot.prompt}], "parameters": _parameters(shot), **labels},
        starts_work=True,
        limit_bytes=shot.count * _INLINE_LIMIT + 1_000_000,
    )


def _parameters(shot: Shot) -> dict[str, Any]:
    options = without(shot.options, _OURS | {"labels"})
    fixed = {
        "sampleCount": shot.count,
        "aspectRatio": "1:1",
        "outputOptions": {"mimeType": shot.format.media_type},
        "includeRaiReason": True,  # else filtered images are just missing
    }
    if shot.size == _TWO_K:
        fixed["sampleImageSize"] = "2K"
    # A seed and the watermark exclude each other; an operator who asks for the watermark keeps it.
    if shot.seed is None or options.get("addWatermark") is True:
        return without(options, frozenset({"seed"})) | fixed
    return {"seed": shot.seed % _SEEDS} | options | fixed | {"addWatermark": False}


def _outcome_of(reply: HttpReply, shot: Shot, _account: Account) -> Outcome:
    if not 200 <= reply.status < 300 or error_in(reply.json) is not None:
        return fault_of(reply)
    pictures, reasons = [], []
    for item in objects(reply.json, "predictions"):
        if data := text(item, "bytesBase64Encoded"):
            pictures.append(Picture(Inline(data), _revised(text(item, "prompt"), shot)))
        if reason := text(item, "raiFilteredReason"):
            reasons.append(reason)
    if pictures:
        withheld = min(sum(map(_filtered, reasons)), max(0, shot.count - len(pictures)))
        return Delivered(tuple(pictures), billed=len(pictures), withheld=withheld)
    if reasons:
        return faults.refusal("; ".join(reasons))  # blocked images are not charged
    return faults.unusable(_nothing(reply))


def _filtered(reason: str) -> int:
    """How many images one reason speaks for: the number it tells, else the one in whose place it stands."""
    told = _FILTERED.search(reason)
    return int(told[1]) if told else 1


def _nothing(reply: HttpReply) -> str:
    stored = any("gcsUri" in item for item in objects(reply.json, "predictions"))
    return "stored in a bucket" if stored else reply.text or "no image in predictions"


def _revised(prompt: str, shot: Shot) -> str | None:
    return prompt if prompt and prompt != shot.prompt else None


# `PredictResponse` of the discovery document; of its elements, what the Imagen reference names.
_REPLY_FIELDS = MappingProxyType(
    {
        "predictions": at_end("array"),
        "predictions[]": sometimes("object"),
        "predictions[].bytesBase64Encoded": image("string"),
        "predictions[].mimeType": sometimes("string"),
        "predictions[].prompt": sometimes("string"),
        "predictions[].gcsUri": sometimes("string"),
        "predictions[].raiFilteredReason": sometimes("string"),
        "predictions[].safetyAttributes": sometimes("object"),
        "predictions[].contentType": sometimes("string"),
        "deployedModelId": sometimes("string"),
        "model": sometimes("string"),
        "modelDisplayName": sometimes("string"),
        "modelVersionId": sometimes("string"),
        "metadata": sometimes("string number boolean object array null"),
    }
)

DIALECT = Dialect(
    name="vertex_predict",
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
"""Imagen, and whatever else answers `:predict` as Imagen did."""
