"""`GET /v1/operations/{id}`: how far an operation has come, and what it brought, for the key that began it."""

import re
from collections.abc import AsyncIterator

import orjson

from gateway.domain.caller import Caller
from gateway.domain.errors import ErrorCode, RequestError
from gateway.domain.harvest import Harvest
from gateway.domain.record import Record
from gateway.domain.reply import Reply
from gateway.edges.redis_store import RedisUnavailable
from gateway.operation import Operation, Operations
from gateway.services import Services
from gateway.steps.reply import result_of
from gateway.steps.report import state_of

__all__ = ["operation_reply"]

_ID = re.compile(r"op_[0-9a-f]{24}", re.ASCII)
_ID_HEADER = "x-samurai-operation-id"
_LOOK_AGAIN_S = 2


async def operation_reply(op_id: str, caller: Caller, operations: Operations, services: Services) -> Reply:
    """Its state, and once it is over its result or its error. Raises RequestError: 404 for what is not this key's."""
    running = operations.find(op_id)
    record = running.record if running is not None else await _read(op_id, services)
    if record is None or record.key_id != caller.key_id:
        raise RequestError(ErrorCode.NOT_FOUND, "There is no such operation, or it is no longer kept.")
    harvest = Harvest(record.earlier)
    shown = state_of(record)
    headers = [
        ("content-type", "application/json"),
        (_ID_HEADER, record.id),
        ("cache-control", "no-store"),
    ]
    if not record.is_over:
        headers.append(("retry-after", str(_LOOK_AGAIN_S)))
    if not (record.is_over and harvest.finished):
        body = orjson.dumps(shown)
        return Reply(200, tuple(headers), body, len(body))
    content, length = await result_of(harvest, Operation(record, record.job, caller), services)
    front = orjson.dumps(shown)[:-1] + b',"result":'
    return Reply(200, tuple(headers), _framed(front, content), len(front) + length + 1)


async def _read(op_id: str, services: Services) -> Record | None:
    if _ID.fullmatch(op_id) is None:
        return None
    try:
        return await services.journal.read(op_id)
    except RedisUnavailable:
        raise RequestError(
            ErrorCode.IDEMPOTENCY_UNAVAILABLE,
            "What became of this operation cannot be told at the moment.",
            retry_after_ms=_LOOK_AGAIN_S * 1000,
            should_retry=True,
        ) from None


async def _framed(front: bytes, content: bytes | AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield front
    if isinstance(content, bytes):
        yield content
    else:
        async for chunk in content:
            yield chunk
    yield b"}"
