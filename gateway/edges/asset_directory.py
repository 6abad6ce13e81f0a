"""What a store that is a directory can do without copying: give a file its place, and hand out parts of it."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

__all__ = ["Reading", "force_to_disk", "linked", "piece_of", "size_and_time"]

_SMALLEST_STEP_BYTES, _LARGEST_STEP_BYTES = 256 << 10, 4 << 20
_READ_AHEAD_BYTES = 8 << 20  # of all readers together, while they are not too many for the smallest step
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENOENT)


class Reading:
    """How much to read at once: in large steps while few read, since what waits for slow clients lies in memory."""

    def __init__(self) -> None:
        self._readers = 0

    @contextmanager
    def one_more(self) -> Iterator[Self]:
        """Somebody reads meanwhile."""
        self._readers += 1
        try:
            yield self
        finally:
            self._readers -= 1

    @property
    def step_bytes(self) -> int:
        """What one of them may read now."""
        return max(_SMALLEST_STEP_BYTES, min(_READ_AHEAD_BYTES // self._readers, _LARGEST_STEP_BYTES))


def linked(source: Path, file: Path, sure: set[Path], *, is_forced: bool) -> bool:
    """Give a file of the same disk its place in the store, for good; whether that could be done without copying.

    A link is made as a whole or not at all, and never in place of another: just what a put has to be. False where it
    is there already, on another disk, or where the file system knows no links. Raises OSError when the disk is full.
    `sure` are the hours whose own names survive a power cut. `is_forced`: the file's bytes do.
    """
    hour = file.parent
    try:
        _link(source, file, sure)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise
        return False
    force_to_disk(*(() if is_forced else (file,)), hour, *(() if hour in sure else (hour.parent,)))
    sure.add(hour)
    return True


def _link(source: Path, file: Path, sure: set[Path]) -> None:
    try:
        os.link(source, file)
    except FileNotFoundError:
        sure.discard(file.parent)
        file.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, file)


def size_and_time(file: Path) -> tuple[int, float]:
    """How large it is, and when it was last changed (seconds since the epoch). Raises OSError."""
    status = file.stat()
    return status.st_size, status.st_mtime


def piece_of(file: Path, start: int, length: int) -> bytes:
    """Bytes of a file; fewer where it ends before. Raises OSError."""
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(descriptor, length, start)
    finally:
        os.close(descriptor)


def force_to_disk(*paths: Path) -> None:
    """Have bytes of files, and names in directories, survive a power cut. Raises OSError."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
