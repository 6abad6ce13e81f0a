"""What a Redis must be for money and limits to be safe in it: one that lets us in, and one that never forgets."""

import asyncio
from contextlib import suppress
from pathlib import Path

import structlog

from gateway.edges.redis_store import PROBE_KEY, Reason, RedisStore, RedisUnavailable, Script

__all__ = ["NOEVICTION", "EvictionWatch", "NotAdmitted", "check_admission", "eviction_policy", "may_forget"]

NOEVICTION = "noeviction"  # the only policy under which a full server refuses instead of forgetting
LOOK_EVERY_S = 60.0

_POLICY = Script.load(Path(__file__).with_name("redis_policy.lua"))
# What no waiting mends: wrong credentials, rights that are missing, certificates that do not fit.
_OURS_TO_MEND = frozenset({Reason.AUTH, Reason.TLS})


class NotAdmitted(Exception):  # noqa: N818 - it is what happened, as in `CannotListen`
    """Redis answers, but will not have us; the message says why, in the server's words."""


async def check_admission(redis: RedisStore) -> None:
    """Before a start: may we connect, write and run scripts? A server that is merely away is logged, and forgiven.

    Raises NotAdmitted where the address, its user or the certificates have to be corrected.
    """
    try:
        await redis.ping()
        await redis.run(_POLICY, [PROBE_KEY], [])
    except RedisUnavailable as problem:
        if problem.reason in _OURS_TO_MEND:
            raise NotAdmitted(f"Redis does not admit this gateway ({problem.reason}): {problem.detail}") from None
        structlog.get_logger("redis").warning(
            "redis is away: serving on this replica's share", reason=problem.reason.value, detail=problem.detail
        )


async def eviction_policy(redis: RedisStore) -> str | None:
    """The server's `maxmemory-policy`; None where it does not tell. Raises RedisUnavailable."""
    told: bytes = await redis.run(_POLICY, [PROBE_KEY], [])
    return told.decode() or None


def may_forget(policy: str | None) -> bool:
    """Whether a server of this policy throws keys away when its memory is short. One that does not tell is trusted."""
    return policy not in (None, NOEVICTION)


class EvictionWatch:
    """Looks at the policy at the start and every minute: after a failover another server answers, with its own."""

    def __init__(self, redis: RedisStore, *, every_s: float = LOOK_EVERY_S) -> None:
        self._redis = redis
        self._every_s = every_s
        self._policy: str | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def may_forget(self) -> bool:
        """Whether the server, when last seen, might throw away what it is told."""
        return may_forget(self._policy)

    async def keeps(self) -> bool:
        """Look now: whether the server keeps what it is told. While it is away, what was last seen counts."""
        with suppress(RedisUnavailable):
            self._note(await eviction_policy(self._redis))
        return not self.may_forget

    async def start(self) -> None:
        """Look once, then go on in the background."""
        await self.keeps()
        self._task = asyncio.create_task(self._run(), name="redis-eviction-watch")

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            await self.keeps()

    def _note(self, policy: str | None) -> None:
        before, self._policy = self._policy, policy
        if policy == before:
            return
        log = structlog.get_logger("redis")
        if may_forget(policy):
            log.warning(
                "redis forgets limits, bookings and receipts when its memory is short",
                maxmemory_policy=policy,
                advice=f"set maxmemory-policy to {NOEVICTION}",
            )
        elif may_forget(before):
            log.info("redis keeps what it is told again", maxmemory_policy=policy)
