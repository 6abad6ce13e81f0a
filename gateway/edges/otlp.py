"""Spans to an OpenTelemetry collector, over OTLP and HTTP, from a thread of their own. Needs the extra `tracing`.

Nothing here waits and nothing raises: a collector that is away costs spans, never a request. Exceptions are not
recorded, since their texts quote what they choked on. OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES and
OTEL_EXPORTER_OTLP_HEADERS are OpenTelemetry's own settings, and are heeded.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway import __version__
from gateway.domain.errors import RequestError
from gateway.edges.tracing import Attributes, Span

__all__ = ["OtlpTraces"]

_SERVICE = "samurai-gateway"
_PATH = "/v1/traces"  # OTLP/HTTP's own, below a collector's base address
_EXPORT_S = 3.0  # one attempt, and what the end of the process may have to wait for
_QUEUE = 8192  # spans; some megabytes at most, then the newest are dropped
_CARRIED = ("traceparent", "tracestate")
_W3C = TraceContextTextMapPropagator()


class _OtlpSpan:
    """An OpenTelemetry span behind our interface."""

    __slots__ = ("_span",)

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def rename(self, name: str) -> None:
        """Give it the name that could not be known at its beginning."""
        self._span.update_name(name)

    def note(self, attributes: Attributes) -> None:
        """Add what has become known."""
        self._span.set_attributes(dict(attributes))

    def fail(self, error: str) -> None:
        """The block has failed."""
        self._span.set_attribute("error.type", error)
        self._span.set_status(StatusCode.ERROR)


class OtlpTraces:
    """Traces for the collector at `endpoint`, with or without OTLP's path for traces."""

    enabled = True

    def __init__(self, endpoint: str) -> None:
        base = endpoint.rstrip("/")
        url = base if base.endswith(_PATH) else base + _PATH
        resource = Resource.create({SERVICE_NAME: _SERVICE, SERVICE_VERSION: __version__})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=url, timeout=_EXPORT_S)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=_QUEUE))
        self._tracer = self._provider.get_tracer("gateway", __version__)

    @contextmanager
    def server(self, name: str, headers: Mapping[str, str], attributes: Attributes) -> Iterator[Span]:
        """A request that came in."""
        carried = {key: headers[key] for key in _CARRIED if key in headers}
        parent = _W3C.extract(carried, context=context.Context())
        with self._open(name, SpanKind.SERVER, attributes, parent) as span:
            yield span

    @contextmanager
    def step(self, name: str) -> Iterator[Span]:
        """A part of our own work."""
        with self._open(name, SpanKind.INTERNAL, {}) as span:
            yield span

    @contextmanager
    def client(self, name: str, attributes: Attributes) -> Iterator[Span]:
        """Work that somebody else does for us."""
        with self._open(name, SpanKind.CLIENT, attributes) as span:
            yield span

    def headers(self) -> Mapping[str, str]:
        """The open span's `traceparent`. A caller's `tracestate` stays here: it is not meant for vendors."""
        carried: dict[str, str] = {}
        _W3C.inject(carried)
        return {name: value for name, value in carried.items() if name == "traceparent"}

    def trace_id(self) -> str | None:
        """The open span's trace."""
        seen = trace.get_current_span().get_span_context()
        return trace.format_trace_id(seen.trace_id) if seen.is_valid else None

    def stop(self) -> None:
        """Send what is left and end."""
        self._provider.shutdown()

    @contextmanager
    def _open(
        self, name: str, kind: SpanKind, attributes: Attributes, parent: context.Context | None = None
    ) -> Iterator[_OtlpSpan]:
        with self._tracer.start_as_current_span(
            name,
            context=parent,
            kind=kind,
            attributes=dict(attributes),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            ours = _OtlpSpan(span)
            try:
                yield ours
            except BaseException as error:
                ours.fail(error.code.value if isinstance(error, RequestError) else type(error).__name__)
                raise
