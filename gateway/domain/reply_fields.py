"""What a vendor's successful reply is expected to hold, as data, so that a change of the vendor's can be told by field.

A path names members with dots and the elements of a list with `[]`: `data[].url`. An object or a list below which
nothing is declared may hold anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Kind", "Needed", "ReplyField", "ReplyFields", "always", "at_end", "image", "sometimes"]


class Kind(StrEnum):
    """The types of JSON values."""

    STRING = "string"
    NUMBER = "number"
    BOOLEAN = "boolean"
    OBJECT = "object"
    ARRAY = "array"
    NULL = "null"


class Needed(StrEnum):
    """When a field must be there. All but IMAGE: in every object that can hold it.

    AT_END is for replies with which the work is over; of the fields marked IMAGE those need one at least.
    """

    ALWAYS = "always"
    AT_END = "at_end"
    IMAGE = "image"
    SOMETIMES = "sometimes"


@dataclass(frozen=True, slots=True)
class ReplyField:
    """When a field must be there, and which JSON types it may have."""

    needed: Needed
    kinds: tuple[Kind, ...]


ReplyFields = Mapping[str, ReplyField]


def always(kinds: str) -> ReplyField:
    """A field of every reply. `kinds` are JSON types, separated by spaces: `string null`."""
    return _field(Needed.ALWAYS, kinds)


def at_end(kinds: str) -> ReplyField:
    """A field of every reply with which the work is over."""
    return _field(Needed.AT_END, kinds)


def image(kinds: str) -> ReplyField:
    """A field in which an image may stand."""
    return _field(Needed.IMAGE, kinds)


def sometimes(kinds: str) -> ReplyField:
    """A field that is known, and may be missing."""
    return _field(Needed.SOMETIMES, kinds)


def _field(needed: Needed, kinds: str) -> ReplyField:
    return ReplyField(needed, tuple(map(Kind, kinds.split())))
