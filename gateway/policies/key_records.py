"""What the record of a key means: who may call with which of its secrets, until when, and why not."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from gateway.domain.caller import Caller, Tenant
from gateway.domain.catalogue import Limits
from gateway.domain.money import Budget

__all__ = ["KeyRecord", "KeyState", "LiveSecret", "Refusal", "holder", "rotated", "state_of"]

LIVE_SECRETS = 2
"""How many secrets of one key can work at the same time: the new one, and the one it replaces."""


class Refusal(StrEnum):
    """Why a key is no good; also a metric's label, and never told to the caller."""

    MISSING = "missing"
    MISTYPED = "mistyped"
    UNKNOWN = "unknown"
    DISABLED = "disabled"
    EXPIRED = "expired"
    REPLACED = "replaced"
    FOREIGN_TENANT = "foreign_tenant"
    UNVERIFIABLE = "unverifiable"


class KeyState(StrEnum):
    """How a key stands at one moment."""

    ACTIVE = "active"
    DISABLED = "disabled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class LiveSecret:
    """The SHA-256 of a secret in lower-case hex, and the Unix time at which it ends (None: with its key)."""

    sha256: str = field(repr=False)
    not_after: float | None = None


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One key: what its holder may do, and the secrets that prove it, newest first. Times are Unix seconds.

    `revision` is the number of the change that wrote it, 0 for a record that was never written.
    """

    id: str
    secrets: tuple[LiveSecret, ...]
    created_at: float
    tenant: str | None = None
    models: tuple[str, ...] = ("*",)
    limits: Limits = field(default_factory=Limits)
    per_user: Limits = field(default_factory=Limits)
    budget: Budget = field(default_factory=Budget)
    priority: int = 5
    metadata: Mapping[str, str] = field(default_factory=dict)
    expires_at: float | None = None
    disabled: bool = False
    revision: int = 0
    may_route: bool = False


def holder(record: KeyRecord, sha256: str, now_s: float, tenants: Mapping[str, Tenant]) -> Caller | Refusal:
    """Whom the secret with this hash belongs to at `now_s` (Unix seconds), or why it is no good.

    `tenants` are those that this deployment knows: a key of any other tenant is refused, since its ceilings would be
    unknown. A key's own end and a secret's end are the first moments at which it is refused.
    """
    secret = next((one for one in record.secrets if one.sha256 == sha256), None)
    if secret is None:
        return Refusal.UNKNOWN
    state = state_of(record, now_s)
    if state is not KeyState.ACTIVE:
        return Refusal(state.value)
    if secret.not_after is not None and now_s >= secret.not_after:
        return Refusal.REPLACED
    if record.tenant is not None and record.tenant not in tenants:
        return Refusal.FOREIGN_TENANT
    caller = Caller(
        key_id=record.id,
        tenant=record.tenant,
        models=record.models,
        limits=record.limits,
        priority=record.priority,
        budget=record.budget,
        per_user=record.per_user,
        may_route=record.may_route,
    )
    return caller if record.tenant is None else caller.within(tenants[record.tenant])


def state_of(record: KeyRecord, now_s: float) -> KeyState:
    """How the key stands at `now_s`. Who disabled a key means it, so that comes before its end."""
    if record.disabled:
        return KeyState.DISABLED
    if record.expires_at is not None and now_s >= record.expires_at:
        return KeyState.EXPIRED
    return KeyState.ACTIVE


def rotated(record: KeyRecord, sha256: str, now_s: float, overlap_s: float) -> KeyRecord:
    """The record with a new secret, and its newest older one for `overlap_s` more seconds at most.

    Secrets older than those two end at once. Nothing is made to live longer than it would have.
    """
    end = now_s + overlap_s
    kept = tuple(
        LiveSecret(one.sha256, end if one.not_after is None else min(one.not_after, end))
        for one in record.secrets[: LIVE_SECRETS - 1]
        if one.sha256 != sha256
    )
    alive = tuple(one for one in kept if one.not_after is not None and one.not_after > now_s)
    return replace(record, secrets=(LiveSecret(sha256), *alive))
