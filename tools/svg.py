"""Small charts as SVG: lines, stacked areas, bars and single values, in a box with a title and a legend."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Band", "Box", "Line", "Time", "bars", "chart", "number", "text"]

PALETTE = ("#2f6fb2", "#d9822b", "#3d9a50", "#b83a3a", "#7a5aa6", "#8c6d4f", "#c75b9b", "#6b7280", "#a3a02e", "#2aa3a8")
_INK, _FAINT, _FRAME = "#1f2933", "#66727f", "#d9dee4"
_MOST_NAMES = 6
_GAP_S = 2.5
_NAME_ROOM = 6.0  # pixels a letter takes in the legend


@dataclass(frozen=True, slots=True)
class Box:
    """Where a panel lies, in pixels."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Line:
    """One series: its name, and its values at moments (seconds since the start)."""

    name: str
    points: tuple[tuple[float, float], ...]

    @property
    def peak(self) -> float:
        """Its highest value."""
        return max((value for _, value in self.points), default=0.0)


@dataclass(frozen=True, slots=True)
class Band:
    """A span of time, shaded."""

    start: float
    end: float
    colour: str


@dataclass(frozen=True, slots=True)
class Time:
    """The axis that all charts share: its length in seconds, and what is shaded."""

    span_s: float
    bands: tuple[Band, ...] = ()


def text(x: float, y: float, words: str, size: float = 11, colour: str = _INK, **more: str) -> str:
    """A line of text; `more` are SVG attributes with underscores for hyphens."""
    extra = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in more.items())
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}"{extra}>{escape(words)}</text>'


def frame(box: Box, title: str) -> list[str]:
    """The box itself, with its title."""
    rectangle = (
        f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="4" '
        f'fill="#ffffff" stroke="{_FRAME}"/>'
    )
    return [rectangle, text(box.x + 10, box.y + 18, title, 12, font_weight="600")]


def number(box: Box, title: str, words: str, *, red: bool) -> list[str]:
    """A single value, large."""
    colour = PALETTE[3] if red else PALETTE[0]
    return [*frame(box, title), text(box.x + 10, box.y + box.height - 22, words, 28, colour, font_weight="600")]


def bars(box: Box, title: str, lines: Sequence[Line], shown: Callable[[float], str]) -> list[str]:
    """One bar a series, by its last value."""
    parts = frame(box, title)
    values = sorted(((line.name, line.points[-1][1]) for line in lines if line.points), key=lambda pair: -pair[1])
    most = max((abs(value) for _, value in values), default=0) or 1
    for place, (name, value) in enumerate(values[:7]):
        top = box.y + 32 + place * 22
        width = (box.width - 150) * abs(value) / most
        colour = PALETTE[3] if value < 0 else PALETTE[0]
        parts.append(
            f'<rect x="{box.x + 10:.1f}" y="{top:.1f}" width="{max(1, width):.1f}" height="15" fill="{colour}"/>'
        )
        parts.append(text(box.x + 16 + width, top + 12, f"{shown(value)}  {name}", 10.5))
    return parts


def chart(
    box: Box, title: str, lines: Sequence[Line], shown: Callable[[float], str], time: Time, *, stacked: bool
) -> list[str]:
    """Values over time. Of many series those with the highest peaks are named."""
    parts = frame(box, title)
    inner = Box(box.x + 52, box.y + 30, box.width - 64, box.height - 72)
    lines = sorted(lines, key=lambda line: -line.peak)
    heights = _stacked(lines) if stacked else [line.points for line in lines]
    top = max((value for points in heights for _, value in points), default=0) or 1
    for band in time.bands:
        x, width = inner.x + inner.width * band.start / time.span_s, inner.width * (band.end - band.start) / time.span_s
        parts.append(
            f'<rect x="{x:.1f}" y="{inner.y}" width="{width:.1f}" height="{inner.height}" fill="{band.colour}"/>'
        )
    for share in (0, 0.5, 1):
        y = inner.y + inner.height * (1 - share)
        parts.append(f'<path d="M{inner.x:.1f} {y:.1f}h{inner.width:.1f}" stroke="{_FRAME}"/>')
        parts.append(text(inner.x - 6, y + 4, shown(top * share), 10, _FAINT, text_anchor="end"))
    for place in reversed(range(len(lines))):
        parts += _drawn(heights[place], inner, time.span_s, top, PALETTE[place % len(PALETTE)], filled=stacked)
    return parts + _legend(box, [line.name for line in lines])


def _stacked(lines: Sequence[Line]) -> list[tuple[tuple[float, float], ...]]:
    """Each series upon those before it; one that is missing for a moment is nothing then."""
    moments = sorted({moment for line in lines for moment, _ in line.points})
    below = dict.fromkeys(moments, 0.0)
    heights = []
    for line in lines:
        for moment, value in line.points:
            below[moment] += value
        heights.append(tuple(below.items()))
    return heights


def _drawn(
    points: Sequence[tuple[float, float]], inner: Box, span_s: float, top: float, colour: str, *, filled: bool
) -> list[str]:
    """A series as paths, one for each stretch without a gap."""
    parts = []
    for stretch in _stretches(points):
        places = [
            (inner.x + inner.width * moment / span_s, inner.y + inner.height * (1 - max(0.0, value) / top))
            for moment, value in stretch
        ]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        bottom = inner.y + inner.height
        if filled:
            ends = (places[0][0], places[-1][0])
            parts.append(f'<path d="M{ends[0]:.1f} {bottom:.1f}L{path}L{ends[1]:.1f} {bottom:.1f}Z" fill="{colour}"/>')
        else:
            look = 'fill="none" stroke-width="1.6" stroke-linejoin="round" stroke-linecap="round"'
            parts.append(f'<path d="M{path}h0.1" stroke="{colour}" {look}/>')
    return parts


def _stretches(points: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    stretches: list[list[tuple[float, float]]] = []
    for point in points:
        if not stretches or point[0] - stretches[-1][-1][0] > _GAP_S:
            stretches.append([])
        stretches[-1].append(point)
    return stretches


def _legend(box: Box, names: Sequence[str]) -> list[str]:
    """Two lines of names at most, the others counted."""
    parts, x, y, named = [], box.x + 12, box.y + box.height - 26, 0
    for place, name in enumerate(names[:_MOST_NAMES]):
        room = 20 + _NAME_ROOM * len(name)
        if x + room > box.x + box.width - 50 and x > box.x + 12:
            if y > box.y + box.height - 20:
                break
            x, y = box.x + 12, y + 15
        colour = PALETTE[place % len(PALETTE)]
        parts.append(f'<rect x="{x:.1f}" y="{y - 8:.1f}" width="9" height="9" fill="{colour}"/>')
        parts.append(text(x + 13, y, name, 10, _FAINT))
        x, named = x + room, named + 1
    if named < len(names):
        parts.append(text(x, y, f"+{len(names) - named}", 10, _FAINT))
    return parts
