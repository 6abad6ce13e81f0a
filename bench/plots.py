"""The plots of the page: lines over a labelled axis, and bars beside each other, drawn with `tools.svg`."""

from collections.abc import Mapping, Sequence
from math import log10

from bench.figures import shown
from tools.svg import PALETTE, Box, frame, text

__all__ = ["curves", "log_bars"]

_WIDTH, _HEIGHT = 720, 360
_GRID = "#d9dee4"

Points = Sequence[tuple[float, float]]


def curves(title: str, axes: tuple[str, str], lines: Mapping[str, Points]) -> str:
    """Lines over a linear axis, with a mark at every point."""
    box = Box(8, 8, _WIDTH - 16, _HEIGHT - 16)
    inner = Box(70, 44, _WIDTH - 100, _HEIGHT - 122)
    most_x = max((x for points in lines.values() for x, _ in points), default=1) or 1
    most_y = max((y for points in lines.values() for _, y in points), default=1) or 1
    parts = frame(box, f"{title} ({axes[1]})")
    for share in (0, 0.25, 0.5, 0.75, 1):
        y, x = inner.y + inner.height * (1 - share), inner.x + inner.width * share
        parts.append(f'<path d="M{inner.x:.1f} {y:.1f}h{inner.width:.1f}" stroke="{_GRID}"/>')
        parts.append(text(inner.x - 8, y + 4, f"{most_y * share:,.0f}", 10, text_anchor="end"))
        parts.append(text(x, inner.y + inner.height + 16, f"{most_x * share:,.0f}", 10, text_anchor="middle"))
    parts.append(text(inner.x + inner.width / 2, inner.y + inner.height + 34, axes[0], 11, text_anchor="middle"))
    for place, (name, points) in enumerate(lines.items()):
        colour = PALETTE[place % len(PALETTE)]
        spots = [(inner.x + inner.width * x / most_x, inner.y + inner.height * (1 - y / most_y)) for x, y in points]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in spots)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in spots]
        parts.append(text(inner.x + place * 150, _HEIGHT - 22, name, 11, colour, font_weight="600"))
    return _drawing(parts, _HEIGHT)


def log_bars(title: str, unit: str, groups: Mapping[str, Mapping[str, float]]) -> str:
    """Bars over a logarithmic axis: for each group one bar a name, with its figure."""
    values = [value for group in groups.values() for value in group.values() if value > 0]
    low, high = log10(min(values, default=1) / 2), log10(max(values, default=10))
    height = 44 + sum(26 + 20 * len(group) for group in groups.values()) + 24
    parts = frame(Box(8, 8, _WIDTH - 16, height - 16), f"{title} ({unit}, logarithmic)")
    y = 44.0
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    for heading, group in groups.items():
        parts.append(text(20, y + 10, heading, 11, font_weight="600"))
        y += 18
        for name, value in group.items():
            width = (_WIDTH - 280) * (log10(value) - low) / (high - low) if value > 0 else 0
            colour = PALETTE[names.index(name) % len(PALETTE)]
            parts.append(f'<rect x="140" y="{y:.1f}" width="{max(1.0, width):.1f}" height="15" fill="{colour}"/>')
            parts.append(text(132, y + 12, name, 11, text_anchor="end"))
            parts.append(text(146 + max(1.0, width), y + 12, shown(value), 11))
            y += 20
        y += 8
    return _drawing(parts, height)


def _drawing(parts: Sequence[str], height: float) -> str:
    size = f'viewBox="0 0 {_WIDTH} {height:.0f}" font-family="Helvetica, Arial, sans-serif"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>'
    return "\n".join([head, *parts, "</svg>"]) + "\n"
