"""The end users of a key: how one is named without being known, and how the ones in trouble are listed."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["REFUSALS_KEPT_DAYS", "EndUser", "EndUserRecord", "records_of", "refusal_line", "user_hash"]

REFUSALS_KEPT_DAYS = 30
"""How long it is remembered that a vendor's safety system refused an end user's prompt."""

_DIGITS = 32  # 128 bits: no two users share a name


@dataclass(frozen=True, slots=True)
class EndUser:
    """One end user of one key, by a keyed hash: who holds the list alone cannot tell who it is."""

    key_id: str
    user_hash: str

    @property
    def name(self) -> str:
        """The name under which it is counted and blocked: the key's id and the hash."""
        return f"{self.key_id} {self.user_hash}"


@dataclass(frozen=True, slots=True)
class EndUserRecord:
    """What is known of an end user: refused prompts of the last 30 days, and since when it is blocked (ISO 8601)."""

    key_id: str
    user_hash: str
    content_refusals: int
    blocked_since: str | None


def user_hash(key_id: str, user: str, secret: bytes) -> str:
    """32 hex digits for `user` of this key; another key's user of the same name has others."""
    return hmac.new(secret, f"{key_id}\0{user}".encode(), hashlib.sha256).hexdigest()[:_DIGITS]


def refusal_line(end_user: str) -> str:
    """What a settlement adds 1 to when a prompt of this end user (its `name`) was refused. See settle.lua."""
    return f"@{end_user}"


def records_of(refusals: Mapping[str, int], blocked: Mapping[str, str]) -> tuple[EndUserRecord, ...]:
    """All end users that were refused or are blocked, from both by name: the blocked first, then the most refused."""
    records = [
        EndUserRecord(*_parts(name), refusals.get(name, 0), blocked.get(name))
        for name in refusals.keys() | blocked.keys()
    ]
    return tuple(
        sorted(records, key=lambda one: (one.blocked_since is None, -one.content_refusals, one.key_id, one.user_hash))
    )


def _parts(name: str) -> tuple[str, str]:
    key_id, _, hashed = name.partition(" ")
    return key_id, hashed
