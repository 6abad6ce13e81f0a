"""Images that lie in memory beside their files, so that what is asked for at once need not be read again.

So many places, each as large as an image may be to get one, made when first needed and used again and again: nothing
of this grows with the number of images. An image without a place is read from its file.
"""

import mmap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

__all__ = ["PLACE_BYTES", "Room"]

PLACE_BYTES = 4 << 20
"""The largest image that may lie here; a multiple of every disk's block."""

_PLACES = 8
_STALE_S = 5.0  # whoever waits for an image reads it much sooner; it may be deleted later, and nobody may ever come
_CHUNK_BYTES = 384 << 10  # a multiple of three, so that base64 needs no copy to join two chunks


@dataclass(slots=True)
class _Held:
    place: mmap.mmap
    length: int
    since_s: float
    written_s: float


class Room:
    """The places, and which image lies where. For the event loop's thread only, but for `give_back`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._made = 0
        self._free: list[mmap.mmap] = []
        self._held: dict[str, _Held] = {}

    def place(self) -> mmap.mmap | None:
        """A place at the beginning of a page, PLACE_BYTES long, for the caller to fill; None when all are taken."""
        if not self._free:
            self._find_one()
        return self._free.pop() if self._free else None

    def give_back(self, place: mmap.mmap) -> None:
        """It was not needed after all."""
        self._free.append(place)

    def keep(self, name: str, place: mmap.mmap, length: int) -> None:
        """An image lies there now, and has just been written."""
        self._held[name] = _Held(place, length, self._clock(), time.time())

    def rename(self, name: str, new: str) -> None:
        """Under which name it is to be found from now on."""
        held = self._held.pop(name, None)
        if held is not None:
            self.drop(new)
            self._held[new] = held

    def facts_of(self, name: str) -> tuple[int, float] | None:
        """Length of an image, and when it was written; None when it is not here."""
        held = self._fresh(name)
        return None if held is None else (held.length, held.written_s)

    def chunks(self, name: str) -> Iterator[bytes]:
        """An image, after which its place is free. Ends early where the image had to go meanwhile."""
        at = 0
        while (held := self._fresh(name)) is not None and at < held.length:
            chunk = held.place[at : min(at + _CHUNK_BYTES, held.length)]
            at += len(chunk)
            yield chunk
        self.drop(name)

    def drop(self, name: str) -> None:
        """Nobody will ask for it."""
        held = self._held.pop(name, None)
        if held is not None:
            self._free.append(held.place)

    def _fresh(self, name: str) -> _Held | None:
        """An image that is not to be had from here for longer than it takes to answer whoever asked for it."""
        held = self._held.get(name)
        if held is not None and held.since_s < self._clock() - _STALE_S:
            self.drop(name)
            return None
        return held

    def _find_one(self) -> None:
        if self._made < _PLACES:
            self._made += 1
            self._free.append(mmap.mmap(-1, PLACE_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
        elif self._held:
            self._fresh(next(iter(self._held)))
