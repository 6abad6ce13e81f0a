"""Turns: of a crowd that comes at one moment, a few begin in each pass of the event loop.

If all began in one pass, nothing that they have asked for would be read before it ends: what answers at once would
seem not to answer at all, and everybody would hold the most that one ever holds at the same time.
"""

import asyncio
from collections import deque

__all__ = ["Turns"]

_A_PASS = 32  # of the costliest beginnings, a millisecond each: far less than an answer of Redis may take


class Turns:
    """Lets `most` begin in one pass of the running event loop, first come, first served."""

    def __init__(self, most: int = _A_PASS) -> None:
        self._most = self._left = most
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def turn(self) -> None:
        """Wait for a pass with room in it: this one, unless many came before."""
        loop = asyncio.get_running_loop()
        if self._left == self._most:
            loop.call_soon(self._next_pass)
        if self._left > 0:
            self._left -= 1
            return
        waiter = loop.create_future()
        self._waiting.append(waiter)
        await waiter

    def _next_pass(self) -> None:
        self._left = self._most
        while self._waiting and self._left > 0:
            waiter = self._waiting.popleft()
            if not waiter.done():  # else whoever waited was cancelled
                waiter.set_result(None)
                self._left -= 1
        if self._left < self._most:
            asyncio.get_running_loop().call_soon(self._next_pass)
