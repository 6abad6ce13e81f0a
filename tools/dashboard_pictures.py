"""Draws docs/images/*.svg, what each dashboard showed in a real run through all kinds of trouble.

Needs Prometheus (Debian package `prometheus`); the run is that of tests/observability and takes about a minute.
"""

import math
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.observability.panels import Expression, dashboards
from tests.observability.run import Run, drive
from tests.observability.site import site
from tools.svg import Band, Box, Line, Time, bars, chart, number, text

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "images"
_COLUMN, _UNIT, _MARGIN, _HEAD, _GAP = 50.0, 25.0, 16.0, 62.0, 6.0
_TROUBLE, _SILENCE = "#fdf3e7", "#eef0f3"


def main() -> int:
    """Run, draw, write; the exit code."""
    with tempfile.TemporaryDirectory() as folder, site(Path(folder)) as running:
        seen = drive(running)
    FOLDER.mkdir(exist_ok=True)
    for name in dashboards():
        (FOLDER / f"{name}.svg").write_text(picture(name, seen), encoding="utf-8")
    return 0


def picture(name: str, seen: Run) -> str:
    """One dashboard as SVG."""
    dashboard = dashboards()[name]
    by_panel: dict[tuple[str, str], list[tuple[Expression, list[dict[str, Any]]]]] = defaultdict(list)
    for one, series in seen.shown.items():
        if one.dashboard == name:
            by_panel[one.panel, one.look].append((one, series))
    width = 24 * _COLUMN + 2 * _MARGIN
    height = _HEAD + _MARGIN + _UNIT * max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in dashboard["panels"])
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="Helvetica, Arial, sans-serif">',
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#f6f7f9"/>',
        text(_MARGIN, 28, dashboard["title"], 18, font_weight="700"),
        *_explanation(seen),
    ]
    for panel in dashboard["panels"]:
        parts += _panel(panel, by_panel[panel["title"], panel["type"]], seen)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _explanation(seen: Run) -> list[str]:
    trouble = seen.moments["trouble"] - seen.started
    silence = seen.moments["silence"] - seen.started
    words = (
        f"{_span(seen):.0f} seconds of a real run. White: all is well, for {trouble:.0f} s. Shaded: vendors, limits, "
        f"the store and the loop in trouble, until {silence:.0f} s. Grey: no Redis, a replica killed, three requests "
        "at the end."
    )
    return [text(_MARGIN, 48, words, 12, "#66727f")]


def _span(seen: Run) -> float:
    moments = [moment for series in seen.shown.values() for one in series for moment, _ in one["values"]]
    return float(max(moments) - seen.started)


def _panel(panel: Mapping[str, Any], shown: Sequence[tuple[Expression, list[dict[str, Any]]]], seen: Run) -> list[str]:
    place = panel["gridPos"]
    x, y = _MARGIN + place["x"] * _COLUMN, _HEAD + place["y"] * _UNIT
    if panel["type"] == "row":
        return [text(x, y + 17, panel["title"], 14, font_weight="600")]
    box = Box(x, y, place["w"] * _COLUMN - _GAP, place["h"] * _UNIT - _GAP)
    lines = [line for one, series in shown for line in _lines(one, series, seen)]
    words = _worded(panel["fieldConfig"]["defaults"]["unit"])
    trouble, before = (seen.moments[name] - seen.started for name in ("trouble", "silence"))
    midst = trouble + 0.7 * (before - trouble)
    if panel["type"] == "stat":
        value = _at(lines[0], midst) if lines else math.nan
        return number(box, panel["title"], "–" if math.isnan(value) else words(value), red=_is_red(panel, value))
    if panel["type"] == "bargauge":
        shown_bars = [_until(line, before) for line in lines if any(value for _, value in line.points)]
        return bars(box, panel["title"], shown_bars, words)
    bands = (Band(trouble, before, _TROUBLE), Band(before, _span(seen), _SILENCE))
    stacked = panel["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal"
    moved = [line for line in lines if line.peak] or lines[:1]
    return chart(box, panel["title"], moved, words, Time(_span(seen), bands), stacked=stacked)


def _lines(one: Expression, series: Sequence[Mapping[str, Any]], seen: Run) -> list[Line]:
    made = []
    for each in series:
        labels = each["metric"] | {"instance": seen.replicas.get(each["metric"].get("instance", ""), "")}
        name = one.legend
        for label, value in labels.items():
            name = name.replace(f"{{{{{label}}}}}", value)
        points = tuple((float(at) - seen.started, float(value)) for at, value in each["values"])
        made.append(Line(name or one.panel, tuple(point for point in points if not math.isnan(point[1]))))
    return made


def _at(line: Line, moment: float) -> float:
    return next((value for at, value in reversed(line.points) if at <= moment), math.nan)


def _until(line: Line, moment: float) -> Line:
    return Line(line.name, tuple(point for point in line.points if point[0] <= moment) or line.points[:1])


def _is_red(panel: Mapping[str, Any], value: float) -> bool:
    colour = ""
    for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]:
        if step["value"] is None or value >= step["value"]:
            colour = step["color"]
    return colour == "red"


def _worded(unit: str) -> Callable[[float], str]:
    """How Grafana would show a value of this unit, roughly."""
    return {
        "percentunit": lambda value: f"{value:.0%}",
        "currencyUSD": lambda value: (
            f"${value:,.0f}" if value >= 100 else f"${value:.2f}" if value >= 1 else f"${value:.3g}"
        ),
        "s": lambda value: f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s",
        "bytes": lambda value: f"{value / 1e6:.0f} MB",
        "d": lambda value: f"{value:.0f} d",
        "reqps": lambda value: f"{_short(value)}/s",
        "ops": lambda value: f"{_short(value)}/s",
        "cps": lambda value: f"{_short(value)}/s",
    }.get(unit, _short)


def _short(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.2g}" if abs(value) < 10 else f"{value:.0f}"


if __name__ == "__main__":
    sys.exit(main())
