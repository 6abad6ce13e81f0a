"""A replica's own copy of all keys in Redis, so that no request waits for Redis to learn who is calling."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

import structlog

from gateway.edges.key_store import KeyStore
from gateway.edges.redis_store import RedisUnavailable
from gateway.policies.key_records import KeyRecord

__all__ = ["KeyMirror"]

POLL_S = 0.5  # a change is to work everywhere within 2 s, also where one look fails
AWAY_AFTER_LOOKS = 2  # a single look can fail for want of a free connection
REREAD_S = 300.0  # a failover can lose writes and count on, which no version shows


class KeyMirror:
    """Follows the key store; a change is here within a second. Answers from memory, whatever Redis does.

    `honour_s` is how long the copy counts once Redis is away. `outage` tells what others have noticed: not None
    while Redis is away. `clock` never runs backwards.
    """

    def __init__(
        self,
        store: KeyStore,
        *,
        honour_s: float,
        outage: Callable[[], object | None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._honour_s = honour_s
        self._outage = outage
        self._clock = clock
        self._records: dict[str, KeyRecord] = {}
        self._by_sha256: dict[str, KeyRecord] = {}
        self._seen = 0
        self._failed_looks = AWAY_AFTER_LOOKS  # nothing was read yet
        self._in_step_at: float | None = None
        self._reread_at = 0.0
        self._one_at_a_time = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("keys")

    def __len__(self) -> int:
        return len(self._records)

    @property
    def is_away(self) -> bool:
        """Whether Redis may know keys that the copy does not."""
        return self._outage() is not None or self._failed_looks >= AWAY_AFTER_LOOKS

    @property
    def age_s(self) -> float:
        """Seconds since the copy was last in step with Redis; infinite before it first was."""
        return float("inf") if self._in_step_at is None else self._clock() - self._in_step_at

    @property
    def counts(self) -> bool:
        """Whether the copy may be believed: while Redis answers, and for the time of grace after that."""
        return not self.is_away or self.age_s < self._honour_s

    def record_of(self, sha256: str) -> KeyRecord | None:
        """The key that a secret with this hash belongs to, as last heard."""
        return self._by_sha256.get(sha256)

    async def start(self) -> None:
        """Read all keys, if Redis lets us, and follow from now on."""
        await self.look()
        self._task = asyncio.create_task(self._follow(), name="key-mirror")

    async def stop(self) -> None:
        """Follow no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def look(self) -> bool:
        """Catch up with Redis now; False when it cannot be done."""
        async with self._one_at_a_time:
            was_away = self.is_away
            try:
                in_step = await self._catch_up()
            except RedisUnavailable as problem:
                in_step = False
                self._log.debug("keys could not be read", reason=problem.reason, detail=problem.detail)
            if in_step:
                self._failed_looks, self._in_step_at = 0, self._clock()
            else:
                self._failed_looks += 1
            if was_away is not self.is_away:
                if was_away:
                    self._log.info("keys follow Redis", keys=len(self))
                else:
                    self._log.warning("keys no longer follow Redis", keys=len(self))
            return in_step

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            await self.look()

    async def _catch_up(self) -> bool:
        """Read what is new, or all where that may not be enough. False when Redis has forgotten everything."""
        began_at = self._clock()
        doubtful = self._failed_looks > 0 or began_at - self._reread_at >= REREAD_S
        changes = await self._store.changes(0 if doubtful else self._seen)
        if changes.version == 0 and self._seen > 0 and self.age_s < self._honour_s:
            return False  # emptied, by accident more likely than on purpose: as if it were away
        if changes.version < self._seen and not doubtful:
            doubtful, changes = True, await self._store.changes(0)
        if not doubtful and not changes.records:
            return True
        records = {} if doubtful else dict(self._records)
        _merge(records, changes.records)
        while changes.seen < changes.version:
            changes = await self._store.changes(changes.seen)
            _merge(records, changes.records)
        self._records, self._seen = records, changes.seen
        self._by_sha256 = {secret.sha256: record for record in records.values() for secret in record.secrets}
        if doubtful:
            self._reread_at = began_at
        return True


def _merge(records: dict[str, KeyRecord], changed: Mapping[str, KeyRecord | None]) -> None:
    for key_id, record in changed.items():
        if record is None:
            records.pop(key_id, None)
        else:
            records[key_id] = record
