"""Settings that this version accepts, because users' files carry them, and does not act on yet.

Whoever builds the machinery of one removes its row.
"""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from gateway.settings.faults import Findings, Place, spelt
from gateway.settings.shape import Document

__all__ = ["not_yet_in_force"]

_NOT_YET: tuple[tuple[str, ...], ...] = ()  # each a path of names, "*" for any
_ALREADY_SO = (None,)


def not_yet_in_force(
    document: Document, findings: Findings, waiting: tuple[tuple[str, ...], ...] = _NOT_YET
) -> tuple[str, ...]:
    """What the document sets and nothing obeys, as `line N: name: …`. What is done anyway is not named."""
    found = [
        (findings.lines[place], spelt(place))
        for pattern in waiting
        for place, value in _matching(document, pattern, ())
        if place in findings.lines and value not in _ALREADY_SO
    ]
    return tuple(f"line {line}: {path}: accepted, not yet in force" for line, path in sorted(found))


def _matching(value: Any, pattern: tuple[str, ...], place: Place) -> Iterator[tuple[Place, Any]]:
    if not pattern:
        yield place, value
        return
    for name, child in _children(value):
        if pattern[0] in ("*", name):
            yield from _matching(child, pattern[1:], (*place, name))


def _children(value: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(value, Struct):
        yield from ((name, getattr(value, name)) for name in value.__struct_fields__)
    elif isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, tuple):
        yield from enumerate(value)
