"""Google's access tokens, always at hand: renewed early, in a thread of their own, for all callers at once."""

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from gateway.edges.credentials import CredentialUnavailable
from gateway.edges.google_sources import FetchedToken, TokenSource

__all__ = ["GoogleToken"]

_EARLY_S = 300.0  # the metadata server keeps its own copy until five minutes before the end
_PAUSE_S = 5.0  # between two renewals while the present token still serves
_FAILURE_HOLDS_S = 1.0  # without a token, a failure answers everybody for so long


class GoogleToken:
    """The credential of a Vertex account.

    At half its life (or five minutes before its end, if that is earlier) a token is renewed in the background
    while it goes on serving, also when the renewal fails. Only without a valid token does a caller wait, and all
    callers wait for the same renewal.
    """

    def __init__(self, source: TokenSource, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._token = ""
        self._renew_at = self._ends_at = float("-inf")
        self._began_at = self._renewed_at = float("-inf")
        self._failure: tuple[float, CredentialUnavailable] | None = None
        self._renewal: asyncio.Future[None] | None = None

    def known(self) -> str | None:
        """The token, until it is to be renewed."""
        return self._token if self._clock() < self._renew_at else None

    async def secret(self, *, fresh: bool = False) -> str:
        """The token; with `fresh`, one renewed after this call or at most a few seconds before it.

        Raises CredentialUnavailable when there is none and none can be had.
        """
        now = self._clock()
        if now >= self._ends_at:
            self._raise_recent_failure(now)
            await self._renewed()
        elif fresh and now - self._renewed_at > _PAUSE_S:
            with suppress(CredentialUnavailable):
                await self._renewed()
        elif now >= self._renew_at and now - self._began_at > _PAUSE_S:
            self._renew()
        return self._token

    def _raise_recent_failure(self, now: float) -> None:
        if self._failure is not None and now - self._failure[0] < _FAILURE_HOLDS_S:
            raise CredentialUnavailable(str(self._failure[1])) from self._failure[1]

    async def _renewed(self) -> None:
        renewal = self._renew()
        # Shielded: a caller who leaves must not take the token from the others.
        await asyncio.shield(renewal)

    def _renew(self) -> "asyncio.Future[None]":
        if self._renewal is None:
            self._began_at = self._clock()
            self._renewal = asyncio.get_running_loop().create_future()
            # A daemon: neither a slow endpoint nor google-auth's own waiting may hold up the end of the process.
            run = _fetch_into(self._source, asyncio.get_running_loop(), self._note)
            threading.Thread(target=run, name="google-token", daemon=True).start()
        return self._renewal

    def _note(self, result: FetchedToken | CredentialUnavailable) -> None:
        renewal, self._renewal = self._renewal, None
        now = self._clock()
        if isinstance(result, FetchedToken):
            self._token, self._failure = result.token, None
            self._renewed_at, self._ends_at = now, now + result.life_s
            self._renew_at = now + min(result.life_s / 2, result.life_s - _EARLY_S)
        else:
            self._failure = (now, result)
        if renewal is None or renewal.done():
            return
        if isinstance(result, FetchedToken):
            renewal.set_result(None)
        else:
            renewal.set_exception(result)
            renewal.exception()  # heard, even if nobody waits

    def __repr__(self) -> str:
        return "GoogleToken(…)"


def _fetch_into(
    source: TokenSource,
    loop: asyncio.AbstractEventLoop,
    note: Callable[[FetchedToken | CredentialUnavailable], None],
) -> Callable[[], None]:
    def run() -> None:
        result: FetchedToken | CredentialUnavailable
        try:
            result = source()
        except CredentialUnavailable as failure:
            result = failure
        except Exception as failure:  # noqa: BLE001  (a thread's end: whatever is lost here leaves callers waiting)
            result = CredentialUnavailable(type(failure).__name__)
        with suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(note, result)

    return run
