"""Operations as an administrator sees them: what is unknown, what is known of it, and how it is settled."""

from datetime import UTC, datetime
from typing import Any

from msgspec.structs import asdict as members_of
from starlette.responses import Response

from gateway.domain.errors import ErrorCode, RequestError
from gateway.domain.money import dollars, microdollars
from gateway.domain.record import Attempt, OperationState, Record
from gateway.edges.journal import Journal, UnreadableRecord
from gateway.edges.journal_writer import Fenced, JournalUnavailable, JournalWriter
from gateway.edges.redis_store import Reason, RedisUnavailable
from gateway.edges.suspense import Suspense
from gateway.edges.world import World
from gateway.orders import Order, json_reply, no_query, told
from gateway.usage_administration import Resolution

__all__ = ["OperationDesk"]

_UNREADABLE: dict[str, Any] = {
    "operation": "",
    "state": "unreadable",
    "key": None,
    "tenant": None,
    "model": None,
    "n": None,
    "begun": None,
    "images_kept": None,
    "calls": [],
}
"""What another version wrote, and this one cannot read: that it is there is all that can be said."""


class OperationDesk:
    """The journal. Every method raises RequestError and RedisUnavailable."""

    def __init__(self, journal: Journal, writer: JournalWriter, world: World) -> None:
        self._journal = journal
        self._writer = writer
        self._suspense = Suspense(journal.redis)
        self._world = world

    async def list(self, order: Order) -> Response:
        """The operations whose outcome nobody knows, oldest first."""
        no_query(order, "state")
        if order.request.query_params.get("state", "unknown") != "unknown":
            raise RequestError(ErrorCode.INVALID_VALUE, "`state` is unknown.", param="state")
        found = [await self._found(op_id) for op_id in await self._journal.unknown()]
        return json_reply(200, {"operations": [shown for shown in found if shown is not None]})

    async def _found(self, op_id: str) -> dict[str, Any] | None:
        try:
            record = await self._journal.read(op_id)
        except UnreadableRecord:
            return _UNREADABLE | {"operation": op_id}
        return None if record is None else _shown(record)

    async def show(self, order: Order) -> Response:
        """One operation, with every paid call that it made."""
        no_query(order)
        record = await self._journal.read(order.operation)
        if record is None:
            raise _none()
        return json_reply(200, _shown(record))

    async def settle(self, order: Order) -> Response:
        """Say what an unknown operation was billed: nothing, and its client may ask anew; else its error stays.

        Its money leaves suspense, and the books say what it cost.
        """
        billed = microdollars(members_of(await told(order, Resolution))["billed"])
        record = await self._journal.take_over(order.operation, (OperationState.UNKNOWN,))
        if record is None:
            raise RequestError(ErrorCode.NOT_FOUND, "There is no operation of unknown outcome with this id (any more).")
        deed = order.deed("settle-operation", self._world.now())
        for hold_id in record.hold_ids:
            if await self._suspense.resolve(hold_id, billed, deed) is not None:
                break
        record.state = OperationState.FAILED if billed else OperationState.RELEASED
        try:
            await self._writer.write(record)
        except (Fenced, JournalUnavailable):
            raise RedisUnavailable(Reason.ERROR) from None
        return json_reply(200, {**_shown(record), "billed_usd": dollars(billed)})


def _shown(record: Record) -> dict[str, Any]:
    return {
        "operation": record.id,
        "state": record.state.value,
        "key": record.key_id,
        "tenant": record.tenant,
        "model": record.job.model,
        "n": record.job.n,
        "begun": _moment(record.begun_s),
        "images_kept": len(record.finished),
        "calls": [_call(attempt) for attempt in (*record.doubts, *record.attempts)],
    }


def _call(attempt: Attempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "state": attempt.state.value,
        "account": attempt.account,
        "served_by": attempt.served_by,
        "images": attempt.count,
        "sent": _moment(attempt.sent_s) if attempt.sent_s else None,
        "vendor_id": None if attempt.pending is None else attempt.pending.vendor_id,
        "seed": attempt.seed,
        "cost_usd_at_most": dollars(attempt.count * attempt.unit_microusd),
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _none() -> RequestError:
    return RequestError(ErrorCode.NOT_FOUND, "There is no such operation, or it is no longer kept.")
