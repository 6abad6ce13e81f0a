"""What vendors sign their calls back with: asked of the vendor once, and again when a signature does not fit."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.domain.catalogue import Account
from gateway.domain.exchange import Dialect, Fault
from gateway.edges.upstreams import Upstreams
from gateway.policies.webhook_signing import key_of

__all__ = ["WebhookSecrets"]

ASK_EVERY_S = 60.0  # forged calls must not make us ask without end
_ASK_S = 5.0


@dataclass(slots=True)
class _Known:
    key: bytes | None = field(default=None, repr=False)
    asked_at: float = float("-inf")
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class WebhookSecrets:
    """The keys of accounts, by account, in memory only. A vendor is asked at most once a minute for each account."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[str, _Known] = {}

    async def key_of(
        self, account: Account, dialect: Dialect, upstreams: Upstreams, *, doubted: bytes | None = None
    ) -> bytes | None:
        """The key that this account's calls back are signed with; None while the vendor cannot be asked.

        `doubted` is one that did not fit: another is asked for, where that may be.
        """
        known = self._known.setdefault(account.id, _Known())
        async with known.turn:
            wanted = known.key is None or known.key == doubted
            if wanted and self._clock() - known.asked_at >= ASK_EVERY_S:
                known.asked_at = self._clock()
                known.key = await self._asked(account, dialect, upstreams) or known.key
            return known.key

    async def _asked(self, account: Account, dialect: Dialect, upstreams: Upstreams) -> bytes | None:
        if dialect.callback is None:
            return None
        reply = await upstreams.send(account.id, dialect, dialect.callback.secret_call(account), deadline_s=_ASK_S)
        if isinstance(reply, Fault):
            return None
        upstreams.discard(reply)
        return key_of(dialect.callback.secret_in(reply), least_bytes=1)
