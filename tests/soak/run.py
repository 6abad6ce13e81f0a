"""One soak from the first process to the verdict."""

import asyncio
import hashlib
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import httpx2

from gateway.domain.errors import ErrorCode
from tests.faults.deployment import samples_in
from tests.soak.books import Books, Reckoning, reckoned
from tests.soak.crowd import Crowd
from tests.soak.slopes import Point, Tolerance, Trend, trend
from tests.soak.stage import Stage, stage
from tests.soak.troubles import Troubles
from tests.soak.watching import Sight, Watcher

__all__ = ["JUDGED", "LOAD", "LONG", "SHORT", "Plan", "Soak", "soaked"]

JUDGED: Mapping[str, Tolerance] = {
    "memory MB": Tolerance(6.0, 0.04),
    "open files": Tolerance(4.0, 0.10),
    "tasks": Tolerance(4.0, 0.10),
    "threads": Tolerance(1.0),
    "places of keys": Tolerance(2.0, 0.10),
    "leases of operations": Tolerance(2.0, 0.10),
    "places at vendors": Tolerance(2.0, 0.10),
    "money reserved for": Tolerance(2.0, 0.10),
    "settlements that wait": Tolerance(1.0),
    "files on their way to the store": Tolerance(2.0, 0.10),
    "Redis keys without receipts": Tolerance(50.0, 0.10),
}
"""What must be flat, and how much growth in an hour is still the noise of a load that is drawn by dice."""

LOAD = "operations under way"
"""What all others rise and fall with."""

_GONE = ("places of keys", "leases of operations", "operations under way", "settlements that wait")
_LEFT = ("places at vendors", "money reserved for", "files on their way to the store")
_OURS = {code.value for code in ErrorCode}
_ASIDE = {"ok", "left", *(f"later: {state}" for state in ("failed", "kept", "released", "unknown"))}
_IDLE_S = 4.0  # longer than anything that a start leaves behind


@dataclass(frozen=True)
class Plan:
    """How long and how hard. Times in seconds."""

    warm_up_s: float
    measured_s: float
    rate_s: float
    look_every_s: float
    phase_s: float
    redis_every_s: float
    redis_timeout: str
    redis_away_s: tuple[float, float]
    rest_s: float  # at most: a call that was paid for is listened to for a minute after its operation's deadline


LONG = Plan(900, 1800, 3.5, 5, 10, 150, "500ms", (0.6, 3.0), 240)
SHORT = Plan(3, 10, 4.0, 0.5, 2, 6, "2s", (0.3, 0.6), 120)


@dataclass
class Soak:
    """What was seen. `before` and `after` are the idle gateway."""

    seed: str
    plan: Plan
    series: Mapping[str, list[Point]]
    before: Sight
    after: Sight
    reckoning: Reckoning
    wishes: int
    answers: Mapping[str, int]
    links: Mapping[str, int]
    codes: Mapping[str, int]
    troubles: Mapping[str, int]
    outbursts: list[str]

    @cached_property
    def trends(self) -> Mapping[str, Trend]:
        """What became of each figure that is judged, after the warm-up and beside the load of the moment."""
        load = dict(self.series[LOAD])
        found = {}
        for name, allowed in JUDGED.items():
            points = [(at, value) for at, value in self.series[name] if at >= self.plan.warm_up_s and at in load]
            found[name] = trend(points, allowed, [load[at] for at, _ in points])
        return found

    @property
    def undocumented(self) -> list[str]:
        """Answers that no documentation promises: also an internal error, which promises nothing."""
        strange = [code for code in self.answers if code not in _OURS | _ASIDE]
        return strange + [code for code in (*self.answers, *self.codes) if code == ErrorCode.INTERNAL_ERROR]

    @property
    def left_behind(self) -> dict[str, float]:
        """What an idle gateway should not hold any more, and does."""
        left = {name: self.after[name] for name in (*_GONE, *_LEFT) if self.after[name]}
        tasks = self.after["tasks"] - self.before["tasks"]
        return left | ({"tasks": tasks} if tasks > 0 else {})

    @property
    def growing(self) -> list[str]:
        """The series that are not flat."""
        return [name for name, one in self.trends.items() if not one.is_flat]


