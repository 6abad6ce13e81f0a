"""What goes wrong during the soak: one kind of fault after another at the vendors, and now and then a Redis away."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2

from tests.soak.stage import Stage

__all__ = ["FAULTS", "Troubles"]

_ALL = ("replicate", "openai", "ideogram", "vertex")
_WITHHOLDING: Mapping[str, tuple[dict[str, Any], ...]] = {
    "replicate": ({"refuse": "nsfw_some", "drop": 1}, {"refuse": "nsfw"}),
    "ideogram": ({"refuse": "unsafe_some", "drop": 1}, {"refuse": "unsafe"}),
    "vertex": ({"refuse": "image_safety"},),
    "openai": ({"error": "openai.moderation_blocked"},),
}
_THROTTLED: Mapping[str, Mapping[str, Any]] = {
    "replicate": {"error": "replicate.throttled_429", "headers": {"retry-after": "1"}},
    "openai": {"error": "openai.rate_limit_429", "headers": {"retry-after": "1"}},
    "ideogram": {"error": "ideogram.inflight_429"},
    "vertex": {"status": 429, "body": {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "busy"}}},
}
_UNUSABLE = ("corrupt", "truncated", "empty", "html", "svg", "one_pixel", "cmyk", "sixteen_bit")
_LIVES = ("fails", "stuck_processing", "succeeds_during_cancel", "unknown_status", "null_output")

Fault = tuple[str, str, str, Mapping[str, Any]]
"""Its name in the report, the vendor, the operation, and what happens."""


def _at_any(name: str, then: Mapping[str, Any], operation: str = "create") -> list[Fault]:
    return [(name, vendor, operation, then) for vendor in _ALL]


def _each(name: str, thens: Mapping[str, Mapping[str, Any]]) -> list[Fault]:
    return [(name, vendor, "create", then) for vendor, then in thens.items()]


FAULTS: tuple[tuple[Fault, ...], ...] = tuple(
    tuple(kind)
    for kind in (
        _each("429", _THROTTLED),
        _at_any("500", {"status": 500, "body": {"detail": "oops", "error": {"message": "oops"}}}),
        _at_any("503", {"status": 503, "body": {"detail": "busy", "error": {"message": "busy"}}}),
        _at_any("a 500 for work that is billed", {"status": 500, "body": {"error": "oops"}, "charged": True}),
        _at_any("reset before the request is read", {"wire": "reset_before_read"}),
        _at_any("reset before the reply, not billed", {"wire": "reset_after_read"}),
        _at_any("reset before the reply, billed", {"wire": "reset_after_read", "charged": True}),
        _at_any("reset in the reply", {"wire": "reset_mid_reply"}),
        _at_any("closed before the reply", {"wire": "close_after_read", "charged": True}),
        _at_any("body cut", {"wire": "truncated"}),
        _at_any("chunks cut", {"wire": "chunk_cut"}),
        _at_any("silence", {"wire": "stall_headers", "charged": True}),
        _at_any("body stalls", {"wire": "stall_body"}),
        _at_any("a byte a second", {"wire": "drip"}),
        _at_any("slow", {"latency_s": 3}),
        _at_any("malformed JSON", {"mangle": "malformed_json"}),
        _at_any("HTML", {"mangle": "html"}),
        _at_any("an empty reply", {"mangle": "empty"}),
        _at_any("another size", {"image": {"size": "640x480"}}),
        [("withheld", vendor, "create", then) for vendor, thens in _WITHHOLDING.items() for then in thens],
        [("an unusable image", vendor, "create", {"image": {"spoil": how}}) for vendor in _ALL for how in _UNUSABLE],
        [("dead link", vendor, "download", {"status": 404, "body": "gone"}) for vendor in ("replicate", "ideogram")],
        [("download cut", vendor, "download", {"wire": "truncated"}) for vendor in ("replicate", "ideogram")],
        [("download reset", vendor, "download", {"wire": "reset_mid_reply"}) for vendor in ("replicate", "ideogram")],
        [("a prediction's odd life", "replicate", "create", {"life": life}) for life in _LIVES],
        [("looks fail", "replicate", "poll", {"status": 500, "body": {"detail": "oops"}})],
    )
)


@dataclass
class Troubles:
    """Makes trouble until told to end; `made` counts by kind what was really met with."""

    stage: Stage
    dice: random.Random
    phase_s: float
    redis_every_s: float
    away_s: tuple[float, float]
    made: Counter[str] = field(default_factory=Counter)

    async def work(self, enough: Callable[[], bool]) -> None:
        """The vendors' and Redis's troubles beside each other."""
        await asyncio.gather(self._vendors(enough), self._redis(enough))

    async def _vendors(self, enough: Callable[[], bool]) -> None:
        """Every kind once in a random order, and again; now and then nothing is wrong."""
        url = f"{self.stage.running.sandbox_url}/sandbox/scripts"
        async with httpx2.AsyncClient(timeout=30) as client:
            kinds: list[tuple[Fault, ...]] = []
            while not enough():
                kinds = kinds or self.dice.sample(FAULTS, len(FAULTS))
                scripted: dict[str, int] = {}
                for _ in range(self.dice.choice((0, 1, 2, 2))):
                    if kinds:
                        name, script = self._drawn(kinds.pop())
                        (await client.post(url, json=script)).raise_for_status()
                        scripted[name] = scripted.get(name, 0) + script["times"]
                await _slept(self.phase_s, enough)
                left = (await client.get(url)).json()["scripts"]
                (await client.delete(url)).raise_for_status()
                self.made.update(scripted)
                self.made["(not met with)"] += sum(script["times"] for script in left)

    def _drawn(self, kind: tuple[Fault, ...]) -> tuple[str, dict[str, Any]]:
        name, vendor, operation, then = self.dice.choice(kind)
        script = {"vendor": vendor, "operation": operation, "then": dict(then), "times": self.dice.randint(2, 6)}
        return name, script

    async def _redis(self, enough: Callable[[], bool]) -> None:
        """Stopped for a moment, or all its connections cut."""
        while not enough():
            await _slept(self.redis_every_s * self.dice.uniform(0.7, 1.3), enough)
            if enough():
                return
            if self.dice.random() < 0.3:
                await asyncio.to_thread(self._cut)
                self.made["Redis: connections cut"] += 1
            else:
                await self._stopped(self.dice.uniform(*self.away_s))
                self.made["Redis: away"] += 1

    async def _stopped(self, seconds: float) -> None:
        self.stage.redis.pause()
        try:
            await asyncio.sleep(seconds)
        finally:
            self.stage.redis.resume()

    def _cut(self) -> None:
        with self.stage.redis.admin() as admin:
            admin.client_kill_filter(_type="normal", skipme=True)


async def _slept(seconds: float, enough: Callable[[], bool]) -> None:
    ends_at = asyncio.get_running_loop().time() + seconds
    while (left_s := ends_at - asyncio.get_running_loop().time()) > 0 and not enough():
        await asyncio.sleep(min(0.25, left_s))
