"""Step 9 of 9 · write the answer: JSON whose images are streamed from the store, or events as they get ready."""

import asyncio
from collections.abc import AsyncIterator, Mapping, MutableMapping
from functools import partial
from typing import Any

import orjson
import pybase64

from gateway.domain.errors import ErrorCode, RequestError
from gateway.domain.harvest import Finished, Harvest
from gateway.domain.job import Job
from gateway.domain.money import dollars
from gateway.domain.reply import Reply
from gateway.edges.assets import Asset, StoreUnavailable
from gateway.operation import Operation
from gateway.policies.limit_headers import limit_headers
from gateway.services import Services
from gateway.steps.claim import Visit

__all__ = ["accepted", "headers_of", "reply_with", "result_of", "stream_of", "waits_elsewhere"]

_KEEP_ALIVE_S = 15.0  # well under the shortest idle timeout of common proxies (nginx, Envoy, ALB: 60 s)
_COMMENT = b": the images are being made\n\n"
_DONE = b"data: [DONE]\n\n"
_EVENT_END = b'"}\n\n'
# OpenAI's event type requires the field. Images are billed by the image here, so no tokens were used.
_NO_TOKENS = {
    "input_tokens": 0,
    "output_tokens": 0,
    "total_tokens": 0,
    "input_tokens_details": {"text_tokens": 0, "image_tokens": 0},
}


async def reply_with(harvest: Harvest, visit: Visit, services: Services) -> Reply:
    """The JSON reply, whose base64 never exists as one string. Raises RequestError when the store lost an image.

    A repeated request gets the same bytes.
    """
    operation = visit.operation
    replayed = (("idempotent-replayed", "true"),) if visit.is_replay else ()
    headers = (*headers_of(operation, harvest), *replayed, ("content-type", "application/json"))
    body, length = await result_of(harvest, operation, services)
    return Reply(200, headers, body, length, partial(_note_delivery, operation, services))


async def result_of(
    harvest: Harvest, operation: Operation, services: Services
) -> tuple[bytes | AsyncIterator[bytes], int]:
    """The JSON of a result, and its length in bytes. Raises RequestError when the store lost an image."""
    job, record = operation.job, operation.record
    images = harvest.finished[: job.n]
    if job.wants_url:
        if any(services.assets.is_aside(image.asset_id or "") for image in images):
            raise _store_away()  # its link would work on this replica alone
        data = [_entry(image, {"url": link}) for image, link in zip(images, record.links, strict=False)]
        body = orjson.dumps({"created": record.created, "data": data})
        return body, len(body)
    assets = await asyncio.gather(*(_opened(image, services) for image in images))
    frames = _frames(record.created, images, marker=services.world.token(8).hex())
    return _interleaved(frames, assets), sum(map(len, frames)) + sum(_base64_length(asset.size) for asset in assets)


def waits_elsewhere(headers: Mapping[str, str]) -> bool:
    """Whether the client asks not to be kept waiting (RFC 7240)."""
    wishes = headers.get("prefer", "").lower().replace(";", ",").split(",")
    return "respond-async" in map(str.strip, wishes)


async def accepted(operation: Operation) -> Reply:
    """202: the work goes on, and where to ask about it. Raises RequestError where a limit refuses it at once."""
    await operation.opened()
    where = f"/v1/operations/{operation.id}"
    body = orjson.dumps(
        {
            "id": operation.id,
            "object": "image.operation",
            "status": "running",
            "model": operation.job.model,
            "created": int(operation.record.begun_s),
            "n": operation.job.n,
            "images_ready": 0,
        }
    )
    headers = (
        ("location", where),
        ("preference-applied", "respond-async"),
        ("retry-after", "2"),
        ("x-samurai-operation-id", operation.id),
        ("content-type", "application/json"),
    )
    return Reply(202, headers, body, len(body))


def _note_delivery(operation: Operation, services: Services) -> None:
    """From now on an SDK's retry is a new wish, once the reply can no longer be under way."""
    if operation.is_recorded and not operation.is_left:
        services.writer.deliver_soon(operation.id)


async def stream_of(visit: Visit, notes: MutableMapping[str, Any], services: Services) -> Reply:
    """The reply as server-sent events, begun when the first image is ready (or, to keep the connection, earlier).

    `notes` learn how many images were sent, and the code of an error that had to be sent as an event. Raises
    RequestError when the work fails before anything was sent.
    """
    operation = visit.operation
    images = operation.images()
    first = asyncio.ensure_future(anext(images, None))
    await asyncio.wait([first], timeout=_KEEP_ALIVE_S)
    if first.done() and first.result() is None:
        await visit.result()  # nothing was made: raises why
    headers = (
        *headers_of(operation, operation.harvest),
        *((("idempotent-replayed", "true"),) if visit.is_replay else ()),
        ("content-type", "text/event-stream; charset=utf-8"),
        ("cache-control", "no-cache"),
        ("x-accel-buffering", "no"),
    )
    return Reply(200, headers, _events(first, images, operation, notes, services))


