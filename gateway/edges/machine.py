"""What the machine, or the container, grants this process: memory, open files, disk; and what it takes of them.

Where the system does not tell (it is not Linux), limits are taken for endless and usage for nothing.
"""

import ctypes
import os
import resource
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

__all__ = [
    "free_disk_bytes",
    "give_memory_back",
    "memory_limit_bytes",
    "raise_open_files",
    "resident_bytes",
    "share_arenas",
]

_PROC = Path("/proc")
_GROUPS = Path("/sys/fs/cgroup")
_PAGE_BYTES = resource.getpagesize()
_LIBC = ctypes.CDLL(None)
_M_ARENA_MAX, _ARENAS = -8, 2  # <malloc.h>; glibc's own choice is eight a processor, which all fragment by themselves
_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD, _OWN_BYTES = -3, -1, 4 << 20  # larger blocks do not come from a heap


def memory_limit_bytes(proc: Path = _PROC, groups: Path = _GROUPS) -> int | None:
    """The tightest limit of the control groups that this process is in, or else all of the machine's memory."""
    found = [*_group_limits(proc, groups), *_machine_memory(proc)]
    return min(found, default=None)


def resident_bytes(proc: Path = _PROC) -> int:
    """Memory of this process and of its children, as they are."""
    return sum(_resident(proc / str(pid)) for pid in ("self", *_children(proc)))


def free_disk_bytes(directory: Path) -> int | None:
    """What the disk that `directory` lies on has left."""
    try:
        return shutil.disk_usage(directory).free
    except OSError:
        return None


def raise_open_files() -> int | None:
    """Raise the soft limit of open files to the hard one; what holds from now on, None for no limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return None if soft == resource.RLIM_INFINITY else soft


def give_memory_back() -> None:
    """Have the allocator return what it keeps and nobody uses. Takes some milliseconds; does nothing but on glibc."""
    trim = getattr(_LIBC, "malloc_trim", None)
    if trim is not None:
        trim(0)


def share_arenas() -> None:
    """Have all threads allocate from the same two heaps: before there are any. Does nothing but on glibc.

    What pieces of images were in stays with them, else each piece would be fetched from the kernel and cleared anew.
    """
    choose = getattr(_LIBC, "mallopt", None)
    if choose is not None:
        choose(_M_ARENA_MAX, _ARENAS)
        choose(_M_MMAP_THRESHOLD, _OWN_BYTES)
        choose(_M_TRIM_THRESHOLD, 2 * _OWN_BYTES)


def _group_limits(proc: Path, groups: Path) -> Iterator[int]:
    for line in _text(proc / "self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers not in ("", "memory"):
            continue
        root, name = (groups, "memory.max") if not controllers else (groups / "memory", "memory.limit_in_bytes")
        place = root / path.lstrip("/")
        # In a container the path is the host's and may not exist; what is mounted is its own group.
        for folder in (place, *place.parents):
            limit = _text(folder / name).strip()
            if limit.isdecimal():
                yield int(limit)
            if folder == root:
                break


def _machine_memory(proc: Path) -> Iterator[int]:
    for line in _text(proc / "meminfo").splitlines():
        if line.startswith("MemTotal:"):
            yield int(line.split()[1]) * 1024


def _resident(process: Path) -> int:
    words = _text(process / "statm").split()
    return int(words[1]) * _PAGE_BYTES if len(words) > 1 else 0


def _children(proc: Path) -> Iterable[str]:
    return _text(proc / "self/task" / str(os.getpid()) / "children").split()


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
