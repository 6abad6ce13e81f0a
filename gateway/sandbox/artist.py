"""Makes the image files of a call, whole or spoilt as a script wants, in threads."""

import asyncio
import zlib
from dataclasses import replace
from functools import cache
from struct import pack
from typing import Any

import pybase64
import pyvips

from gateway.sandbox.drawing import Picture, draw, encoded, painted
from gateway.sandbox.scripts import ImageChange

__all__ = ["inline_text", "made", "made_all", "media_type_of"]

_BOMB_EDGE = 20_000  # 400 megapixels in some 50 kB


async def made_all(pictures: list[Picture], change: ImageChange | None = None) -> list[bytes]:
    """One file for every picture, in order."""
    return list(await asyncio.gather(*(made(picture, change) for picture in pictures)))


async def made(picture: Picture, change: ImageChange | None = None) -> bytes:
    """One file; the event loop stays free meanwhile."""
    return await asyncio.to_thread(_make, picture, change)


def media_type_of(file_format: str, change: ImageChange | None) -> str:
    """What the vendor would call the file. A polyglot is announced as the image it pretends to be."""
    spoil = change.spoil if change is not None else None
    if spoil == "html":
        return "text/html"
    return f"image/{(change.format if change is not None else None) or file_format}"


def inline_text(file: bytes, change: ImageChange | None) -> str:
    """A file as base64 text for a JSON reply; text that is no base64 where the script wants that."""
    text = pybase64.b64encode(file).decode("ascii")
    spoilt = change is not None and change.spoil == "not_base64"
    return f"{text[:100]}*not&base64*{text[101:]}" if spoilt else text


def _make(picture: Picture, change: ImageChange | None) -> bytes:
    if change is None:
        return draw(picture)
    if change.size is not None:
        width, height = (int(edge) for edge in change.size.split("x"))
        picture = replace(picture, width=width, height=height)
    if change.format is not None:
        picture = replace(picture, format=change.format)
    return draw(picture) if change.spoil is None else _spoilt(picture, change.spoil)


def _spoilt(picture: Picture, spoil: str) -> bytes:
    if spoil in _FIXED:
        return _FIXED[spoil]
    if spoil == "not_base64":
        return draw(picture)
    if spoil == "polyglot":
        return draw(picture) + _FIXED["svg"]
    if spoil == "bomb":
        return _bomb()
    if spoil == "one_pixel":
        return draw(replace(picture, width=1, height=1))
    if spoil == "corrupt":
        whole = draw(picture)
        middle = len(whole) // 3
        return whole[:middle] + bytes(256) + whole[middle + 256 :]
    if spoil == "truncated":
        whole = draw(picture)
        return whole[: len(whole) // 2]
    return _unusual(painted(picture), spoil)


_FIXED = {
    "empty": b"",
    "html": b"<!DOCTYPE html><html><body>Gateway Timeout</body></html>",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(2)</script></svg>',
}


def _unusual(image: Any, spoil: str) -> bytes:
    """Well-formed files that a careless reader takes for what they are not."""
    if spoil == "animated":
        frames = image.join(image.invert(), "vertical").copy()
        frames.set_type(pyvips.GValue.gint_type, "page-height", image.height)
        return bytes(frames.webpsave_buffer(effort=0))
    if spoil == "cmyk":
        return bytes(image.colourspace("cmyk").jpegsave_buffer())
    if spoil == "sixteen_bit":
        return encoded(image.colourspace("rgb16"), "png")
    raise ValueError(f"no way is known to make an image {spoil!r}")


@cache
def _bomb() -> bytes:
    """A PNG that is small as a file and enormous in memory: one bit a pixel, all of them black."""
    row = b"\x00" + bytes(-(-_BOMB_EDGE // 8))
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(row) for _ in range(_BOMB_EDGE)) + packer.flush()
    header = pack(">IIBBBBB", _BOMB_EDGE, _BOMB_EDGE, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return pack(">I", len(data)) + kind + data + pack(">I", zlib.crc32(kind + data))
