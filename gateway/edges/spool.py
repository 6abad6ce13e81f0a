"""Image bytes on their way through: private files, written in few and large steps beside the event loop."""

import asyncio
import errno
import fcntl
import itertools
import mmap
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from gateway.domain.picture import BadImage, Blob, ImageInfo
from gateway.edges.asset_directory import force_to_disk
from gateway.edges.direct import write_past_cache
from gateway.edges.room import PLACE_BYTES, Room
from gateway.policies.image_structure import examine

__all__ = ["Spool", "SpoolWriter"]

_STEP_BYTES = 4 << 20  # few images are larger, and handing a step to a thread costs as much as writing half a megabyte
_SMALL_STEP_BYTES = 1 << 17
_BUDGET_BYTES = 32 << 20  # of all replies together; beyond it the steps become small
_THREADS = 4
_WRITE_BYTES = 1 << 18  # of a megabyte in one call the kernel makes larger folios: measured at three times the cost
_PIECES_PER_WRITE = 512  # half of Linux's IOV_MAX
_LOCK_NAME = "lock"

_Infos = dict[Path, ImageInfo | BadImage]


class Spool:
    """A directory of temporary files that belongs to this process alone, mode 0700.

    It lies in `parent`, which several processes may share: what processes that are gone left behind is removed at
    the start, what living ones hold is not touched. `room` has the images that came in as a whole.
    """

    def __init__(self, parent: Path) -> None:
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        parent.chmod(0o700)
        with _alone_in(parent):
            _remove_stale(parent)
            self._directory, self._lock = _claim(parent)
        self._names = itertools.count(1)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="spool")
        self.buffered_bytes = 0
        self.room = Room()

    def new_path(self) -> Path:
        """A path nobody has used yet."""
        return self._directory / f"{next(self._names):x}"

    async def append(
        self, writes: Sequence[tuple[Path, Sequence[bytes]]], whole: Mapping[Path, int] | None = None
    ) -> _Infos:
        """Append pieces to files, making them. Raises OSError when the disk will not. A cancelled one removes them.

        `whole` files, by their lengths, are done with this; those that there is room for are looked at, too, and kept.
        """
        whole = whole or {}
        places = {path: place for path in whole if (place := self.room.place()) is not None}
        job = self._threads.submit(_append, writes, places)

        def undo(_: object = None) -> None:
            for place in places.values():
                self.room.give_back(place)

        try:
            infos = await asyncio.wrap_future(job)
        except asyncio.CancelledError:
            # The thread may be in the middle of it and make the file again after a removal now.
            job.add_done_callback(lambda _: _remove(path for path, _ in writes))
            job.add_done_callback(undo)
            raise
        except OSError:
            undo()
            raise
        for path, place in places.items():
            self.room.keep(str(path), place, whole[path])
        return infos

    def remove(self, paths: Iterable[Path]) -> None:
        """Remove files; missing ones do not matter."""
        paths = list(paths)
        for path in paths:
            self.room.drop(str(path))
        _remove(paths)

    def close(self) -> None:
        """Remove the directory with all that is in it."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        shutil.rmtree(self._directory, ignore_errors=True)
        os.close(self._lock)


class SpoolWriter:
    """Writes the files of one reply, one after another. Call `flush` whenever `is_full`, and at the end."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._made: list[Path] = []
        self._waiting: list[tuple[Path, list[bytes]]] = []
        self._waiting_bytes = 0
        self._length = 0
        self._begun = False  # part of the file begun last is written already
        self._whole: dict[Path, int] = {}
        self._infos: _Infos = {}

    @property
    def is_full(self) -> bool:
        """Whether enough has gathered for a write."""
        crowded = self._spool.buffered_bytes > _BUDGET_BYTES
        return self._waiting_bytes >= (_SMALL_STEP_BYTES if crowded else _STEP_BYTES)

    def open(self) -> None:
        """Begin a file."""
        path = self._spool.new_path()
        self._made.append(path)
        self._waiting.append((path, []))
        self._length = 0
        self._begun = False

    def add(self, piece: bytes) -> None:
        """Append to the file begun last."""
        self._waiting[-1][1].append(piece)
        self._length += len(piece)
        self._waiting_bytes += len(piece)
        self._spool.buffered_bytes += len(piece)

    def close(self) -> Blob:
        """End the file begun last. It is on disk after the next `flush`."""
        path = self._made[-1]
        if not self._begun and 0 < self._length <= PLACE_BYTES:
            self._whole[path] = self._length
        return Blob(path, self._length)

    def told(self, blob: Blob) -> Blob:
        """The same, with what its bytes were seen to be when it was written."""
        return replace(blob, info=self._infos.get(blob.path))

    async def flush(self) -> None:
        """Write what has gathered."""
        if not self._waiting:
            return
        writes, self._waiting = self._waiting, [(self._waiting[-1][0], [])]
        taken, self._waiting_bytes = self._waiting_bytes, 0
        whole, self._whole = self._whole, {}
        self._begun = True
        try:
            self._infos |= await self._spool.append(writes, whole)
        finally:
            self._spool.buffered_bytes -= taken

    def drop(self) -> None:
        """Forget the file begun last, which turned out to be none."""
        path, pieces = self._waiting.pop()
        self._made.remove(path)
        self._forget(sum(map(len, pieces)))
        self._spool.remove((path,))

    def discard(self) -> None:
        """Forget every file: nobody will come for them."""
        self._waiting = []
        self._whole = {}
        self._forget(self._waiting_bytes)
        self._spool.remove(self._made)

    def _forget(self, size: int) -> None:
        self._waiting_bytes -= size
        self._spool.buffered_bytes -= size


