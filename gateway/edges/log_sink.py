"""Where log lines leave the process: a bounded buffer and one thread, so that a blocked reader never blocks us."""

import os
import threading
import time
from collections import deque
from contextlib import suppress

__all__ = ["LogSink"]

_GATHER_S = 0.02  # lines that come together are written together: waking a thread costs more than a line
_LOOK_S = 0.5
_MOST_BYTES = 4096  # PIPE_BUF: what several replicas write to one pipe must not be mixed within a line


class LogSink:
    """Writes lines to a file descriptor from its own thread. `put` never waits: what does not fit is dropped, counted.

    The next line that gets through is followed by one that tells how many were lost. The descriptor is not closed.
    """

    def __init__(self, descriptor: int, capacity: int = 10_000) -> None:
        self._descriptor = descriptor
        self._capacity = capacity
        self._lines: deque[str] = deque()
        self._dropped = 0
        self._told = 0
        self._there = threading.Event()
        self._closed = threading.Event()
        # A daemon: a reader that has stopped for good must not keep the process from ending.
        self._thread = threading.Thread(target=self._write_all, name="log-sink", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """How many lines were lost since the start."""
        return self._dropped

    def put(self, line: str) -> None:
        """Hand over one line, without its line end."""
        if len(self._lines) >= self._capacity:
            self._dropped += 1
            return
        self._lines.append(line)
        if not self._there.is_set():
            self._there.set()

    def close(self, wait_s: float = 2.0) -> None:
        """Write out what is waiting, for at most `wait_s` seconds."""
        self._closed.set()
        self._there.set()
        self._thread.join(wait_s)

    def _write_all(self) -> None:
        # A closed stdout (EPIPE, EBADF) is no reason to end: requests are served with or without a log.
        while self._lines or not self._closed.is_set():
            if not self._there.wait(_LOOK_S):
                continue
            if not self._closed.is_set():
                time.sleep(_GATHER_S)
            self._there.clear()
            while self._lines:
                with suppress(OSError):
                    self._write(self._taken())

    def _taken(self) -> bytes:
        """The next lines, with their ends: as many as go together, or one that is longer."""
        lost = self._dropped - self._told
        taken = _encoded(self._lines.popleft())
        if lost:
            self._told += lost
            taken += _encoded(f'{{"event": "log lines dropped", "level": "warning", "dropped": {lost}}}')
        while self._lines and len(taken) + len(line := _encoded(self._lines[0])) <= _MOST_BYTES:
            taken += line
            self._lines.popleft()
        return taken

    def _write(self, data: bytes) -> None:
        # os.write, not the stream: at interpreter exit a thread that holds the stream's lock aborts the process.
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]


def _encoded(line: str) -> bytes:
    return line.encode("utf-8", "backslashreplace") + b"\n"
