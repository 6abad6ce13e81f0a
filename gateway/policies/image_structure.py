"""Whether a whole file is one well-formed picture, told from its framing alone: no pixel is decoded.

What is looked for is what would hurt a client later: a file that was cut short or damaged on its way, one that
hides another document behind the picture, and one whose pixels would not fit into memory.
"""

import re
import struct
import zlib

from gateway.domain.picture import BadImage, ImageFormat, ImageInfo, Size
from gateway.policies.image_header import (
    FRAME_MARKERS,
    LONE_MARKERS,
    PNG_SIGNATURE,
    frame_size,
    read_header,
    webp_header,
)

__all__ = [
    "CORRUPT",
    "EDGE_LIMIT",
    "NOT_A_PICTURE",
    "PIXEL_LIMIT",
    "TOO_LARGE",
    "TRAILING",
    "TRUNCATED",
    "examine",
    "fits_in_memory",
]

EDGE_LIMIT = 8192
"""Longest edge in pixels; twice what any vendor delivers."""

PIXEL_LIMIT = 17_000_000
"""Most pixels of one picture: 4096 x 4096 and a little, about 70 MB once decoded."""

NOT_A_PICTURE = "not a picture"
TRUNCATED = "truncated"
CORRUPT = "corrupt"
TRAILING = "bytes after the picture"
TOO_LARGE = "too many pixels"

_AFTER_SCAN = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")  # the first marker that is neither stuffing nor a restart


def examine(whole: memoryview) -> ImageInfo | BadImage:
    """What the file is, when its framing holds from the first byte to the last; otherwise what is wrong with it.

    Only the head of a foreign format is looked at, since nothing of ours can read further. Never raises.
    """
    info = read_header(whole)
    if info is None:
        return BadImage(NOT_A_PICTURE)
    if not fits_in_memory(info.size):
        return BadImage(TOO_LARGE)
    match info.format:
        case ImageFormat.PNG:
            flaw = _flaw_of_png(whole)
        case ImageFormat.JPEG:
            flaw = _flaw_of_jpeg(whole)
        case ImageFormat.WEBP:
            flaw = _flaw_of_webp(whole, info)
        case None:
            flaw = None
    return BadImage(flaw) if flaw else info


def fits_in_memory(size: Size) -> bool:
    """Whether a picture of this size may be decoded at all."""
    return max(size.width, size.height) <= EDGE_LIMIT and size.pixels <= PIXEL_LIMIT


def _flaw_of_png(whole: memoryview) -> str | None:
    at, end, seen = len(PNG_SIGNATURE), len(whole), set[bytes]()
    while at + 12 <= end:
        length, kind = struct.unpack_from(">I4s", whole, at)
        after = at + 12 + length
        if after > end:
            return TRUNCATED
        (told,) = struct.unpack_from(">I", whole, after - 4)
        if zlib.crc32(whole[at + 4 : after - 4]) != told or (kind == b"IHDR" and kind in seen):
            return CORRUPT
        seen.add(kind)
        if kind == b"IEND":
            if length or b"IDAT" not in seen:
                return CORRUPT
            return None if after == end else TRAILING
        at = after
    return TRUNCATED


def _flaw_of_jpeg(whole: memoryview) -> str | None:
    at, end, seen = 2, len(whole), set[int]()
    while at + 2 <= end:
        prefix, marker = whole[at], whole[at + 1]
        if prefix != 0xFF or marker == 0x00:
            return CORRUPT
        if marker == 0xFF or marker in LONE_MARKERS:
            at += 1 if marker == 0xFF else 2
            continue
        seen.add(marker)
        if marker == 0xD9:
            complete = 0xDA in seen and seen & FRAME_MARKERS
            return CORRUPT if not complete else (None if at + 2 == end else TRAILING)
        if at + 4 > end:
            return TRUNCATED
        (length,) = struct.unpack_from(">H", whole, at + 2)
        if length < 2 or (marker in FRAME_MARKERS and frame_size(whole[at + 4 : at + 2 + length]) is None):
            return CORRUPT
        at = _after_scan(whole, at + 2 + length) if marker == 0xDA else at + 2 + length
    return TRUNCATED


def _after_scan(whole: memoryview, at: int) -> int:
    found = _AFTER_SCAN.search(whole, at)
    return found.start() if found else len(whole)


def _flaw_of_webp(whole: memoryview, info: ImageInfo) -> str | None:
    declared = 8 + int.from_bytes(whole[4:8], "little")
    if declared != len(whole):
        return TRUNCATED if declared > len(whole) else TRAILING
    at, stills, frames = 12, 0, 0
    while at < declared:
        kind, length = bytes(whole[at : at + 4]), int.from_bytes(whole[at + 4 : at + 8], "little")
        after = at + 8 + length + length % 2
        if at + 8 > declared or after > declared:
            return CORRUPT
        if kind in (b"VP8 ", b"VP8L"):
            inner = webp_header(whole[at - 12 : after])
            if inner is None or inner.size != info.size:
                return CORRUPT
            stills += 1
        frames += kind == b"ANMF"
        at = after
    return None if (stills == 0 and frames if info.animated else stills == 1) else CORRUPT
