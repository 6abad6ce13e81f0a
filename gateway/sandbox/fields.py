"""Checks a request's fields against a table, and says what is wrong without any vendor's wording."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Field", "Problem", "problems"]

Kind = Literal["required", "unknown", "type", "enum", "minimum", "maximum", "too_short", "too_long", "pattern"]
_PYTHON_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


@dataclass(frozen=True, slots=True)
class Field:
    """What one field may hold. Bounds are inclusive; for strings they are lengths in code points."""

    type: Literal["string", "integer", "number", "boolean", "array", "object"]
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    pattern: str | None = None
    any_case: bool = False
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a request. `rule` is None for an unknown field."""

    name: str
    kind: Kind
    value: Any = None
    rule: Field | None = None


def problems(body: Mapping[str, Any], fields: Mapping[str, Field], required: tuple[str, ...] = ()) -> list[Problem]:
    """Everything wrong with `body`, missing fields first, then in the order of the body."""
    return [*_missing(body, fields, required), *_wrong(body, fields)]


def _missing(body: Mapping[str, Any], fields: Mapping[str, Field], required: tuple[str, ...]) -> Iterator[Problem]:
    for name in required:
        if body.get(name) is None:
            yield Problem(name, "required", None, fields[name])


def _wrong(body: Mapping[str, Any], fields: Mapping[str, Field]) -> Iterator[Problem]:
    for name, value in body.items():
        rule = fields.get(name)
        if rule is None:
            yield Problem(name, "unknown", value)
        elif value is not None or not rule.nullable:
            kind = _fault_of(value, rule)
            if kind is not None:
                yield Problem(name, kind, value, rule)


def _fault_of(value: Any, rule: Field) -> Kind | None:
    if type(value) not in _PYTHON_TYPES[rule.type]:
        return "type"
    if rule.choices and not _is_among(value, rule):
        return "enum"
    if rule.pattern is not None and re.fullmatch(rule.pattern, value) is None:
        return "pattern"
    return _out_of_bounds(value, rule)


def _is_among(value: str, rule: Field) -> bool:
    if rule.any_case:
        return value.lower() in {choice.lower() for choice in rule.choices}
    return value in rule.choices


def _out_of_bounds(value: Any, rule: Field) -> Kind | None:
    if rule.type == "boolean":
        return None
    counts = isinstance(value, (str, list, dict))
    amount = len(value) if counts else value
    if rule.minimum is not None and amount < rule.minimum:
        return "too_short" if counts else "minimum"
    if rule.maximum is not None and amount > rule.maximum:
        return "too_long" if counts else "maximum"
    return None
