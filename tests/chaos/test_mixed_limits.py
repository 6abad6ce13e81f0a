"""Every kind of limit in turn binding, all of them taken at once, from many processes: overshoot 0, no waste.

The long form (16 processes) is `python -m tests.chaos.test_mixed_limits DECISIONS`; it prints its table.
"""

import json
import subprocess
import sys
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.edges import limits
from tests.chaos.limits_hammer import BUDGET, BURSTS, asked
from tests.servers import running_server, valkey_binary

ROOT = Path(__file__).parents[2]
BINDINGS = ("requests", "images", "tenant", "budget")
SENT_TWICE = 1.3
USE = 0.999
# A bucket that is full at the start loses what grows back while the first callers are held up: 20 ms of a busy machine
# are a thousandth of what the short form takes in its two seconds.
USE_IN_SHORT = 0.99


@dataclass(frozen=True)
class Result:
    binding: str
    decisions: int
    granted: int
    seconds: float
    overshoot: int
    use: float
    contradictions: int


def hammered(url: str, binding: str, processes: int, decisions: int) -> Result:
    tag, each = uuid.uuid4().hex, round(decisions / SENT_TWICE / processes)
    command = [sys.executable, "-m", "tests.chaos.limits_hammer", url, tag, str(each)]
    children = [
        subprocess.Popen([*command, str(seed), binding], stdout=subprocess.PIPE, cwd=ROOT, text=True)
        for seed in range(processes)
    ]
    found = [json.loads(child.communicate(timeout=600)[0]) for child in children]
    units = sum((Counter(one["units"]) for one in found), Counter[str]())
    elapsed_us = max(one["span"][1] for one in found) - min(one["span"][0] for one in found)
    overshoot, used = max(0, units["budget"] - BUDGET) if binding == "budget" else 0, units["budget"] / BUDGET
    for one in asked(tag, 1, binding)[0]:
        bound_us = one.burst * one.interval_us + elapsed_us
        overshoot += max(0, units[one.bucket] - bound_us // one.interval_us)
        if one.burst == BURSTS.get(binding):
            used = units[one.bucket] * one.interval_us / bound_us
    total: Counter[str] = Counter()
    for one in found:
        total.update({name: one.get(name, 0) for name in ("decided", "granted", "contradictions")})
    return Result(
        binding, total["decided"], total["granted"], elapsed_us / 1e6, overshoot, used, total["contradictions"]
    )


def row(result: Result) -> str:
    return (
        f"| {result.binding:<9}| {result.decisions:>9} | {result.granted:>8} | {result.seconds:>7.2f} "
        f"| {result.overshoot:>9} | {100 * result.use:>7.3f} |\n"
    )


HEAD = "| binding  | decisions |  granted | seconds | overshoot |   use % |\n"


def sound(result: Result, use: float) -> bool:
    return result.overshoot == 0 and result.contradictions == 0 and result.use >= use


@pytest.mark.slow
@pytest.mark.parametrize("binding", BINDINGS)
def test_whichever_limit_binds_it_is_used_up_and_never_exceeded(binding: str) -> None:
    with running_server(valkey_binary()) as server:
        result = hammered(server.url, binding, processes=4, decisions=8_000)
        sys.stdout.write(HEAD + row(result))
        assert result.decisions >= 7_000
        assert sound(result, USE_IN_SHORT), result
        with server.admin() as admin:
            assert admin.hlen(limits._MONEY[1]) == result.granted


if __name__ == "__main__":
    sys.stdout.write(HEAD)
    for number in BINDINGS:
        with running_server(valkey_binary()) as fresh:
            outcome = hammered(fresh.url, number, processes=16, decisions=int(sys.argv[1]) // len(BINDINGS))
        sys.stdout.write(row(outcome))
        assert sound(outcome, USE), outcome
