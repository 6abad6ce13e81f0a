"""Which bytes a `Range` header asks for. One range only: many small ones are an attack, never a need, for images."""

import re
from dataclasses import dataclass

__all__ = ["Part", "Unsatisfiable", "requested_range"]

_SINGLE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes `start` up to but not including `end`."""

    start: int
    end: int


class Unsatisfiable:
    """The range lies outside the file: 416."""


def requested_range(header: str | None, length: int) -> Part | Unsatisfiable | None:
    """The part of a file of `length` bytes that `header` asks for; None for the whole file.

    As RFC 9110 §14.2 allows, a header that is malformed, in another unit or of several ranges is ignored.
    """
    match = _SINGLE.fullmatch(header.strip()) if header else None
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        wanted = int(match[2])
        return Part(max(0, length - wanted), length) if wanted and length else Unsatisfiable()
    start = int(match[1])
    last = int(match[2]) if match[2] else length - 1
    if match[2] and last < start:
        return None
    return Part(start, min(last + 1, length)) if start < length else Unsatisfiable()
