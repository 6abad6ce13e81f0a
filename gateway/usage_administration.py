"""What administration tells of the books, and how it resolves what is in suspense."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.structs import asdict as members_of
from starlette.responses import Response

from gateway.domain.errors import ErrorCode, RequestError
from gateway.domain.money import dollars, microdollars
from gateway.edges.redis_store import RedisStore
from gateway.edges.suspense import Suspense
from gateway.edges.usage_books import Suspended, read_books
from gateway.edges.world import World
from gateway.orders import Order, json_reply, no_query, told
from gateway.policies.usage_lines import COLUMNS, csv_of, objects_of, report

__all__ = ["Resolution", "UsageDesk"]

_DEFAULT_DAYS = 30
_MOST_DAYS = 400  # books are not kept for longer
_DEFAULT_BY = "day,key,model"


class Resolution(Struct, frozen=True, forbid_unknown_fields=True):
    """What an operation in suspense was billed after all, in US dollars; 0 when it was not."""

    billed: Annotated[float, Meta(ge=0, le=1_000_000)]


class UsageDesk:
    """The books and the list of suspense. Every method raises RequestError and RedisUnavailable."""

    def __init__(self, redis: RedisStore, world: World) -> None:
        self._redis = redis
        self._suspense = Suspense(redis)
        self._world = world

    async def usage(self, order: Order) -> Response:
        """What was used between two days, summed up by some columns, as JSON or (`format=csv`) as CSV."""
        no_query(order, "from", "to", "by", "format")
        query = order.request.query_params
        last = _day(order, "to") or datetime.fromtimestamp(self._world.now(), UTC).date()
        first = _day(order, "from") or last - timedelta(days=_DEFAULT_DAYS)
        if not 0 <= (last - first).days <= _MOST_DAYS:
            raise _invalid("from", f"is at most {_MOST_DAYS} days before `to`, and not after it")
        columns = tuple(word.strip() for word in query.get("by", _DEFAULT_BY).split(","))
        if not set(columns) <= set(COLUMNS):
            raise _invalid("by", f"names some of {', '.join(COLUMNS)}")
        wanted = query.get("format", "json")
        if wanted not in ("json", "csv"):
            raise _invalid("format", "is json or csv")
        rows = report(await read_books(self._redis, first, last), columns)
        if wanted == "csv":
            return Response(csv_of(columns, rows), media_type="text/csv")
        return json_reply(200, {"from": first.isoformat(), "to": last.isoformat(), "usage": objects_of(columns, rows)})

    async def suspense(self, order: Order) -> Response:
        """Everything that may have cost money, and nobody knows."""
        no_query(order)
        return json_reply(200, {"suspense": [_shown(one) for one in await self._suspense.all()]})

    async def resolve(self, order: Order) -> Response:
        """Book what an operation in suspense really cost, or free its money."""
        billed = microdollars(members_of(await told(order, Resolution))["billed"])
        deed = order.deed("settle-suspense", self._world.now())
        resolved = await self._suspense.resolve(order.operation, billed, deed)
        if resolved is None:
            raise RequestError(ErrorCode.NOT_FOUND, "There is no such operation in suspense (any more).")
        return json_reply(200, {**_shown(resolved), "billed_usd": dollars(billed)})


def _shown(one: Suspended) -> dict[str, Any]:
    return {
        "operation": one.op_id,
        "kind": one.kind,
        "day": one.day,
        "cost_usd": dollars(one.microusd),
        "purses": list(one.purses),
        "note": one.note,
    }


def _day(order: Order, name: str) -> date | None:
    text = order.request.query_params.get(name)
    if text is None:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise _invalid(name, "is a day, such as 2030-01-31") from None
    if day.year < 1971:  # before the books' first day, and too near the calendar's own for any subtraction
        raise _invalid(name, "is a day after 1970")
    return day


def _invalid(param: str, what: str) -> RequestError:
    return RequestError(ErrorCode.INVALID_VALUE, f"`{param}` {what}.", param=param)
