"""Replies that carry images: files for the mock vendor, and what a client must find in them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pybase64

from bench.pictures import noise_png

__all__ = ["Batch", "batch"]

EDGE = 1024


@dataclass(frozen=True, slots=True)
class Batch:
    """One reply of `images` (PNG files) as base64."""

    images: tuple[bytes, ...]

    def reply(self) -> bytes:
        """The vendor's JSON."""
        data = [{"b64_json": text} for text in self.texts()]
        return json.dumps({"created": 1763800000, "data": data}, separators=(",", ":")).encode()

    def texts(self) -> list[str]:
        """The images as base64."""
        return [pybase64.b64encode(image).decode() for image in self.images]

    def written(self, folder: Path) -> list[str]:
        """The names of files that hold each image's base64, for the load generator to compare with."""
        folder.mkdir(parents=True, exist_ok=True)
        names = []
        for number, text in enumerate(self.texts()):
            path = folder / f"{number}.txt"
            path.write_text(text)
            names.append(str(path))
        return names


def batch(sizes: Sequence[int], edge: int = EDGE) -> Batch:
    """Images of about so many bytes each, no two alike."""
    return Batch(tuple(noise_png(edge, size, seed) for seed, size in enumerate(sizes)))
