"""What a store that is a directory can do without copying: give a file its place, and hand out parts of it."""

import errno
import os
from pathlib import Path

__all__ = ["force_to_disk", "linked", "piece_of", "size_and_time"]

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENOENT)


def linked(source: Path, file: Path) -> bool:
    """Give a file of the same disk its place in the store, for good; whether that could be done without copying.

    A link is made as a whole or not at all, and never in place of another: just what a put has to be. False where it
    is there already, on another disk, or where the file system knows no links. Raises OSError when the disk is full.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, file)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise
        return False
    force_to_disk(file)
    return True


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


def force_to_disk(file: Path) -> None:
    """Have the image survive a power cut: its bytes, its name, and the name of its hour. Raises OSError."""
    for path in (file, file.parent, file.parent.parent):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
