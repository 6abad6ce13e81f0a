import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.domain.picture import ImageFormat, ImageInfo, Size
from gateway.policies.image_header import read_header
from tests.pictures import encoded, photo

OBLONG = photo(40, 24)
FRAMES = {"save_all": True, "append_images": [photo(40, 24)], "duration": 40}
SIZE = Size(40, 24)

KNOWN = {
    "png": (encoded(OBLONG, "PNG"), ImageFormat.PNG),
    "grey png": (encoded(OBLONG.convert("L"), "PNG"), ImageFormat.PNG),
    "palette png": (encoded(OBLONG.convert("P"), "PNG"), ImageFormat.PNG),
    "transparent png": (encoded(photo(40, 24, "RGBA"), "PNG"), ImageFormat.PNG),
    "16-bit png": (encoded(OBLONG.convert("I;16"), "PNG"), ImageFormat.PNG),
    "jpeg": (encoded(OBLONG, "JPEG"), ImageFormat.JPEG),
    "progressive jpeg": (encoded(OBLONG, "JPEG", progressive=True), ImageFormat.JPEG),
    "cmyk jpeg": (encoded(OBLONG.convert("CMYK"), "JPEG"), ImageFormat.JPEG),
    "lossy webp": (encoded(OBLONG, "WEBP"), ImageFormat.WEBP),
    "lossless webp": (encoded(OBLONG, "WEBP", lossless=True), ImageFormat.WEBP),
    "extended webp": (encoded(photo(40, 24, "RGBA"), "WEBP", exif=b"Exif\0\0about"), ImageFormat.WEBP),
    "gif": (encoded(OBLONG.convert("P"), "GIF"), None),
    "avif": (encoded(OBLONG, "AVIF"), None),
}


@pytest.mark.parametrize("name", KNOWN)
def test_the_header_tells_format_and_size(name: str) -> None:
    data, file_format = KNOWN[name]
    assert read_header(data) == ImageInfo(file_format, SIZE)


@pytest.mark.parametrize("name", KNOWN)
def test_the_first_kilobytes_tell_as_much_as_the_whole_file(name: str) -> None:
    data, file_format = KNOWN[name]
    assert read_header(data[: max(256, len(data) // 2)]) == ImageInfo(file_format, SIZE)


@pytest.mark.parametrize(("file_format", "ours"), [("PNG", ImageFormat.PNG), ("WEBP", ImageFormat.WEBP)])
def test_an_animation_is_told_from_a_still(file_format: str, ours: ImageFormat) -> None:
    assert read_header(encoded(OBLONG, file_format, **FRAMES)) == ImageInfo(ours, SIZE, animated=True)


def test_a_jpeg_frame_behind_large_metadata_is_found() -> None:
    plain = encoded(OBLONG, "JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", 65_535) + bytes(65_533)
    assert read_header(plain[:2] + 5 * segment + plain[2:]) == ImageInfo(ImageFormat.JPEG, SIZE)


@pytest.mark.parametrize("marker", sorted(set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}))
def test_every_jpeg_process_has_its_size_read(marker: int) -> None:
    frame = bytes([0xFF, marker]) + struct.pack(">HBHHB", 11, 8, 24, 40, 1) + b"\x01\x11\x00"
    assert read_header(b"\xff\xd8" + frame) == ImageInfo(ImageFormat.JPEG, SIZE)


@pytest.mark.parametrize("marker", [0xC4, 0xC8, 0xCC])
def test_jpeg_tables_are_not_taken_for_a_frame(marker: int) -> None:
    table = bytes([0xFF, marker]) + struct.pack(">HBHHB", 11, 8, 1, 1, 1) + b"\x01\x11\x00"
    frame = b"\xff\xff\xc0" + struct.pack(">HBHHB", 11, 8, 24, 40, 1) + b"\x01\x11\x00"
    assert read_header(b"\xff\xd8" + table + frame) == ImageInfo(ImageFormat.JPEG, SIZE)


def test_markers_that_stand_alone_and_fill_bytes_are_stepped_over() -> None:
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, 24, 40, 1) + b"\x01\x11\x00"
    assert read_header(b"\xff\xd8\xff\x01\xff\xff" + frame) == ImageInfo(ImageFormat.JPEG, SIZE)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"<svg xmlns='http://www.w3.org/2000/svg' width='40' height='24'/>",
        b"<?xml version='1.0'?><svg/>",
        b"<!doctype html><title>Sign in</title>",
        b"<!--\x89PNG\r\n\x1a\n" + KNOWN["png"][0],
        b"%PDF-1.7\n" + KNOWN["jpeg"][0],
        b"{" + KNOWN["jpeg"][0],
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + KNOWN["jpeg"][0][2:],
        b"BM" + bytes(60),
        b"II*\x00" + bytes(60),
        b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(30),
        b"RIFF\x24\x00\x00\x00WEBPJUNK" + bytes(30),
        b"\x00\x00\x00\x18ftypisom" + bytes(60),
        b"GIF89a\x00\x00\x18\x00",
    ],
    ids=lambda data: repr(data[:14]),
)
def test_anything_else_is_no_picture(data: bytes) -> None:
    assert read_header(data) is None


@pytest.mark.parametrize(
    "fields",
    [
        (0, 24, 8, 2, 0, 0, 0),
        (40, 0, 8, 2, 0, 0, 0),
        (1 << 31, 24, 8, 2, 0, 0, 0),
        (40, 24, 3, 2, 0, 0, 0),
        (40, 24, 8, 5, 0, 0, 0),
        (40, 24, 8, 2, 1, 0, 0),
        (40, 24, 8, 2, 0, 1, 0),
        (40, 24, 8, 2, 0, 0, 2),
    ],
)
def test_a_png_whose_header_breaks_the_rules_is_no_picture(fields: tuple[int, ...]) -> None:
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4s", 13, b"IHDR") + struct.pack(">IIBBBBB", *fields) + bytes(4)
    assert read_header(head + struct.pack(">I4s", 0, b"IDAT") + bytes(4)) is None


_HEADS = st.sampled_from(
    [b"", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", b"\xff\xd8\xff", b"RIFF\x00\x00\x00\x00WEBPVP8X"]
)
_MORE_HEADS = st.sampled_from([b"RIFF    WEBPVP8 ", b"RIFF    WEBPVP8L", b"GIF89a", b"\x00\x00\x00\x10ftypavif    "])


@given(head=_HEADS | _MORE_HEADS, tail=st.binary(max_size=300))
@example(head=b"\x00\x00\x00\x10ftypavif    ", tail=b"\x00\x00\x00\x09meta\x00")
def test_no_bytes_make_it_raise(head: bytes, tail: bytes) -> None:
    info = read_header(head + tail)
    assert info is None or (info.size.width >= 1 and info.size.height >= 1)


@given(name=st.sampled_from(sorted(KNOWN)), cut=st.integers(0, 3000), at=st.integers(0, 200), value=st.integers(0, 255))
def test_a_damaged_or_cut_header_never_makes_it_raise(name: str, cut: int, at: int, value: int) -> None:
    data = bytearray(KNOWN[name][0][:cut])
    if at < len(data):
        data[at] = value
    info = read_header(bytes(data))
    assert info is None or info.size.pixels >= 1
