"""docs/performance.md between its markers, and the plots, from the raw figures that were kept."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import machine
from bench.peers import TRAITS
from bench.plots import curves, log_bars
from bench.results import Outcome, Table, Verdict
from bench.tables import between, of_outcome, of_verdicts
from tests.processes import ROOT

__all__ = ["body", "read", "write"]

_PAGE = ROOT / "docs" / "performance.md"
_IMAGES = ROOT / "docs" / "images"
_MEMORY_PLOT, _CPU_PLOT = "bench-memory.svg", "bench-cpu.svg"
_HEADINGS = {
    "small": "Small replies",
    "durable": "Waiting for what must not be lost",
    "b64": "Base64 handed through",
    "transcode": "Links and base64 into each other, downscale",
    "fanout": "Fan-out",
    "memory": "Memory",
    "inflight": "In flight",
    "start": "Start",
    "linear": "Linear cost",
    "slow": "Beside slow clients",
}
_FALLBACK = "# Performance\n\nMeasured by `make bench`.\n"


def read(results: Path, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What was kept, by workload; those never measured are left out."""
    paths = {name: results / f"{name}.json" for name in names}
    return {name: json.loads(path.read_text()) for name, path in paths.items() if path.exists()}


def write(results: Path, names: Sequence[str]) -> None:
    """Write the page's generated part, and the plots."""
    kept = read(results, names)
    _IMAGES.mkdir(exist_ok=True)
    (_IMAGES / _MEMORY_PLOT).write_text(_memory_plot(kept.get("memory", {}).get("rounds", [])))
    (_IMAGES / _CPU_PLOT).write_text(_cpu_plot(kept))
    page = _PAGE.read_text() if _PAGE.exists() else _FALLBACK
    _PAGE.write_text(between(page, body(kept)))


def body(kept: Mapping[str, Mapping[str, Any]]) -> str:
    """All that is generated: the verdicts, the machine, who was measured, and each workload's tables."""
    verdicts = [Verdict(**each) for one in kept.values() for each in one["verdicts"]]
    parts = ["## Goals and figures", of_verdicts(verdicts)]
    told = next((one["machine"] for one in kept.values()), None)
    if told is not None:
        plan = next(iter(kept.values()))["plan"]
        parts += ["## What it was measured on", machine.in_words(told) + _rounds_said(plan)]
    parts += ["## Who was measured", _traits(), f"![CPU a request](images/{_CPU_PLOT})"]
    for name, one in kept.items():
        tables = [Table(**{**table, "rows": [tuple(row) for row in table["rows"]]}) for table in one["tables"]]
        parts += [f"## {_HEADINGS.get(name, name)}", of_outcome(Outcome(name, tables, missing=one["missing"]))]
        if name == "memory":
            parts.append(f"![Memory against concurrency](images/{_MEMORY_PLOT})")
    return "\n\n".join(part.strip() for part in parts)


def _rounds_said(plan: Mapping[str, float]) -> str:
    return (
        f" {plan['rounds']} rounds of {plan['seconds']:g} s a turn, the contestants one after the other in each; "
        "medians. One process each. CPU is user and system time of all of a contestant's processes, by the kernel; "
        "its Redis is told apart. Memory is the resident memory of all of them, sampled 40 times a second."
    )


def _traits() -> str:
    lines = ["| who | what it does while it is measured |", "|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {does} |" for name, does in TRAITS.items())])


def _memory_plot(rounds: Sequence[Mapping[str, Any]]) -> str:
    lines = {
        "the gateway, peak": [(row["at once"], row["rss_peak_mb"]) for row in rounds if row["who"] == "gateway"],
        "idle": [(row["at once"], row["rss_before_mb"]) for row in rounds if row["who"] == "gateway"],
    }
    return curves("Requests for ten images of 1.5 MB, all at once", ("requests at once", "RSS, MB"), lines)


def _cpu_plot(kept: Mapping[str, Mapping[str, Any]]) -> str:
    groups: dict[str, dict[str, float]] = {}
    for heading, name, where in (
        ("a small reply", "small", {"loop": "closed"}),
        ("2.7 MB of base64", "b64", {"MB": "2.7"}),
    ):
        if name in kept:
            outcome = Outcome(name, rounds=kept[name]["rounds"])
            costs = {who: outcome.median("cpu_us", who=who, **where) for who in TRAITS}
            groups[heading] = {who: cost for who, cost in costs.items() if cost}
    return log_bars("CPU a request", "µs", groups)
