"""The callers: several models, sizes, forms and counts; some stream, ask later, say it twice, or hang up."""

import asyncio
import base64
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx2

from tests.soak.stage import NARROW_KEY

__all__ = ["Crowd", "Wish"]

Kind = Literal["plain", "keyed", "stream", "later", "leaves", "narrow", "wrong"]
_KINDS: Mapping[Kind, int] = {
    "plain": 46,
    "keyed": 16,
    "stream": 12,
    "later": 8,
    "leaves": 8,
    "narrow": 6,
    "wrong": 4,
}
_MODELS: Mapping[str, int] = {"flux-schnell": 4, "flux-1.1-pro": 3, "dall-e-3": 2, "ideogram-v3": 2, "imagen-3": 2}
_SIZES = ("256x256", "512x512", "1024x1024")
_WRONG: tuple[Mapping[str, Any], ...] = ({"size": "3x3"}, {"n": 99}, {"model": "nobody"}, {"style": 7}, {"x": 1})
_RETRIES = 2  # as many as the stock SDKs make
_LONGEST_WAIT_S = 4.0
_LATER_S = 150.0  # a call that is paid for is listened to for a minute after its deadline
_TIMEOUT_S = 60.0
_MOST_AT_ONCE = 60


@dataclass
class Wish:
    """What one caller wants. `images` were delivered; `ended` is `ok`, a code, or how the connection ended."""

    name: str
    kind: Kind
    model: str
    n: int
    images: int = 0
    ended: str = ""
    operation: str = ""


