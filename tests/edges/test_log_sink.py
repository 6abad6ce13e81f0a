import json
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.edges.log_sink import LogSink


class Pipe:
    """A pipe whose reader reads when told to."""

    def __init__(self) -> None:
        self.source, self.target = os.pipe()
        self._open = {self.source, self.target}

    def close(self, end: int) -> None:
        if end in self._open:
            self._open.remove(end)
            os.close(end)

    def close_both(self) -> None:
        for end in list(self._open):
            self.close(end)

    def read_lines(self) -> list[str]:
        """Everything until the writing end is closed."""
        with os.fdopen(os.dup(self.source), encoding="utf-8") as reader:
            return reader.read().splitlines()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close_both()


def test_lines_arrive_whole_and_in_order(pipe: Pipe) -> None:
    sink = LogSink(pipe.target)
    for number in range(100):
        sink.put(f"line {number} é")
    sink.close()
    pipe.close(pipe.target)

    assert pipe.read_lines() == [f"line {number} é" for number in range(100)]
    assert sink.dropped == 0


def test_a_reader_that_has_stopped_costs_lines_and_no_time(pipe: Pipe) -> None:
    sink = LogSink(pipe.target, capacity=50)
    line = "x" * 1000
    began_s = time.monotonic()
    for _ in range(5000):
        sink.put(line)
    took_s = time.monotonic() - began_s
    lost_while_blocked = sink.dropped

    read: list[str] = []
    reading = threading.Thread(target=lambda: read.extend(pipe.read_lines()))
    reading.start()
    sink.close(wait_s=5)
    pipe.close(pipe.target)
    reading.join(5)

    assert took_s < 1
    assert lost_while_blocked > 4000
    told: list[dict[str, Any]] = [json.loads(text) for text in read if text.startswith("{")]
    assert sum(note["dropped"] for note in told) == sink.dropped
    assert len(read) - len(told) + sink.dropped == 5000


def test_closing_does_not_wait_for_a_reader_that_has_stopped(pipe: Pipe) -> None:
    sink = LogSink(pipe.target, capacity=10)
    for _ in range(500):
        sink.put("x" * 1000)
    began_s = time.monotonic()
    sink.close(wait_s=0.1)

    assert time.monotonic() - began_s < 1
    pipe.close(pipe.source)  # lets the writer's thread go, with EPIPE


def test_a_closed_stdout_ends_the_log_and_nothing_else(pipe: Pipe) -> None:
    pipe.close(pipe.source)
    sink = LogSink(pipe.target)
    sink.put("into the void")
    sink.close()
    sink.put("after the end")

    assert sink.dropped == 0
