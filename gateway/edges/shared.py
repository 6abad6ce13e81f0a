"""One answer for all who ask the same at the same moment."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["Shared"]

T = TypeVar("T")

_FRESH_S = 1.0
"""For how long an answer is anybody's: hundreds of operations may look for their work after an outage."""


class Shared(Generic[T]):
    """Keeps answers for a second. An exception is everybody's, too."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._asked: dict[Hashable, tuple[float, asyncio.Task[T]]] = {}

    async def get(self, what: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        """What `ask` answers, or answered somebody else a moment ago. Safe to cancel: the asking goes on."""
        now = self._clock()
        known = self._asked.get(what)
        if known is None or known[0] + _FRESH_S <= now:
            self._asked = {key: one for key, one in self._asked.items() if one[0] + _FRESH_S > now}
            known = self._asked[what] = now, asyncio.ensure_future(_answered(ask))
        return await asyncio.shield(known[1])

    async def aclose(self) -> None:
        """Give up what is being asked."""
        for _, asked in self._asked.values():
            asked.cancel()
        await asyncio.gather(*(asked for _, asked in self._asked.values()), return_exceptions=True)


async def _answered(ask: Callable[[], Awaitable[T]]) -> T:
    return await ask()
