"""Changing pictures: exact size, other file format. All of it happens in child processes (`pixel_worker`).

Nothing decodes a picture in the gateway's own process: a picture that crashes the decoder, eats memory or never
ends costs one child, which is replaced.
"""

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from gateway.domain.picture import BadImage, Blob, ImageFormat, Size
from gateway.edges.pixel_child import ChildLostError, PixelChild
from gateway.edges.pixel_protocol import Broken, FitJob, Fitted, Reply, Unfit

__all__ = ["DEFAULT_QUALITY", "PixelLoad", "Pixels", "PixelsUnavailable"]

DEFAULT_QUALITY = 90
"""JPEG and WebP quality where the caller asked for none.

OpenAI's own default, 100, is for a picture written once by its maker; here one is written anew. Measured on a
grainy 1024 x 1024 photograph: 335 KB of JPEG at 90, 1,112 KB at 100, and no difference to see.
"""


class PixelsUnavailable(Exception):  # noqa: N818 a state of this edge, beside StoreUnavailable
    """No picture can be worked on at the moment: the children die, or too many pictures wait."""


@dataclass(frozen=True, slots=True)
class PixelLoad:
    """How busy the children are. `longest_wait_s` is how long the first in the queue has been waiting, in seconds.

    `lost` counts the child processes that died or were killed since the start.
    """

    workers: int
    busy: int
    waiting: int
    longest_wait_s: float
    lost: int


class Pixels:
    """A pool of image processes.

    `workers` None means one a processor, at most two. A job that takes longer than `job_limit_s` seconds costs
    its child. A child is replaced after `jobs_per_child` jobs, so that nothing a library leaks can add up.
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        queue_limit: int = 1000,  # pictures wait on disk, so this bounds time, not memory
        job_limit_s: float = 10.0,  # 1024 x 1024 takes a tenth of a second, 4096 x 4096 to PNG five
        jobs_per_child: int = 1000,
    ) -> None:
        count = workers or min(2, os.cpu_count() or 1)
        self._children = [PixelChild() for _ in range(count)]
        self._free: asyncio.LifoQueue[PixelChild] = asyncio.LifoQueue()
        self._waiting: dict[object, float] = {}
        self._queue_limit = queue_limit
        self._job_limit_s = job_limit_s
        self._jobs_per_child = jobs_per_child
        self._stopped = False
        for child in self._children:
            self._free.put_nowait(child)

    async def start(self) -> None:
        """Have every child ready. Raises PixelsUnavailable when one does not get so."""
        self._stopped = False
        try:
            await asyncio.gather(*(child.start() for child in self._children))
        except ChildLostError as error:
            await self.stop()
            raise PixelsUnavailable(f"an image process {error}") from error

    async def stop(self) -> None:
        """End every child. A job under way has two seconds; later ones fail with PixelsUnavailable."""
        self._stopped = True
        await asyncio.gather(*(child.stop() for child in self._children))

    def load(self) -> PixelLoad:
        """The present figures, for metrics."""
        first = min(self._waiting.values(), default=None)
        return PixelLoad(
            workers=len(self._children),
            busy=len(self._children) - self._free.qsize(),
            waiting=len(self._waiting),
            longest_wait_s=0.0 if first is None else time.monotonic() - first,
            lost=sum(child.lost for child in self._children),
        )

    def pids(self) -> tuple[int, ...]:
        """The child processes that live, for the books of memory and processor time."""
        return tuple(child.pid for child in self._children if child.pid is not None)

    async def fit(self, blob: Blob, size: Size, format: ImageFormat, quality: int | None = None) -> Blob | BadImage:  # noqa: A002 the domain's own word
        """The picture in exactly this size and format: sRGB, 8 bits, upright, one frame, without metadata.

        Never enlarges, crops or stretches: where that would be needed it is a BadImage. Transparency becomes white
        in a JPEG. `quality` is 0..100 for JPEG and WebP. Consumes `blob` when it succeeds, else leaves it.
        Raises PixelsUnavailable.
        """
        target = blob.path.with_name(f"{secrets.token_hex(12)}.{format.extension}")
        chosen = DEFAULT_QUALITY if quality is None else quality
        seconds = max(1, int(self._job_limit_s))
        job = FitJob(str(blob.path), str(target), size.width, size.height, format, chosen, seconds)
        async with self._turn() as child:
            reply = await self._answer(child, job)
        match reply:
            case Fitted(length):
                _discard(job.source)
                return Blob(target, length)
            case Unfit(reason):
                return BadImage(reason)
            case Broken(reason):
                raise PixelsUnavailable(f"an image process failed: {reason}")

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[PixelChild]:
        if len(self._waiting) >= self._queue_limit:
            raise PixelsUnavailable("too many pictures wait")
        ticket = object()
        self._waiting[ticket] = time.monotonic()
        try:
            child = await self._free.get()
        finally:
            del self._waiting[ticket]
        try:
            yield child
        finally:
            try:
                if self._stopped or child.jobs >= self._jobs_per_child:
                    await child.stop()
            finally:
                self._free.put_nowait(child)

    async def _answer(self, child: PixelChild, job: FitJob) -> Reply:
        """The child's reply; one that is lost, or fails through no fault of the picture, is replaced once."""
        with contextlib.suppress(ChildLostError):
            reply = await self._attempt(child, job)
            if not isinstance(reply, Broken):
                return reply
            await child.stop()
        try:
            return await self._attempt(child, job)
        except ChildLostError as error:
            raise PixelsUnavailable(f"an image process {error}") from error

    async def _attempt(self, child: PixelChild, job: FitJob) -> Reply:
        if self._stopped:
            raise ChildLostError("was stopped")
        reply: Reply | None = None
        try:
            reply = await child.ask(job, self._job_limit_s)
        finally:
            if not isinstance(reply, Fitted):
                _discard(job.target)
        return reply


def _discard(path: str) -> None:
    Path(path).unlink(missing_ok=True)
