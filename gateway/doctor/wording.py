"""A vendor's own wording in a reply, for the operator's eyes."""

from typing import Any

from gateway.domain.exchange import HttpReply
from gateway.domain.wire import text

__all__ = ["vendors_words"]

_PLACES: tuple[tuple[str, ...], ...] = (("error", "message"), ("detail",), ("message",), ("error",), ("title",))
_LIMIT = 200


def vendors_words(reply: HttpReply) -> str:
    """What the reply says went wrong, in one short line; empty where it says nothing that could be read."""
    body: Any = reply.json[0] if isinstance(reply.json, list) and reply.json else reply.json
    said = next((words for place in _PLACES if (words := text(body, *place))), "")
    return " ".join(said.split())[:_LIMIT]
