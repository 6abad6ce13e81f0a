"""Ideogram's v1 API for its 3.0 model: one synchronous endpoint, links in the reply.

Facts are from the vendor's OpenAPI document of June 2026. The API's default version is v2 by now (`ideogram_v2`).
"""

from types import MappingProxyType

from gateway.domain import faults
from gateway.domain.catalogue import Account, Capabilities
from gateway.domain.exchange import Delivered, Dialect, HttpCall, HttpReply, Outcome, Pace, Picture, Remote
from gateway.domain.job import Shot
from gateway.domain.picture import Size
from gateway.domain.reply_fields import always, at_end, image, sometimes
from gateway.domain.wire import dig, objects, text, unix_seconds, without
from gateway.vendors._ideogram_errors import fault_of

__all__ = ["DIALECT"]

_ORIGIN = "https://api.ideogram.ai"
_SEEDS = 1 << 31  # exclusive; `Seed` of the OpenAPI document

# `ResolutionV3` of the OpenAPI document: no square one but 1024x1024.
_RESOLUTIONS = """
512x1536 576x1408 576x1472 576x1536 640x1344 640x1408 640x1472 640x1536 704x1152 704x1216 704x1280 704x1344
704x1408 704x1472 736x1312 768x1088 768x1216 768x1280 768x1344 800x1280 832x960 832x1024 832x1088 832x1152
832x1216 832x1248 864x1152 896x960 896x1024 896x1088 896x1120 896x1152 960x832 960x896 960x1024 960x1088
1024x832 1024x896 1024x960 1024x1024 1088x768 1088x832 1088x896 1088x960 1120x896 1152x704 1152x832 1152x864
1152x896 1216x704 1216x768 1216x832 1248x832 1280x704 1280x768 1280x800 1312x736 1344x640 1344x704 1344x768
1408x576 1408x640 1408x704 1472x576 1472x640 1472x704 1536x512 1536x576 1536x640
"""
_CAPABILITIES = Capabilities(
    images_per_call=8, sizes=tuple(map(Size.parse, _RESOLUTIONS.split())), delivers_links=True, takes_seed=True
)

# `aspect_ratio` and `resolution` exclude each other, so neither may come in by the options.
_OURS = frozenset({"prompt", "num_images", "resolution", "aspect_ratio"})


def _capabilities(_native_model: str) -> Capabilities:
    """The endpoint takes no model, so they are the same for any name."""
    return _CAPABILITIES


def _call_for(shot: Shot, account: Account) -> HttpCall:
    seed = {} if shot.seed is None else {"seed": shot.seed % _SEEDS}
    fixed = {"prompt": shot.prompt, "num_images": shot.count, "resolution": str(shot.size)}
    return HttpCall(
        "POST",
        f"{_base(account)}/v1/ideogram-v3/generate",
        json=seed | without(shot.options, _OURS) | fixed,
        starts_work=True,
    )


def _outcome_of(reply: HttpReply, shot: Shot, _account: Account) -> Outcome:
    if not 200 <= reply.status < 300 or not isinstance(dig(reply.json, "data"), list):
        return fault_of(reply)
    images = tuple(objects(reply.json, "data"))
    pictures = tuple(
        Picture(Remote(url), _revised(text(image, "prompt"), shot))
        for image in images
        if image.get("is_image_safe") is not False and (url := text(image, "url")).startswith(("https://", "http://"))
    )
    withheld = sum(image.get("is_image_safe") is False for image in images)
    if pictures:
        # A withheld image was made, and is billed.
        created = unix_seconds(dig(reply.json, "created"))
        return Delivered(pictures, billed=len(images), withheld=withheld, created=created)
    if withheld:
        return faults.refusal(f"{withheld} of {len(images)} images withheld", billed=len(images))
    return faults.unusable("no image in data")


def _revised(prompt: str, shot: Shot) -> str | None:
    return prompt if prompt and prompt != shot.prompt else None


def _probe_for(account: Account) -> HttpCall:
    """A price quote: the request is checked and priced, and nothing is made or billed (`dry_run`, v2 reference).

    The v1 API has no call of its own that is free, takes the same key and needs no more than it.
    """
    return HttpCall(
        "POST", f"{_base(account)}/v2/image/generate/ideogram-3?dry_run=true", json={"prompt": "A lighthouse at dawn"}
    )


def _base(account: Account) -> str:
    return account.base_url or _ORIGIN


# `ImageGenerationResponseV3` of the OpenAPI document. A withheld image has no link.
_REPLY_FIELDS = MappingProxyType(
    {
        "created": always("string"),
        "data": at_end("array"),
        "data[]": sometimes("object"),
        "data[].url": image("string null"),
        "data[].prompt": always("string"),
        "data[].resolution": always("string"),
        "data[].upscaled_resolution": sometimes("string"),
        "data[].is_image_safe": always("boolean"),
        "data[].seed": always("number"),
        "data[].style_type": sometimes("string"),
    }
)

# The vendor's rate-limit page: ten images in flight for an organisation, whichever of its APIs makes them.
_PACE = Pace(images_in_flight=10)

DIALECT = Dialect(
    name="ideogram_v3",
    vendor="ideogram",
    credential_header=("Api-Key", "{}"),
    download_hosts=("ideogram.ai",),
    capabilities=_capabilities,
    call_for=_call_for,
    outcome_of=_outcome_of,
    probe_for=_probe_for,
    known_models=("ideogram-v3",),
    reply_fields=_REPLY_FIELDS,
    pace=_PACE,
)
"""Ideogram by its v1 API."""
