"""What comes out of the pool, with Pillow as the judge."""

import random
import struct
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import pyvips
from PIL import Image, ImageOps

from gateway.domain.picture import BadImage, Blob, ImageFormat, Size
from gateway.edges.pixels import Pixels
from tests.pictures import difference, encoded, opened, photo

PHOTO = photo(512, 512)
FORMATS = list(ImageFormat)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[Pixels]:
    """One child for the whole module: nothing here may kill it."""
    pixels = Pixels(1)
    await pixels.start()
    (pid,) = pixels.pids()
    yield pixels
    assert pixels.pids() == (pid,), "a picture has cost the child its life"
    await pixels.stop()


pytestmark = pytest.mark.asyncio(loop_scope="module")


class Bench:
    """Feeds bytes into a pool and reads what comes out."""

    def __init__(self, pixels: Pixels, directory: Path) -> None:
        self.pixels = pixels
        self.directory = directory

    async def raw(
        self, data: bytes, size: tuple[int, int], wanted: ImageFormat = ImageFormat.PNG, quality: int | None = None
    ) -> bytes | BadImage:
        source = self.directory / "source"
        source.write_bytes(data)
        made = await self.pixels.fit(Blob(source, len(data)), Size(*size), wanted, quality)
        if isinstance(made, BadImage):
            assert [path.name for path in self.directory.iterdir()] == ["source"], "a refused picture stays, alone"
            return made
        assert list(self.directory.iterdir()) == [made.path], "the source is consumed, and nothing else is left"
        content = made.path.read_bytes()
        assert len(content) == made.length
        made.path.unlink()
        return content

    async def picture(
        self, data: bytes, size: tuple[int, int], wanted: ImageFormat = ImageFormat.PNG, quality: int | None = None
    ) -> Image.Image:
        content = await self.raw(data, size, wanted, quality)
        assert isinstance(content, bytes), content
        made = opened(content)
        assert made.size == size
        assert made.format == wanted.name
        return made


@pytest.fixture
def bench(pool: Pixels, tmp_path: Path) -> Bench:
    return Bench(pool, tmp_path)


