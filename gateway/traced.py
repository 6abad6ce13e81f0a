"""The trace of a request: one span around everything, begun before the log line and ended after it."""

from collections.abc import Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from gateway.edges.tracing import Attribute, Span, Traces

__all__ = ["Traced", "traced"]

_W3C = (b"traceparent", b"tracestate")
_NOTES = {
    "route": "http.route",
    "request_id": "samurai.request_id",
    "key_id": "samurai.key_id",
    "model": "samurai.model",
    "code": "samurai.code",
}


def traced(app: ASGIApp, traces: Traces) -> ASGIApp:
    """`app` with traces; `app` itself where nobody listens."""
    return Traced(app, traces) if traces.enabled else app


class Traced:
    """ASGI wrapper around `Access`: a server span a request, whose trace id stands in every log line of the request.

    Reads from `scope["state"]` what the app knows of the request: route, code, key_id, model, request_id.
    """

    def __init__(self, app: ASGIApp, traces: Traces) -> None:
        self._app = app
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request within its span."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        status: list[int] = []

        async def seen(message: Message) -> None:
            if message["type"] == "http.response.start":
                status.append(message["status"])
            await send(message)

        method: str = scope["method"]
        known: dict[str, Attribute] = {"http.request.method": method, "url.scheme": scope["scheme"]}
        with self._traces.server(method, _carried(scope), known) as span:
            try:
                with bound_contextvars(trace_id=self._traces.trace_id()):
                    await self._app(scope, receive, seen)
            finally:
                _tell(span, method, state, status[0] if status else None)


def _carried(scope: Scope) -> Mapping[str, str]:
    """The W3C headers of a request; none of them where one is repeated, as the specification asks."""
    found = [(name, value) for name, value in scope["headers"] if name in _W3C]
    if len({name for name, _ in found}) != len(found):
        return {}
    return {name.decode("ascii"): value.decode("latin-1") for name, value in found}


def _tell(span: Span, method: str, state: Mapping[str, Any], status: int | None) -> None:
    """What a request turned out to be. A client's own mistake is a code, and no failure of the span."""
    attributes: dict[str, Attribute] = {
        ours: state[note] for note, ours in _NOTES.items() if state.get(note) is not None
    }
    if status is not None:
        attributes["http.response.status_code"] = status
    if state.get("route") is not None:
        span.rename(f"{method} {state['route']}")
    span.note(attributes)
    if state.get("code") is not None and (status is None or status < 400 or status >= 500):
        span.fail(state["code"])
