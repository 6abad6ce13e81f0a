"""Pictures for tests, drawn and read by Pillow, which the gateway itself never uses."""

import io
from typing import Any

from PIL import Image, ImageChops, ImageStat

__all__ = ["difference", "encoded", "opened", "photo"]


def photo(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Soft shapes under fine grain, as a photograph has them; every call draws the same shapes."""
    shapes = Image.radial_gradient("L").resize((width, height))
    slope = Image.linear_gradient("L").resize((width, height))
    grain = Image.effect_noise((width, height), 24)
    bands = [ImageChops.blend(layer, grain, 0.15) for layer in (shapes, slope, ImageChops.invert(shapes))]
    picture = Image.merge("RGB", bands)
    if mode == "RGBA":
        picture.putalpha(slope)
        return picture
    return picture.convert(mode)


def encoded(picture: Image.Image, file_format: str, **options: Any) -> bytes:
    """The picture as a file's bytes."""
    buffer = io.BytesIO()
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    """The fully decoded picture."""
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean absolute difference of two pictures of one size and mode, over all channels, on the scale 0..255."""
    assert (one.size, one.mode) == (other.size, other.mode)
    means = ImageStat.Stat(ImageChops.difference(one, other)).mean
    return sum(means) / len(means)
