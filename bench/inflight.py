"""Goal 5: thousands of generations that wait at once on one process, 20 seconds each.

First 2,000 whose vendor holds the connection, with everybody; then 2,000 and 10,000 that must be polled.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from bench.contestants import Contestant, Way, awaited_line, program
from bench.kernel import measured
from bench.load import load
from bench.results import Outcome, Plan, Row, at_most, ratio
from bench.stage import figures_of, joined, workshop
from tests.processes import ROOT, environment

__all__ = ["run"]

WHO = ("nginx", "gateway", "portkey", "litellm")
_SECONDS = 20.0
_HELD, _MOST = 2_000, 10_000
_WAYS = {"held": Way("held", passthrough=True), "polled": Way("polled", passthrough=True, vendor="replicate")}
_HEADINGS = {
    "seconds": "all done after, s",
    "p50_ms": "p50, ms",
    "p99_ms": "p99, ms",
    "cpu_ms": "CPU, ms each",
    "kb_each": "RSS above idle, KB each",
    "rss_peak_mb": "peak RSS, MB",
    "looks_each": "looks each",
    "errors": "errors",
}


def run(plan: Plan) -> Outcome:
    """Measure it; each crowd once, with processes of its own."""
    outcome = Outcome("inflight")
    crowds = [(name, "held", _HELD) for name in WHO] + [("gateway", "polled", _HELD), ("gateway", "polled", _MOST)]
    missing: dict[str, str] = {}
    for name, how, crowd in crowds:
        if plan.wants(name):
            with (
                workshop() as folder,
                _vendor(folder / "slow") as port,
                joined(folder, port, [_WAYS[how]], [name]) as stage,
            ):
                missing |= stage.missing
                outcome.rounds += [_crowd(one, how, (crowd, port)) for one in stage.present.values()]
    outcome.missing = missing
    keys: list[Row] = [
        {"who": row["who"], "vendor": row["vendor"], "at once": row["at once"]} for row in outcome.rounds
    ]
    table = outcome.tabulate(f"In flight at once, {_SECONDS:.0f} s each", _HEADINGS, keys)
    table.notes = (
        "Held: the vendor answers when it is done. Polled: it answers at once, and must be looked after.",
        "The gateway's pacing of the vendor's account (calls a minute, images in flight) is lifted for this.",
        "Memory is of all processes, Valkey included; what its forked child shares with it counts once.",
        "Portkey and LiteLLM cannot poll: they do not speak this vendor's API for images.",
    )
    _judge(outcome)
    return outcome


@contextmanager
def _vendor(folder: Path) -> Iterator[int]:
    command = [sys.executable, "-m", "bench.slow_vendor", str(_SECONDS)]
    with program(folder, command, environment() | {"PYTHONPATH": str(ROOT)}) as process:
        yield int(awaited_line(folder / "log", r"port (\d+)", process)[1])


def _crowd(contestant: Contestant, how: str, what: tuple[int, int]) -> Row:
    crowd, port = what
    ask = contestant.ask(how, response_format="url")
    load(ask, 1, requests=1)
    before = _counts(port)
    with measured(contestant.pid) as usage:
        answers = load(ask, crowd, requests=crowd)
    looks = _counts(port).get("looks", 0) - before.get("looks", 0)
    row: Row = {"who": contestant.name, "vendor": how, "at once": crowd, **figures_of(answers.served, usage)}
    return row | {
        "kb_each": row["rss_above_mb"] * 1000 / crowd,
        "looks_each": looks / crowd if how == "polled" else None,
        "statuses": answers.statuses,
        "samples": answers.samples,
    }


def _counts(port: int) -> dict[str, int]:
    with urlopen(f"http://127.0.0.1:{port}/counts") as reply:
        told: dict[str, int] = json.load(reply)
    return told


def _judge(outcome: Outcome) -> None:
    most = {"who": "gateway", "vendor": "polled", "at once": _MOST}
    outcome.verdicts += [
        at_most(5, f"errors among {_MOST:,} at once", outcome.median("errors", **most), 0, ""),
        at_most(5, "memory of each", outcome.median("kb_each", **most), 40, "KB"),
        at_most(
            5,
            f"until all {_MOST:,} are done, by the work itself",
            ratio(outcome.median("seconds", **most), _SECONDS),
            2,
            "×",
        ),
    ]
