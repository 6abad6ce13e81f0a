"""Ideogram (`/ideogram` stands for api.ideogram.ai): the synchronous v1 API and the v2 API with quotes and polling."""

import secrets
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from gateway.sandbox import ideogram_errors as errors
from gateway.sandbox.exchange import Call, Operation, json_reply
from gateway.sandbox.generations import Generation
from gateway.sandbox.ideogram_making import LINK_LIFE_S, Work, admit, check, items_of, read_body, work_of
from gateway.sandbox.ideogram_schema import SIZE_OF_RATIO, V1_FIELDS, V1_PRICES, V2_MODELS, V2Model
from gateway.sandbox.native_error import RefusedError

__all__ = ["ROUTES"]

_NATURAL_S = 6.0
_RULE = "ideogram: per image when the request completes, withheld ones included"
_V1_MODEL = "ideogram-v3"


def _subject_v1(call: Call) -> tuple[str, str]:
    return _V1_MODEL, str(call.body.get("prompt", ""))


def _subject_v2(call: Call) -> tuple[str, str]:
    return call.request.path_params["model"], str(call.body.get("prompt", ""))


def _places_for(call: Call, images: int) -> AbstractContextManager[None]:
    """Hold the organisation's places for these images. Raises RefusedError when there are not enough."""
    if not call.state.options.real_limits:
        return nullcontext()
    pending = call.state.generations.images_pending(call.now)
    if not call.state.ideogram_places.has_room(images + pending):
        raise RefusedError(errors.in_flight())
    return call.state.ideogram_places.hold(images)


async def _generate_v1(call: Call) -> Response:
    body: dict[str, Any] = call.body
    check(body, V1_FIELDS)
    size = body.get("resolution") or SIZE_OF_RATIO[body.get("aspect_ratio", "1x1")]
    work = work_of(call, _V1_MODEL, size)
    started = datetime.fromtimestamp(call.now, UTC).isoformat(timespec="seconds")
    items = await _made(call, work, V1_PRICES[body.get("rendering_speed", "DEFAULT")])
    style = body.get("style_type", "GENERAL")
    return json_reply({"created": started, "data": [item | {"style_type": style} for item in items]})


async def _made(call: Call, work: Work, price: int) -> list[dict[str, Any]]:
    """Work, then bill; what the safety check withholds is billed too."""
    with _places_for(call, work.images):
        await call.work(_NATURAL_S)
    items = items_of(call, work, call.now + LINK_LIFE_S)
    call.charge(work.images, _RULE, price)
    call.state.books.offered["ideogram"] += sum(1 for item in items if item["url"])
    return items


async def _generate_v2(call: Call) -> Response:
    model = V2_MODELS.get(call.model)
    if model is None:
        raise RefusedError(errors.not_found("Model"))
    body: dict[str, Any] = call.body
    check(body, model.fields)
    price = model.prices[str(body.get(model.dial, model.usual)).upper()]
    if call.request.query_params.get("dry_run", "false").lower() == "true":
        return json_reply(_quote(model, body.get("num_images", 1), price))
    work = work_of(call, model.name, _size_v2(body))
    generation_id = secrets.token_urlsafe(16)
    identity = {"generation_id": generation_id, "generation_kind": "sampling", "seed": work.seed}
    if body.get("async") or "webhook_url" in body:
        _begin(call, work, price, generation_id)
        return json_reply(identity)
    return json_reply(identity | {"data": await _made(call, work, price)})


def _size_v2(body: dict[str, Any]) -> str:
    size = body.get("size") or body.get("resolution") or SIZE_OF_RATIO[body.get("aspect_ratio", "1x1")]
    return "1024x1024" if size == "auto" else str(size)


def _quote(model: V2Model, images: int, price: int) -> dict[str, Any]:
    """The price of a request that is not run. 1,000 credits are 10 dollars, as in the vendor's example."""
    return {
        "object": "price_quote",
        "billing_identifier": model.billing_identifier,
        "quantity": images,
        "usd_micros": images * price,
        "credit_millis": images * price // 10,
        "qualifier": "exact",
    }


def _begin(call: Call, work: Work, price: int, generation_id: str) -> None:
    """Start what is looked up later; its images take up places until it is done."""
    with _places_for(call, work.images):
        ends_at = call.now + call.state.natural_wait_s(_NATURAL_S)
    if call.then.life in ("stuck_starting", "stuck_processing"):
        ends_at = float("inf")
    failure = "content_policy_violation" if call.then.refuse == "policy_failure" else call.then.failure
    if call.then.life == "fails":
        failure = failure or "internal_error"
    generation = Generation(
        id=generation_id,
        model=work.model,
        data=items_of(call, work, ends_at + LINK_LIFE_S) if ends_at != float("inf") else [],
        billed=work.images,
        price=price,
        call_id=call.id,
        created_at=call.now,
        ends_at=ends_at,
        failure=failure,
        charges=call.then.charged is not False,
    )
    call.state.generations.add(generation)


async def _poll(call: Call) -> Response:
    generation = call.state.generations.find(call.request.path_params["id"])
    if generation is None:
        raise RefusedError(errors.not_found("Generation"))
    generation.settle(call.now, call.state.books)
    return json_reply(generation.view(call.now))


ROUTES: tuple[tuple[str, str, Operation], ...] = (
    (
        "POST",
        "/ideogram/v1/ideogram-v3/generate",
        Operation("ideogram", "create", _generate_v1, admit, read_body, _subject_v1),
    ),
    (
        "POST",
        "/ideogram/v2/image/generate/{model}",
        Operation("ideogram", "create", _generate_v2, admit, read_body, _subject_v2),
    ),
    ("GET", "/ideogram/v2/generations/{id}", Operation("ideogram", "poll", _poll, admit)),
)
"""Method, path and what it does."""
