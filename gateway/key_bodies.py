"""What administration may be told about a key: strict bodies, and the records they make of it."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType, ValidationError, convert
from msgspec.structs import asdict, fields

from gateway.domain import catalogue as domain
from gateway.domain.errors import ErrorCode, RequestError
from gateway.domain.money import Budget, microdollars
from gateway.domain.wire import unix_seconds
from gateway.policies.key_records import KeyRecord
from gateway.policies.strict_json import parse_object
from gateway.policies.wording import is_encodable, name_of
from gateway.settings.kinds import Delay, Money, PositiveInt, duration_s

__all__ = ["KeyChanges", "NewKey", "NoMembers", "Rotation", "changed", "overlap_s", "read_members"]

_LONGEST_OVERLAP_S = 8760 * 3600.0  # a year; a rotation that never ends is none
_MOST_NOTES = 16
_LATEST_S = 253_402_300_799.0  # the end of the year 9999, the last that ISO 8601 spells in four digits
_PATH = re.compile(r" - at (?:`key` in )?`\$\.?([^`]*)`$")

# `\A` and `\Z`, since `$` would let a line break pass.
_KeyId = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
_Note = Annotated[str, Meta(pattern=r"\A[^\x00-\x1f\x7f-\x9f]{0,256}\Z")]
_Metadata = Annotated[dict[_KeyId, _Note | None], Meta(max_length=64)]
_Ceiling = PositiveInt | UnsetType | None
_Dollars = Money | UnsetType | None
# "*", or what the configuration knows: that is checked by `changed`.
_Models = Annotated[tuple[Annotated[str, Meta(max_length=128)], ...], Meta(min_length=1, max_length=256)]
_Priority = Annotated[int, Meta(ge=0, le=9)]


class UserLimitChanges(Struct, frozen=True, forbid_unknown_fields=True):
    """Ceilings of each end user, as in the configuration."""

    requests_per_minute: _Ceiling = UNSET
    images_per_minute: _Ceiling = UNSET


class LimitChanges(Struct, frozen=True, forbid_unknown_fields=True):
    """Ceilings, as in the configuration."""

    requests_per_minute: _Ceiling = UNSET
    images_per_minute: _Ceiling = UNSET
    concurrent: _Ceiling = UNSET
    burst: _Ceiling = UNSET
    per_user: UserLimitChanges | UnsetType | None = UNSET


class BudgetChanges(Struct, frozen=True, forbid_unknown_fields=True):
    """Ceilings of spending in US dollars, as in the configuration."""

    per_day: _Dollars = UNSET
    per_month: _Dollars = UNSET
    total: _Dollars = UNSET


class KeyChanges(Struct, frozen=True, forbid_unknown_fields=True):
    """What of a key may be changed, at any depth (RFC 7396): what is absent stays, null takes away."""

    tenant: _KeyId | UnsetType | None = UNSET
    models: _Models | UnsetType = UNSET
    limits: LimitChanges | UnsetType | None = UNSET
    budget: BudgetChanges | UnsetType | None = UNSET
    priority: _Priority | UnsetType = UNSET
    may_route: bool | UnsetType = UNSET
    metadata: _Metadata | UnsetType | None = UNSET
    expires_at: str | UnsetType | None = UNSET


class NewKey(KeyChanges, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to be made. Without an id it gets one."""

    id: _KeyId | None = None


class Rotation(Struct, frozen=True, forbid_unknown_fields=True):
    """How long the secret that is replaced goes on working."""

    overlap: Delay = "24h"


