"""Ideogram's v2 API: the model in the path, work taken on asynchronously and looked up by its id.

Facts are from the vendor's v2 reference (no OpenAPI document of it is published) and replies probed by a public
client in October 2026. Always asked asynchronously: a lost connection then loses a look, not a paid image.
"""

import re
from types import MappingProxyType
from urllib.parse import quote

from gateway.domain import faults
from gateway.domain.catalogue import Account, Capabilities
from gateway.domain.exchange import Delivered, Dialect, HttpCall, HttpReply, Outcome, Pace, Pending, Picture, Remote
from gateway.domain.job import Shot
from gateway.domain.picture import Size
from gateway.domain.reply_fields import always, at_end, image, sometimes
from gateway.domain.wire import dig, objects, text, unix_seconds, without
from gateway.vendors._ideogram_errors import fault_of

__all__ = ["DIALECT"]

_ORIGIN = "https://api.ideogram.ai"
_SEEDS = 1 << 31  # exclusive

_LOOK_AGAIN_S = 1.0  # an image takes 4 to 25 s; an organisation may look 1,000 times in 10 s

_ONE_K, _TWO_K = Size(1024, 1024), Size(2048, 2048)
_QUALITIES = MappingProxyType({word: word for word in ("low", "medium", "high")})
_PROMPT_LIMIT = 10_000

# The square ones only: of the others the reference lists different ones for each model. A 512x512 is known of one
# published schema, and refused by what a public client found of the live service, so it is not asked for.
_BY_SIZE = Capabilities(
    images_per_call=8,
    sizes=(_ONE_K, _TWO_K),
    qualities=_QUALITIES,
    prompt_limit=_PROMPT_LIMIT,
    delivers_links=True,
    takes_seed=True,
)
_BY_RESOLUTION = MappingProxyType(
    {
        "ideogram-3": Capabilities(images_per_call=8, sizes=(_ONE_K,), delivers_links=True, takes_seed=True),
        # Its v1 form takes neither a seed nor a number, and nothing says that its v2 form does.
        "ideogram-4": Capabilities(images_per_call=1, sizes=(_ONE_K, _TWO_K), delivers_links=True),
    }
)

# A webhook would send the images to an address that is not ours to choose here.
_OURS = frozenset(
    {"prompt", "num_images", "resolution", "size", "aspect_ratio", "custom_width", "custom_height", "async"}
    | {"webhook_url"}
)
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)  # URL-safe base64
_REFUSED = re.compile(r"content_policy|safety|moderat|prohibited", re.IGNORECASE)


def _capabilities(native_model: str) -> Capabilities:
    return _BY_RESOLUTION.get(native_model, _BY_SIZE)


def _call_for(shot: Shot, account: Account) -> HttpCall:
    capabilities = _capabilities(shot.model)
    field = "resolution" if shot.model in _BY_RESOLUTION else "size"
    seed = {} if shot.seed is None or not capabilities.takes_seed else {"seed": shot.seed % _SEEDS}
    quality = {} if shot.quality is None else {"quality": shot.quality}
    number = {"num_images": shot.count} if capabilities.images_per_call > 1 else {}
    fixed = {"prompt": shot.prompt, field: str(shot.size), "async": True}
    return HttpCall(
        "POST",
        f"{_base(account)}/v2/image/generate/{quote(shot.model, safe='')}",
        json=seed | quality | without(shot.options, _OURS) | fixed | number,
        starts_work=True,
    )


def _outcome_of(reply: HttpReply, shot: Shot, account: Account) -> Outcome:
    generation, status = text(reply.json, "generation_id"), text(reply.json, "status")
    if not 200 <= reply.status < 300 or not (generation or status):
        return fault_of(reply)
    if status == "failed":
        reason = text(reply.json, "failure_reason")
        # A generation that fails is not billed.
        return (
            faults.refusal(reason)
            if _REFUSED.search(reason)
            else faults.failed(reason, may_have_billed=False, again=True)
        )
    if status == "completed" or isinstance(dig(reply.json, "data"), list):
        return _completed(reply, shot)
    return _pending(generation, account)


def _completed(reply: HttpReply, shot: Shot) -> Outcome:
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
    return faults.unusable("completed without an image")


def _revised(prompt: str, shot: Shot) -> str | None:
    return prompt if prompt and prompt != shot.prompt else None


def _pending(generation: str, account: Account) -> Outcome:
    """Looked up under our own address, built from the id. The vendor documents no way to cancel."""
    if not _ID.fullmatch(generation):
        return faults.unusable("a generation without a usable id")
    return Pending(
        vendor_id=generation,
        check=HttpCall("GET", f"{_base(account)}/v2/generations/{generation}"),
        wait_s=_LOOK_AGAIN_S,
    )


def _probe_for(account: Account) -> HttpCall:
    """A price quote: the request is checked and priced, and nothing is made or billed (`dry_run`, v2 reference)."""
    return HttpCall(
        "POST", f"{_base(account)}/v2/image/generate/ideogram-3?dry_run=true", json={"prompt": "A lighthouse at dawn"}
    )


def _base(account: Account) -> str:
    return account.base_url or _ORIGIN


# The reference's replies to an asynchronous request and to looks at it. A withheld image has no link.
_REPLY_FIELDS = MappingProxyType(
    {
        "generation_id": always("string"),
        "generation_kind": sometimes("string"),
        "seed": sometimes("number"),
        "status": at_end("string"),
        "created": at_end("string"),
        "response_type": sometimes("string"),
        "usage_cost_usd_micros": sometimes("number"),
        "failure_reason": sometimes("string"),
        "data": at_end("array"),
        "data[]": sometimes("object"),
        "data[].url": image("string null"),
        "data[].prompt": always("string"),
        "data[].resolution": always("string"),
        "data[].is_image_safe": always("boolean"),
        "data[].seed": always("number"),
        "data[].style_type": sometimes("string"),
        "data[].object_type": sometimes("string"),
    }
)

# The vendor's rate-limit page: ten images in flight for an organisation, whichever of its APIs makes them.
_PACE = Pace(images_in_flight=10)

DIALECT = Dialect(
    name="ideogram_v2",
    vendor="ideogram",
    credential_header=("Api-Key", "{}"),
    download_hosts=("ideogram.ai",),
    capabilities=_capabilities,
    call_for=_call_for,
    outcome_of=_outcome_of,
    probe_for=_probe_for,
    known_models=("ideogram-3", "ideogram-4", "ideogram-4-5", "ideogram-4-6"),
    reply_fields=_REPLY_FIELDS,
    pace=_PACE,
)
"""Ideogram by its v2 API."""
