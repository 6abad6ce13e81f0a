"""Replicate's calls back: a signed POST when a prediction has ended, sent again until somebody takes it.

From the vendor's OpenAPI document and its own client, which checks such calls: HMAC-SHA256 over `id.timestamp.body`.
Only `completed` events are sent; of `start`, `output` and `logs` there are none here.
"""

import asyncio
import base64
import hashlib
import hmac
import secrets
import ssl
import time
from dataclasses import dataclass, field
from typing import Any

import httpx2
import orjson

from gateway.sandbox.clock import Clock
from gateway.sandbox.ledger import Ledger
from gateway.sandbox.predictions import TERMINAL, Prediction

__all__ = ["SECRET", "Promise", "Webhooks", "wants_the_end"]

SECRET = "whsec_c2FuZGJveC13ZWJob29rLXNpZ25pbmcta2V5"  # noqa: S105 - signs nothing real
_LOOK_EVERY_S = 0.05
_TRIES = 6
_FIRST_WAIT_S = 0.25
_ANSWER_S = 5.0


def wants_the_end(body: dict[str, Any]) -> str | None:
    """Where a creation's body asks for the `completed` event, None where it does not. No filter means every event."""
    events = body.get("webhook_events_filter")
    url = body.get("webhook")
    return url if isinstance(url, str) and (not events or "completed" in events) else None


@dataclass(frozen=True, slots=True)
class Promise:
    """To call `url` when `prediction` has ended, so many `times` with the same message. `base_url` is the sandbox's."""

    url: str
    prediction: Prediction
    base_url: str
    times: int = 1


@dataclass(slots=True)
class Webhooks:
    """The calls that are still to be made. Must be closed."""

    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    _client: httpx2.AsyncClient | None = None

    def promise(self, promise: Promise, clock: Clock, books: Ledger) -> None:
        """Call back once the prediction has ended."""
        task = asyncio.create_task(self._keep(promise, clock, books), name="sandbox-webhook")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Call nobody any more."""
        left = list(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    async def _keep(self, promise: Promise, clock: Clock, books: Ledger) -> None:
        prediction = promise.prediction
        while prediction.status not in TERMINAL:
            await asyncio.sleep(_LOOK_EVERY_S)
            prediction.settle(clock.now(), books)
        body = orjson.dumps(prediction.view(clock.now(), promise.base_url))
        message_id = f"msg_{secrets.token_hex(12)}"  # the same on every try
        for _ in range(promise.times):
            await self._call(promise.url, message_id, body)

    async def _call(self, url: str, message_id: str, body: bytes) -> None:
        for number in range(_TRIES):
            if await self._taken(url, message_id, int(time.time()), body):  # signed anew on every try
                return
            await asyncio.sleep(_FIRST_WAIT_S * 2**number)

    async def _taken(self, url: str, message_id: str, now: int, body: bytes) -> bool:
        if self._client is None:
            context = await asyncio.to_thread(ssl.create_default_context)
            self._client = httpx2.AsyncClient(verify=context, trust_env=False, timeout=_ANSWER_S)
        key = base64.b64decode(SECRET.removeprefix("whsec_"))
        digest = hmac.digest(key, f"{message_id}.{now}.".encode() + body, hashlib.sha256)
        headers = {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(now),
            "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
        }
        try:
            reply = await self._client.post(url, content=body, headers=headers)
        except httpx2.TransportError:
            return False
        return reply.is_success