@dataclass
class Crowd:
    """Makes wishes at random moments, `rate_s` of them a second, until `enough()`."""

    url: str
    key: str = field(repr=False)
    prefix: str
    dice: random.Random
    rate_s: float
    wishes: dict[str, Wish] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)
    links_read: Counter[str] = field(default_factory=Counter)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    async def work(self, enough: Callable[[], bool]) -> None:
        """Send until it is enough, and wait for every answer."""
        async with httpx2.AsyncClient(base_url=self.url, timeout=_TIMEOUT_S) as client:
            while not enough():
                await asyncio.sleep(self.dice.expovariate(self.rate_s))
                if len(self._tasks) < _MOST_AT_ONCE:
                    task = asyncio.create_task(self._served(self._next(), client))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
            if self._tasks:
                await asyncio.wait(self._tasks)

    def _next(self) -> Wish:
        dice = self.dice
        kind = dice.choices(list(_KINDS), list(_KINDS.values()))[0]
        model = dice.choices(list(_MODELS), list(_MODELS.values()))[0]
        wish = Wish(f"wish-{self.prefix}-{len(self.wishes)}-end", kind, model, dice.choices((1, 2, 4), (7, 3, 1))[0])
        self.wishes[wish.name] = wish
        return wish

    async def _served(self, wish: Wish, client: httpx2.AsyncClient) -> None:
        body = {"model": wish.model, "prompt": wish.name, "n": wish.n, "size": self.dice.choice(_SIZES)}
        if wish.kind == "stream":
            wish.ended = await self._streamed(wish, body | {"stream": True}, client)
        elif wish.kind == "leaves":
            wish.ended = await self._left(body, client)
        elif wish.kind == "wrong":
            wish.ended = _code(await self._post(body | dict(self.dice.choice(_WRONG)), {}, client))
        else:
            body["response_format"] = self.dice.choice(("url", "b64_json"))
            wish.ended = await self._asked(wish, body, client)
        self.answers[wish.ended] += 1

    async def _asked(self, wish: Wish, body: Mapping[str, Any], client: httpx2.AsyncClient) -> str:
        """Ask as the stock SDKs do, with their retries; keyed calls that went well are said once more."""
        headers = {"idempotency-key": wish.name} if wish.kind == "keyed" else {}
        if wish.kind == "later":
            headers["prefer"] = "respond-async"
        if wish.kind == "narrow":
            headers["authorization"] = f"Bearer {NARROW_KEY}"
        for number in range(_RETRIES + 1):
            again = {"x-stainless-retry-count": str(number)} if number else {}
            reply = await self._post(body, headers | again, client)
            if reply is None or reply.is_success or reply.headers.get("x-should-retry") != "true":
                break
            await asyncio.sleep(min(_LONGEST_WAIT_S, float(reply.headers.get("retry-after", 1))))
        if reply is not None:
            wish.operation = reply.headers.get("x-samurai-operation-id", "")
        if reply is not None and reply.status_code == 202:
            return await self._waited_for(wish, reply.headers["location"], client)
        if reply is not None and reply.is_success:
            wish.images = await self._looked_at(reply.json()["data"], client)
            if wish.kind == "keyed":
                repeated = await self._post(body, headers, client)
                if repeated is not None and repeated.is_success and repeated.content != reply.content:
                    return "another answer to the same key"
            return "ok" if wish.images == wish.n else "short"
        return _code(reply)

    async def _waited_for(self, wish: Wish, where: str, client: httpx2.AsyncClient) -> str:
        ends_at = asyncio.get_running_loop().time() + _LATER_S
        while asyncio.get_running_loop().time() < ends_at:
            with suppress(httpx2.TransportError):
                reply = await client.get(where, headers=self._own())
                if reply.is_success and reply.json()["status"] == "completed":
                    wish.images = len(reply.json()["result"]["data"])
                    return "ok" if wish.images == wish.n else "short"
                if reply.is_success and reply.json()["status"] != "running":
                    return f"later: {reply.json()['status']}"
            await asyncio.sleep(0.5)
        return "later: never"

    async def _streamed(self, wish: Wish, body: Mapping[str, Any], client: httpx2.AsyncClient) -> str:
        code = "cut"
        try:
            async with client.stream("POST", "/v1/images/generations", json=body, headers=self._own()) as reply:
                wish.operation = reply.headers.get("x-samurai-operation-id", "")
                if not reply.is_success:
                    await reply.aread()
                    return _code(reply)
                async for line in reply.aiter_lines():
                    if line.startswith('data: {"type":"image_generation.completed"'):
                        wish.images += 1
                    elif line.startswith('data: {"type":"error"'):
                        code = json.loads(line.removeprefix("data: "))["error"]["code"]
                    elif line == "data: [DONE]":
                        code = "ok" if wish.images == wish.n else "short"
        except httpx2.TransportError as error:
            return type(error).__name__
        return code

    async def _left(self, body: Mapping[str, Any], client: httpx2.AsyncClient) -> str:
        try:
            async with asyncio.timeout(self.dice.uniform(0.02, 1.0)):
                return _code(await self._post(body, {}, client))
        except TimeoutError:
            return "left"

    async def _looked_at(self, data: list[dict[str, str]], client: httpx2.AsyncClient) -> int:
        """How many images there are; the links are opened."""
        count = 0
        for image in data:
            if "url" in image:
                read = await self._read(image["url"], client)
                self.links_read["well" if read else "not"] += 1
                count += read
            else:
                count += len(base64.b64decode(image["b64_json"])) > 100
        return count

    async def _read(self, url: str, client: httpx2.AsyncClient) -> bool:
        with suppress(httpx2.TransportError):
            reply = await client.get(url)
            return reply.is_success and len(reply.content) > 100
        return False

    async def _post(
        self, body: Mapping[str, Any], headers: Mapping[str, str], client: httpx2.AsyncClient
    ) -> httpx2.Response | None:
        with suppress(httpx2.TransportError):
            return await client.post("/v1/images/generations", json=body, headers=self._own() | dict(headers))
        return None

    def _own(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}


def _code(reply: httpx2.Response | None) -> str:
    if reply is None:
        return "no answer"
    return "ok" if reply.is_success else str(reply.json()["error"]["code"])
