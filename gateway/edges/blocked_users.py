"""End users that were refused or are blocked, as Redis holds them, and this replica's own copy of who is blocked.

Keys, all in one hash slot:
  {samurai}:users:blocked        hash: since when an end user (`EndUser.name`) is blocked
  {samurai}:users:version        counter: one more with every change of that list
  {samurai}:usage:refused:<day>  hash: refused prompts of each end user on one day (counted from 1970)
"""

import asyncio
import time
from collections import Counter
from contextlib import suppress
from datetime import date
from pathlib import Path

import structlog

from gateway.edges.key_store import AUDIT, AUDIT_LINES, Deed, audit_line
from gateway.edges.limits import BOOKS
from gateway.edges.redis_store import RedisStore, RedisUnavailable, Script
from gateway.edges.usage_books import day_number, pairs_of
from gateway.policies.end_users import REFUSALS_KEPT_DAYS, EndUser, EndUserRecord, records_of
from gateway.policies.key_fields import moment

__all__ = ["BlockedUsers"]

POLL_S = 0.5  # a change is to work everywhere within 2 s, also where one look fails
REREAD_S = 300.0  # a failover can lose writes and count on, which no version shows

_BLOCKED = "{samurai}:users:blocked"
_VERSION = "{samurai}:users:version"
_WRITE = Script.load(Path(__file__).with_name("user_write.lua"))
_CHANGES = Script.load(Path(__file__).with_name("user_changes.lua"))


class BlockedUsers:
    """Follows the block list and changes it. `in` answers from memory, whatever Redis does, by an end user's name.

    While Redis is away the list stays as it was last heard. Methods that ask Redis raise RedisUnavailable.
    """

    def __init__(self, redis: RedisStore) -> None:
        self._redis = redis
        self._names: frozenset[str] = frozenset()
        self._seen = ""
        self._reread_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("users")

    def __contains__(self, name: object) -> bool:
        return name in self._names

    async def start(self) -> None:
        """Read the list, if Redis lets us, and follow it from now on."""
        with suppress(RedisUnavailable):
            await self.look()
        self._task = asyncio.create_task(self._follow(), name="blocked-users")

    async def stop(self) -> None:
        """Follow no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def look(self) -> None:
        """Catch up with Redis now."""
        now_s = time.monotonic()
        doubtful = now_s - self._reread_at >= REREAD_S
        version, names = await self._redis.run(_CHANGES, (_BLOCKED, _VERSION), ("" if doubtful else self._seen,))
        if doubtful or version.decode() != self._seen:
            self._names = frozenset(name.decode() for name in names)
            self._seen, self._reread_at = version.decode(), now_s

    async def switch(self, user: EndUser, deed: Deed, *, blocked: bool) -> bool:
        """Block or unblock an end user; False, with nothing written, when it was so already."""
        state = {"user_hash": user.user_hash, "blocked": blocked}
        line = audit_line(deed, user.key_id, state | {"blocked": not blocked}, state)
        since = (moment(deed.at) or "") if blocked else ""
        done = await self._redis.run(_WRITE, (_BLOCKED, _VERSION, AUDIT), (user.name, since, line, AUDIT_LINES))
        await self.look()
        return bool(done)

    async def records(self, today: date) -> tuple[EndUserRecord, ...]:
        """Everybody who was refused within the last 30 days or is blocked."""
        blocked = pairs_of(await self._redis.call("HGETALL", _BLOCKED))
        refusals: Counter[str] = Counter()
        last = day_number(today)
        for day in range(last - REFUSALS_KEPT_DAYS + 1, last + 1):
            for name, number in pairs_of(await self._redis.call("HGETALL", f"{BOOKS}refused:{day}")):
                refusals[name.decode()] += int(number)
        return records_of(refusals, {name.decode(): since.decode() for name, since in blocked})

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self.look()
            except RedisUnavailable as problem:
                self._log.debug("the block list could not be read", reason=problem.reason)
