"""Looking at an image file without decoding it: what it is, whether it is whole, whether it is one picture only."""

import asyncio
import mmap
import os

from gateway.domain.picture import BadImage, Blob, ImageInfo
from gateway.policies.image_structure import NOT_A_PICTURE, TRUNCATED, examine

__all__ = ["inspect"]


async def inspect(blob: Blob) -> ImageInfo | BadImage:
    """What the bytes of `blob` say they are, once their whole framing is checked; the file stays as it is."""
    return blob.info if blob.info is not None else await asyncio.to_thread(_inspect, blob)


def _inspect(blob: Blob) -> ImageInfo | BadImage:
    if not blob.length:  # nothing was ever written, so there may be no file either
        return BadImage(NOT_A_PICTURE)
    with blob.path.open("rb") as file:
        if file.seek(0, os.SEEK_END) != blob.length:
            return BadImage(TRUNCATED)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as whole:
            return examine(whole)
