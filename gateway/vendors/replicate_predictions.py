"""Replicate's predictions API, for FLUX and any other official model.

A prediction is created with a request to wait for it; what is not done by then is looked up by its id. Facts are
from Replicate's OpenAPI document, the two models' input schemas, and recordings made by the vendor's own client.
"""

import re
from collections.abc import Mapping
from hashlib import sha256
from math import ceil
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from gateway.domain import faults
from gateway.domain.catalogue import Account, Capabilities, Grid
from gateway.domain.exchange import (
    Callback,
    Delivered,
    Dialect,
    Fault,
    Found,
    HttpCall,
    HttpReply,
    Outcome,
    Pace,
    Pending,
    Picture,
    Search,
)
from gateway.domain.job import Shot
from gateway.domain.picture import ImageFormat, Size
from gateway.domain.wire import image_source, objects, text, unix_seconds, whole, without
from gateway.vendors._replicate_replies import REPLY_FIELDS, fault_of

__all__ = ["DIALECT"]

_ORIGIN = "https://api.replicate.com/v1"
_SCHNELL = "black-forest-labs/flux-schnell"
_PRO = "black-forest-labs/flux-1.1-pro"

_LOOK_AGAIN_S = 0.5  # the pace of both official clients
_LONGEST_WAIT_S = 60  # the most that `Prefer: wait` takes
_SHORTEST_LIFE_S = 5  # the least that `Cancel-After` takes
_INLINE_LIMIT = 24_000_000  # outputs may come as data: URIs; a 1440 x 1440 PNG is about 6 MB, a third more in base64

_LIST_LIMIT = 8_000_000  # a page has a hundred predictions, each with its input and its outputs' links
_CLOCKS_DIFFER_S = 60.0

_FORMATS = MappingProxyType({ImageFormat.PNG: "png", ImageFormat.JPEG: "jpg", ImageFormat.WEBP: "webp"})

# The vendor's own table of flux-schnell (cog-flux, ASPECT_RATIOS): pixels at one megapixel. A quarter halves both.
_SHAPES = MappingProxyType(
    {
        Size(1024, 1024): "1:1",
        Size(1344, 768): "16:9",
        Size(1536, 640): "21:9",
        Size(1216, 832): "3:2",
        Size(832, 1216): "2:3",
        Size(896, 1088): "4:5",
        Size(1088, 896): "5:4",
        Size(896, 1152): "3:4",
        Size(1152, 896): "4:3",
        Size(768, 1344): "9:16",
        Size(640, 1536): "9:21",
    }
)
_SCHNELL_INPUTS = MappingProxyType(
    {size: {"aspect_ratio": ratio, "megapixels": "1"} for size, ratio in _SHAPES.items()}
    | {
        Size(size.width // 2, size.height // 2): {"aspect_ratio": ratio, "megapixels": "0.25"}
        for size, ratio in _SHAPES.items()
    }
)

# Ours to decide, whatever the operator or the caller put among the options.
_OURS = frozenset({"prompt", "num_outputs", "aspect_ratio", "megapixels", "width", "height", "output_format"})
_OURS_IN_OTHERS = frozenset({"prompt", "num_outputs"})

_TERMINAL_WITHOUT_IMAGES = frozenset({"failed", "canceled", "aborted"})
_REFUSED = re.compile(r"nsfw|sensitive|flagged", re.IGNORECASE)
_ID = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)


_MODELS = MappingProxyType(
    {
        _SCHNELL: Capabilities(
            images_per_call=4,
            sizes=tuple(_SCHNELL_INPUTS),
            formats=tuple(_FORMATS),
            delivers_links=True,
            takes_seed=True,
        ),
        _PRO: Capabilities(
            images_per_call=1,
            grid=Grid(step=32, min_edge=256, max_edge=1440),
            formats=tuple(_FORMATS),
            delivers_links=True,
            takes_seed=True,
        ),
    }
)
# Inputs differ from model to model, so an unknown one gets the prompt and what the operator configured.
_ANOTHER = Capabilities(images_per_call=1, sizes=(Size(1024, 1024),), delivers_links=True)


