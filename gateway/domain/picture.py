"""What an image is before and after it exists: sizes, file formats, and bytes kept aside on disk."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

__all__ = ["BadImage", "Blob", "ImageFormat", "ImageInfo", "Size"]


class ImageFormat(StrEnum):
    """The file formats a client can ask for and the gateway can write."""

    PNG = "png"
    JPEG = "jpeg"
    WEBP = "webp"

    @property
    def media_type(self) -> str:
        """The value for `Content-Type`."""
        return f"image/{self.value}"

    @property
    def extension(self) -> str:
        """The ending of a file name, without the dot."""
        return "jpg" if self is ImageFormat.JPEG else self.value


@dataclass(frozen=True, slots=True, order=True)
class Size:
    """A size in pixels; both edges are at least 1."""

    width: int
    height: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `512x512`. Raises ValueError for anything else."""
        width, cross, height = text.partition("x")
        if not (cross and width.isdecimal() and height.isdecimal() and text.isascii()):
            raise ValueError(f"not a size: {text!r}")
        size = cls(int(width), int(height))
        if size.width < 1 or size.height < 1:
            raise ValueError(f"not a size: {text!r}")
        return size

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.width * self.height

    def same_shape_as(self, other: "Size") -> bool:
        """Whether the aspect ratios are exactly equal, so that scaling needs no crop and no stretch."""
        return self.width * other.height == self.height * other.width

    def covers(self, other: "Size") -> bool:
        """Whether scaling to `other` would never enlarge."""
        return self.width >= other.width and self.height >= other.height

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What an image's own bytes say about it. `format` is None for a well-formed file of a foreign format."""

    format: ImageFormat | None
    size: Size
    animated: bool = False


@dataclass(frozen=True, slots=True)
class BadImage:
    """An image that cannot be used. `reason` is one of a few fixed phrases, so that it can label a metric."""

    reason: str


@dataclass(frozen=True, slots=True)
class Blob:
    """Image bytes set aside in a private spool file, so that megabytes never live in a Python string.

    Whoever is handed a Blob owns the file and removes it when done. `info` is what its bytes say they are, where they
    were looked at already; such a file is forced to the disk, too.
    """

    path: Path
    length: int
    info: ImageInfo | BadImage | None = None
