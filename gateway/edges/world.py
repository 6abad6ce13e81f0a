"""Time and chance, as one object that is handed in, so that nothing below it reads a clock or rolls dice."""

import asyncio
import secrets
import time

__all__ = ["World"]


class World:
    """The real clock and the real dice."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds on a clock that never jumps; only differences mean anything."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    def jitter(self) -> float:
        """A random number in [0, 1)."""
        return secrets.randbits(53) / (1 << 53)

    def seed(self) -> int:
        """A random seed in 1..2^31-1, the range that every vendor's seed allows."""
        return 1 + secrets.randbelow((1 << 31) - 1)

    def token(self, length_bytes: int) -> bytes:
        """Unguessable bytes."""
        return secrets.token_bytes(length_bytes)
