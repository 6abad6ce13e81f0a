"""The soak's page of the documentation, and its plot."""

import os
import platform
from collections.abc import Callable, Mapping

from gateway.domain.errors import ErrorCode
from tests.processes import ROOT
from tests.soak.run import JUDGED, Soak
from tests.soak.stage import KEEP_S
from tools.svg import Band, Box, Line, Time, chart, text

__all__ = ["PAGE", "PLOT", "plot", "write_page"]

PAGE, PLOT = ROOT / "docs" / "soak.md", ROOT / "docs" / "images" / "soak.svg"
_WIDTH, _HEIGHT, _HEAD, _GAP, _COLUMNS = 600.0, 230.0, 62.0, 8.0, 2
_WARM = "#eef0f3"
_CHARTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Resident memory of the gateway and its image processes, MB", ("memory MB", "memory of the gateway alone MB")),
    ("Open files, and threads", ("open files", "threads")),
    ("Tasks of the event loop", ("tasks", "operations under way")),
    ("Leases in Redis", ("leases of operations", "places of keys", "places at vendors", "money reserved for")),
    ("Redis, MB", ("Redis MB",)),
    ("Keys in Redis", ("Redis keys without receipts", "Redis receipts")),
    ("Images on their way to the store", ("files on their way to the store",)),
    ("Processor time used since the start, s", ("processor seconds",)),
)
_FATES = {
    "paid": "images on the vendors' books",
    "delivered": "delivered",
    "kept": "kept: their client had left, or a repetition of the call gets them",
    "withheld": "withheld by a vendor that bills for it",
    "unusable": "no usable image, and the caller was told so",
    "unknown": "of an unknown outcome",
    "unknown_operations": "operations listed as unknown",
}
_WRONGS = {
    "unexplained": "calls with images that were paid for and that nothing explains",
    "double": "calls that got more images than they asked for",
    "unpaid": "calls with images booked as billed that no vendor billed",
    "unlisted": "operations of an unknown outcome that are not listed",
}


def write_page(seen: Soak) -> None:
    """Write both anew."""
    PAGE.write_text(_page(seen), encoding="utf-8")
    PLOT.write_text(plot(seen), encoding="utf-8")


