"""Writing a whole file past the kernel's page cache, which costs a processor less than half.

Pages of that cache that the machine has not had for a while cost ten times more than recycled ones where it is a
virtual one: the host has to find memory for them first.
"""

import errno
import mmap
import os
from pathlib import Path

__all__ = ["write_past_cache"]

_BLOCK_BYTES = 4096  # the largest that disks have
_O_DIRECT = getattr(os, "O_DIRECT", 0)  # Linux alone has it
_CANNOT = (errno.EINVAL, errno.EOPNOTSUPP)


def write_past_cache(path: Path, place: mmap.mmap, length: int) -> bool:
    """Make a file of the first `length` bytes of `place`, for good; False where its file system cannot do that.

    What follows them in the same block is overwritten. Raises OSError when the disk will not.
    """
    end = -(-length // _BLOCK_BYTES) * _BLOCK_BYTES
    place[length:end] = bytes(end - length)
    try:
        _write(path, place, length, end)
    except OSError as error:
        if error.errno in _CANNOT:
            return False
        raise
    return True


def _write(path: Path, place: mmap.mmap, length: int, end: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | _O_DIRECT, 0o600)
    try:
        with memoryview(place) as whole:
            if os.write(descriptor, whole[:end]) != end:
                raise OSError(errno.ENOSPC, "short write")
        os.ftruncate(descriptor, length)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
