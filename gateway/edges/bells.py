"""Who waits for a vendor's call back hears of it here, whichever replica the call came to.

Key: {samurai}:bell:<operation>:<number>   the vendor's id of the work that this paid call began
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from gateway.edges.redis_store import RedisStore, RedisUnavailable

__all__ = ["Bells"]

KEPT_S = 3600  # as long as Replicate keeps what its predictions made
LONGEST_S = 15.0
"""How long nothing is asked of a vendor that has promised to call back; the call may be lost, after all."""


class Bells:
    """One bell for each paid call, which rings once. Without Redis it is heard only where it was rung."""

    def __init__(self, redis: RedisStore | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._clock = clock
        self._waiting: dict[tuple[str, int], asyncio.Event] = {}

    async def ring(self, operation: str, number: int, vendor_id: str) -> bool:
        """Tell of a call back; whether whoever waits for it, here or elsewhere, can have heard of it."""
        waiting = self._waiting.get((operation, number))
        if waiting is not None:
            waiting.set()
        if self._redis is None:
            return waiting is not None
        try:
            await self._redis.call("SET", _key(operation, number), vendor_id, "EX", KEPT_S)
        except RedisUnavailable:
            return waiting is not None
        return True

    async def heard(self, operation: str, number: int) -> str:
        """What the vendor calls the work, once the bell has rung; empty before, and while Redis is away."""
        found: bytes | None = None
        if self._redis is not None:
            with suppress(RedisUnavailable):
                found = await self._redis.call("GET", _key(operation, number))
        return "" if found is None else found.decode()

    async def wait(
        self, operation: str, number: int, *, every_s: float, most_s: float, enough: Callable[[], bool]
    ) -> bool:
        """Wait for the bell, for `most_s` at the longest; whether it rang.

        Every `every_s` other replicas' bells are listened for, and `enough()` may end the wait.
        """
        place, ends_at = (operation, number), self._clock() + min(most_s, LONGEST_S)
        bell = self._waiting.setdefault(place, asyncio.Event())
        try:
            while not (bell.is_set() or await self.heard(operation, number)):
                left_s = ends_at - self._clock()
                if left_s <= 0 or enough():
                    return False
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(every_s, left_s)):
                        await bell.wait()
            return True
        finally:
            self._waiting.pop(place, None)


def _key(operation: str, number: int) -> str:
    return f"{{samurai}}:bell:{operation}:{number}"
