"""The vendors' books beside the gateway's own word: every billed image is delivered, kept, or told of otherwise."""

import asyncio
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import httpx2
import redis

from gateway.domain.harvest import Harvest
from gateway.domain.record import OperationState, Record
from gateway.edges.journal import decoded
from tests.soak.crowd import Wish
from tests.soak.stage import Stage

__all__ = ["Books", "Reckoning", "reckoned"]

_WISH = re.compile(r"wish-[0-9a-f]+-\d+-end")
_PATIENCE_S = 30.0


@dataclass
class Books:
    """Collects, as it goes, what would be forgotten: whose wish each paid call served, and every record's last state.

    `unlisted` are operations whose outcome is unknown and that are not on the list of those.
    """

    stage: Stage
    every_s: float
    wish_of: dict[str, str] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    unlisted: set[str] = field(default_factory=set)

    async def work(self, enough: Callable[[], bool]) -> None:
        async with httpx2.AsyncClient(timeout=60) as client:
            while not enough():
                await self.look(client)
                ends_at = asyncio.get_running_loop().time() + self.every_s
                while not enough() and asyncio.get_running_loop().time() < ends_at:
                    await asyncio.sleep(0.25)

    async def look(self, client: httpx2.AsyncClient) -> None:
        """Write down what is new."""
        calls = (await client.get(f"{self.stage.running.sandbox_url}/sandbox/calls")).json()["calls"]
        for call in calls:
            if call["operation"] == "create" and call["id"] not in self.wish_of:
                found = _WISH.search(json.dumps(call["body"]))
                if found:
                    self.wish_of[call["id"]] = found[0]
        with suppress(redis.RedisError, OSError):
            await asyncio.to_thread(self._read_records)

    def _read_records(self) -> None:
        with self.stage.redis.admin() as admin:
            for key in admin.scan_iter("{samurai}:op:*", count=5000):
                if text := admin.hget(key, "doc"):
                    record = decoded(text)
                    self.records[record.id] = record
            listed = {one.decode() for one in admin.zrange("{samurai}:ops:unknown", 0, -1)}
        unknown = {one.id for one in self.records.values() if one.state is OperationState.UNKNOWN}
        self.unlisted = unknown - listed

    async def charged(self, client: httpx2.AsyncClient) -> Counter[str]:
        """Images billed for each wish; for calls that no wish explains under an empty name."""
        paid: Counter[str] = Counter()
        for entry in (await client.get(f"{self.stage.running.sandbox_url}/sandbox/ledger")).json()["entries"]:
            paid[self.wish_of.get(entry["call_id"], "")] += entry["images"]
        return paid

    def by_wish(self) -> Mapping[str, list[Record]]:
        """The records by the hash of their prompt."""
        found: dict[str, list[Record]] = {}
        for record in self.records.values():
            found.setdefault(record.prompt_hash, []).append(record)
        return found


@dataclass
class Reckoning:
    """Images the vendors billed, and what became of them. The lists name wishes and must be empty."""

    paid: int = 0
    delivered: int = 0
    kept: int = 0
    withheld: int = 0
    unusable: int = 0
    unknown: int = 0
    unknown_operations: int = 0
    unexplained: list[str] = field(default_factory=list)
    double: list[str] = field(default_factory=list)
    unpaid: list[str] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not (self.unexplained or self.double or self.unpaid or self.unlisted)


def reckoned(wishes: Iterable[Wish], paid: Mapping[str, int], records: Mapping[str, Sequence[Record]]) -> Reckoning:
    """Lay the books beside each other, wish by wish."""
    found = Reckoning(paid=sum(paid.values()))
    if paid.get("", 0):
        found.unexplained.append("(no wish's)")
    for wish in wishes:
        mine = records.get(hashlib.sha256(wish.name.encode()).hexdigest(), ())
        _reckon(wish, paid.get(wish.name, 0), mine, found)
    return found


def _reckon(wish: Wish, paid: int, mine: Sequence[Record], found: Reckoning) -> None:
    harvest = Harvest(tuple(result for record in mine for result in record.earlier))
    known, doubt = sum(result.billed for result in harvest.results), _doubtful(harvest)
    finished = len(harvest.finished)
    is_unknown = any(record.state is OperationState.UNKNOWN for record in mine)
    found.unknown_operations += is_unknown
    found.delivered += min(wish.images, known)
    found.kept += max(0, min(finished, known) - wish.images)
    found.withheld += min(harvest.withheld, max(0, known - finished))
    found.unusable += max(0, known - finished - harvest.withheld)
    found.unknown += max(0, paid - known)
    if paid > known + doubt:
        found.unexplained.append(wish.name)
    if known > paid:
        found.unpaid.append(wish.name)
    if finished > wish.n or wish.images > wish.n:
        found.double.append(wish.name)


def _doubtful(harvest: Harvest) -> int:
    """Images that may have been billed, and nobody knows."""
    unsure = [one for one in harvest.results if not one.billed and any(fault.may_have_billed for fault in one.faults)]
    return sum(one.asked for one in unsure) + sum(one.doubtful for one in harvest.results)
