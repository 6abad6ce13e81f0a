"""OpenAI (`/openai` stands for api.openai.com): images as one reply or as a stream, and the list of models."""

import secrets
from collections.abc import AsyncIterator
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gateway.sandbox import openai_errors as errors
from gateway.sandbox.artist import inline_text, made_all
from gateway.sandbox.drawing import Picture
from gateway.sandbox.exchange import Call, Operation, json_reply
from gateway.sandbox.native_error import RefusedError
from gateway.sandbox.openai_models import MODELS, OpenAIModel
from gateway.sandbox.openai_request import Order, order_of
from gateway.sandbox.options import OPENAI_KEY
from gateway.sandbox.scripts import Then

__all__ = ["ROUTES"]

_NATURAL_S = 10.0
_LINK_LIFE_S = 3600.0  # vendor docs: a dall-e url is valid for 60 minutes
_OUTPUT_TOKENS = 1056  # a medium 1024 × 1024 image: the vendor's guide
_RULE = "openai: per image made (its output tokens)"


def _admit(call: Call) -> None:
    scheme, _, key = call.request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise RefusedError(errors.no_key())
    if key != OPENAI_KEY:
        raise RefusedError(errors.wrong_key(key))


def _read(body: bytes, request: Request) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise RefusedError(errors.unreadable()) from None


def _subject(call: Call) -> tuple[str, str]:
    body = call.body if isinstance(call.body, dict) else {}
    return str(body.get("model") or ""), str(body.get("prompt") or "")


def _headers() -> dict[str, str]:
    return {
        "x-request-id": f"req_{secrets.token_hex(16)}",
        "openai-processing-ms": "10",
        "openai-version": "2020-10-01",
        "openai-organization": "org-sandbox",
    }


async def _generate(call: Call) -> Response:
    order = order_of(call.body, call.state)
    await call.work(_NATURAL_S)
    pictures = _pictures(order, call.then)
    call.charge(len(pictures), _RULE, round(order.model.price * order.factor))
    if order.wants_link:
        return json_reply(_linked(call, order, pictures), headers=_headers())
    texts = [inline_text(file, call.then.image) for file in await made_all(pictures, call.then.image)]
    call.inline_images = len(texts)
    if order.stream:
        return _streamed(call, order, texts)
    return json_reply(_inline(call, order, texts), headers=_headers())


def _pictures(order: Order, then: Then) -> list[Picture]:
    return [
        Picture(
            vendor="openai",
            model=order.model.id,
            prompt=order.prompt,
            seed=order.seed,
            index=index,
            count=order.n,
            width=order.width,
            height=order.height,
            format=order.file_format,
            quality=order.compression,
            transparent=order.transparent,
        )
        for index in range(order.n - then.drop)
    ]


def _linked(call: Call, order: Order, pictures: list[Picture]) -> dict[str, Any]:
    expires_at = call.now + _LINK_LIFE_S
    offered = [
        call.state.deliveries.offer_signed(picture, "openai/private/{token}.png", expires_at, call.then.image)
        for picture in pictures
    ]
    call.state.books.offered["openai"] += len(offered)
    links = (call.then.output_url or f"{call.base_url}/delivery/{one.path}{one.query}" for one in offered)
    return {"created": int(call.now), "data": [{"url": link} | _revised(call, order) for link in links]}


def _revised(call: Call, order: Order) -> dict[str, str]:
    """dall-e-3 always rewrites the prompt, and says so."""
    if order.model.id != "dall-e-3":
        return {}
    return {"revised_prompt": call.then.rewritten_prompt or f"A detailed picture of {order.prompt}"}


def _inline(call: Call, order: Order, texts: list[str]) -> dict[str, Any]:
    reply: dict[str, Any] = {
        "created": int(call.now),
        "data": [{"b64_json": text} | _revised(call, order) for text in texts],
    }
    return reply | _described(order) | {"usage": _usage(order, len(texts))} if order.model.gpt else reply


def _described(order: Order) -> dict[str, str]:
    return {
        "background": "transparent" if order.transparent else "opaque",
        "output_format": order.file_format,
        "quality": "medium" if order.quality == "auto" else order.quality,
        "size": order.size,
    }


def _usage(order: Order, images: int) -> dict[str, Any]:
    text = len(order.prompt) // 4 + 1
    made = round(_OUTPUT_TOKENS * order.factor) * images
    return {
        "input_tokens": text,
        "output_tokens": made,
        "total_tokens": text + made,
        "input_tokens_details": {"text_tokens": text, "image_tokens": 0},
    }


def _streamed(call: Call, order: Order, texts: list[str]) -> Response:
    """Partial images first, then each image complete. Trouble on the wire needs the whole of it at once."""
    events = [
        _event(call, order, "partial_image", text, partial_image_index=index)
        for text in texts
        for index in range(order.partial_images)
    ]
    events += [_event(call, order, "completed", text, usage=_usage(order, 1)) for text in texts]
    if call.then != Then():
        return Response(b"".join(events), 200, _headers(), "text/event-stream; charset=utf-8")

    async def one_by_one() -> AsyncIterator[bytes]:
        for event in events:
            yield event

    return StreamingResponse(one_by_one(), 200, _headers(), "text/event-stream; charset=utf-8")


def _event(call: Call, order: Order, name: str, text: str, **more: Any) -> bytes:
    kind = f"image_generation.{name}"
    body = {"type": kind, "b64_json": text, "created_at": int(call.now)} | _described(order) | more
    return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps(body) + b"\n\n"


def _shown(model: OpenAIModel) -> dict[str, Any]:
    return {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": "system",
        "shutdown_date": model.shutdown_date,
    }


def _living(call: Call) -> list[OpenAIModel]:
    speaks_all = call.state.options.speak_retired
    return [model for model in MODELS.values() if speaks_all or not model.is_gone(call.now)]


async def _models(call: Call) -> Response:
    return json_reply({"object": "list", "data": [_shown(model) for model in _living(call)]}, headers=_headers())


async def _model(call: Call) -> Response:
    name = call.request.path_params["model"]
    for model in _living(call):
        if model.id == name:
            return json_reply(_shown(model), headers=_headers())
    raise RefusedError(errors.unknown_model(name))


ROUTES: tuple[tuple[str, str, Operation], ...] = (
    ("POST", "/openai/v1/images/generations", Operation("openai", "create", _generate, _admit, _read, _subject)),
    ("GET", "/openai/v1/models", Operation("openai", "models", _models, _admit)),
    ("GET", "/openai/v1/models/{model}", Operation("openai", "model", _model, _admit)),
)
"""Method, path and what it does."""
