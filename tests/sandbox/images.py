"""What an image's own bytes say, by a library that the sandbox does not use."""

import base64
import io
from dataclasses import dataclass

from PIL import Image

__all__ = ["Seen", "seen", "seen_in_base64"]


@dataclass(frozen=True, slots=True)
class Seen:
    format: str | None
    size: tuple[int, int]
    pixels: bytes


def seen(file: bytes) -> Seen:
    with Image.open(io.BytesIO(file)) as image:
        image.load()
        return Seen(image.format, image.size, image.resize((32, 32)).tobytes())


def seen_in_base64(text: str) -> Seen:
    return seen(base64.b64decode(text, validate=True))
