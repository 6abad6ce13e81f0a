"""Replicate (`/replicate` stands for api.replicate.com): predictions, their list, cancelling, account and models."""

import base64
import binascii
import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gateway.sandbox import replicate_errors as errors
from gateway.sandbox.artist import inline_text, made_all, media_type_of
from gateway.sandbox.exchange import Call, Operation, json_reply
from gateway.sandbox.limits import Rate
from gateway.sandbox.native_error import RefusedError
from gateway.sandbox.options import REPLICATE_TOKEN
from gateway.sandbox.predictions import TERMINAL, Prediction
from gateway.sandbox.replicate_making import Wishes, checked_body, new_prediction, wishes_of
from gateway.sandbox.replicate_models import MODELS, NativeModel, model_of_version
from gateway.sandbox.webhooks import SECRET, Promise, wants_the_end

__all__ = ["ROUTES"]

_PAGE = 100

Handler = Callable[[Call], Awaitable[Response]]


def _admit(call: Call) -> None:
    scheme, _, token = call.request.headers.get("authorization", "").partition(" ")
    if scheme.lower() not in ("bearer", "token") or token != REPLICATE_TOKEN:
        raise RefusedError(errors.no_credential())


def _read(body: bytes, request: Request) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise RefusedError(errors.bad_request("The request body is not valid JSON")) from None


def _subject(call: Call) -> tuple[str, str]:
    """Model and prompt of a creation, as far as the body is sane."""
    body = call.body if isinstance(call.body, dict) else {}
    given = body.get("input")
    prompt = given.get("prompt") if isinstance(given, dict) else None
    path = call.request.path_params
    named = model_of_version(str(body.get("version", "")))
    model = f"{path['owner']}/{path['name']}" if "owner" in path else named.name if named else ""
    return model, prompt if isinstance(prompt, str) else ""


def _paced(rate_of: Callable[[Call], Rate], handler: Handler) -> Handler:
    """The handler within the vendor's rate; every reply says how much of it is left."""

    async def within_rate(call: Call) -> Response:
        rate = rate_of(call)
        if not rate.take(call.now) and call.state.options.real_limits:
            raise RefusedError(replace(errors.throttled(math.ceil(60 / rate.per_minute)), headers=_rate_headers(rate)))
        try:
            reply = await handler(call)
        except RefusedError as refusal:
            raise RefusedError(replace(refusal.error, headers=_rate_headers(rate))) from None
        reply.headers.update(_rate_headers(rate))
        return reply

    return within_rate


def _rate_headers(rate: Rate) -> dict[str, str]:
    return {"ratelimit-remaining": str(rate.remaining), "ratelimit-reset": str(rate.reset_s)}


async def _create_for_model(call: Call) -> Response:
    body = checked_body(call.body, with_version=False)
    model = MODELS.get(call.model)
    if model is None:
        raise RefusedError(errors.not_found())
    return await _create(call, model, body["input"])


async def _create_by_version(call: Call) -> Response:
    body = checked_body(call.body, with_version=True)
    model = model_of_version(body["version"])
    if model is None:
        raise RefusedError(errors.unknown_version())
    return await _create(call, model, body["input"])


async def _create(call: Call, model: NativeModel, given: dict[str, Any]) -> Response:
    wishes = wishes_of(call)
    prediction = new_prediction(call, model, given, wishes)
    url = wants_the_end(call.body)
    if url is not None:
        promise = Promise(url, prediction, call.base_url, call.then.webhooks)
        call.state.webhooks.promise(promise, call.state.clock, call.state.books)
    if wishes.wait_s is None:
        return json_reply(prediction.view(call.now, call.base_url), 201)
    return await _once_done(call, prediction, wishes)


async def _once_done(call: Call, prediction: Prediction, wishes: Wishes) -> Response:
    """The held-open reply: complete output under the status `processing`, as recorded; 202 when it took too long."""
    held_s = wishes.wait_s or 0
    await call.state.clock.wait(min(held_s, max(prediction.ends_at - call.now, 0)))
    prediction.settle(call.now, call.state.books)
    shown = prediction.view(call.now, call.base_url)
    applied = {"preference-applied": f"wait={held_s}"}
    if prediction.status not in TERMINAL:
        return json_reply(shown | {"status": "starting"}, 202, applied)
    if prediction.status == "succeeded":
        early = {name: value for name, value in shown.items() if name not in ("completed_at", "metrics")}
        shown = early | {"status": "processing", "output": await _output(call, prediction, shown)} | prediction.oddities
    return json_reply(shown, 201, applied)


