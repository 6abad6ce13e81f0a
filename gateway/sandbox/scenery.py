"""What the sandbox paints: a layered landscape, different for every vendor, seed and index, as SVG.

Pure: the same numbers give the same picture.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["PALETTES", "Palette", "landscape"]


@dataclass(frozen=True, slots=True)
class Palette:
    """A vendor's colours as hex: sky from top to horizon, sun, the furthest and the nearest ridge, ink and seal."""

    sky: tuple[str, str, str]
    sun: str
    far: str
    near: str
    ink: str
    seal: str
    roughness: float
    """0 for long dunes, 1 for crags."""


PALETTES = {
    "replicate": Palette(("#2b1a3d", "#b2433f", "#f6b26b"), "#ffe3b0", "#b8655a", "#1c1326", "#fff3e0", "#d7263d", 0.9),
    "openai": Palette(("#0b3b3c", "#2a7f77", "#cfe8d5"), "#fdf6e3", "#5fa79a", "#08272a", "#effaf4", "#c8452f", 0.35),
    "ideogram": Palette(("#27114d", "#8e3fa8", "#ffb5c5"), "#fff0d4", "#b06bb8", "#1d0c38", "#fdeffb", "#e0305e", 0.15),
    "vertex": Palette(("#12305f", "#4a86c8", "#fbe6b5"), "#fffbe8", "#7fa8cf", "#0c2145", "#f2f7ff", "#d93a2b", 0.6),
}
_RIDGES = 5
_STEPS = 28


def landscape(palette: Palette, width: int, height: int, key: str, *, sky: bool = True) -> str:
    """The body of an SVG of this size: sky, sun, ridges, a few birds. `key` decides everything that varies."""
    dice = random.Random(key)  # noqa: S311 - it arranges hills, it guards nothing
    hue = dice.uniform(-0.12, 0.12)
    return "".join(
        (
            _sky(palette, hue),
            f'<rect width="{width}" height="{height}" fill="url(#sky)"/>' if sky else "",
            _sun(palette, width, height, dice),
            *_ridges(palette, width, height, dice),
            *_birds(palette, width, height, dice),
        )
    )


def _sky(palette: Palette, hue: float) -> str:
    stops = zip((0, 0.42 + hue, 0.78), palette.sky, strict=True)
    inside = "".join(f'<stop offset="{at:.3f}" stop-color="{colour}"/>' for at, colour in stops)
    return f'<defs><linearGradient id="sky" x1="0" y1="0" x2="0" y2="1">{inside}</linearGradient></defs>'


def _sun(palette: Palette, width: int, height: int, dice: random.Random) -> str:
    radius = min(width, height) * dice.uniform(0.08, 0.17)
    x, y = width * dice.uniform(0.28, 0.78), height * dice.uniform(0.22, 0.42)
    halos = (
        f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{radius * reach:.0f}" fill="{palette.sun}" fill-opacity="{share}"/>'
        for reach, share in ((2.7, 0.09), (2.0, 0.12), (1.4, 0.17), (1.0, 1))
    )
    return "".join(halos)


def _ridges(palette: Palette, width: int, height: int, dice: random.Random) -> Iterator[str]:
    for depth in range(_RIDGES):
        share = depth / (_RIDGES - 1)
        level = height * (0.46 + 0.09 * depth)
        swing = height * (0.05 + 0.035 * depth)
        points = _ridge(width, level, swing, palette.roughness, dice)
        colour = _between(palette.far, palette.near, share**0.8)
        yield f'<path d="M0 {height}L{points}L{width} {height}Z" fill="{colour}"/>'


def _ridge(width: int, level: float, swing: float, roughness: float, dice: random.Random) -> str:
    waves = [(dice.uniform(0.6, 1.6) * 2**octave, dice.uniform(0, math.tau), roughness**octave) for octave in range(5)]
    total = sum(weight for *_, weight in waves)
    points = []
    for step in range(_STEPS + 1):
        share = step / _STEPS
        rise = sum(weight * math.sin(math.tau * pace * share + phase) for pace, phase, weight in waves) / total
        points.append(f"{width * share:.0f} {level - swing * rise:.0f}")
    return " ".join(points)


def _birds(palette: Palette, width: int, height: int, dice: random.Random) -> Iterator[str]:
    unit = min(width, height) / 1024
    x, y = width * dice.uniform(0.15, 0.6), height * dice.uniform(0.12, 0.3)
    for _ in range(dice.randint(2, 5)):
        span = unit * dice.uniform(9, 18)
        left, top = x + unit * dice.uniform(-90, 90), y + unit * dice.uniform(-50, 50)
        wing = f"q{span / 2:.1f} {-span / 2:.1f} {span:.1f} 0"
        stroke = f'stroke="{palette.near}" stroke-width="{2.4 * unit:.2f}" stroke-linecap="round"'
        yield f'<path d="M{left:.1f} {top:.1f}{wing}{wing}" fill="none" {stroke}/>'


def _between(first: str, second: str, share: float) -> str:
    pairs = ((int(first[i : i + 2], 16), int(second[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)