@pytest.mark.parametrize("source", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("edge", [256, 128, 511, 100])
async def test_shrinking_is_as_good_as_pillows_lanczos(bench: Bench, source: str, edge: int) -> None:
    data = encoded(PHOTO, source, quality=95)
    expected = opened(data).convert("RGB").resize((edge, edge), Image.Resampling.LANCZOS)
    assert difference(await bench.picture(data, (edge, edge)), expected) < 0.7


async def test_the_judge_can_tell_lanczos_from_worse() -> None:
    lanczos = PHOTO.resize((128, 128), Image.Resampling.LANCZOS)
    assert difference(PHOTO.resize((128, 128), Image.Resampling.NEAREST), lanczos) > 2.0
    assert difference(PHOTO.crop((6, 0, 512, 506)).resize((128, 128), Image.Resampling.LANCZOS), lanczos) > 1.0


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("wanted", FORMATS)
async def test_every_format_becomes_every_other(bench: Bench, source: ImageFormat, wanted: ImageFormat) -> None:
    data = encoded(PHOTO, source.name, quality=95)
    made = await bench.picture(data, (256, 256), wanted, quality=95)
    expected = opened(data).convert("RGB").resize((256, 256), Image.Resampling.LANCZOS)
    assert difference(made.convert("RGB"), expected) < 3.0


async def test_only_the_file_format_changes_where_the_size_is_right(bench: Bench) -> None:
    data = encoded(PHOTO, "WEBP", lossless=True)
    assert difference(await bench.picture(data, (512, 512)), PHOTO) == 0


async def test_any_smaller_size_of_the_same_shape_comes_out_exactly(bench: Bench) -> None:
    dice = random.Random(20260131)
    for _ in range(40):
        shape, factor = (dice.randint(1, 9), dice.randint(1, 9)), dice.randint(1, 40)
        shrunk, wanted = dice.randint(1, factor), dice.choice(FORMATS)
        data = encoded(photo(shape[0] * factor, shape[1] * factor), dice.choice(FORMATS).name)
        await bench.picture(data, (shape[0] * shrunk, shape[1] * shrunk), wanted)


@pytest.mark.parametrize(("size", "reason"), [((513, 513), "too few pixels"), ((256, 255), "other aspect ratio")])
async def test_nothing_is_enlarged_cropped_or_stretched(bench: Bench, size: tuple[int, int], reason: str) -> None:
    assert await bench.raw(encoded(PHOTO, "PNG"), size) == BadImage(reason)


@pytest.mark.parametrize("mode", ["L", "P", "1", "I;16"])
async def test_grey_palette_and_sixteen_bits_become_plain_srgb(bench: Bench, mode: str) -> None:
    grey = PHOTO.convert("L")
    source = (
        grey.convert("I").point(lambda value: value * 257).convert("I;16") if mode == "I;16" else grey.convert(mode)
    )
    made = await bench.picture(encoded(source, "PNG"), (512, 512))
    assert made.mode == "RGB"
    shown = grey if mode == "I;16" else source
    assert difference(made, shown.convert("RGB")) < 1.0


async def test_sixteen_bits_a_colour_become_eight(bench: Bench) -> None:
    deep = pyvips.Image.new_from_buffer(encoded(PHOTO, "PNG"), "").colourspace("rgb16").pngsave_buffer(bitdepth=16)
    assert deep[24] == 16
    made = await bench.raw(deep, (512, 512))
    assert isinstance(made, bytes)
    assert made[24] == 8
    assert difference(opened(made), PHOTO) < 1.0


async def test_cmyk_becomes_rgb(bench: Bench) -> None:
    data = encoded(photo(256, 256).convert("CMYK"), "JPEG", quality=95)
    made = await bench.picture(data, (256, 256))
    assert made.mode == "RGB"
    # Ink has no single translation into light: only gross faults, such as an inversion, are looked for.
    assert difference(made, opened(data).convert("RGB")) < 25
    assert difference(ImageOps.invert(made), opened(data).convert("RGB")) > 60
    paper = encoded(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "JPEG")
    assert (await bench.picture(paper, (8, 8))).getpixel((4, 4)) == (255, 255, 255)


async def test_a_colour_profile_is_applied_and_removed(bench: Bench) -> None:
    plain = pyvips.Image.new_from_buffer(encoded(PHOTO, "PNG"), "")
    wide = plain.icc_transform("p3", input_profile="srgb").pngsave_buffer()
    assert "icc_profile" in opened(wide).info
    assert difference(opened(wide).convert("RGB"), PHOTO) > 1.5, "the numbers differ until the profile is applied"
    made = await bench.picture(wide, (512, 512))
    assert "icc_profile" not in made.info
    assert difference(made, PHOTO) < 1.0


@pytest.mark.parametrize("wanted", [ImageFormat.PNG, ImageFormat.WEBP])
async def test_transparency_is_kept_where_the_format_has_it(bench: Bench, wanted: ImageFormat) -> None:
    clear = photo(256, 256, "RGBA")
    made = await bench.picture(encoded(clear, "PNG"), (128, 128), wanted, quality=100)
    assert made.mode == "RGBA"
    alpha = clear.getchannel("A").resize((128, 128), Image.Resampling.LANCZOS)
    assert difference(made.getchannel("A"), alpha) < 1.0


async def test_transparency_becomes_white_in_a_jpeg(bench: Bench) -> None:
    made = await bench.picture(encoded(Image.new("RGBA", (64, 64), (0, 0, 0, 0)), "PNG"), (32, 32), ImageFormat.JPEG)
    assert made.mode == "RGB"
    assert made.getextrema() == ((255, 255), (255, 255), (255, 255))


async def test_a_hidden_colour_does_not_bleed_through_transparency(bench: Bench) -> None:
    picture = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    picture.paste((0, 0, 255, 255), (0, 0, 31, 64))
    made = await bench.picture(encoded(picture, "PNG"), (16, 16))
    seen = [made.getpixel((x, y)) for x in range(16) for y in range(16)]
    colours = [pixel for pixel in seen if isinstance(pixel, tuple) and pixel[3] > 16]
    assert len(colours) >= 16 * 7
    assert all(red < 8 for red, _, _, _ in colours)


@pytest.mark.parametrize("wanted", FORMATS)
async def test_metadata_is_removed(bench: Bench, wanted: ImageFormat) -> None:
    exif = Image.Exif()
    exif[0x010E] = "CANARY description"
    profile = pyvips.Image.profile_load("p3")
    data = encoded(photo(64, 64), "JPEG", exif=exif, comment=b"CANARY comment", icc_profile=profile)
    assert b"CANARY" in data
    made = await bench.raw(data, (32, 32), wanted)
    assert isinstance(made, bytes)
    assert b"CANARY" not in made
    assert not opened(made).getexif()
    assert "icc_profile" not in opened(made).info


@pytest.mark.parametrize("orientation", range(1, 9))
async def test_a_picture_marked_as_lying_is_set_upright(bench: Bench, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(photo(128, 64), "JPEG", exif=exif, quality=95)
    upright = ImageOps.exif_transpose(opened(data))
    assert difference(await bench.picture(data, upright.size), upright) < 1.0


async def test_quality_goes_from_smallest_to_best(bench: Bench) -> None:
    data = encoded(photo(256, 256), "PNG")
    for wanted in (ImageFormat.JPEG, ImageFormat.WEBP):
        sizes = []
        for quality in (0, 40, 90, 100):
            made = await bench.raw(data, (128, 128), wanted, quality)
            assert isinstance(made, bytes)
            sizes.append(len(made))
        assert sizes == sorted(set(sizes))
        assert await bench.raw(data, (128, 128), wanted) == await bench.raw(data, (128, 128), wanted, 90)


async def test_a_png_is_well_compressed(bench: Bench) -> None:
    made = await bench.raw(encoded(PHOTO, "PNG"), (256, 256))
    assert isinstance(made, bytes)
    assert len(made) < 1.15 * len(encoded(opened(made), "PNG", compress_level=6))


@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
async def test_an_animation_becomes_its_first_picture(bench: Bench, file_format: str) -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], file_format, save_all=True, append_images=frames[1:], duration=40)
    made = await bench.picture(data, (16, 16))
    assert getattr(made, "n_frames", 1) == 1
    assert difference(made.convert("RGB"), Image.new("RGB", (16, 16), "red")) < 3.0