async def _output(call: Call, prediction: Prediction, shown: dict[str, Any]) -> Any:
    """Links, or the files themselves as data URIs where a script asks for that."""
    if not call.then.data_uris:
        return shown["output"]
    pictures = [delivery.picture for delivery in prediction.deliveries]
    change = call.then.image
    files = await made_all(pictures, change)
    call.inline_images = len(files)
    uris = [
        f"data:{media_type_of(picture.format, change)};base64,{inline_text(file, change)}"
        for picture, file in zip(pictures, files, strict=True)
    ]
    return uris[0] if prediction.single else uris


def _found(call: Call) -> Prediction:
    prediction = call.state.predictions.find(call.request.path_params["id"])
    if prediction is None:
        raise RefusedError(errors.not_found())
    prediction.settle(call.now, call.state.books)
    return prediction


async def _poll(call: Call) -> Response:
    return json_reply(_found(call).view(call.now, call.base_url))


async def _cancel(call: Call) -> Response:
    prediction = _found(call)
    if prediction.finishes_on_cancel and prediction.status not in TERMINAL:
        shown = prediction.view(call.now, call.base_url)
        prediction.starts_at, prediction.ends_at = min(prediction.starts_at, call.now), call.now
        return json_reply(shown)
    prediction.cancel(call.now, call.state.books)
    return json_reply(prediction.view(call.now, call.base_url))


async def _list(call: Call) -> Response:
    """Newest first, a hundred at a time, with a cursor to the next page."""
    query = call.request.query_params
    call.state.predictions.settle(call.now, call.state.books)
    after, before = _moment(query.get("created_after"), 0.0), _moment(query.get("created_before"), math.inf)
    everything = call.state.predictions.newest_first() if query.get("source") != "web" else []
    wanted = [one for one in everything if after <= one.created_at < before]
    start = _place(query.get("cursor"), wanted)
    page = wanted[start : start + _PAGE]
    rest = start + _PAGE < len(wanted)
    return json_reply(
        {
            "previous": _page_link(call, wanted[max(start - _PAGE, 0)]) if start > 0 else None,
            "next": _page_link(call, wanted[start + _PAGE]) if rest else None,
            "results": [one.view(call.now, call.base_url) for one in page],
        }
    )


def _page_link(call: Call, first: Prediction) -> str:
    cursor = base64.urlsafe_b64encode(f"p={first.id}".encode()).decode("ascii")
    return f"{call.base_url}/replicate/v1/predictions?cursor={cursor}"


def _place(cursor: str | None, wanted: list[Prediction]) -> int:
    if cursor is None:
        return 0
    try:
        first = base64.urlsafe_b64decode(cursor).decode("ascii").removeprefix("p=")
    except (binascii.Error, UnicodeDecodeError):
        first = ""
    for place, prediction in enumerate(wanted):
        if prediction.id == first:
            return place
    raise RefusedError(errors.bad_request("Invalid cursor"))


def _moment(text: str | None, missing: float) -> float:
    if text is None:
        return missing
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise RefusedError(errors.bad_request("Not a date-time in ISO 8601 format")) from None


async def _account(call: Call) -> Response:
    return json_reply({"type": "organization", "username": "sandbox", "name": "Sandbox"})


async def _model(call: Call) -> Response:
    owner, name = call.request.path_params["owner"], call.request.path_params["name"]
    if f"{owner}/{name}" not in MODELS:
        raise RefusedError(errors.not_found())
    shown = {
        "url": f"{call.base_url}/replicate/{owner}/{name}",
        "owner": owner,
        "name": name,
        "description": "A model that the sandbox stands in for",
        "visibility": "public",
        "is_official": True,
        "run_count": 1,
    }
    return json_reply(shown)


async def _webhook_secret(call: Call) -> Response:
    return json_reply({"key": SECRET})


def _others(name: str, handler: Handler) -> Operation:
    return Operation("replicate", name, _paced(lambda call: call.state.replicate_others, handler), _admit)


def _creation(handler: Handler) -> Operation:
    paced = _paced(lambda call: call.state.replicate_creates, handler)
    return Operation("replicate", "create", paced, _admit, _read, _subject)


ROUTES: tuple[tuple[str, str, Operation], ...] = (
    ("POST", "/replicate/v1/models/{owner}/{name}/predictions", _creation(_create_for_model)),
    ("POST", "/replicate/v1/predictions", _creation(_create_by_version)),
    ("GET", "/replicate/v1/predictions", _others("list", _list)),
    ("GET", "/replicate/v1/predictions/{id}", _others("poll", _poll)),
    ("POST", "/replicate/v1/predictions/{id}/cancel", _others("cancel", _cancel)),
    ("GET", "/replicate/v1/account", _others("account", _account)),
    ("GET", "/replicate/v1/models/{owner}/{name}", _others("model", _model)),
    ("GET", "/replicate/v1/webhooks/default/secret", _others("webhook_secret", _webhook_secret)),
)
"""Method, path and what it does."""
