"""A control group with a memory limit, where the machine lets us make one (root; version 1 or 2)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["bounded", "joining"]

_ROOTS = (  # where groups are made, and the file of their limit
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
    (Path("/sys/fs/cgroup"), "memory.max"),
)


@contextmanager
def bounded(limit_bytes: int) -> Iterator[Path | None]:
    """A group of its own with this limit, gone afterwards; None where none can be made."""
    group = _made(limit_bytes)
    try:
        yield group
    finally:
        if group is not None:
            with suppress(OSError):
                group.rmdir()


def joining(group: Path | None) -> tuple[str, ...]:
    """What goes before a command so that it and its children are in the group."""
    if group is None:
        return ()
    return ("/bin/sh", "-c", f'echo $$ > "{group}/cgroup.procs" && exec "$@"', "sh")


def _made(limit_bytes: int) -> Path | None:
    for root, limit in _ROOTS:
        group = root / f"samurai-bench-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / limit).write_text(str(limit_bytes))
        except OSError:  # version 2 without the memory controller
            group.rmdir()
            continue
        return group
    return None