def png_claiming(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(10 * (1 + 3 * width)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


async def test_a_decompression_bomb_is_refused_by_its_header(bench: Bench) -> None:
    assert await bench.raw(png_claiming(10_000, 10_000), (256, 256)) == BadImage("too many pixels")


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
async def test_a_truncated_picture_is_refused(bench: Bench, file_format: str, part: float) -> None:
    data = encoded(PHOTO, file_format)
    assert await bench.raw(data[: int(part * len(data))], (256, 256)) in (
        BadImage("corrupt"),
        BadImage("not a picture"),
    )


async def test_fewer_pixels_than_the_header_says_are_refused(bench: Bench) -> None:
    assert await bench.raw(png_claiming(1024, 1024), (256, 256)) == BadImage("corrupt")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<svg xmlns='http://www.w3.org/2000/svg' width='64' height='64'><rect width='9' height='9'/></svg>",
        b"<!doctype html><title>Sign in</title>",
        b"P6 64 64 255\n" + bytes(64 * 64 * 3),
        encoded(photo(64, 64), "GIF"),
        encoded(photo(64, 64), "TIFF"),
        encoded(photo(64, 64), "AVIF"),
        encoded(photo(64, 64), "JPEG2000"),
        encoded(photo(64, 64), "PDF"),
    ],
    ids=["empty", "svg", "html", "ppm", "gif", "tiff", "avif", "jpeg2000", "pdf"],
)
async def test_only_three_formats_are_ever_decoded(bench: Bench, data: bytes) -> None:
    assert await bench.raw(data, (64, 64)) == BadImage("not a picture")
