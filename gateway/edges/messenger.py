"""Tells a key's owner, over a signed webhook, how an operation ended; nothing waits for it and nothing fails by it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx2
import structlog
from aiohttp.abc import AbstractResolver

from gateway import __version__
from gateway.domain.facts import Listener, WebhookSent
from gateway.edges.transport import AiohttpTransport, Timeouts, describe
from gateway.edges.world import World
from gateway.policies.addresses import Origin, Refused, is_loopback, judge_url, origin_of
from gateway.policies.webhook_signing import signed_headers

__all__ = ["Messenger", "Receiver"]

TRIES = 3
FIRST_WAIT_S = 2.0  # four times as long before the third try: a restart of the receiver is over by then
_TIMEOUTS = Timeouts(first_byte_s=10.0, total_s=15.0)
_MOST_UNDER_WAY = 1000  # of a few KB each; a receiver that is away must not fill the memory
_LAST_WORDS_S = 5.0


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where the ends of a key's operations are told, and the key that signs them. Raises ValueError for a bad URL."""

    url: str
    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        match origin_of(self.url):
            case Refused(reason):
                raise ValueError(f"webhook: {reason}")
            case origin:
                verdict = judge_url(self.url, (), origin)
        match verdict:
            case Refused(reason):
                raise ValueError(f"webhook: {reason}")

    @property
    def is_near(self) -> bool:
        """Whether it is on this machine, as it was configured to be."""
        origin = origin_of(self.url)
        return isinstance(origin, Origin) and is_loopback(origin.host)


class Messenger:
    """Sends in tasks of its own. A receiver of the outside is reached at public addresses only, near ones at theirs."""

    def __init__(
        self,
        receivers: Mapping[str, Receiver] | None = None,
        world: World | None = None,
        tell: Listener = lambda _: None,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._receivers = receivers or {}
        self._world = world or World()
        self._tell = tell
        self._far = AiohttpTransport(resolver=resolver)
        self._near = AiohttpTransport(loopback_allowed=True)
        self._under_way: set[asyncio.Task[None]] = set()

    def adopt(self, receivers: Mapping[str, Receiver]) -> None:
        """Send to these from now on, by the id of the key."""
        self._receivers = receivers

    def serves(self, key_id: str) -> bool:
        """Whether somebody wants to hear of this key's operations."""
        return key_id in self._receivers

    def send_soon(self, key_id: str, message_id: str, body: bytes) -> None:
        """Tell the owner of this key, if there is anybody to be told."""
        receiver = self._receivers.get(key_id)
        if receiver is None:
            return
        if len(self._under_way) >= _MOST_UNDER_WAY:
            self._tell(WebhookSent(ok=False))
            return
        task = asyncio.create_task(self._send(receiver, message_id, body), name="webhook")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def aclose(self) -> None:
        """Let what is under way come to its end for a moment, then close all connections."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=_LAST_WORDS_S)
        left = list(self._under_way)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._far.aclose()
        await self._near.aclose()

    async def _send(self, receiver: Receiver, message_id: str, body: bytes) -> None:
        seen = ""
        for number in range(TRIES):
            if number:
                await self._world.sleep(FIRST_WAIT_S * 4 ** (number - 1) * (0.8 + 0.4 * self._world.jitter()))
            seen = await self._try(receiver, message_id, body)
            if not seen:
                self._tell(WebhookSent(ok=True))
                return
        self._tell(WebhookSent(ok=False))
        structlog.get_logger("webhooks").warning("a webhook could not be sent", operation=message_id, reason=seen)

    async def _try(self, receiver: Receiver, message_id: str, body: bytes) -> str:
        """Why it was not taken; empty when it was. A redirect is not followed, and no success."""
        headers = signed_headers(receiver.key, message_id, self._world.now(), body)
        headers |= {"content-type": "application/json", "user-agent": f"samurai-gateway/{__version__}"}
        transport = self._near if receiver.is_near else self._far
        try:
            reply = await transport.exchange("POST", receiver.url, headers, body, _TIMEOUTS)
        except httpx2.TransportError as failure:
            return describe(failure)
        reply.body.close()
        return "" if 200 <= reply.status < 300 else f"status {reply.status}"