def headers_of(operation: Operation, harvest: Harvest) -> tuple[tuple[str, str], ...]:
    """What the gateway says about an operation in reply headers, also beside an error."""
    job = operation.job
    made = harvest.results
    headers = [("x-samurai-operation-id", operation.id)]
    served_by = dict.fromkeys(result.served_by for result in made) or [operation.served_by]
    if any(served_by):
        headers.append(("x-samurai-served-by", ", ".join(served_by)))
    if made:
        headers.append(("x-samurai-cost-usd", dollars(harvest.cost_microusd)))
    if emulated := _emulated(harvest):
        headers.append(("x-samurai-emulated", ",".join(emulated)))
    if ignored := dict.fromkeys(
        (*job.unmapped, *(name for result in made for name in result.ignored), *(() if made else operation.ignored))
    ):
        headers.append(("x-samurai-ignored", ",".join(ignored)))
    if job.partial_allowed and made and len(harvest.finished) < job.n:
        headers.append(("x-samurai-images", f"{len(harvest.finished)}/{job.n}"))
    if operation.degraded:
        headers.append(("x-samurai-degraded", "redis"))
    return (*headers, *limit_headers(operation.meters))


def _emulated(harvest: Harvest) -> tuple[str, ...]:
    changed = {name for image in harvest.finished for name in image.emulated}
    calls = sum(1 for result in harvest.results if result.finished)
    return (*(("n",) if calls > 1 else ()), *(name for name in ("size", "format") if name in changed))


def _entry(image: Finished, form: dict[str, str]) -> dict[str, str]:
    return form if image.revised_prompt is None else form | {"revised_prompt": image.revised_prompt}


async def _opened(image: Finished, services: Services) -> Asset:
    try:
        asset = await services.assets.read(image.asset_id or "", image.format)
    except StoreUnavailable:
        asset = None
    if asset is None:
        raise _store_away()
    return asset


def _store_away() -> RequestError:
    """The images are made, paid for and kept: who asks again gets them without buying, once the store is back."""
    return RequestError(ErrorCode.ASSET_STORE_UNAVAILABLE, "The image store is not available.", should_retry=True)


def _frames(created: int, images: tuple[Finished, ...], marker: str) -> list[bytes]:
    """The JSON around the images' base64: one piece before each and one after the last.

    `marker` is random, so that nothing a vendor wrote can be taken for it.
    """
    data = [_entry(image, {"b64_json": marker}) for image in images]
    return orjson.dumps({"created": created, "data": data}).split(marker.encode())


async def _interleaved(frames: list[bytes], assets: list[Asset]) -> AsyncIterator[bytes]:
    for frame, asset in zip(frames, assets, strict=False):
        yield frame
        async for chunk in _base64_of(asset):
            yield chunk
    yield frames[-1]


async def _base64_of(asset: Asset) -> AsyncIterator[bytes]:
    """Base64 in chunks: what does not fill a group of three bytes waits for the next chunk."""
    rest = b""
    async for chunk in asset.chunks:
        joined = rest + chunk if rest else chunk
        whole = len(joined) - len(joined) % 3
        rest = bytes(joined[whole:])
        if whole:
            yield pybase64.b64encode(memoryview(joined)[:whole])
    if rest:
        yield pybase64.b64encode(rest)


def _base64_length(length: int) -> int:
    return 4 * ((length + 2) // 3)


async def _events(
    first: "asyncio.Future[Finished | None]",
    images: AsyncIterator[Finished],
    operation: Operation,
    notes: MutableMapping[str, Any],
    services: Services,
) -> AsyncIterator[bytes]:
    """Every image as an event, a comment whenever there was nothing to say for a while, and how it ended.

    A failure is an event of its own, unless an image's event is half written: then the connection breaks off.
    """
    notes["images"] = 0
    try:
        async for image in _awaited(first, images):
            if image is None:
                yield _COMMENT
                continue
            if notes["images"] < operation.job.n:
                asset = await _opened(image, services)
                yield _completed_event(operation.job, int(services.world.now()))
                async for chunk in _base64_of(asset):
                    yield chunk
                yield _EVENT_END
                notes["images"] += 1
        await operation.result()
    except RequestError as error:
        notes["code"] = error.code.value
        yield b"event: error\ndata: " + orjson.dumps({"type": "error", **error.envelope()}) + b"\n\n"
        return
    yield _DONE


async def _awaited(
    first: "asyncio.Future[Finished | None]", images: AsyncIterator[Finished]
) -> AsyncIterator[Finished | None]:
    """The images as they get ready, and None at once and then whenever a while has passed without one."""
    pending = first
    if not first.done():
        yield None
    while True:
        done, _ = await asyncio.wait([pending], timeout=_KEEP_ALIVE_S)
        if not done:
            yield None
            continue
        image = pending.result()
        if image is None:
            return
        yield image
        pending = asyncio.ensure_future(anext(images, None))


def _completed_event(job: Job, now: int) -> bytes:
    """The beginning of an event, up to where its base64 stands."""
    event = {
        "type": "image_generation.completed",
        "created_at": now,
        "size": str(job.size),
        "quality": job.hints.quality or "auto",
        "background": "transparent" if job.transparent else "auto",
        "output_format": job.format.value,
        "usage": _NO_TOKENS,
        "b64_json": "",
    }
    return b"event: image_generation.completed\ndata: " + orjson.dumps(event)[:-2]
