"""Logs: JSON lines on stdout (coloured text on a terminal), structlog's and the standard library's alike."""

import logging
import sys
import traceback
from collections.abc import Iterable
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from gateway.edges.log_sink import LogSink
from gateway.edges.redaction import Redaction

__all__ = ["LEVELS", "retune_logs", "start_logs"]

LEVELS = ("debug", "info", "warning", "error")
"""The words that the configuration may use, from talkative to silent."""

_FRAMES = 25
_ROUTED = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", "httpx2")  # the last writes every URL


def start_logs(
    level: str = "info", *, prompts: bool = False, secrets: Iterable[str] = (), stream: TextIO | None = None
) -> LogSink:
    """Route all logging of the process through one sink on `stream` (stdout), and return it to be closed at the end.

    `level` is one of LEVELS. `prompts` lets prompts and the texts of foreign exceptions into the log. `secrets` are
    hidden wherever they occur.
    """
    out = stream or sys.stdout
    sink = LogSink(out.fileno())
    _route(sink, level, Redaction(secrets, prompts=prompts), prompts=prompts, coloured=out.isatty())
    return sink


def retune_logs(level: str, *, prompts: bool, secrets: Iterable[str]) -> None:
    """Log by other settings from now on, through the sink that `start_logs` made. Without one, do nothing."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _SinkHandler):
            _route(handler.sink, level, Redaction(secrets, prompts=prompts), prompts=prompts, coloured=handler.coloured)
            return


def _route(sink: LogSink, level: str, redaction: Redaction, *, prompts: bool, coloured: bool) -> None:
    threshold = logging.getLevelNamesMapping()[level.upper()]
    renderer: Processor = structlog.dev.ConsoleRenderer() if coloured else _render
    chain = [*_processors(redaction, prompts=prompts), renderer]
    structlog.configure(
        processors=chain,
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda *_: _SinkLogger(sink),
        cache_logger_on_first_use=False,
    )
    _route_standard_library(_SinkHandler(sink, chain, coloured=coloured), threshold)


class _SinkLogger:
    """What structlog calls with a finished line."""

    def __init__(self, sink: LogSink) -> None:
        self._sink = sink

    def msg(self, line: str) -> None:
        self._sink.put(line)

    debug = info = warning = warn = error = exception = critical = fatal = log = msg


class _SinkHandler(logging.Handler):
    """The standard library's records, through the same processors."""

    def __init__(self, sink: LogSink, processors: list[Processor], *, coloured: bool) -> None:
        super().__init__()
        self.sink, self.coloured = sink, coloured
        self._processors = processors

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            text = record.getMessage()
        except (TypeError, ValueError):  # arguments that do not fit the message must not cost a request
            text = str(record.msg)
        event: Any = {"event": text, "logger": record.name, "exc_info": record.exc_info}
        for process in self._processors:
            event = process(None, record.levelname.lower(), event)
        self.sink.put(event)


def _processors(redaction: Redaction, *, prompts: bool) -> list[Processor]:
    def describe_exception(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return _without_locals(event, with_texts=prompts)

    return [
        structlog.contextvars.merge_contextvars,
        _add_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        describe_exception,
        redaction,
    ]


def _add_level(_logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    event["level"] = "error" if method == "exception" else method
    return event


def _without_locals(event: EventDict, *, with_texts: bool) -> EventDict:
    """Turn `exc_info` into types and places. Texts of exceptions quote what they choked on, so they are left out.

    OSError is the exception: its text is the system's.
    """
    found = event.pop("exc_info", None)
    if found is True:
        found = sys.exc_info()
    error = found[1] if isinstance(found, tuple) else found
    chain: list[dict[str, Any]] = []
    while isinstance(error, BaseException) and len(chain) < 5:
        frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
        link: dict[str, Any] = {
            "type": type(error).__name__,
            "at": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
        }
        if with_texts or isinstance(error, OSError):
            link["text"] = str(error)
        chain.append(link)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if chain:
        event["exception"] = chain
    return event


def _render(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    return orjson.dumps(event).decode()


def _route_standard_library(ours: _SinkHandler, threshold: int) -> None:
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, _SinkHandler):
            root.removeHandler(handler)
    root.addHandler(ours)
    root.setLevel(max(threshold, logging.INFO))  # libraries' debug lines name hosts, headers and bodies
    for name in _ROUTED:
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
        logger.setLevel(max(threshold, logging.WARNING))
    logging.captureWarnings(True)  # noqa: FBT003  # the standard library's own signature
