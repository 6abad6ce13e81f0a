"""Traces as the rest of the gateway sees them: a span is a block of code with a name and a few plain attributes.

OpenTelemetry itself lives in `otlp`, which is loaded only where a collector is configured. Without one, what stands
here costs a method call a span. No prompt, key, link or image is ever an attribute of a span.
"""

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib import import_module
from types import TracebackType
from typing import Protocol
from urllib.parse import urlsplit

from gateway.domain.exchange import Delivered, Dialect, Fault, HttpReply, Outcome
from gateway.domain.job import Shot

__all__ = ["NO_TRACES", "Attribute", "Attributes", "Span", "Traces", "open_traces", "tell_outcome", "vendor_call"]

Attribute = str | int | float | bool
Attributes = Mapping[str, Attribute]

_PROVIDERS = {"openai": "openai", "vertex": "gcp.vertex_ai"}  # the well-known values; other vendors' own names stand
_MODEL_FIELDS = ("model", "modelVersion")  # where vendors' replies name what has served
_MODEL = re.compile(r"[A-Za-z0-9._/:@-]{1,128}")


class Span(Protocol):
    """A block under way."""

    def rename(self, name: str, /) -> None:
        """Give it the name that could not be known at its beginning."""

    def note(self, attributes: Attributes, /) -> None:
        """Add what has become known."""

    def fail(self, error: str, /) -> None:
        """The block has failed; `error` is a word of a closed set."""


class Traces(Protocol):
    """Where spans go. A span's parent is the span that is open around it, in this task or in the one that made it."""

    @property
    def enabled(self) -> bool:
        """Whether anybody listens."""

    def server(self, name: str, headers: Mapping[str, str], attributes: Attributes, /) -> AbstractContextManager[Span]:
        """A request that came in; it continues the trace that its W3C `headers` name."""

    def step(self, name: str, /) -> AbstractContextManager[Span]:
        """A part of our own work."""

    def client(self, name: str, attributes: Attributes, /) -> AbstractContextManager[Span]:
        """Work that somebody else does for us."""

    def headers(self) -> Mapping[str, str]:
        """The W3C headers of the open span, to be sent along; empty without one."""

    def trace_id(self) -> str | None:
        """The open span's trace, 32 digits of hex; None without one."""

    def stop(self) -> None:
        """Send what is left and end. Blocks, for a few seconds at most."""


class _NoSpan:
    """A span that nobody sees, and its block."""

    __slots__ = ()

    def __enter__(self) -> Span:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        pass

    def rename(self, _name: str, /) -> None:
        """Forget it."""

    def note(self, _attributes: Attributes, /) -> None:
        """Forget it."""

    def fail(self, _error: str, /) -> None:
        """Forget it."""


class _NoTraces:
    """No collector is configured."""

    enabled = False

    def server(
        self, _name: str, _headers: Mapping[str, str], _attributes: Attributes, /
    ) -> AbstractContextManager[Span]:
        return _NO_SPAN

    def step(self, _name: str, /) -> AbstractContextManager[Span]:
        return _NO_SPAN

    def client(self, _name: str, _attributes: Attributes, /) -> AbstractContextManager[Span]:
        return _NO_SPAN

    def headers(self) -> Mapping[str, str]:
        return _NO_HEADERS

    def trace_id(self) -> str | None:
        return None

    def stop(self) -> None:
        """There is nothing to end."""


_NO_SPAN = _NoSpan()
_NO_HEADERS: Mapping[str, str] = {}
NO_TRACES: Traces = _NoTraces()
"""For a gateway without a collector."""


def open_traces(endpoint: str | None) -> Traces:
    """Traces for the collector at `endpoint`, None for none. Raises ValueError where OpenTelemetry is not installed."""
    if endpoint is None:
        return NO_TRACES
    try:
        otlp = import_module("gateway.edges.otlp")  # only here, since who has no collector need not have the extra
    except ModuleNotFoundError as missing:
        if not (missing.name or "").startswith("opentelemetry"):
            raise
        raise ValueError("tracing.otlp_endpoint needs an extra: pip install 'samurai-gateway[tracing]'") from None
    traces: Traces = otlp.OtlpTraces(endpoint)
    return traces


def vendor_call(traces: Traces, shot: Shot, dialect: Dialect) -> AbstractContextManager[Span]:
    """The span of one paid vendor call, polls included, as OpenTelemetry's conventions for generative AI word it.

    They know no operation for images yet; `generate_content` with the output type `image` is the closest.
    """
    if not traces.enabled:
        return _NO_SPAN
    account = shot.target.account
    address = urlsplit(account.base_url or dialect.probe_for(account).url)
    attributes: dict[str, Attribute] = {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.output.type": "image",
        "gen_ai.provider.name": _PROVIDERS.get(account.vendor, account.vendor),
        "gen_ai.request.model": shot.model,
        "gen_ai.request.choice.count": shot.count,
        "server.address": address.hostname or "",
        "server.port": address.port or (443 if address.scheme == "https" else 80),
        "samurai.account": account.id,
    }
    if shot.seed is not None:
        attributes["gen_ai.request.seed"] = shot.seed
    return traces.client(f"generate_content {shot.model}", attributes)


def tell_outcome(span: Span, reply: HttpReply | None, outcome: Outcome, polls: int) -> None:
    """Tell a vendor call's span what came of it."""
    if span is _NO_SPAN:
        return
    attributes: dict[str, Attribute] = {"samurai.polls": polls}
    if reply is not None:
        attributes |= {"http.response.status_code": reply.status, **_served_by(reply)}
    if isinstance(outcome, Delivered):
        attributes |= {"samurai.images": len(outcome.pictures), "samurai.images.billed": outcome.billed}
    if isinstance(outcome, Fault):
        attributes["samurai.may_have_billed"] = outcome.may_have_billed
        span.fail(outcome.code.value)
    span.note(attributes)


def _served_by(reply: HttpReply) -> Attributes:
    """The model that the vendor says has served, where it says so in a form that cannot be anything else."""
    found = [reply.json.get(field) for field in _MODEL_FIELDS] if isinstance(reply.json, dict) else []
    names = [name for name in found if isinstance(name, str) and _MODEL.fullmatch(name)]
    return {"gen_ai.response.model": names[0]} if names else {}
