"""Replicas are killed in every state of the journal, Redis forgets and fails over: nobody pays twice, nothing is lost.

The full form is `make chaos`: parts of at most 20 minutes, which go on where the last one ended.
"""

import argparse
import asyncio
import hashlib
import json
import random
import secrets
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.generations.books import Books, Findings, reckoned
from tests.chaos.generations.crowd import Crowd
from tests.chaos.generations.pages import GOAL, STATE, summed, write_page
from tests.chaos.generations.stage import LEASE_S, stage
from tests.chaos.generations.troubles import Troubles
from tests.servers import redis_binary, valkey_binary

LONGEST_PART_S = 1200.0
WISHES_A_KILL = 8  # where the machine is slow, fewer are killed: else nobody lives long enough to end anything
CALM_S = LEASE_S + 1.0
"""After Redis has lost something: until everybody has told it again what they know."""


class Part:
    """One run on a fresh stage."""

    def __init__(self, seed: str, *, generations: int, kills: int, seconds: float, clients: int = 16) -> None:
        self.seed, self.generations, self.kills = seed, generations, kills
        self.seconds, self.clients = seconds, clients
        self.folder = Path(tempfile.mkdtemp(prefix="chaos-"))
        self.dice = random.Random(seed)

    async def run(self) -> dict[str, Any]:
        """What came of it; the folder stays where something was wrong."""
        began = time.monotonic()
        async with stage(self.folder, redis_binary() or valkey_binary(), replicas=4, pace=0.05) as here:
            prefix = hashlib.sha256(self.seed.encode()).hexdigest()[:8]
            crowd = Crowd(here.front.url, here.key, prefix, random.Random(self.dice.random()))

            def pressing() -> bool:
                return troubles.made["kill"] * WISHES_A_KILL < len(crowd.wishes)

            troubles = Troubles(here.fleet, here.redis, here.front, self.dice, CALM_S, self.kills, pressing)
            books = Books(here.sandbox_url)

            def enough() -> bool:
                done = len(crowd.wishes) >= self.generations and troubles.made["kill"] >= self.kills
                return done or time.monotonic() - began > self.seconds

            bookkeeper = asyncio.create_task(books.follow())
            await asyncio.gather(crowd.work(self.clients, enough), troubles.work(enough))
            await troubles.over()
            await here.at_rest()
            await crowd.settle_all(_taken(_by_name(here.records(), crowd)))
            await here.at_rest()
            paid = await books.charged()
            bookkeeper.cancel()
            with suppress(asyncio.CancelledError):
                await bookkeeper
            records = _by_name(here.records(), crowd)
            findings = reckoned(crowd.wishes.values(), paid, records, here.store)
            await crowd.aclose()
        report = _told(self.seed, crowd, troubles, findings) | {"seconds": round(time.monotonic() - began)}
        if findings.is_clean:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            evidence = _evidence(findings, crowd, books, paid, records)
            (self.folder / "evidence.json").write_text(json.dumps(evidence, indent=1))
            report["folder"] = str(self.folder)
        return report


def _told(seed: str, crowd: Crowd, troubles: Troubles, findings: Findings) -> dict[str, Any]:
    return {
        "seed": seed,
        "generations": len(crowd.wishes),
        "answers": dict(crowd.outcomes),
        "at the end": dict(Counter(one.ended for one in crowd.wishes.values())),
        "troubles": dict(troubles.made) | {"replies lost": troubles.front.lost},
        "killed in": dict(troubles.killed_in),
        "findings": {name: len(value) if isinstance(value, list) else value for name, value in vars(findings).items()},
    }


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _by_name(records: dict[str, list[dict[str, Any]]], crowd: Crowd) -> dict[str, list[dict[str, Any]]]:
    return {name: records.get(_hash(name), []) for name in crowd.wishes}


def _taken(records: dict[str, list[dict[str, Any]]]) -> set[str]:
    """The wishes whose answer was made, and taken by the client's end of the connection."""
    return {name for name, some in records.items() if any(one["delivered"] for one in some)}


def _evidence(findings: Findings, crowd: Crowd, books: Books, paid: Counter[str], records: dict[str, Any]) -> list[Any]:
    """All that is known of the first wishes with which something is wrong."""
    names = dict.fromkeys((*findings.double, *findings.lost, *findings.silent, *findings.short, *findings.unstored))
    return [
        {
            "wish": crowd.wishes[one].shown(),
            "paid": paid[one],
            "calls": books.calls.get(one, []),
            "records": records[one],
        }
        for one in list(names)[:30]
    ]


def _report(seed: str, **wanted: Any) -> dict[str, Any]:
    sys.stdout.write(f"seed {seed}\n")
    sys.stdout.flush()
    report = asyncio.run(Part(seed, **wanted).run())
    sys.stdout.write(json.dumps(report, indent=1) + "\n")
    return report


@pytest.mark.slow
def test_killing_replicas_in_the_middle_pays_for_nothing_twice_and_loses_no_paid_image() -> None:
    report = _report(secrets.token_hex(4), generations=150, kills=20, seconds=100)
    assert (
        report["findings"] | dict.fromkeys(("double", "lost", "silent", "short", "unstored"), 0) == report["findings"]
    )
    assert report["troubles"]["kill"] >= 5
    assert report["generations"] >= 50


def main() -> None:
    """Make one more part, and write down what all parts so far came to."""
    wishes = argparse.ArgumentParser(description=__doc__)
    wishes.add_argument("--minutes", type=float, default=LONGEST_PART_S / 60)
    wishes.add_argument("--parts", type=int, default=100, help="at most so many, until the goal is reached")
    wishes.add_argument("--state", type=Path, default=STATE)
    given = wishes.parse_args()
    given.state.parent.mkdir(parents=True, exist_ok=True)
    parts = json.loads(given.state.read_text()) if given.state.exists() else []
    for _ in range(given.parts):
        total = summed(parts)
        if all(total[name] >= count for name, count in GOAL.items()):
            break
        seconds = min(LONGEST_PART_S, given.minutes * 60)
        parts.append(_report(secrets.token_hex(4), generations=10_000, kills=1_000, seconds=seconds, clients=20))
        given.state.write_text(json.dumps(parts, indent=1))
        if given.state == STATE:
            write_page()


if __name__ == "__main__":
    main()
