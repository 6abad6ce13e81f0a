"""A small budget, many processes, and a Redis that is killed in the middle: not one micro-dollar too much.

The long form (100,000 reservations from 16 processes) is `python -m tests.chaos.test_money`.
"""

import json
import subprocess
import sys
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gateway.edges import limits
from tests.chaos.money_hammer import purses
from tests.servers import Server, _wait_until_listening, running_server, valkey_binary

ROOT = Path(__file__).parents[2]
DEADLINE_S, OUTAGE_S = 300.0, 1.0
DURABLE = ("--appendonly", "yes", "--appendfsync", "everysec")


def spent_in(admin: Any, tag: str, budget: int) -> dict[str, int]:
    return {one.name: int(admin.hget(limits._purse_key(one), "t") or 0) for one in purses(tag, budget)}


def killed_and_restarted(server: Server) -> None:
    server.kill()
    end = time.monotonic() + OUTAGE_S
    while time.monotonic() < end:  # an outage lasts a while, by definition
        time.sleep(0.05)
    server.path.unlink(missing_ok=True)
    server.process = subprocess.Popen(server.process.args, stdin=subprocess.DEVNULL, start_new_session=True)
    _wait_until_listening(server)


def hammered(processes: int, reservations: int, budget: int) -> tuple[Counter[str], dict[str, int], dict[str, int]]:
    """What the processes counted, what is in the purses, and what is left over in Redis."""
    tag, each = uuid.uuid4().hex, reservations // processes
    with running_server(valkey_binary(), *DURABLE) as server:
        command = [sys.executable, "-m", "tests.chaos.money_hammer", server.url, tag, str(each)]
        children = [
            subprocess.Popen([*command, str(seed), str(budget)], stdout=subprocess.PIPE, cwd=ROOT, text=True)
            for seed in range(processes)
        ]
        try:
            with server.admin() as admin:
                deadline = time.monotonic() + DEADLINE_S
                while max(spent_in(admin, tag, budget).values()) < budget // 3:
                    assert time.monotonic() < deadline
                    time.sleep(0.01)
            killed_and_restarted(server)
            outputs = [child.communicate(timeout=DEADLINE_S)[0] for child in children]
        finally:
            for child in children:
                child.kill()
                child.wait()
        counts = [json.loads(output) for output in outputs]
        total = sum((Counter(one) for one in counts), Counter[str]())
        total["elapsed_ms"] = max(one["elapsed_ms"] for one in counts)
        with server.admin() as admin:
            left = {
                "records": admin.hlen(limits._MONEY[1]),
                "held": admin.zcard(limits._MONEY[0]),
                "suspense": admin.hlen(limits.SUSPENSE),
            }
            return total, spent_in(admin, tag, budget), left


def table(processes: int, budget: int, counts: Counter[str], purse: int) -> str:
    rows = {
        "processes": processes,
        "reservations": counts["reserved"],
        "sent twice": counts["duplicates"],
        "granted": counts["granted"],
        "decided without Redis": counts["offline"],
        "paid from allowances": counts["paid_offline"],
        "budget, micro-dollars": budget,
        "spent, micro-dollars": counts["spent"],
        "booked, micro-dollars": purse,
        "overspend, micro-dollars": max(0, counts["spent"] - budget),
        "use of the budget, %": round(100 * counts["spent"] / budget, 2),
        "seconds": counts["elapsed_ms"] / 1000,
    }
    return "\n".join(f"| {name:<26}| {value:>10} |" for name, value in rows.items()) + "\n"


def examined(processes: int, reservations: int, budget: int) -> str:
    counts, purse, left = hammered(processes, reservations, budget)
    assert counts["reserved"] == reservations // processes * processes
    assert counts["untold"] == 0
    assert counts["spent"] <= budget
    assert set(purse.values()) == {counts["spent"]}
    assert left == {"records": 0, "held": 0, "suspense": 0}
    assert counts["paid_offline"] > 0
    return table(processes, budget, counts, max(purse.values()))


@pytest.mark.slow
def test_killing_redis_in_the_middle_overspends_nothing() -> None:
    sys.stdout.write(examined(processes=4, reservations=8_000, budget=60_000))


if __name__ == "__main__":
    sys.stdout.write(examined(processes=16, reservations=100_000, budget=600_000))
