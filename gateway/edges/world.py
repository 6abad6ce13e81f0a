"""Time and chance, as one object that is handed in, so that nothing below it reads a clock or rolls dice."""

import asyncio
import os
import random
import time
from collections.abc import Awaitable

__all__ = ["World"]

_POOL_BYTES = 4096  # fetched from the kernel at a time: a system call for every token costs more than the token


class World:
    """The real clock and the real dice. Not to be taken along into a forked process."""

    def __init__(self) -> None:
        self._dice = random.Random(os.urandom(32))  # noqa: S311 for what may be guessed
        self._pool, self._used = b"", 0

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds on a clock that never jumps; only differences mean anything."""
        return time.monotonic()

    def sleep(self, seconds: float) -> Awaitable[None]:
        """Wait."""
        return asyncio.sleep(seconds)

    def jitter(self) -> float:
        """A random number in [0, 1), not for secrets."""
        return self._dice.random()

    def seed(self) -> int:
        """A random seed in 1..2^31-1, the range that every vendor's seed allows."""
        return self._dice.randint(1, (1 << 31) - 1)

    def token(self, length_bytes: int) -> bytes:
        """Unguessable bytes: the kernel's, each of them given out once."""
        end = self._used + length_bytes
        if end > len(self._pool):
            self._pool, self._used, end = os.urandom(max(_POOL_BYTES, length_bytes)), 0, length_bytes
        self._used, start = end, self._used
        return self._pool[start:end]
