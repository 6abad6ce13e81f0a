"""The sandbox's time: the machine's, plus whatever a test has let pass."""

import asyncio
import time
from datetime import UTC, datetime

__all__ = ["Clock", "iso"]


class Clock:
    """Unix time that can be pushed ahead, so that an hour's expiry is shown in no time."""

    def __init__(self) -> None:
        self._ahead_s = 0.0
        self._moved = asyncio.Event()
        self.stopped = False

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time() + self._ahead_s

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass at once; whoever waits for a moment that is now past goes on."""
        self._ahead_s += seconds
        self._moved.set()
        self._moved = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """Come back when `seconds` of this clock have passed."""
        until = self.now() + seconds
        while (left := until - self.now()) > 0 and not self.stopped:
            moved = self._moved
            try:
                await asyncio.wait_for(moved.wait(), left)
            except TimeoutError:
                return

    def stop(self) -> None:
        """The sandbox ends: nobody waits any longer."""
        self.stopped = True
        self._moved.set()


def iso(moment: float) -> str:
    """A moment as Replicate and others write it: `2026-11-22T10:00:00.123Z`."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
