"""Who holds which key. Only hashes are kept, so that a dump of this process gives no key away."""

import time
from collections.abc import Callable, Mapping

from gateway.domain.caller import Caller, Tenant
from gateway.domain.errors import ErrorCode, RequestError
from gateway.domain.facts import KeyRefused, Listener
from gateway.edges.key_mirror import KeyMirror
from gateway.policies.key_format import PREFIX, digest, looks_mistyped
from gateway.policies.key_records import Refusal, holder

__all__ = ["Keys"]


class Keys:
    """The keys of the configuration, by the SHA-256 (lower-case hex) of each, and beside them those of Redis.

    Nothing here asks Redis: `mirror` is this replica's copy, None for a deployment that knows the file alone.
    `tenants` are the configuration's. `now` is Unix seconds. `tell` hears of every refusal.
    """

    def __init__(
        self,
        callers_by_sha256: Mapping[str, Caller],
        mirror: KeyMirror | None = None,
        tenants: Mapping[str, Tenant] | None = None,
        *,
        tell: Listener = lambda _: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._callers = dict(callers_by_sha256)
        self._mirror = mirror
        self._tenants = tenants or {}
        self._tell = tell
        self._now = now

    def find(self, secret: str) -> Caller | None:
        """The holder of `secret`, None when nobody holds it. A mistyped key of our own form is not even hashed.

        Raises RequestError `internal_error` where only Redis could know, and it cannot be asked.
        """
        if looks_mistyped(secret):
            return None
        sha256 = digest(secret)
        caller = self._callers.get(sha256)
        if caller is not None:
            return caller
        found = self._in_mirror(secret, sha256)
        if isinstance(found, Caller):
            return found
        self._tell(KeyRefused(found.value))
        if found is Refusal.UNVERIFIABLE:
            raise RequestError(
                ErrorCode.INTERNAL_ERROR, "API keys cannot be verified at the moment. Try again.", should_retry=True
            )
        return None

    def is_mistyped(self, secret: str) -> bool:
        """Whether `secret` can be told to be wrong by its form alone."""
        wrong = looks_mistyped(secret)
        if wrong:
            self._tell(KeyRefused(Refusal.MISTYPED.value))
        return wrong

    def _in_mirror(self, secret: str, sha256: str) -> Caller | Refusal:
        if self._mirror is None or not secret.startswith(PREFIX):
            return Refusal.UNKNOWN  # Redis holds keys of our own form alone
        record = self._mirror.record_of(sha256)
        if record is None:
            return Refusal.UNVERIFIABLE if self._mirror.is_away else Refusal.UNKNOWN
        if not self._mirror.counts:
            return Refusal.UNVERIFIABLE
        return holder(record, sha256, self._now(), self._tenants)

    def __len__(self) -> int:
        return len(self._callers) + (0 if self._mirror is None else len(self._mirror))

    def __repr__(self) -> str:
        return f"Keys({len(self)})"
