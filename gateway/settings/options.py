"""What a type of the shape lets a document say, taken apart so that a reader can walk it."""

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, reduce
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from msgspec import Meta, Struct, UnsetType, ValidationError, convert

__all__ = ["Options", "options_of"]

_KINDS: tuple[tuple[type, str, str], ...] = (
    (bool, "true or false", "true or false"),
    (int, "a whole number", "another number"),
    (float, "a number", "another number"),
    (str, "text", "other text"),
    (NoneType, "nothing", "nothing"),
)


@dataclass(frozen=True, slots=True)
class Options:
    """What may stand in one place. `expects` completes "expected …"; `description` says what the place is for.

    `leaves` are the types of a single value, `words` its fixed ones. `least` is how many a table or list must hold.
    """

    expects: str
    description: str = ""
    struct: type[Struct] | None = None
    table: tuple[Any, Any] | None = None
    items: Any = None
    leaves: tuple[Any, ...] = ()
    words: tuple[str, ...] = ()
    plain_types: tuple[type, ...] = ()
    nullable: bool = False
    anything: bool = False
    least: int = 0

    def convert(self, value: object) -> Any:
        """`value` as the first of the leaves that takes it. Raises msgspec.ValidationError when none does."""
        for leaf in self.leaves:
            with suppress(ValidationError):
                return convert(value, leaf)
        raise ValidationError(self.expects)

    def kind_of(self, value: object) -> str:
        """What sort of thing `value` is, in words, without the value itself."""
        for kind, name, other in _KINDS:
            if isinstance(value, kind):
                return other if kind in self.plain_types else name
        return "something else"


@cache
def options_of(kind: Any) -> Options:
    """Take a type of the shape apart: Annotated, unions, structs, dict, tuple, literals and plain types."""
    origin = get_origin(kind)
    if origin is Annotated:
        return _annotated(kind)
    if origin in (Union, UnionType):
        return reduce(_either, (options_of(part) for part in get_args(kind) if part is not UnsetType))
    if origin is Literal:
        words = get_args(kind)
        return Options(f"one of {', '.join(words)}", leaves=(kind,), words=words, plain_types=(str,))
    if origin is dict:
        return Options("a mapping", table=get_args(kind))
    if origin is tuple:
        return Options("a list", items=get_args(kind)[0])
    if kind is Any:
        return Options("a value that JSON has", anything=True)
    if kind is NoneType:
        return Options("null", nullable=True)
    if issubclass(kind, Struct):
        return Options("a mapping", struct=kind)
    return Options(next(name for known, name, _ in _KINDS if known is kind), leaves=(kind,), plain_types=(kind,))


def _annotated(kind: Any) -> Options:
    inner, *metas = get_args(kind)
    options = options_of(inner)
    if options.leaves and inner in (str, int, float):
        options = replace(options, leaves=(kind,))
    for meta in metas:
        assert isinstance(meta, Meta)  # noqa: S101  the shape is annotated with nothing else
        options = replace(
            options,
            expects=(meta.extra or {}).get("expects", options.expects),
            description=meta.description or options.description,
            least=meta.min_length or options.least,
        )
    return options


def _either(one: Options, other: Options) -> Options:
    return Options(
        one.expects if other.expects == "null" else f"{one.expects} or {other.expects}",
        description=one.description or other.description,
        struct=one.struct or other.struct,
        table=one.table or other.table,
        items=one.items if one.items is not None else other.items,
        leaves=one.leaves + other.leaves,
        words=one.words + other.words,
        plain_types=one.plain_types + other.plain_types,
        nullable=one.nullable or other.nullable,
        least=max(one.least, other.least),
    )
