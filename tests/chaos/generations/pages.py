"""What all parts of the chaos proof came to, as the page of the documentation."""

import json
import os
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tests.chaos.generations.replicas import STATES
from tests.processes import ROOT

__all__ = ["GOAL", "RESTARTS", "STATE", "summed", "write_page"]

PAGE = ROOT / "docs" / "chaos.md"
STATE, RESTARTS = ROOT / "build" / "chaos.json", ROOT / "build" / "restarts.json"

GOAL: Mapping[str, int] = {"generations": 10_000, "kill": 1_000} | {f"killed in {state}": 50 for state in STATES}
_BAD = {
    "double": "wishes paid for twice",
    "lost": "wishes with a paid Replicate image that was lost",
    "silent": "wishes with a paid image of a synchronous vendor lost without being listed",
    "short": "answers with fewer images than asked for",
    "unstored": "answers whose images were not in the store",
}
_FIGURES = {
    "paid_images": "images on the vendors' books",
    "delivered_images": "images delivered, repeated calls included",
    "kept_images": "paid images kept for a repeated call",
    "unknown_images": "images paid for whose outcome is unknown, all of them listed",
    "unknown_listed": "operations listed as unknown",
    "lost_here": "answers that were taken by the client's end and lost there, without a key to ask by; kept",
}
_TROUBLES = {
    "kill": "SIGKILL",
    "stop": "SIGSTOP, then SIGCONT",
    "term": "SIGTERM",
    "replies lost": "replies lost on the way to the client",
    "flush": "FLUSHALL",
    "failover": "failovers that lose acknowledged writes",
}
_ABOUT = """# What the journal survives

Made by `make chaos` ([`tests/chaos/test_generations.py`](../tests/chaos/test_generations.py)). Four replicas, a Redis
with a replica, the sandbox's vendors, and the stock OpenAI SDK with its own retries on; four callers in ten send an
`Idempotency-Key`, one in twelve hangs up. Replicas are killed where their own disk says that an attempt is in the state
that was met least so far, and restarted at once. Leases last three seconds, vendors take a twentieth of their natural
time, and half of the Replicate calls are answered only with an id.

At the end every call that was not answered is sent once more, as the same call. Then the vendors' books are laid beside
what was delivered, what is kept and what is listed: no wish may have cost more images than it asked for, and every
image that was paid for must be there or be listed. Replicas are forks of a process that has imported the program, so
that a restart takes less than a second.

A caller without a key whose answer was taken by its end of the connection, and lost there, has a minute to ask again by
the SDK's mark. Who comes later is a new caller by the contract, and is not sent again here: the table counts them, and
their images are still to be had by `GET /v1/operations/{id}`.

What is left out: Redis forgets or fails over only while no replica is down, and for four seconds after that none is
killed. What Redis loses is brought back from the disks of those who wrote it; a disk that is away at the same moment
brings nothing back until it returns.

"""


def summed(parts: Sequence[Mapping[str, Any]]) -> Counter[str]:
    """All counts of all parts."""
    total: Counter[str] = Counter()
    for part in parts:
        total["generations"] += part["generations"]
        total["seconds"] += part["seconds"]
        total.update(part["troubles"])
        total.update(part["findings"])
        total.update({f"killed in {state}": count for state, count in part["killed in"].items()})
    return total


def write_page() -> None:
    """Write the page anew from what is known so far."""
    parts = json.loads(STATE.read_text()) if STATE.exists() else []
    restarts = json.loads(RESTARTS.read_text()) if RESTARTS.exists() else None
    PAGE.write_text(_page(parts) + ("" if restarts is None else _restarts(restarts)))


def _restarts(run: Mapping[str, Any]) -> str:
    return f"""
## Rolling restarts

Made by `python -m tests.chaos.test_rolling_restarts 50`: three replicas behind nginx (`proxy_next_upstream off`), told
to end one after another, and taken out of the balancer up to a second later, under the load of six callers whose SDK
does not retry.

| what | count |
|---|---:|
| restarts | {run["restarts"]} |
| requests | {run["requests"]} |
| **failed requests** | {run["failed"]} |
| exit statuses other than 0 | {run["bad_exits"]} |
| seconds | {run["seconds"]} |

Seed: `{run["seed"]}`.
"""


def _page(parts: Sequence[Mapping[str, Any]]) -> str:
    total = summed(parts)
    rows = [("generations", total["generations"])]
    rows += [(words, total[name]) for name, words in _TROUBLES.items()]
    rows += [(f"kills with an attempt in `{state}`", total[f"killed in {state}"]) for state in STATES]
    rows += [(words, total[name]) for name, words in _FIGURES.items()]
    rows += [(f"**{words}**", total[name]) for name, words in _BAD.items()]
    rows += [("minutes", round(total["seconds"] / 60))]
    table = "| what | count |\n|---|---:|\n" + "".join(f"| {name} | {count} |\n" for name, count in rows)
    seeds = ", ".join(f"`{part['seed']}`" for part in parts)
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    missing = [f"{name} {total[name]} of {count}" for name, count in GOAL.items() if total[name] < count]
    state = f"\nNot yet at its goal: {'; '.join(missing)}.\n" if missing else ""
    return f"{_ABOUT}{table}{state}\nSeeds: {seeds}. Machine: {machine}.\n"
