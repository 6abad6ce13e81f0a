"""Notices that files were changed, by looking: that works on every disk, with every way of replacing a file."""

import asyncio
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

__all__ = ["FileWatch", "Look"]

EVERY_S = 1.0
SETTLE_S = 0.3  # an editor's or a mount's several steps are over by then

Look = Mapping[Path, tuple[str, int, int, int, int] | None]
"""For each path the file that it leads to: its real path, device, inode, time of change (ns) and size; None: none."""


class FileWatch:
    """Looks at `paths` every `every_s` seconds. A Kubernetes mount, which swaps a link, is noticed like any other."""

    def __init__(self, paths: Iterable[Path], *, every_s: float = EVERY_S, settle_s: float = SETTLE_S) -> None:
        self._every_s = every_s
        self._settle_s = settle_s
        self._seen = _look(set(paths))

    async def look(self) -> Look:
        """The files as they are now, beside the event loop: a network's disk may take its time."""
        return await asyncio.to_thread(_look, set(self._seen))

    async def changed(self) -> None:
        """Wait until something was changed and then left alone for `settle_s` seconds."""
        last = self._seen
        while True:
            await asyncio.sleep(self._every_s if last == self._seen else self._settle_s)
            found = await self.look()
            if found == last != self._seen:
                return
            last = found

    def saw(self, look: Look, paths: Iterable[Path]) -> None:
        """Take `look` for what is known, and follow `paths` from now on."""
        fresh = _look(set(paths) - set(look))
        self._seen = {**{path: look[path] for path in paths if path in look}, **fresh}


def _look(paths: Iterable[Path]) -> Look:
    return {path: _file_at(path) for path in paths}


def _file_at(path: Path) -> tuple[str, int, int, int, int] | None:
    try:
        real = os.path.realpath(path)
        found = os.stat(real)  # noqa: PTH116  beside realpath, which pathlib has no quick form of
    except OSError:
        return None
    return real, found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
