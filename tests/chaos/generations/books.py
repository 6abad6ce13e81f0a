"""Whether the gateway's word agrees with the vendors' books: who paid twice, and which paid image cannot be had."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from tests.chaos.generations.crowd import Wish

__all__ = ["Books", "Findings", "reckoned"]

_WISH = re.compile(r"wish-[0-9a-f]+-\d+-end")
_EVERY_S = 8.0  # the sandbox remembers its last 5,000 calls


@dataclass
class Books:
    """What the sandbox says, collected as it goes: whose wish each of its calls served, and what was charged."""

    url: str
    wish_of: dict[str, str] = field(default_factory=dict)
    calls: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    async def follow(self) -> None:
        """Look at the calls again and again, until cancelled."""
        async with httpx2.AsyncClient(timeout=60) as client:
            while True:
                await self._look(client)
                await asyncio.sleep(_EVERY_S)

    async def charged(self) -> Counter[str]:
        """Images charged for each wish. Fails for a charge that no wish explains."""
        async with httpx2.AsyncClient(timeout=60) as client:
            await self._look(client)
            ledger = (await client.get(f"{self.url}/sandbox/ledger")).json()
        paid: Counter[str] = Counter()
        for entry in ledger["entries"]:
            paid[self.wish_of[entry["call_id"]]] += entry["images"]
        return paid

    async def _look(self, client: httpx2.AsyncClient) -> None:
        calls = (await client.get(f"{self.url}/sandbox/calls")).json()["calls"]
        for call in calls:
            if call["operation"] == "create" and call["id"] not in self.wish_of:
                found = _WISH.search(json.dumps(call["body"]))
                if found:
                    self.wish_of[call["id"]] = found[0]
                    self.calls.setdefault(found[0], []).append(call)


@dataclass
class Findings:
    """The reckoning. Each list names wishes; all but `unknown_*` must be empty."""

    paid_images: int = 0
    delivered_images: int = 0
    kept_images: int = 0
    double: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    short: list[str] = field(default_factory=list)
    unstored: list[str] = field(default_factory=list)
    unknown_listed: int = 0
    unknown_images: int = 0
    lost_here: int = 0

    @property
    def is_clean(self) -> bool:
        return not (self.double or self.lost or self.silent or self.short or self.unstored)


def reckoned(
    wishes: Iterable[Wish], paid: Mapping[str, int], records: Mapping[str, list[dict[str, Any]]], store: Path
) -> Findings:
    """Compare what was paid for each wish with what came of it. `records` are the journal's, by wish."""
    found, stored = Findings(paid_images=sum(paid.values())), {path.stem for path in store.rglob("*.*")}
    for wish in wishes:
        money, mine = paid.get(wish.name, 0), records.get(wish.name, [])
        unknown = [one for one in mine if one["state"] == "unknown"]
        kept = sum(len(result["finished"]) for one in mine for result in one["earlier"])
        found.delivered_images += wish.images
        found.unknown_listed += len(unknown)
        found.lost_here += wish.is_lost_here
        if money > wish.n:
            found.double.append(wish.name)
        if wish.images and wish.images != wish.n:
            found.short.append(wish.name)
        if any(_asset(link) not in stored for link in wish.links):
            found.unstored.append(wish.name)
        missing = money - (wish.images or kept)
        if not wish.images:
            found.kept_images += min(kept, money)
        if missing > 0:
            found.unknown_images += missing if unknown else 0
            if wish.is_replicates:
                found.lost.append(wish.name)
            if not unknown:
                found.silent.append(wish.name)
    return found


def _asset(link: str) -> str:
    return link.partition("?")[0].rpartition("/")[2].partition(".")[0]
