"""The clients: stock OpenAI SDKs with their own retries, some with an Idempotency-Key, some that hang up."""

import asyncio
import base64
import random
from collections import Counter
from collections.abc import Callable, Container, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import httpx2
import openai

__all__ = ["Crowd", "Wish"]

Form = Literal["url", "b64_json"]
FORMS: tuple[Form, ...] = ("url", "b64_json")
MODELS: Mapping[str, int] = {"flux-schnell": 4, "flux-1.1-pro": 5, "dall-e-3": 1, "ideogram-v3": 1, "imagen-3": 1}
_MOST: Mapping[str, int] = {"dall-e-3": 2}
_TRIES_ANEW = 3  # of a caller who got no answer and wants one: as the same call again, not as a new wish
_SDK_TIMEOUT_S = 60.0
_FINAL_TRIES = 8


@dataclass
class Wish:
    """What one caller wants, once, however often it is asked for. `images` were delivered."""

    name: str
    model: str
    n: int
    form: Form
    keyed: bool
    patience_s: float | None
    images: int = 0
    links: list[str] = field(default_factory=list)
    ended: str = ""
    operation: str = ""
    tries: int = 0
    is_lost_here: bool = False

    @property
    def is_replicates(self) -> bool:
        return self.model.startswith("flux")

    def shown(self) -> dict[str, Any]:
        return asdict(self)


class Crowd:
    """Makes wishes until `enough()`; `wishes` are all that were ever sent."""

    def __init__(self, url: str, key: str, prefix: str, dice: random.Random) -> None:
        http = httpx2.AsyncClient(limits=httpx2.Limits(max_connections=200), timeout=_SDK_TIMEOUT_S)
        self._sdk = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, timeout=_SDK_TIMEOUT_S, http_client=http)
        self._prefix, self._dice = prefix, dice
        self.wishes: dict[str, Wish] = {}
        self.outcomes: Counter[str] = Counter()

    async def work(self, clients: int, enough: Callable[[], bool]) -> None:
        """Let so many callers make one wish after another."""
        await asyncio.gather(*(self._call_on(enough) for _ in range(clients)))

    async def settle_all(self, taken: Container[str], at_once: int = 8) -> None:
        """Ask once more, as the same calls, for all that was not delivered.

        The answers of `taken` were taken by this end of the connection and lost there. Minutes later, who has no key to
        name the call by is a new caller by the contract; what was paid for is kept.
        """
        left = [one for one in self.wishes.values() if not one.images]
        for wish in left:
            wish.is_lost_here = not wish.keyed and wish.name in taken
        left = [one for one in left if not one.is_lost_here]
        places = asyncio.Semaphore(at_once)

        async def final(wish: Wish) -> None:
            async with places:
                for _ in range(_FINAL_TRIES):
                    if await self._try(wish, again=True):
                        return
                    await asyncio.sleep(1.0)

        await asyncio.gather(*map(final, left))

    async def aclose(self) -> None:
        await self._sdk.close()

    def _next(self) -> Wish:
        dice = self._dice
        model = dice.choices(list(MODELS), list(MODELS.values()))[0]
        wish = Wish(
            name=f"wish-{self._prefix}-{len(self.wishes)}-end",
            model=model,
            n=dice.choices((1, 2, 3, 4), (6, 3, 1, 2))[0] if model not in _MOST else dice.randint(1, _MOST[model]),
            form=dice.choice(FORMS),
            keyed=dice.random() < 0.4,
            patience_s=dice.uniform(0.05, 1.5) if dice.random() < 0.08 else None,
        )
        self.wishes[wish.name] = wish
        return wish

    async def _call_on(self, enough: Callable[[], bool]) -> None:
        while not enough():
            wish = self._next()
            if wish.patience_s is not None:
                try:
                    async with asyncio.timeout(wish.patience_s):
                        await self._try(wish, again=False)
                except TimeoutError:
                    wish.ended = "left"
            else:
                for number in range(_TRIES_ANEW):
                    if await self._try(wish, again=number > 0):
                        break
                    await asyncio.sleep(self._dice.uniform(0.2, 1.5))
            self.outcomes[wish.ended] += 1

    async def _try(self, wish: Wish, *, again: bool) -> bool:
        """One call with the SDK's own retries; whether it is over, one way or the other."""
        headers = {"idempotency-key": wish.name} if wish.keyed else {}
        if again and not wish.keyed:
            headers["x-stainless-retry-count"] = "1"  # as the SDK would have gone on, had it more retries
        wish.tries += 1
        try:
            reply = await self._sdk.images.with_raw_response.generate(
                model=wish.model,
                prompt=wish.name,
                n=wish.n,
                size="256x256",
                response_format=wish.form,
                extra_headers=headers,
            )
        except openai.APIStatusError as error:
            wish.ended = _code(error)
            wish.operation = error.response.headers.get("x-samurai-operation-id", wish.operation)
            return error.response.headers.get("x-should-retry") == "false"
        except openai.APIConnectionError as error:
            wish.ended = type(error).__name__
            return False
        wish.operation = reply.headers.get("x-samurai-operation-id", "")
        data = reply.parse().data or []
        wish.links = [image.url for image in data if image.url]
        wish.images = len(wish.links) + sum(len(base64.b64decode(one.b64_json)) > 1000 for one in data if one.b64_json)
        wish.ended = "ok" if wish.images == wish.n else "short"
        return True


def _code(error: openai.APIStatusError) -> str:
    body = error.body if isinstance(error.body, dict) else {}
    return f"{error.status_code} {body.get('code')}"
