"""`POST /v1/webhooks/…`: a vendor says that its work is over. Nothing it says is believed but that one may look now."""

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.domain.catalogue import Account
from gateway.domain.errors import ErrorCode, RequestError
from gateway.domain.exchange import Dialect
from gateway.domain.facts import WebhookRefused, WebhookTaken
from gateway.domain.record import Record
from gateway.domain.reply import Inbound, Reply
from gateway.edges.redis_store import RedisUnavailable
from gateway.operation import Operations
from gateway.policies.callbacks import Callback, callback_at
from gateway.policies.doubts import LIFTED, doubted
from gateway.policies.webhook_signing import Objection, objection_to
from gateway.services import Services
from gateway.takeover import look_again, take_up

__all__ = ["webhook_reply"]

_TAKEN = Reply(200, (("content-type", "application/json"), ("cache-control", "no-store")), b"{}", 2)


async def webhook_reply(path: str, inbound: Inbound, operations: Operations, services: Services) -> Reply:
    """Hear a vendor out. Raises RequestError: 404 for no such address, 400 and 401 for who is no vendor of ours.

    200 also for what is of no use any more, since the vendor would only say it again; 500 where it shall.
    """
    callback = callback_at(path)
    if callback is None:
        raise RequestError(ErrorCode.NOT_FOUND, "There is nothing at this address. See /llms.txt.")
    try:
        body = await inbound.body()
    except RequestError as error:
        is_large = error.code is ErrorCode.REQUEST_TOO_LARGE
        services.tell(WebhookRefused("too_large" if is_large else "malformed"))
        raise
    account, dialect = await _believed(callback, inbound.headers, body, services)
    message_id = inbound.headers["webhook-id"]
    if message_id in services.callbacks.seen:
        services.tell(WebhookRefused("repeated"))
        return _TAKEN
    useless = await _heard(callback, _work_in(body, dialect), operations, services)
    services.callbacks.seen.add(message_id)
    services.tell(WebhookTaken(account.vendor) if useless is None else WebhookRefused(useless))
    return _TAKEN


async def _believed(
    callback: Callback, headers: Mapping[str, str], body: bytes, services: Services
) -> tuple[Account, Dialect]:
    """Whose call it is. Raises RequestError, the same for a strange account as for a wrong signature."""
    now_s = services.world.now()
    problem = objection_to(headers, body, now_s, None)
    if problem is not None:
        raise _refused(problem, services)
    caller = _caller(callback.account, services)
    if caller is None:
        raise _refused("signature", services)
    account, dialect = caller
    secrets, upstreams = services.callbacks.secrets, services.upstreams
    key = await secrets.key_of(account, dialect, upstreams)
    if key is not None and objection_to(headers, body, now_s, key):
        key = await secrets.key_of(account, dialect, upstreams, doubted=key)
    if key is None:
        raise _again()
    problem = objection_to(headers, body, now_s, key)
    if problem is not None:
        raise _refused(problem, services)
    return caller


def _caller(account_id: str, services: Services) -> tuple[Account, Dialect] | None:
    for route in services.catalogue.routes.values():
        for target in route.targets:
            dialect = services.dialects[target.dialect]
            if target.account.id == account_id and dialect.callback is not None:
                return target.account, dialect
    return None


def _work_in(body: bytes, dialect: Dialect) -> str:
    try:
        said: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        said = None
    return "" if dialect.callback is None else dialect.callback.work_in(said)


async def _heard(callback: Callback, vendor_id: str, operations: Operations, services: Services) -> str | None:
    """Wake whoever waits for it, here or elsewhere, and see to it that somebody does; or say why that is of no use.

    Raises RequestError.
    """
    operation = operations.find(callback.operation)
    record = await _read(callback.operation, services) if operation is None else operation.record
    if record is None:
        return "unknown"
    is_doubted = doubted(record, callback.number, vendor_id) is not None
    if record.is_over and not (is_doubted and record.state in LIFTED):
        return "late"
    if is_doubted and (operation is not None or not record.is_over):
        raise _again()  # nobody looks at this call any more; once all others are over, somebody will
    if not await services.callbacks.bells.ring(callback.operation, callback.number, vendor_id):
        raise _again()
    if operation is None:
        try:
            if not record.is_over:
                await take_up(record.id, operations, services)
            elif not await look_again(record, callback.number, operations, services):
                raise _again()
        except RedisUnavailable:
            raise _again() from None
    return None


async def _read(op_id: str, services: Services) -> Record | None:
    try:
        return await services.journal.read(op_id)
    except RedisUnavailable:
        raise _again() from None


def _refused(problem: Objection, services: Services) -> RequestError:
    services.tell(WebhookRefused(problem))
    if problem == "malformed":
        return RequestError(ErrorCode.INVALID_VALUE, "This is no signed call to a webhook.", should_retry=False)
    return RequestError(ErrorCode.INVALID_API_KEY, "The signature is not valid.", should_retry=False)


def _again() -> RequestError:
    return RequestError(
        ErrorCode.IDEMPOTENCY_UNAVAILABLE, "This call cannot be taken at the moment. Send it again.", should_retry=True
    )
