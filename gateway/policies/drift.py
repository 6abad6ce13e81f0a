"""How a vendor's reply differs from what its dialect expects: missing fields, new ones, changed types."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gateway.domain.reply_fields import Kind, Needed, ReplyFields

__all__ = ["Drift", "drift_of"]


@dataclass(frozen=True, slots=True)
class Drift:
    """The differences, as paths. A dialect reads past `new` ones; the others may break it.

    `changed` tells what was found in brackets: `data (object)`. Alternatives that are all missing stand as one:
    `data[].b64_json or data[].url`.
    """

    missing: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    new: tuple[str, ...] = ()

    @property
    def is_breaking(self) -> bool:
        """Whether something that the dialect relies on is not as it was."""
        return bool(self.missing or self.changed)


def drift_of(body: Any, fields: ReplyFields, *, is_over: bool, is_refused: bool = False) -> Drift:
    """Compare a successful reply's JSON with the fields that are expected.

    `is_over` when the work is over with this reply; a refusal (`is_refused`) may lack everything that is not in
    every reply.
    """
    seen = tuple(_walk(body, "", fields))
    needed = {Needed.ALWAYS} | ({Needed.AT_END} if is_over and not is_refused else set())
    missing = [
        path
        for path, field in fields.items()
        if field.needed in needed and any(_lacks(value, at, path) for at, value in seen)
    ]
    images = [path for path, field in fields.items() if field.needed is Needed.IMAGE]
    found = {at for at, _ in seen}
    if is_over and not is_refused and images and not found & set(images) and not _is_below(images, missing):
        missing.append(" or ".join(images))
    return Drift(
        missing=tuple(missing),
        changed=_once(
            f"{at} ({kind_of(value)})" for at, value in seen if at in fields and kind_of(value) not in fields[at].kinds
        )
        if isinstance(body, dict)
        else (f"the whole reply ({kind_of(body)})",),
        new=_once(at for at, _ in seen if at and at not in fields),
    )


def kind_of(value: Any) -> Kind:
    """The JSON type of a parsed value."""
    for python, kind in _KINDS:
        if isinstance(value, python):
            return kind
    return Kind.NULL


_KINDS: tuple[tuple[type | tuple[type, ...], Kind], ...] = (
    (str, Kind.STRING),
    (bool, Kind.BOOLEAN),  # before numbers, since it is one to Python
    ((int, float), Kind.NUMBER),
    (dict, Kind.OBJECT),
    (list, Kind.ARRAY),
)


def _walk(value: Any, at: str, fields: ReplyFields) -> Iterator[tuple[str, Any]]:
    """Every value with its path; nothing below a path under which nothing is declared."""
    yield at, value
    if at and at not in fields:
        return
    if isinstance(value, dict) and (not at or _has_declared(at + ".", fields)):
        for name, inner in value.items():
            yield from _walk(inner, f"{at}.{name}" if at else name, fields)
    if isinstance(value, list) and _has_declared(at + "[]", fields):
        for inner in value:
            yield from _walk(inner, at + "[]", fields)


def _has_declared(prefix: str, fields: ReplyFields) -> bool:
    return any(path.startswith(prefix) for path in fields)


def _lacks(value: Any, at: str, path: str) -> bool:
    """Whether `value`, which stands at `at`, is an object that should hold the field at `path` and does not."""
    holder, _, name = path.rpartition(".")
    return at == holder and isinstance(value, dict) and name not in value


def _is_below(images: list[str], missing: list[str]) -> bool:
    """Whether what is missing already says why there is no image."""
    return any(path.startswith((gone + ".", gone + "[]")) for path in images for gone in missing)


def _once(paths: Iterator[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(paths))
