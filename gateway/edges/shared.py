"""One answer for all who ask the same at the same moment."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import Generic, TypeVar

__all__ = ["Shared"]

T = TypeVar("T")

_FRESH_S = 1.0
"""For how long an answer is anybody's: hundreds of operations may look for their work after an outage."""


class Shared(Generic[T]):
    """Keeps answers for `fresh_s` and lets go of them then, whether or not anybody asks again: one may be megabytes.

    An exception is everybody's, too.
    """

    def __init__(self, clock: Callable[[], float], fresh_s: float = _FRESH_S) -> None:
        self._clock = clock
        self._fresh_s = fresh_s
        self._asked: dict[Hashable, tuple[float, asyncio.Task[T]]] = {}

    def __len__(self) -> int:
        return len(self._asked)

    async def get(self, what: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        """What `ask` answers, or answered somebody else a moment ago. Safe to cancel: the asking goes on."""
        now = self._clock()
        known = self._asked.get(what)
        if known is None or known[0] + self._fresh_s <= now:
            known = self._asked[what] = now, asyncio.ensure_future(_answered(ask))
            known[1].add_done_callback(partial(self._answered, what))
        return await asyncio.shield(known[1])

    async def aclose(self) -> None:
        """Give up what is being asked."""
        for _, asked in self._asked.values():
            asked.cancel()
        await asyncio.gather(*(asked for _, asked in self._asked.values()), return_exceptions=True)

    def _answered(self, what: Hashable, asked: asyncio.Task[T]) -> None:
        asked.get_loop().call_later(self._fresh_s, self._let_go, what, asked)

    def _let_go(self, what: Hashable, asked: asyncio.Task[T]) -> None:
        known = self._asked.get(what)
        if known is not None and known[1] is asked:
            del self._asked[what]


async def _answered(ask: Callable[[], Awaitable[T]]) -> T:
    return await ask()
