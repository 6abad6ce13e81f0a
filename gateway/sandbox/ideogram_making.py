"""What both of Ideogram's APIs have in common: keys, bodies in JSON or as a form, images and withheld images."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from email import message_from_bytes
from typing import Any

import orjson
from starlette.requests import Request

from gateway.sandbox import ideogram_errors as errors
from gateway.sandbox.drawing import Picture
from gateway.sandbox.exchange import Call
from gateway.sandbox.fields import Field, problems
from gateway.sandbox.native_error import RefusedError
from gateway.sandbox.options import IDEOGRAM_KEY

__all__ = ["Work", "admit", "check", "items_of", "read_body", "work_of"]

LINK_LIFE_S = 24 * 3600.0  # vendor docs: links expire after 24 hours
_FILES = ("style_reference_images", "character_reference_images", "character_reference_images_mask")
_ASIDE = ", in rich detail, with a soft light from the side"


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be made: `images` of them, of which `withheld` fall to the safety check (and are billed)."""

    model: str
    prompt: str
    size: str
    seed: int
    images: int
    withheld: int


def admit(call: Call) -> None:
    """Let in whoever has the key."""
    if call.request.headers.get("api-key") != IDEOGRAM_KEY:
        raise RefusedError(errors.no_key())


def read_body(body: bytes, request: Request) -> Any:
    """The fields of a JSON object or of a form. Raises RefusedError for neither."""
    kind = request.headers.get("content-type", "")
    if kind.startswith("multipart/form-data"):
        return _form(body, kind)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise RefusedError(errors.bad_input("Request body is not valid JSON")) from None
    if not isinstance(document, dict):
        raise RefusedError(errors.bad_input(f"{document!r} is not of type 'object'"))
    return document


def _form(body: bytes, content_type: str) -> dict[str, Any]:
    """A form's fields: files as an array of their lengths, numbers and objects as what they spell."""
    message = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    if not message.is_multipart():
        raise RefusedError(errors.bad_input("Malformed multipart body"))
    fields: dict[str, Any] = {}
    for part in message.walk():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if not isinstance(name, str) or not isinstance(content, bytes):
            continue
        if part.get_filename() is not None or name in _FILES:
            fields.setdefault(name, []).append(len(content))
        else:
            fields[name] = _spelled(name, content.decode())
    return fields


def _spelled(name: str, text: str) -> Any:
    if name in ("num_images", "seed", "color_palette", "style_codes", "async"):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            return text
    return text


def check(body: Mapping[str, Any], fields: Mapping[str, Field]) -> None:
    """Raise RefusedError for the first thing that does not fit."""
    found = problems(body, fields, ("prompt",))
    if found:
        raise RefusedError(errors.wrong_field(found[0]))
    if "resolution" in body and "aspect_ratio" in body:
        raise RefusedError(errors.bad_input("Cannot specify both aspect_ratio and resolution"))
    if "style_codes" in body and ("style_type" in body or "style_reference_images" in body):
        raise RefusedError(errors.bad_input("style_codes cannot be used with style_type or style_reference_images"))


def work_of(call: Call, model: str, size: str) -> Work:
    """What this request's body asks for, with what the script does to it."""
    body, then = call.body, call.then
    images = body.get("num_images", 1)
    withheld = {"unsafe": images, "unsafe_some": then.drop or 1}.get(then.refuse or "", 0)
    asks_magic = str(body.get("magic_prompt", "")).upper() == "ON"
    prompt = then.rewritten_prompt or (body["prompt"] + _ASIDE if asks_magic else body["prompt"])
    return Work(model, prompt, size, body.get("seed", secrets.randbelow(2**31)), images, min(withheld, images))


def items_of(call: Call, work: Work, expires_at: float) -> list[dict[str, Any]]:
    """The `data` of a reply: a link for every image, none where it was withheld. `drop` leaves some out."""
    width, height = (int(edge) for edge in work.size.split("x"))
    items = []
    for index in range(work.images - (call.then.drop if call.then.refuse is None else 0)):
        seed = (work.seed + index) % 2**31
        picture = Picture("ideogram", work.model, work.prompt, seed, index, work.images, width, height)
        safe = index >= work.withheld
        items.append(
            {
                "url": _link(call, picture, expires_at) if safe else None,
                "prompt": work.prompt,
                "resolution": work.size,
                "is_image_safe": safe,
                "seed": seed,
            }
        )
    return items


def _link(call: Call, picture: Picture, expires_at: float) -> str:
    if call.then.output_url is not None:
        return call.then.output_url
    where = "ideogram/api/images/ephemeral/{token}.png"
    delivery = call.state.deliveries.offer_signed(picture, where, expires_at, call.then.image)
    return f"{call.base_url}/delivery/{delivery.path}{delivery.query}"