def _capabilities(native_model: str) -> Capabilities:
    return _MODELS.get(native_model, _ANOTHER)


def _call_for(shot: Shot, account: Account) -> HttpCall:
    return HttpCall(
        "POST",
        f"{_base(account)}/models/{quote(shot.model, safe='/')}/predictions",
        headers={
            # Half of what is left: the reply, which carries the id, must come while we still listen for it.
            "prefer": f"wait={max(1, min(_LONGEST_WAIT_S, int(shot.deadline_s / 2)))}",
            "cancel-after": f"{max(_SHORTEST_LIFE_S, ceil(shot.deadline_s))}s",
        },
        json={"input": _input(shot), **_call_back(shot)},
        starts_work=True,
        limit_bytes=_limit_bytes(shot),
    )


def _call_back(shot: Shot) -> dict[str, Any]:
    return {} if shot.webhook is None else {"webhook": shot.webhook, "webhook_events_filter": ["completed"]}


def _limit_bytes(shot: Shot) -> int:
    return shot.count * _INLINE_LIMIT + 1_000_000


def _input(shot: Shot) -> dict[str, Any]:
    if shot.model not in (_SCHNELL, _PRO):
        return without(shot.options, _OURS_IN_OTHERS) | {"prompt": shot.prompt}
    seed = {} if shot.seed is None else {"seed": shot.seed}
    fixed: dict[str, Any] = {"prompt": shot.prompt, "output_format": _FORMATS[shot.format]}
    if shot.model == _SCHNELL:
        fixed |= {"num_outputs": shot.count, **_SCHNELL_INPUTS.get(shot.size, _SCHNELL_INPUTS[Size(1024, 1024)])}
    else:
        fixed |= {"aspect_ratio": "custom", "width": shot.size.width, "height": shot.size.height}
    return seed | without(shot.options, _OURS) | fixed


def _outcome_of(reply: HttpReply, shot: Shot, account: Account) -> Outcome:
    body = reply.json
    status = text(body, "status")
    if not 200 <= reply.status < 300 or not status:
        return fault_of(reply)
    if status in _TERMINAL_WITHOUT_IMAGES:
        return _ended(body, status, shot)
    pictures = _pictures(body)
    # With `Prefer: wait` a finished prediction may still say `processing`; a list that is still growing looks the same.
    if pictures and (status == "succeeded" or len(pictures) >= shot.count):
        return _delivered(body, pictures, shot)
    if status == "succeeded":
        return faults.unusable("data_removed" if body.get("data_removed") is True else "succeeded without an image")
    return _pending(body, shot, account)


def _pictures(body: Any) -> tuple[Picture, ...]:
    """The images of `output`, which is one string or a list of them, by model."""
    output = body.get("output")
    sources = map(image_source, output if isinstance(output, list) else [output])
    return tuple(Picture(source) for source in sources if source is not None)


def _delivered(body: Any, pictures: tuple[Picture, ...], shot: Shot) -> Delivered:
    counted = whole(body, "metrics", "image_count")
    return Delivered(
        pictures,
        billed=len(pictures) if counted is None else min(counted, max(shot.count, len(pictures))),
        # FLUX drops what its safety checker flags from the list, silently.
        withheld=max(0, shot.count - len(pictures)),
        created=unix_seconds(body.get("completed_at")),
    )


def _ended(body: Any, status: str, shot: Shot) -> Fault:
    reason = text(body, "error")
    if status == "aborted":
        return faults.aborted(reason or status)
    if status == "canceled":
        return faults.timed_out(reason or status)
    counted = whole(body, "metrics", "image_count")
    may_have_billed = counted != 0
    if _REFUSED.search(reason):
        return faults.refusal(reason, may_have_billed=may_have_billed, billed=min(counted or 0, shot.count))
    return faults.failed(reason, may_have_billed=may_have_billed, again=True)


