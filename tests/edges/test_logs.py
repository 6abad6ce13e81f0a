import json
import logging
import os
import pty
from collections.abc import Callable, Iterator
from typing import Any, TextIO

import pytest
import structlog

from gateway.edges.logs import retune_logs, start_logs

Read = Callable[[], list[dict[str, Any]]]
CANARY = "sk-samurai-canary01_0123456789"


@pytest.fixture
def _restored() -> Iterator[None]:
    """Logging is global: leave it as it was found."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    logging.captureWarnings(False)
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
def written(_restored: None) -> Iterator[tuple[TextIO, Read]]:
    """A stream to log to, and what was written once the sink is closed."""
    source, target = os.pipe()
    with os.fdopen(source, encoding="utf-8") as reader, os.fdopen(target, "w", encoding="utf-8") as writer:

        def read() -> list[dict[str, Any]]:
            writer.close()
            return [json.loads(line) for line in reader.read().splitlines()]

        yield writer, read


def test_a_line_is_one_json_object(written: tuple[TextIO, Read]) -> None:
    stream, read = written
    sink = start_logs(stream=stream)
    structlog.get_logger("any").info("request", status=200, note="two\nlines\x00")
    sink.close()

    (line,) = read()
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "request", "level": "info", "status": 200, "note": "two\nlines\x00"}


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_the_level_is_the_configured_one(level: str, expected: list[str], written: tuple[TextIO, Read]) -> None:
    stream, read = written
    sink = start_logs(level, stream=stream)
    for word in ("debug", "info", "warning", "error"):
        getattr(structlog.get_logger(), word)("said")
    sink.close()

    assert [line["level"] for line in read()] == expected


def test_the_standard_librarys_records_take_the_same_way(written: tuple[TextIO, Read]) -> None:
    stream, read = written
    sink = start_logs(stream=stream)
    logging.getLogger("uvicorn.error").error("broken by %s", CANARY)
    logging.getLogger("uvicorn.error").info("started")
    # straight to our handler: pytest's own stands beside it and stumbles over such a record
    mismatched = logging.LogRecord("some.library", logging.WARNING, "", 0, "%d is not", ("a number",), None)
    logging.getLogger().handlers[-1].handle(mismatched)
    sink.close()

    broken, mismatch = read()
    assert (broken["event"], broken["level"], broken["logger"]) == ("broken by [redacted]", "error", "uvicorn.error")
    assert mismatch["event"] == "%d is not"


def raise_with_secrets() -> None:
    local_secret = CANARY
    try:
        int("a secret garden")
    except ValueError as inner:
        raise LookupError(f"prompt: a secret garden, key {local_secret}") from inner


@pytest.mark.parametrize("library", [True, False])
def test_an_exception_is_its_type_and_places_without_texts_and_locals(
    library: bool, written: tuple[TextIO, Read]
) -> None:
    stream, read = written
    sink = start_logs(stream=stream)
    try:
        raise_with_secrets()
    except LookupError:
        if library:
            logging.getLogger("some.library").exception("internal error")
        else:
            structlog.get_logger().exception("internal error")
    sink.close()

    (line,) = read()
    outer, cause = line["exception"]
    assert line["level"] == "error"
    assert (outer["type"], cause["type"]) == ("LookupError", "ValueError")
    assert outer["at"][-1].endswith("raise_with_secrets")
    assert "garden" not in json.dumps(line)
    assert "canary" not in json.dumps(line)


def test_texts_of_exceptions_come_with_prompts_and_always_from_the_system(written: tuple[TextIO, Read]) -> None:
    stream, read = written
    sink = start_logs(prompts=True, stream=stream)
    structlog.get_logger().error("asked for", prompt="a garden", exc_info=ValueError(f"a garden, {CANARY}"))
    sink.close()
    sink = start_logs(stream=stream)
    structlog.get_logger().error("full", exc_info=OSError(28, "No space left on device"))
    sink.close()

    asked, full = read()
    assert asked["prompt"] == "a garden"
    assert asked["exception"][0]["text"] == "a garden, [redacted]"
    assert full["exception"][0]["text"] == "[Errno 28] No space left on device"


def test_starting_again_replaces_the_first(written: tuple[TextIO, Read]) -> None:
    stream, read = written
    start_logs(stream=stream).close()
    sink = start_logs(stream=stream, secrets=["hunter2"])
    logging.getLogger("some.library").warning("hunter2")
    sink.close()

    assert [line["event"] for line in read()] == ["[redacted]"]


@pytest.mark.usefixtures("_restored")
def test_a_terminal_gets_text_for_people() -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w", encoding="utf-8") as terminal:
        sink = start_logs(stream=terminal)
        structlog.get_logger().info("ready", port=8080, key=CANARY)
        sink.close()
        text = os.read(ours, 4096).decode()
    os.close(ours)

    assert "ready" in text
    assert "8080" in text
    assert "canary" not in text
    assert not text.startswith("{")


def test_level_and_secrets_change_while_it_runs_and_the_sink_stays(written: tuple[TextIO, Read]) -> None:
    stream, read = written
    sink = start_logs("error", stream=stream)
    log = structlog.get_logger("test")
    log.info("too soon")
    retune_logs("info", prompts=False, secrets=["rotated-secret"])
    log.info("now", token="rotated-secret")
    logging.getLogger("library").warning("and %s", "rotated-secret")
    retune_logs("warning", prompts=False, secrets=[])
    log.info("too late")
    sink.close()
    assert [(line["event"], line.get("token")) for line in read()] == [("now", "[redacted]"), ("and [redacted]", None)]
