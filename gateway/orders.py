"""A request to administration that was let in, and what all its answers have in common."""

from dataclasses import dataclass
from typing import TypeVar

import orjson
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from gateway.domain.errors import ErrorCode, RequestError
from gateway.edges.key_store import Deed
from gateway.guard import read_body
from gateway.key_bodies import read_members

__all__ = ["Order", "json_reply", "no_query", "page_size", "told"]

_BODY_LIMIT_BYTES = 64 * 1024  # as on the public port
_BODY_DEADLINE_S = 30.0
_PAGE, _PAGE_MOST = 100, 1000

_Body = TypeVar("_Body", bound=Struct)


@dataclass(frozen=True, slots=True)
class Order:
    """A request that was let in: which key or operation it is about (empty for none), and who asks from where."""

    request: Request
    key_id: str
    who: str
    address: str
    operation: str = ""

    def deed(self, action: str, now_s: float) -> Deed:
        """What the audit log notes of it."""
        return Deed(action, self.who, self.address, now_s)


async def told(order: Order, kind: type[_Body]) -> _Body:
    """The body as `kind`. Raises RequestError for anything else, and for a query."""
    no_query(order)
    return read_members(await read_body(order.request.receive, _BODY_LIMIT_BYTES, _BODY_DEADLINE_S), kind)


def no_query(order: Order, *allowed: str) -> None:
    """Raises RequestError for parameters of the query other than the allowed ones."""
    for name in order.request.query_params:
        if name not in allowed:
            raise RequestError(ErrorCode.UNKNOWN_PARAMETER, "There is no such parameter of the query.", param="query")


def page_size(order: Order) -> int:
    """The parameter `limit`. Raises RequestError unless it is from 1 to 1000."""
    text = order.request.query_params.get("limit", "")
    if not text:
        return _PAGE
    size = int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 0
    if not 1 <= size <= _PAGE_MOST:
        raise RequestError(ErrorCode.INVALID_VALUE, f"`limit` is a number from 1 to {_PAGE_MOST}.", param="limit")
    return size


def json_reply(status: int, content: object) -> Response:
    """An answer as JSON."""
    return Response(orjson.dumps(content), status, media_type="application/json")
