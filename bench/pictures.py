"""The images of the mock vendors: PNG files of the right pixel sizes, as large as asked for, that do not compress."""

import random
import struct
import zlib
from binascii import crc32

__all__ = ["noise_png", "photo_png"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {2: 3, 6: 4}  # colour types of the PNG specification: RGB, RGBA


def noise_png(edge: int, size_bytes: int, seed: int) -> bytes:
    """A square PNG of about `size_bytes`: so many rows of noise, the rest black. Raises ValueError if it cannot be."""
    for colour, depth in ((2, 8), (2, 16), (6, 16)):
        row_bytes = edge * _CHANNELS[colour] * depth // 8
        rows = round(size_bytes / (row_bytes + 1))
        if rows <= edge:
            return _png(edge, colour, depth, _rows(edge, row_bytes, rows, seed))
    raise ValueError(f"a square of {edge} pixels cannot hold {size_bytes} bytes")


def photo_png(edge: int, seed: int) -> bytes:
    """A square RGB PNG that compresses and shrinks like a photograph: smooth shades with a little grain."""
    dice = random.Random(seed)
    grain = dice.randbytes(edge * 3 + 4096)
    rows = bytearray()
    for y in range(edge):
        shift = dice.randrange(4096)
        row = bytearray()
        for x in range(edge):
            step = grain[shift + x] & 7
            row += bytes(((x * 255 // edge + step) & 255, (y * 255 // edge + step) & 255, ((x + y) // 8 + step) & 255))
        rows += b"\0" + row
    return _png(edge, 2, 8, bytes(rows), level=6)


def _rows(edge: int, row_bytes: int, noisy: int, seed: int) -> bytes:
    dice = random.Random(seed)
    noise = (b"\0" + dice.randbytes(row_bytes) for _ in range(noisy))
    return b"".join(noise) + bytes((row_bytes + 1) * (edge - noisy))


def _png(edge: int, colour: int, depth: int, rows: bytes, level: int = 1) -> bytes:
    head = struct.pack(">IIBBBBB", edge, edge, depth, colour, 0, 0, 0)
    return b"".join(
        (_SIGNATURE, _chunk(b"IHDR", head), _chunk(b"IDAT", zlib.compress(rows, level)), _chunk(b"IEND", b""))
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc32(kind + data))
