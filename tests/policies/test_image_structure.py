import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.picture import BadImage, ImageFormat, ImageInfo, Size
from gateway.policies.image_structure import (
    CORRUPT,
    EDGE_LIMIT,
    NOT_A_PICTURE,
    PIXEL_LIMIT,
    TOO_LARGE,
    TRAILING,
    TRUNCATED,
    examine,
    fits_in_memory,
)
from tests.pictures import encoded, photo

PICTURE = photo(64, 48)
FRAMES = {"save_all": True, "append_images": [photo(64, 48)], "duration": 40}
FILES = {
    "png": encoded(PICTURE, "PNG"),
    "animated png": encoded(PICTURE, "PNG", **FRAMES),
    "jpeg": encoded(PICTURE, "JPEG"),
    "progressive jpeg": encoded(PICTURE, "JPEG", progressive=True),
    "restarting jpeg": encoded(PICTURE, "JPEG", restart_marker_blocks=1),
    "webp": encoded(PICTURE, "WEBP"),
    "lossless webp": encoded(PICTURE, "WEBP", lossless=True),
    "extended webp": encoded(photo(64, 48, "RGBA"), "WEBP", exif=b"Exif\0\0about"),
    "animated webp": encoded(PICTURE, "WEBP", **FRAMES),
}


def seen(data: bytes) -> ImageInfo | BadImage:
    return examine(memoryview(data))


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of(width: int, height: int, pixels: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (png_chunk(b"IHDR", header), png_chunk(b"IDAT", zlib.compress(pixels)), png_chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("name", FILES)
def test_a_whole_file_is_what_its_header_says(name: str) -> None:
    info = seen(FILES[name])
    assert isinstance(info, ImageInfo)
    assert info.format is ImageFormat(name.rsplit(maxsplit=1)[-1])
    assert info.size == Size(64, 48)
    assert info.animated is ("animated" in name)


@pytest.mark.parametrize("name", FILES)
def test_every_cut_is_noticed(name: str) -> None:
    data = FILES[name]
    for length in range(0, len(data) - 1, 37):
        assert isinstance(seen(data[:length]), BadImage), length
    assert isinstance(seen(data[:-1]), BadImage)


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_in_its_middle_is_called_truncated(name: str) -> None:
    assert seen(FILES[name][: len(FILES[name]) // 2]) == BadImage(TRUNCATED)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("tail", [b"\0", b"<script>alert(1)</script>", b"PK\x03\x04" + bytes(40)])
def test_nothing_may_hide_behind_the_picture(name: str, tail: bytes) -> None:
    assert seen(FILES[name] + tail) == BadImage(TRAILING)


@given(at=st.integers(8, len(FILES["png"]) - 1), bit=st.integers(0, 7))
def test_any_flipped_bit_of_a_png_is_noticed(at: int, bit: int) -> None:
    data = bytearray(FILES["png"])
    data[at] ^= 1 << bit
    assert isinstance(seen(bytes(data)), BadImage)


@given(name=st.sampled_from(sorted(FILES)), changes=st.lists(st.tuples(st.integers(0, 6000), st.integers(0, 255))))
def test_no_damage_makes_it_raise(name: str, changes: list[tuple[int, int]]) -> None:
    data = bytearray(FILES[name])
    for at, value in changes:
        data[at % len(data)] = value
    assert isinstance(seen(bytes(data)), ImageInfo | BadImage)


@pytest.mark.parametrize(
    "size", [(EDGE_LIMIT + 1, 1), (1, EDGE_LIMIT + 1), (8192, 8192), (4096, 4151), (10_000, 10_000)]
)
def test_more_pixels_than_memory_is_meant_for_are_refused_by_the_header_alone(size: tuple[int, int]) -> None:
    assert seen(png_of(*size)) == BadImage(TOO_LARGE)


@given(width=st.integers(1, 20_000), height=st.integers(1, 20_000))
def test_what_fits_obeys_both_bounds(width: int, height: int) -> None:
    within = width <= EDGE_LIMIT and height <= EDGE_LIMIT and width * height <= PIXEL_LIMIT
    assert fits_in_memory(Size(width, height)) is within


def test_four_thousand_and_ninety_six_squared_is_accepted() -> None:
    assert seen(png_of(4096, 4096)) == ImageInfo(ImageFormat.PNG, Size(4096, 4096))


@pytest.mark.parametrize(
    "data",
    [b"", b"<svg/>", b"<!doctype html>", b"%PDF-1.7 " + FILES["jpeg"], b"GIF89a"],
    ids=["empty", "svg", "html", "polyglot", "stub"],
)
def test_what_is_no_picture_is_called_so(data: bytes) -> None:
    assert seen(data) == BadImage(NOT_A_PICTURE)


def test_a_foreign_picture_is_recognised_by_its_head() -> None:
    assert seen(encoded(PICTURE.convert("P"), "GIF")) == ImageInfo(None, Size(64, 48))


def test_a_png_without_pixels_or_with_two_headers_is_corrupt() -> None:
    head, body = png_of(4, 4)[:33], png_of(4, 4)[33:]
    assert seen(head + png_chunk(b"tEXt", b"a") + png_chunk(b"IEND", b"")) == BadImage(CORRUPT)
    assert seen(head + head[8:] + body) == BadImage(CORRUPT)
    assert seen(head + png_chunk(b"IDAT", b"a") + png_chunk(b"IEND", b"x")) == BadImage(CORRUPT)


def test_a_jpeg_without_a_scan_is_corrupt() -> None:
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, 24, 40, 1) + b"\x01\x11\x00"
    assert seen(b"\xff\xd8" + frame + b"\xff\xd9") == BadImage(CORRUPT)


def test_a_jpeg_that_changes_its_size_to_nothing_later_is_corrupt() -> None:
    data = FILES["jpeg"]
    frame = b"\xff\xc2" + struct.pack(">HBHHB", 11, 8, 0, 0, 1) + b"\x01\x11\x00"
    assert seen(data[:-2] + frame + data[-2:]) == BadImage(CORRUPT)


def test_a_webp_whose_canvas_and_picture_disagree_is_corrupt() -> None:
    data = bytearray(FILES["extended webp"])
    data[24] += 1  # the canvas' width
    assert seen(bytes(data)) == BadImage(CORRUPT)


def test_a_webp_without_a_picture_or_with_two_is_corrupt() -> None:
    simple = FILES["webp"]
    doubled = simple[12:] * 2
    assert seen(b"RIFF" + struct.pack("<I", 4 + len(doubled)) + b"WEBP" + doubled) == BadImage(CORRUPT)
    canvas = b"VP8X" + struct.pack("<I", 10) + bytes(4) + b"\x3f\0\0" + b"\x2f\0\0"
    assert seen(b"RIFF" + struct.pack("<I", 4 + len(canvas)) + b"WEBP" + canvas) == BadImage(CORRUPT)
