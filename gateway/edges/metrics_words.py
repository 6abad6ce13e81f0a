"""The closed sets of words that labels of metrics take their values from."""

from dataclasses import dataclass, field
from itertools import product
from typing import get_args

from gateway.domain.errors import ErrorCode, status_of
from gateway.domain.facts import (
    AttemptState,
    BreakerState,
    ClientPhase,
    IdempotencyKind,
    JournalMedium,
    PriorityClass,
    Recovery,
    ShedReason,
)
from gateway.edges.redis_store import Reason
from gateway.policies.key_records import Refusal

__all__ = ["OTHER", "Labels"]

OTHER = "other"
"""The value of a label whose true value is none of those that are known beforehand."""


@dataclass(frozen=True, slots=True)
class Labels:
    """One label, or several whose values go together, with all their values; each gets a series from the start.

    Where the values are the deployment's own, `source` says which of its names they are (see `metrics_offer`).
    """

    names: tuple[str, ...]
    words: tuple[tuple[str, ...], ...] = ()
    source: str = field(default="", kw_only=True)


def _closed(name: str, *words: str) -> Labels:
    return Labels((name,), tuple((word,) for word in words))


# Every code that a paid call can end with: a vendor's fault, by its answer or by what we could make of it, or ours.
_OTHER_FAULTS = (
    ErrorCode.CONTENT_POLICY_VIOLATION,
    ErrorCode.INVALID_VALUE,
    ErrorCode.REQUEST_TIMEOUT,
    ErrorCode.ASSET_STORE_UNAVAILABLE,
    ErrorCode.IDEMPOTENCY_UNAVAILABLE,
    ErrorCode.GATEWAY_DRAINING,
    ErrorCode.INTERNAL_ERROR,
)
_FAULTS = tuple(code.value for code in ErrorCode if code.startswith("upstream_") or code in _OTHER_FAULTS)
# 499 is nginx's number for a client that hung up.
_ENDS = (("200", "ok"), ("499", "client_gone"), *((str(status_of(code)), code.value) for code in ErrorCode))
_LIMITS = tuple(product(("requests", "images"), ("key", "tenant", "model", "user")))

MODEL = Labels(("model",), source="model")
ACCOUNT = Labels(("account",), source="account")
TARGET = Labels(("model", "account", "native_model"), source="target")
HANDOVER = Labels(("model", "from_account", "to_account"), source="handover")
NATIVE = Labels(("account", "native_model"), source="native")
VENDOR = Labels(("vendor",), source="vendor")
KEY = Labels(("key",), source="key")
END = Labels(("status", "code"), _ENDS)
CALL_END = _closed("code", "ok", *_FAULTS, OTHER)
LIMIT = Labels(
    ("dimension", "scope"), (*_LIMITS, *product(("concurrency",), ("key",)), *product(("budget",), ("key", "tenant")))
)
DIMENSION = _closed("dimension", "requests", "images", "concurrency", "budget")
TAKEN = Labels(("dimension", "scope"), _LIMITS)
PURSE = Labels(("scope", "period"), tuple(product(("key", "tenant"), ("day", "month", "total"))))
PERIOD = _closed("period", "day", "month", "total")
CONNECTION = _closed(
    "reason", "connections", "framing", "too_large", "header_timeout", "body_timeout", "slow_reader", OTHER
)
KEY_REFUSAL = _closed("reason", *(refusal.value for refusal in Refusal), OTHER)
GRANTED = _closed("granted", "yes", "no")
FITTED = _closed("fitted", "yes", "no")
SUSPENSE_KIND = _closed("kind", "unknown", "lapsed")
IDEMPOTENCY = _closed("kind", *get_args(IdempotencyKind))
ATTEMPT = _closed("state", *get_args(AttemptState))
RECOVERY = _closed("outcome", *get_args(Recovery))
MEDIUM = _closed("waited_for", *get_args(JournalMedium))
BREAKER = _closed("state", *get_args(BreakerState))
SHED = Labels(("reason", "priority"), tuple(product(get_args(ShedReason), get_args(PriorityClass))))
PHASE = _closed("phase", *get_args(ClientPhase))
RELOAD = _closed("result", "ok", "refused")
REDIS_REASON = _closed("reason", *(reason.value for reason in Reason))
WEBHOOK_REFUSAL = _closed(
    "reason", "signature", "stale", "unknown", "malformed", "too_large", "repeated", "late", OTHER
)
WEBHOOK_SENT = _closed("result", "ok", "failed")
BUILD_VERSION = Labels(("version",), source="build")
CONFIG_VERSION = Labels(("version",), source="config")