def _pending(body: Any, shot: Shot, account: Account) -> Outcome:
    """Looked up under our own address, built from the id.

    The links in the reply would do the same, but they are the vendor's words: our token goes only where our own
    configuration points.
    """
    prediction = _id_in(body)
    if not prediction:
        return faults.unusable("a prediction without a usable id")
    return _asked_about(prediction, shot, account, is_free=body.get("status") == "starting")


def _id_in(body: Any) -> str:
    found = text(body, "id")
    return found if _ID.fullmatch(found) else ""


def _asked_about(prediction: str, shot: Shot, account: Account, *, is_free: bool = False) -> Pending:
    url = f"{_base(account)}/predictions/{prediction}"
    return Pending(
        vendor_id=prediction,
        check=HttpCall("GET", url, limit_bytes=_limit_bytes(shot)),
        wait_s=_LOOK_AGAIN_S,
        cancel=HttpCall("POST", f"{url}/cancel"),
        cancel_is_free=is_free,
    )


def _secret_call(account: Account) -> HttpCall:
    """`webhooks.default.secret.get` of the OpenAPI document."""
    return HttpCall("GET", f"{_base(account)}/webhooks/default/secret")


def _secret_in(reply: HttpReply) -> str:
    return text(reply.json, "key") if reply.status == 200 else ""


def _search_for(account: Account) -> HttpCall:
    return HttpCall("GET", f"{_base(account)}/predictions", limit_bytes=_LIST_LIMIT)


def _found_in(reply: HttpReply, shot: Shot, prompt_hash: str, sent_s: float, account: Account) -> Found:
    """Newest first, so pages older than the call need no looking at. The list says nothing of tags or webhooks."""
    listed = tuple(objects(reply.json, "results")) if reply.status == 200 else ()
    matches = [one for one in listed if _is_ours(one, shot, prompt_hash)]
    waiting = [_pending(one, shot, account) for one in matches]
    ages = [unix_seconds(one.get("created_at")) for one in listed]
    is_old = any(age is not None and age < sent_s - _CLOCKS_DIFFER_S for age in ages)
    cursor = parse_qs(urlsplit(text(reply.json, "next")).query).get("cursor", [""])[0]
    more = None
    if cursor and listed and not is_old:
        more = HttpCall("GET", f"{_base(account)}/predictions?cursor={quote(cursor, safe='')}", limit_bytes=_LIST_LIMIT)
    return Found(tuple(one for one in waiting if isinstance(one, Pending)), more)


def _is_ours(listed: Mapping[str, Any], shot: Shot, prompt_hash: str) -> bool:
    given = listed.get("input")
    if shot.seed is None or not isinstance(given, dict) or given.get("seed") != shot.seed:
        return False
    same_prompt = sha256(str(given.get("prompt", "")).encode()).hexdigest() == prompt_hash
    return same_prompt and text(listed, "model") == shot.model


def _probe_for(account: Account) -> HttpCall:
    """The account that the token belongs to: `account.get` of the OpenAPI document."""
    return HttpCall("GET", f"{_base(account)}/account")


def _base(account: Account) -> str:
    return account.base_url or _ORIGIN


# The vendor's rate-limit page: 600 predictions created a minute; looks have a limit of their own, and a far higher one.
_PACE = Pace(requests_per_minute=600)

DIALECT = Dialect(
    name="replicate_predictions",
    vendor="replicate",
    credential_header=("Authorization", "Bearer {}"),
    download_hosts=("replicate.delivery", "*.replicate.delivery"),
    capabilities=_capabilities,
    call_for=_call_for,
    outcome_of=_outcome_of,
    probe_for=_probe_for,
    known_models=(_SCHNELL, _PRO),
    reply_fields=REPLY_FIELDS,
    pace=_PACE,
    search=Search(_search_for, _found_in),
    callback=Callback(_secret_call, _secret_in, _id_in, _asked_about),
)
"""Replicate, as the engine speaks it."""
