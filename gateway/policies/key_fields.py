"""A key's record as it is written down: in Redis with hashes of its secrets, and for people without."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import fields as dataclass_fields
from datetime import UTC, datetime
from typing import Any

from gateway.domain.catalogue import Limits
from gateway.domain.money import Budget
from gateway.policies.key_records import KeyRecord, LiveSecret

__all__ = ["UnreadableRecordError", "fields_of", "moment", "read_fields", "view_of", "with_strange"]

_FINGERPRINT_DIGITS = 8  # of 64: enough to tell two secrets apart, useless for finding one
_MICRO = 1_000_000
_NESTED: Mapping[str, type[Limits | Budget]] = {"limits": Limits, "per_user": Limits, "budget": Budget}
_OF_USERS = ("requests_per_minute", "images_per_minute")  # the ceilings that an end user can have


class UnreadableRecordError(ValueError):
    """A record in Redis that this version cannot read. The message names the key, and nothing of its contents."""


def fields_of(record: KeyRecord) -> dict[str, str]:
    """The record as the fields of a Redis hash: JSON texts, without `revision`, which Redis itself gives."""
    values: dict[str, Any] = asdict(record)
    del values["revision"]
    return {name: _written(value) for name, value in values.items()}


def read_fields(key_id: str, fields: Mapping[bytes, bytes]) -> KeyRecord:
    """The record that a Redis hash holds; names that only another version knows are passed over, at any depth.

    Raises UnreadableRecordError.
    """
    try:
        values = {name.decode(): json.loads(value) for name, value in fields.items()}
        return KeyRecord(
            id=values["id"],
            secrets=tuple(LiveSecret(one["sha256"], one["not_after"]) for one in values["secrets"]),
            created_at=values["created_at"],
            tenant=values["tenant"],
            models=tuple(values["models"]),
            limits=Limits(**_known(values["limits"], Limits)),
            per_user=Limits(**_known(values["per_user"], Limits)),
            budget=Budget(**_known(values["budget"], Budget)),
            priority=values["priority"],
            metadata=values["metadata"],
            expires_at=values["expires_at"],
            disabled=values["disabled"],
            revision=values["revision"],
            may_route=values.get("may_route", False),  # records of before there was such a thing
        )
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise UnreadableRecordError(f"the record of key {key_id!r} cannot be read: {type(problem).__name__}") from None


def with_strange(fields: Mapping[str, str], kept: Mapping[bytes, bytes]) -> dict[str, str]:
    """The fields to be written over the hash `kept`, with what only another version knows of it as it was."""
    strange = {name.decode(): text.decode() for name, text in kept.items()}
    strange.pop("revision", None)
    nested = {name: _unknown(json.loads(strange[name]), kind) for name, kind in _NESTED.items() if name in strange}
    merged = {name: _written({**json.loads(fields[name]), **more}) for name, more in nested.items() if more}
    return strange | dict(fields) | merged


def _known(members: Mapping[str, Any], kind: type[Limits | Budget]) -> dict[str, Any]:
    names = {one.name for one in dataclass_fields(kind)}
    return {name: value for name, value in members.items() if name in names}


def _unknown(members: Mapping[str, Any], kind: type[Limits | Budget]) -> dict[str, Any]:
    known = _known(members, kind)
    return {name: value for name, value in members.items() if name not in known}


def _written(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def view_of(record: KeyRecord) -> dict[str, Any]:
    """The record as people and the audit log see it: times in ISO 8601, money in US dollars, no hash of a secret."""
    return {
        "id": record.id,
        "tenant": record.tenant,
        "models": list(record.models),
        "limits": {
            **asdict(record.limits),
            "per_user": {name: getattr(record.per_user, name) for name in _OF_USERS},
        },
        "budget": {
            name.removesuffix("_microusd"): None if micro is None else micro / _MICRO
            for name, micro in asdict(record.budget).items()
        },
        "priority": record.priority,
        "may_route": record.may_route,
        "metadata": dict(record.metadata),
        "created_at": moment(record.created_at),
        "expires_at": moment(record.expires_at),
        "disabled": record.disabled,
        "secrets": [
            {"fingerprint": secret.sha256[:_FINGERPRINT_DIGITS], "not_after": moment(secret.not_after)}
            for secret in record.secrets
        ],
    }


def moment(unix_s: float | None) -> str | None:
    """Unix seconds as ISO 8601 in UTC with milliseconds."""
    if unix_s is None:
        return None
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
