"""Spoils a finished JSON reply: wrong shapes, drifted fields, bodies that are no JSON."""

from collections.abc import Iterator
from typing import Any

import orjson
from starlette.responses import Response

from gateway.sandbox.scripts import Then

__all__ = ["mangled"]

_HTML = "<!DOCTYPE html><html><head><title>Error</title></head><body><h1>Something went wrong</h1></body></html>"
_DEPTH = 100_000


def mangled(reply: Response, then: Then) -> Response:
    """The reply as the script wants it; the very same one when it wants nothing."""
    if then.remove or then.rename or then.put:
        reply = _drifted(reply, then)
    if then.mangle is not None:
        reply = _broken(reply, then.mangle)
    if then.content_type is not None:
        reply.headers["content-type"] = then.content_type
    for name, value in then.headers.items():
        reply.headers[name] = value
    return reply


def _broken(reply: Response, how: str) -> Response:
    status, body = reply.status_code, bytes(reply.body)
    if how == "html":
        return Response(_HTML, status, media_type="text/html")
    if how == "wrong_content_type":
        return Response(body, status, media_type="text/plain")
    texts = {
        "malformed_json": body[: max(len(body) * 2 // 3, 1)],
        "deep_json": b"[" * _DEPTH + b"]" * _DEPTH,
        "empty": b"",
        "not_object": b'"done"',
        "array_wrapped": b"[" + body + b"]",
    }
    return Response(texts[how], status, media_type="application/json")


def _drifted(reply: Response, then: Then) -> Response:
    document = orjson.loads(bytes(reply.body))
    for path in then.remove:
        for holder, key in _places(document, path.split(".")):
            del holder[key]
    for path, name in then.rename.items():
        for holder, key in _places(document, path.split(".")):
            holder[name] = holder.pop(key)
    for path, value in then.put.items():
        *above, last = path.split(".")
        for holder in _holders(document, above):
            holder[int(last) if isinstance(holder, list) else last] = value
    kept = {name: value for name, value in reply.headers.items() if name not in ("content-length", "content-type")}
    return Response(orjson.dumps(document), reply.status_code, kept, "application/json")


def _places(document: Any, steps: list[str]) -> Iterator[tuple[Any, Any]]:
    """Every holder and key that the path reaches and that exist."""
    for holder in _holders(document, steps[:-1]):
        for key in _keys(holder, steps[-1]):
            yield holder, key


def _holders(document: Any, steps: list[str]) -> list[Any]:
    reached = [document]
    for step in steps:
        reached = [holder[key] for holder in reached for key in _keys(holder, step)]
    return [holder for holder in reached if isinstance(holder, (dict, list))]


def _keys(holder: Any, step: str) -> list[Any]:
    if isinstance(holder, dict):
        return list(holder) if step == "*" else [step] if step in holder else []
    if isinstance(holder, list):
        return list(range(len(holder))) if step == "*" else [int(step)] if int(step) < len(holder) else []
    return []
