"""Draws the sandbox's pictures: each shows at a glance which vendor and model made it, from what, and which one it is.

The weight is real: a 1024 × 1024 PNG has between 1 and 2 MB, since a grain is laid over the painting.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pyvips

from gateway.sandbox.lettering import LINE_HEIGHT, letters, width_of, wrapped
from gateway.sandbox.scenery import PALETTES, Palette, landscape

__all__ = ["Picture", "draw", "encoded", "painted"]

_QUALITY = 80
_GRAIN_MASK = 3  # two low bits of noise: they make a PNG as heavy as a photograph's, and are not seen
_TILE = 512


@dataclass(frozen=True, slots=True)
class Picture:
    """What to draw. `index` counts from 0 among `count`. `format` is png, jpeg, webp, gif or svg.

    A `transparent` picture has no sky.
    """

    vendor: str
    model: str
    prompt: str
    seed: int
    index: int
    count: int
    width: int
    height: int
    format: str = "png"
    quality: int = _QUALITY
    transparent: bool = False


def draw(picture: Picture) -> bytes:
    """The finished file. Takes some 30 ms of one core for a 1024 × 1024 PNG, so call it in a thread."""
    if picture.format == "svg":
        return _svg(picture).encode()
    return encoded(painted(picture), picture.format, picture.quality)


def painted(picture: Picture) -> Any:
    """The picture as an 8-bit pyvips image: RGB, with alpha when it is transparent."""
    drawn = pyvips.Image.svgload_buffer(_svg(picture).encode())
    grained = drawn.extract_band(0, n=3) ^ _grain(picture.width, picture.height)
    return grained.bandjoin(drawn[3]) if picture.transparent else grained


def encoded(image: Any, file_format: str, quality: int = _QUALITY) -> bytes:
    """The image as a file of the format named, at a speed fit for a test bench."""
    if file_format == "png":
        return bytes(image.pngsave_buffer(compression=1, filter=pyvips.enums.ForeignPngFilter.NONE))
    if file_format == "jpeg":
        return bytes(image.jpegsave_buffer(Q=max(quality, 1)))
    if file_format == "webp":
        return bytes(image.webpsave_buffer(Q=quality, effort=0))
    if file_format == "gif":
        return bytes(image.gifsave_buffer(effort=1))
    raise ValueError(f"the sandbox draws no {file_format!r}")


@lru_cache(maxsize=8)
def _grain(width: int, height: int) -> Any:
    """Faint noise, the same in red and blue: made once a size, one tile repeated."""
    first, second = _noise(width, height), _noise(width, height)
    return first.bandjoin([second, first]).copy_memory()


def _noise(width: int, height: int) -> Any:
    noise = pyvips.Image.gaussnoise(_TILE, _TILE, mean=0, sigma=1.3).abs().cast("uchar") & _GRAIN_MASK
    tile = noise.cast("uchar").copy_memory()
    return tile.replicate(-(-width // _TILE), -(-height // _TILE)).crop(0, 0, width, height)


def _svg(picture: Picture) -> str:
    palette = PALETTES[picture.vendor]
    key = f"{picture.vendor}|{picture.model}|{picture.seed}|{picture.index}|{picture.prompt}"
    body = landscape(palette, picture.width, picture.height, key, sky=not picture.transparent)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{picture.width}" height="{picture.height}">'
        f"{body}{_caption(picture, palette)}</svg>"
    )


def _caption(picture: Picture, palette: Palette) -> str:
    """Seal and index above; vendor, model, prompt and figures on the dark foreground below."""
    short = min(picture.width, picture.height)
    unit = short / 1024
    zoom = 1.0 if short >= 700 else 1.35 if short >= 400 else 1.7
    margin = 64 * unit
    room = picture.width - 2 * margin
    text = 4.2 * unit * zoom
    lines = wrapped(picture.prompt, room / text, 3 if zoom < 1.7 else 2)
    figures = f"seed {picture.seed} · {picture.width}×{picture.height} · {picture.format}"
    small = 3.4 * unit * zoom
    model_scale = min(9 * unit * zoom, room / max(width_of(picture.model), 1))
    foot = picture.height - margin
    y_figures = foot - 6 * small
    y_prompt = y_figures - 5 * small - len(lines) * LINE_HEIGHT * text
    y_model = y_prompt - 12 * unit - 8.5 * model_scale
    y_vendor = y_model - 5 * small - 6 * small
    parts = [
        _run(letters(picture.vendor.upper(), margin, y_vendor, small), palette.sun, 1.0),
        _run(letters(picture.model, margin, y_model, model_scale), palette.ink, 0.72),
        *(
            _run(letters(line, margin, y_prompt + row * LINE_HEIGHT * text, text), palette.ink, 0.72)
            for row, line in enumerate(lines)
        ),
        _run(letters(figures, margin, y_figures, small), palette.sun, 0.8),
        _seal(picture, palette, margin, unit),
    ]
    shade = _shade(picture, palette, y_vendor - 40 * unit)
    return shade + "".join(parts)


def _shade(picture: Picture, palette: Palette, top: float) -> str:
    """A veil of the nearest ridge's colour, so that the words stand out on any landscape."""
    return (
        '<defs><linearGradient id="veil" x1="0" y1="0" x2="0" y2="1">'
        f'<stop offset="0" stop-color="{palette.near}" stop-opacity="0"/>'
        f'<stop offset=".3" stop-color="{palette.near}" stop-opacity=".8"/>'
        f'<stop offset="1" stop-color="{palette.near}" stop-opacity=".96"/></linearGradient></defs>'
        f'<rect y="{top:.0f}" width="{picture.width}" height="{picture.height - top:.0f}" fill="url(#veil)"/>'
    )


def _seal(picture: Picture, palette: Palette, margin: float, unit: float) -> str:
    """A red stamp with the vendor's initial, and beside it which picture of how many this is."""
    edge = 104 * unit
    x = picture.width - margin - edge
    initial = picture.vendor[0].upper()
    scale = edge * 0.55 / 6
    place = f"{picture.index + 1}/{picture.count}"
    count_scale = 6.5 * unit
    left = x + (edge - width_of(initial) * scale) / 2
    return (
        f'<rect x="{x:.1f}" y="{margin:.1f}" width="{edge:.1f}" height="{edge:.1f}" rx="{edge * 0.12:.1f}"'
        f' fill="{palette.seal}"/>'
        + _run(letters(initial, left, margin + (edge - 6 * scale) / 2, scale), "#fff", 0.95)
        + _run(letters(place, margin, margin + 8 * unit, count_scale), palette.ink, 0.85)
    )


def _run(paths: Any, colour: str, weight: float) -> str:
    """A line of letters; `weight` is the stroke's width in grid units."""
    style = f'stroke="{colour}" stroke-width="{weight}" stroke-linecap="round" stroke-linejoin="round" fill="none"'
    return f"<g {style}>{''.join(paths)}</g>"