class NoMembers(Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing may be said."""


_Body = TypeVar("_Body", bound=Struct)


def read_members(body: bytes, kind: type[_Body]) -> _Body:
    """The body as `kind`; none at all is an empty object. Raises RequestError that names the member at fault."""
    members = parse_object(body) if body else {}
    if not is_encodable(json.dumps(members, ensure_ascii=False)):
        raise RequestError(ErrorCode.INVALID_JSON, "The body holds half a surrogate pair, which is no character.")
    known = {field.name for field in fields(kind)}
    for name in members:
        if name not in known:
            shown = name_of(name)
            raise RequestError(ErrorCode.UNKNOWN_PARAMETER, f"There is no `{shown}` here.", param=shown)
    try:
        return convert(members, kind)
    except ValidationError as problem:
        raise _fault(str(problem)) from None


def changed(record: KeyRecord, changes: KeyChanges, catalogue: domain.Catalogue, tenants: frozenset[str]) -> KeyRecord:
    """The record with these changes. Raises RequestError for models and tenants that the configuration has not."""
    told = _told(changes)
    told.pop("id", None)
    if told.get("tenant") is not None and told["tenant"] not in tenants:
        raise _invalid("tenant", "is none of the configuration's tenants")
    if any(one != "*" and one not in catalogue.routes for one in told.get("models", ())):
        raise _invalid("models", "names a model that the configuration has not")
    if "limits" in told:
        told |= _limits(record, told["limits"])
    for name, make in _MAKERS.items():
        if name in told:
            told[name] = make(record, told[name])
    return replace(record, **told)


def overlap_s(rotation: Rotation) -> float:
    """Seconds of the overlap. Raises RequestError for more than a year."""
    seconds = duration_s(rotation.overlap)
    if seconds > _LONGEST_OVERLAP_S:
        raise _invalid("overlap", "is longer than a year")
    return seconds


def _limits(record: KeyRecord, changes: LimitChanges | None) -> dict[str, domain.Limits]:
    if changes is None:
        return {"limits": domain.Limits(), "per_user": domain.Limits()}
    told = _told(changes)
    per_user = told.pop("per_user", UserLimitChanges())
    of_users = domain.Limits() if per_user is None else replace(record.per_user, **_told(per_user))
    return {"limits": replace(record.limits, **told), "per_user": of_users}


def _budget(record: KeyRecord, changes: BudgetChanges | None) -> Budget:
    if changes is None:
        return Budget()
    micro = {
        f"{name}_microusd": None if dollars is None else microdollars(dollars)
        for name, dollars in _told(changes).items()
    }
    return replace(record.budget, **micro)


def _metadata(record: KeyRecord, changes: dict[str, str | None] | None) -> dict[str, str]:
    merged = {**record.metadata, **changes} if changes is not None else {}
    left = {name: note for name, note in merged.items() if note is not None}
    if len(left) > _MOST_NOTES:
        raise _invalid("metadata", f"would hold more than {_MOST_NOTES} notes")
    return left


def _expiry(_: KeyRecord, text: str | None) -> float | None:
    if text is None:
        return None
    moment = unix_seconds(text)
    if moment is None or moment > _LATEST_S:
        raise _invalid("expires_at", "is no moment in ISO 8601, such as 2030-01-31T12:00:00Z")
    return float(moment)


_MAKERS: Mapping[str, Callable[[KeyRecord, Any], Any]] = {
    "budget": _budget,
    "metadata": _metadata,
    "expires_at": _expiry,
}


def _told(changes: Struct) -> dict[str, Any]:
    return {name: value for name, value in asdict(changes).items() if value is not UNSET}


def _fault(problem: str) -> RequestError:
    """The sentence of msgspec as ours: it names the expected type and the place, and never repeats a value of ours."""
    found = _PATH.search(problem)
    sentence = problem if found is None else problem[: found.start()]
    unknown = re.search(r"unknown field `([^`]*)`", sentence)
    place = "" if found is None else found[1]
    if unknown is not None:
        inner = name_of(f"{place}.{unknown[1]}")
        return RequestError(ErrorCode.UNKNOWN_PARAMETER, f"There is no `{inner}` here.", param=inner)
    param = name_of(place) or None
    return RequestError(ErrorCode.INVALID_VALUE, f"`{param or 'body'}` is not valid: {_plain(sentence)}.", param=param)


def _plain(sentence: str) -> str:
    if "matching regex" in sentence:
        return "text of another form is expected"
    if sentence.startswith("Invalid enum value"):
        return "another value is expected"
    return sentence if sentence.isascii() and sentence.isprintable() else "another value is expected"


def _invalid(param: str, what: str) -> RequestError:
    return RequestError(ErrorCode.INVALID_VALUE, f"`{param}` {what}.", param=param)