async def soaked(seed: str, plan: Plan, tell: Callable[[str], object] = str) -> Soak:
    """Run it. `tell` hears what is going on, a line at a time."""
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    with stage(folder, plan.redis_timeout) as here:
        seen = await _run(seed, plan, here, tell)
    shutil.rmtree(folder)
    seen.outbursts = [line for line in here.running.output.lines if _is_outburst(line)]
    return seen


async def _run(seed: str, plan: Plan, here: Stage, tell: Callable[[str], object]) -> Soak:
    dice = random.Random(seed)
    prefix = hashlib.sha256(seed.encode()).hexdigest()[:8]
    crowd = Crowd(here.running.base_url, here.running.key, prefix, random.Random(dice.random()), plan.rate_s)
    troubles = Troubles(here, dice, plan.phase_s, plan.redis_every_s, plan.redis_away_s)
    watcher, books = Watcher(here, plan.look_every_s), Books(here, every_s=30)
    async with httpx2.AsyncClient(timeout=60) as client:
        await asyncio.sleep(_IDLE_S)
        before = await watcher.seen(client)
        watcher.began = time.monotonic()
        await _loaded(plan, crowd, troubles, watcher, books, tell)
        after = await _rested(plan.rest_s, watcher, client)
        await books.look(client)
        told = samples_in((await client.get(f"{here.running.admin_url}/metrics")).text)
        reckoning = reckoned(crowd.wishes.values(), await books.charged(client), books.by_wish())
    reckoning.unlisted = sorted(books.unlisted)
    return Soak(
        seed,
        plan,
        watcher.series,
        before,
        after,
        reckoning,
        len(crowd.wishes),
        dict(crowd.answers),
        dict(crowd.links_read),
        _by_code(told),
        dict(troubles.made),
        [],
    )  # fmt: skip  one line of figures, one of counts


async def _loaded(
    plan: Plan, crowd: Crowd, troubles: Troubles, watcher: Watcher, books: Books, tell: Callable[[str], object]
) -> None:
    ends_at = time.monotonic() + plan.warm_up_s + plan.measured_s

    def enough() -> bool:
        return time.monotonic() >= ends_at

    async def report() -> None:
        while not enough():
            await asyncio.sleep(min(60, max(0.0, ends_at - time.monotonic())))
            now = {name: points[-1][1] for name, points in watcher.series.items()}
            tell(f"{time.monotonic() - watcher.began:.0f} s, {len(crowd.wishes)} wishes: {now}")

    await asyncio.gather(*(one.work(enough) for one in (crowd, troubles, watcher, books)), report())


async def _rested(most_s: float, watcher: Watcher, client: httpx2.AsyncClient) -> Sight:
    """The gateway once nothing is under way any more, or as it is after `most_s`."""
    ends_at = time.monotonic() + most_s
    while True:
        seen = await watcher.seen(client)
        held = any(seen.get(name, 1.0) for name in (*_GONE, *_LEFT))
        if time.monotonic() >= ends_at or not held:
            await asyncio.sleep(_IDLE_S)
            return await watcher.seen(client)
        await asyncio.sleep(0.5)


def _by_code(told: Mapping[tuple[str, frozenset[tuple[str, str]]], float]) -> Mapping[str, int]:
    counts: Counter[str] = Counter()
    for (name, labels), value in told.items():
        if name == "samurai_requests_total" and value:
            counts[dict(labels)["code"]] += int(value)
    return dict(counts)


def _is_outburst(line: str) -> bool:
    return "Traceback" in line or '"level":"critical"' in line or "exception was never retrieved" in line
