"""aiohttp's pool of connections, mended in three places: a lost turn, a close that waits, a clock that runs on."""

from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.tracing import Trace

__all__ = ["Pool"]


class Pool(aiohttp.TCPConnector):
    """Keeps every slot in use, whoever gives up and whatever the other side does not do."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        made: type[ResponseHandler] = _Wire
        self._factory = partial(made, loop=self._loop)

    async def _wait_for_available_connection(self, key: ConnectionKey, traces: list[Trace]) -> None:
        try:
            await super()._wait_for_available_connection(key, traces)
        except BaseException:
            # Its turn may have come in the same moment: unless it is passed on, the next in line waits in vain.
            self._release_waiter()
            raise


class _Wire(ResponseHandler):
    """One connection."""

    def close(self) -> None:
        """Drop what is not yet sent: for a peer that takes nothing, memory and descriptor would be held for ever."""
        self.abort()

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002  aiohttp's
        """As aiohttp's, which starts the clock of the reply's body also where that has just ended.

        It would run out on a connection at rest, and end the next request.
        """
        was_over = self._is_over()
        super().resume_reading(resume_parser)
        if self._is_over() and not was_over:
            self._drop_timeout()

    def _is_over(self) -> bool:
        return self._payload is not None and self._payload.is_eof()