def plot(seen: Soak) -> str:
    """Everything that was watched over time, as SVG. Its axis is in minutes."""
    rows = -(-len(_CHARTS) // _COLUMNS)
    width, height = _COLUMNS * (_WIDTH + _GAP) + _GAP, _HEAD + rows * (_HEIGHT + _GAP)
    minutes = (seen.plan.warm_up_s + seen.plan.measured_s) / 60
    time = Time(minutes, (Band(0, seen.plan.warm_up_s / 60, _WARM),))
    words = (
        f"{minutes:.0f} minutes from left to right, {seen.wishes} requests, {_met(seen.troubles)} faults met with. "
        f"Grey: the warm-up, which does not count."
    )
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="Helvetica, Arial, sans-serif">',
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#f6f7f9"/>',
        text(_GAP, 28, "Half an hour of mixed load, with faults on", 18, font_weight="700"),
        text(_GAP, 48, words, 12, "#66727f"),
    ]
    for place, (title, names) in enumerate(_CHARTS):
        row, column = divmod(place, _COLUMNS)
        box = Box(_GAP + column * (_WIDTH + _GAP), _HEAD + row * (_HEIGHT + _GAP), _WIDTH, _HEIGHT)
        lines = [Line(name, tuple((at / 60, value) for at, value in seen.series.get(name, ()))) for name in names]
        parts += chart(box, title, lines, _short, time, stacked=False)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _short(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def _met(troubles: Mapping[str, int]) -> int:
    return sum(count for name, count in troubles.items() if not name.startswith("(")) - troubles["(not met with)"]


def _page(seen: Soak) -> str:
    minutes, warm_up = seen.plan.measured_s / 60, seen.plan.warm_up_s / 60
    machine = f"{os.cpu_count()} shared cores, {platform.system()} {platform.machine()}"
    return f"""# Half an hour with faults on

Made by `make soak` ([`tests/soak`](../tests/soak)). One gateway with its image processes, a Valkey and the sandbox's
four vendors, all real processes. {seen.plan.rate_s:g} requests a second come at random moments: five models, three
sizes, one to four images, links and base64, streams, `Idempotency-Key`s that are said twice, `Prefer: respond-async`,
a key that runs into its limits, wrong requests, and clients that hang up; what may be retried is retried as the stock
SDKs do. Meanwhile one vendor after another goes wrong in another way, and every few minutes Redis is stopped for up to
{seen.plan.redis_away_s[1]:g} seconds or cuts all connections. Records are kept for {KEEP_S // 60} minutes here instead
of a day, so that as many end as begin.

![What was watched, over time](images/soak.svg)

Faults were on for {warm_up + minutes:g} minutes, of which the first {warm_up:g} are warm-up: until then threads and
caches fill to their bounds. The growth is Theil's and Sen's, the median of the slopes between all pairs of points, with
what a figure owes to the load of the moment taken out.

| what | least | median | highest | growth an hour | allowed | verdict |
|---|---:|---:|---:|---:|---:|---|
{_trends(seen)}
Allowed is the noise of a load that is drawn by dice. Receipts of settlements stay in Redis for two hours by design (an
outage may be that long), and are left out above; with them it held {seen.series["Redis MB"][-1][1]:.1f} MB at the end.

The idle gateway, before the load and once all work had ended after it:

| what | before | after |
|---|---:|---:|
{_idle(seen)}
## The books

| images | count |
|---|---:|
{_fates(seen)}
{_wrongs(seen)}
## Answers

| answer | count |
|---|---:|
{_counts(seen.answers)}
Of these undocumented, or `{ErrorCode.INTERNAL_ERROR}`: {len(seen.undocumented)}. Exceptions in the log:
{len(seen.outbursts)}. Links opened: {sum(seen.links.values())}, of which in vain: {seen.links.get("not", 0)}. The
gateway took {_processor_share(seen):.0%} of one core.

## Faults

Scripted, of which {seen.troubles["(not met with)"]} were not met with before the next came:

| fault | count |
|---|---:|
{_counts({name: count for name, count in seen.troubles.items() if not name.startswith("(")})}
Seed: `{seen.seed}`. Machine: {machine}, Python {platform.python_version()}.
"""


def _rows(rows: Mapping[str, object]) -> str:
    return "".join(f"| {name} | {value} |\n" for name, value in rows.items())


def _trends(seen: Soak) -> str:
    lines = []
    for name in JUDGED:
        one = seen.trends[name]
        figures = (one.least, one.median, one.highest, one.growth_an_hour, one.allowed_an_hour)
        told = " | ".join(f"{value:,.1f}" for value in figures)
        lines.append(f"| {name} | {told} | {'flat' if one.is_flat else '**not flat**'} |\n")
    return "".join(lines)


def _idle(seen: Soak) -> str:
    names = [*JUDGED, "operations under way"]
    return "".join(f"| {name} | {seen.before[name]:,.0f} | {seen.after[name]:,.0f} |\n" for name in names)


def _fates(seen: Soak) -> str:
    return _rows({words: getattr(seen.reckoning, name) for name, words in _FATES.items()}).rstrip("\n")


def _wrongs(seen: Soak) -> str:
    return _rows({f"**{words}**": len(getattr(seen.reckoning, name)) for name, words in _WRONGS.items()})


def _counts(counts: Mapping[str, int]) -> str:
    worded: Callable[[str], str] = lambda name: f"`{name}`" if name in set(ErrorCode) else name  # noqa: E731  one use
    return _rows({worded(name): count for name, count in sorted(counts.items(), key=lambda one: -one[1])})


def _processor_share(seen: Soak) -> float:
    points = seen.series["processor seconds"]
    return (points[-1][1] - points[0][1]) / (points[-1][0] - points[0][0])