def _append(writes: Sequence[tuple[Path, Sequence[bytes]]], places: Mapping[Path, mmap.mmap]) -> _Infos:
    infos: _Infos = {}
    for path, pieces in writes:
        if path in places:
            length = sum(map(len, pieces))
            with _gathered(pieces, places[path]) as whole:
                infos[path] = examine(whole)
            if not write_past_cache(path, places[path], length):
                _append_to(path, pieces)
                force_to_disk(path)
        elif pieces:
            _append_to(path, pieces)
    return infos


def _append_to(path: Path, pieces: Sequence[bytes]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        for group in _groups(pieces):
            if os.writev(descriptor, group) != sum(map(len, group)):
                raise OSError(errno.ENOSPC, "short write")
    finally:
        os.close(descriptor)


def _gathered(pieces: Sequence[bytes], place: mmap.mmap) -> memoryview:
    at = 0
    for piece in pieces:
        place[at : at + len(piece)] = piece
        at += len(piece)
    return memoryview(place)[:at]


def _groups(pieces: Sequence[bytes]) -> Iterator[list[bytes | memoryview]]:
    """The same bytes in the same order, as much as is written with one call."""
    group: list[bytes | memoryview] = []
    size = 0
    for piece in pieces:
        for start in range(0, len(piece), _WRITE_BYTES):
            part = memoryview(piece)[start : start + _WRITE_BYTES] if len(piece) > _WRITE_BYTES else piece
            if group and (size + len(part) > _WRITE_BYTES or len(group) == _PIECES_PER_WRITE):
                yield group
                group, size = [], 0
            group.append(part)
            size += len(part)
    if group:
        yield group


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        with suppress(OSError):
            path.unlink()


@contextmanager
def _alone_in(parent: Path) -> Iterator[None]:
    """Nobody else cleans up or settles in `parent` meanwhile: a new directory is not yet locked for an instant."""
    descriptor = os.open(parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _claim(parent: Path) -> tuple[Path, int]:
    directory = parent / f"{os.getpid()}-{os.urandom(4).hex()}"
    directory.mkdir(mode=0o700)
    lock = os.open(directory / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return directory, lock


def _remove_stale(parent: Path) -> None:
    for directory in parent.iterdir():
        lock_path = directory / _LOCK_NAME
        if not lock_path.exists():
            continue
        lock = os.open(lock_path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(directory, ignore_errors=True)
        except BlockingIOError:  # its process lives
            continue
        finally:
            os.close(lock)
