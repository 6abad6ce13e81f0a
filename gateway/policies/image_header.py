"""What the first bytes of a file say: which picture format, which size, still or animated.

Believes nobody: neither a media type nor a file name comes in here. Layouts are from the formats' own papers:
PNG (W3C, third edition), JPEG (ITU-T T.81), WebP container (RFC 9649), GIF89a, and ISO/IEC 14496-12 for AVIF.
"""

import struct
from collections.abc import Iterator

from gateway.domain.picture import ImageFormat, ImageInfo, Size

__all__ = ["FRAME_MARKERS", "LONE_MARKERS", "PNG_SIGNATURE", "frame_size", "read_header", "webp_header"]

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""JPEG's start-of-frame markers, of every coding process; the three left out are tables and a reserved one."""

LONE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})
"""JPEG markers that are followed by no length: TEM, the restarts, and start of image."""

_PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_PNG_EDGE_LIMIT = 1 << 31  # exclusive; PNG's own bound on an edge


def read_header(head: bytes | memoryview) -> ImageInfo | None:
    """What these first bytes of a file declare; None when they are no picture we know, or too few to tell.

    64 KiB suffice, except for a JPEG whose metadata is larger. Never raises.
    """
    view = memoryview(head)
    magic = bytes(view[:12])
    if magic.startswith(PNG_SIGNATURE):
        return _read_png(view)
    if magic.startswith(b"\xff\xd8\xff"):
        return _read_jpeg(view)
    if magic.startswith(b"RIFF") and magic.endswith(b"WEBP"):
        return webp_header(view)
    if magic.startswith((b"GIF87a", b"GIF89a")):
        return _read_gif(view)
    if magic[4:8] == b"ftyp":
        return _read_avif(view)
    return None


def frame_size(body: memoryview) -> Size | None:
    """The size in the body of a JPEG's start of frame; None when it is too short or has an edge of nought."""
    if len(body) < 6:
        return None
    _, height, width, _ = struct.unpack_from(">BHHB", body)
    return _size(width, height)


def webp_header(view: memoryview) -> ImageInfo | None:
    """What the first chunk of a WebP file declares; None when it is no picture chunk or is cut short."""
    kind, body = bytes(view[12:16]), view[20:]
    if kind == b"VP8 ":
        return _still_webp(_vp8_size(body))
    if kind == b"VP8L":
        return _still_webp(_vp8l_size(body))
    if kind == b"VP8X" and len(body) >= 10:
        canvas = Size(1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little"))
        return ImageInfo(ImageFormat.WEBP, canvas, animated=bool(body[0] & 0x02))
    return None


def _size(width: int, height: int) -> Size | None:
    return Size(width, height) if width and height else None


def _png_size(body: memoryview) -> Size | None:
    if len(body) != 13:
        return None
    width, height, depth, colour, compression, filtering, interlace = struct.unpack(">IIBBBBB", body)
    allowed = depth in _PNG_DEPTHS.get(colour, ()) and (compression, filtering) == (0, 0) and interlace in (0, 1)
    if not allowed or width >= _PNG_EDGE_LIMIT or height >= _PNG_EDGE_LIMIT:
        return None
    return _size(width, height)


def _read_png(view: memoryview) -> ImageInfo | None:
    at, size = len(PNG_SIGNATURE), None
    while at + 8 <= len(view):
        length, kind = struct.unpack_from(">I4s", view, at)
        if size is None:
            size = _png_size(view[at + 8 : at + 8 + length]) if kind == b"IHDR" else None
            if size is None:
                return None
        elif kind in (b"acTL", b"IDAT", b"IEND"):
            return ImageInfo(ImageFormat.PNG, size, animated=kind == b"acTL")
        at += 12 + length
    return ImageInfo(ImageFormat.PNG, size) if size else None


def _read_jpeg(view: memoryview) -> ImageInfo | None:
    at = 2
    while at + 4 <= len(view):
        prefix, marker, length = struct.unpack_from(">BBH", view, at)
        if prefix != 0xFF:
            return None
        if marker == 0xFF or marker in LONE_MARKERS:  # a fill byte, or a marker that stands alone
            at += 1 if marker == 0xFF else 2
            continue
        if marker in FRAME_MARKERS:
            size = frame_size(view[at + 4 : at + 2 + length])
            return ImageInfo(ImageFormat.JPEG, size) if size else None
        if length < 2 or marker in (0x00, 0xD9, 0xDA):  # no marker at all, or the picture before its frame
            return None
        at += 2 + length
    return None


def _still_webp(size: Size | None) -> ImageInfo | None:
    return ImageInfo(ImageFormat.WEBP, size) if size else None


def _vp8_size(body: memoryview) -> Size | None:
    if (
        len(body) < 10 or body[0] & 1 or bytes(body[3:6]) != b"\x9d\x01\x2a"
    ):  # a key frame and its start code (RFC 6386)
        return None
    width, height = struct.unpack_from("<HH", body, 6)
    return _size(width & 0x3FFF, height & 0x3FFF)


def _vp8l_size(body: memoryview) -> Size | None:
    if len(body) < 5 or body[0] != 0x2F or body[4] >> 5:  # the signature, and version 0 in the three highest bits
        return None
    packed = int.from_bytes(body[1:5], "little")
    return Size(1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF))


def _read_gif(view: memoryview) -> ImageInfo | None:
    if len(view) < 10:
        return None
    size = _size(*struct.unpack_from("<HH", view, 6))
    return ImageInfo(None, size) if size else None


def _read_avif(view: memoryview) -> ImageInfo | None:
    brands: memoryview | None = next((body for kind, body in _boxes(view) if kind == b"ftyp"), None)
    if brands is None or not {b"avif", b"avis"} & {bytes(brands[at : at + 4]) for at in range(0, len(brands), 4)}:
        return None
    inner = _inside(view, b"meta")[4:]  # a full box: version and flags come first
    extent = _inside(_inside(_inside(inner, b"iprp"), b"ipco"), b"ispe")
    if len(extent) < 12:
        return None
    size = _size(*struct.unpack_from(">II", extent, 4))
    return ImageInfo(None, size) if size else None


def _inside(view: memoryview, wanted: bytes) -> memoryview:
    return next((body for kind, body in _boxes(view) if kind == wanted), view[:0])


def _boxes(view: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    at = 0
    while at + 8 <= len(view):
        length, kind = struct.unpack_from(">I4s", view, at)
        if length < 8:
            return
        yield kind, view[at + 8 : at + length]
        at += length
