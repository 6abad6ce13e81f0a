"""A small single-stroke alphabet of our own, so that the sandbox can write on any machine, with or without fonts.

Each glyph is SVG path data on a grid: capitals stand between y = 0 and y = 6, small letters rise to y = 2,
descenders hang to y = 8. What is not in the alphabet is drawn as a hollow box.
"""

import unicodedata
from collections.abc import Iterator
from functools import cache

__all__ = ["LINE_HEIGHT", "letters", "width_of", "wrapped"]

LINE_HEIGHT = 10.0
"""Distance from one baseline to the next, in grid units."""

_GAP = 1.5
_BOX = (2.6, "M0 1H2.6V6H0Z")
_BOWL_LEFT = "M3 4A1.5 2 0 1 0 0 4A1.5 2 0 1 0 3 4"
_BOWL_RIGHT = "M0 4A1.5 2 0 1 0 3 4A1.5 2 0 1 0 0 4"

_GLYPHS: dict[str, tuple[float, str]] = {
    " ": (1.4, ""),
    "A": (4, "M0 6 2 0 4 6M.7 4H3.3"),
    "B": (3.6, "M0 0V6H2A1.55 1.55 0 0 0 2 2.9H0M2 2.9H1.8A1.45 1.45 0 0 0 1.8 0H0"),
    "C": (4, "M4 1.3A2.4 3 0 1 0 4 4.7"),
    "D": (4, "M0 0V6H1.4A2.6 3 0 0 0 1.4 0Z"),
    "E": (3.2, "M3.2 0H0V6H3.2M0 2.9H2.7"),
    "F": (3.2, "M3.2 0H0V6M0 2.9H2.7"),
    "G": (4.2, "M4 1.3A2.4 3 0 1 0 4.2 4.4V3.3H2.6"),
    "H": (3.8, "M0 0V6M3.8 0V6M0 3H3.8"),
    "I": (0.4, "M.2 0V6"),
    "J": (2.6, "M2.6 0V4.3A1.3 1.6 0 0 1 0 4.6"),
    "K": (3.6, "M0 0V6M3.6 0 0 3.6M1.3 2.4 3.6 6"),
    "L": (3, "M0 0V6H3"),
    "M": (4.8, "M0 6V0L2.4 4 4.8 0V6"),
    "N": (4, "M0 6V0L4 6V0"),
    "O": (4.6, "M2.3 0A2.3 3 0 1 0 2.3 6A2.3 3 0 1 0 2.3 0Z"),
    "P": (3.4, "M0 6V0H1.8A1.6 1.65 0 0 1 1.8 3.3H0"),
    "Q": (4.6, "M2.3 0A2.3 3 0 1 0 2.3 6A2.3 3 0 1 0 2.3 0ZM3 4.4 4.6 6.3"),
    "R": (3.6, "M0 6V0H1.8A1.6 1.65 0 0 1 1.8 3.3H0M1.8 3.3 3.6 6"),
    "S": (
        3.4,
        "M3.3 1.1C3 .3 2.3 0 1.7 0C.8 0 .1 .6 .1 1.5C.1 3.3 3.4 2.6 3.4 4.5C3.4 5.4 2.6 6 1.7 6C.9 6 .2 5.6 0 4.8",
    ),
    "T": (4, "M0 0H4M2 0V6"),
    "U": (3.8, "M0 0V4A1.9 2 0 0 0 3.8 4V0"),
    "V": (4, "M0 0 2 6 4 0"),
    "W": (5.6, "M0 0 1.4 6 2.8 1 4.2 6 5.6 0"),
    "X": (3.8, "M0 0 3.8 6M3.8 0 0 6"),
    "Y": (4, "M0 0 2 3 4 0M2 3V6"),
    "Z": (3.6, "M0 0H3.6L0 6H3.6"),
    "a": (3, f"{_BOWL_LEFT}M3 2V6"),
    "b": (3, f"M0 0V6{_BOWL_RIGHT}"),
    "c": (2.8, "M2.8 2.8A1.6 2 0 1 0 2.8 5.2"),
    "d": (3, f"M3 0V6{_BOWL_LEFT}"),
    "e": (3, "M0 4H3A1.5 2 0 1 0 2.6 5.4"),
    "f": (2, "M2 .2A1.2 1.4 0 0 0 .8 1.4V6M0 2.3H1.8"),
    "g": (3, f"{_BOWL_LEFT}M3 2V6.4A1.5 1.6 0 0 1 .2 7.2"),
    "h": (2.8, "M0 0V6M0 3.6A1.4 1.6 0 0 1 2.8 3.6V6"),
    "i": (0.4, "M.2 2V6M.2 .3V.5"),
    "j": (1, "M.8 2V6.8A1 1.1 0 0 1 -.2 7.7M.8 .3V.5"),
    "k": (2.6, "M0 0V6M2.6 2 0 4.4M1 3.5 2.6 6"),
    "l": (0.4, "M.2 0V6"),
    "m": (4.6, "M0 2V6M0 3.4A1.15 1.4 0 0 1 2.3 3.4V6M2.3 3.4A1.15 1.4 0 0 1 4.6 3.4V6"),
    "n": (2.8, "M0 2V6M0 3.6A1.4 1.6 0 0 1 2.8 3.6V6"),
    "o": (3.2, "M1.6 2A1.6 2 0 1 0 1.6 6A1.6 2 0 1 0 1.6 2Z"),
    "p": (3, f"M0 2V8{_BOWL_RIGHT}"),
    "q": (3, f"M3 2V8{_BOWL_LEFT}"),
    "r": (1.8, "M0 2V6M0 3.8A1.6 1.8 0 0 1 1.8 2.1"),
    "s": (
        2.5,
        "M2.3 2.7C2.1 2.2 1.7 2 1.2 2C.6 2 .1 2.4 .1 3C.1 4.2 2.5 3.7 2.5 5C2.5 5.6 1.9 6 1.2 6C.6 6 .2 5.7 0 5.2",
    ),
    "t": (1.9, "M.8 .6V4.7A1.1 1.2 0 0 0 1.9 5.9M0 2.1H1.8"),
    "u": (2.8, "M0 2V4.4A1.4 1.6 0 0 0 2.8 4.4V2M2.8 4.4V6"),
    "v": (2.8, "M0 2 1.4 6 2.8 2"),
    "w": (4.2, "M0 2 1.05 6 2.1 2.6 3.15 6 4.2 2"),
    "x": (2.6, "M0 2 2.6 6M2.6 2 0 6"),
    "y": (2.8, "M0 2 1.4 5.8M2.8 2 1.2 6.6A1.2 1.2 0 0 1 0 7.7"),
    "z": (2.6, "M0 2H2.6L0 6H2.6"),
    "0": (3.4, "M1.7 0A1.7 3 0 1 0 1.7 6A1.7 3 0 1 0 1.7 0Z"),
    "1": (1.4, "M0 1.2 1.4 0V6"),
    "2": (3.2, "M.1 1.5A1.55 1.5 0 1 1 2.9 2.4L0 6H3.2"),
    "3": (3.2, "M.2 .9A1.45 1.4 0 1 1 1.5 2.8A1.6 1.6 0 1 1 0 5.1"),
    "4": (3.4, "M2.5 6V0L0 4.2H3.4"),
    "5": (3.2, "M2.9 0H.5L.2 2.7A1.75 1.75 0 1 1 0 5.2"),
    "6": (3.2, "M2.5 0C1.2 .9 0 2.6 0 4.3A1.6 1.7 0 1 0 3.2 4.3A1.6 1.7 0 0 0 .2 3.5"),
    "7": (3.2, "M0 0H3.2L1 6"),
    "8": (
        3.2,
        "M1.6 0A1.35 1.4 0 0 1 1.6 2.8A1.35 1.4 0 0 1 1.6 0M1.6 2.8A1.6 1.6 0 0 1 1.6 6A1.6 1.6 0 0 1 1.6 2.8",
    ),
    "9": (3.2, "M.7 6C2 5.1 3.2 3.4 3.2 1.7A1.6 1.7 0 1 0 0 1.7A1.6 1.7 0 0 0 3 2.5"),
    ".": (0.4, "M.2 5.8V6"),
    ",": (0.6, "M.4 5.7 0 7"),
    ":": (0.4, "M.2 2.7V2.9M.2 5.8V6"),
    ";": (0.6, "M.4 2.7V2.9M.4 5.7 0 7"),
    "!": (0.4, "M.2 0V4M.2 5.8V6"),
    "?": (2.8, "M0 1.4A1.4 1.4 0 1 1 2 2.6C1.5 3 1.4 3.3 1.4 4M1.4 5.8V6"),
    "'": (0.4, "M.2 0V1.5"),
    '"': (1.5, "M.2 0V1.5M1.3 0V1.5"),
    "`": (0.8, "M0 0 .8 1"),
    "-": (2, "M0 4H2"),
    "_": (3, "M0 6.6H3"),
    "(": (1.2, "M1.2 -.5A4.6 4.6 0 0 0 1.2 6.9"),
    ")": (1.2, "M0 -.5A4.6 4.6 0 0 1 0 6.9"),
    "[": (1.1, "M1.1 -.4H0V6.8H1.1"),
    "]": (1.1, "M0 -.4H1.1V6.8H0"),
    "{": (1.4, "M1.4 -.4C.2 -.4 1 3.2 0 3.2C1 3.2 .2 6.8 1.4 6.8"),
    "}": (1.4, "M0 -.4C1.2 -.4 .4 3.2 1.4 3.2C.4 3.2 1.2 6.8 0 6.8"),
    "/": (2.4, "M2.4 -.4 0 6.8"),
    "\\": (2.4, "M0 -.4 2.4 6.8"),
    "|": (0.4, "M.2 -.4V6.8"),
    "+": (3, "M1.5 2.5V5.5M0 4H3"),
    "=": (3, "M0 3.2H3M0 4.8H3"),
    "<": (2.6, "M2.6 2 0 4 2.6 6"),
    ">": (2.6, "M0 2 2.6 4 0 6"),
    "*": (2.4, "M1.2 .6V3M.1 1.2 2.3 2.4M2.3 1.2 .1 2.4"),
    "^": (2.4, "M0 2 1.2 .4 2.4 2"),
    "~": (2.8, "M0 4.3C.9 3 1.9 5.2 2.8 3.8"),
    "#": (3.6, "M1.2 .6 .6 5.6M3 .6 2.4 5.6M.2 2.2H3.6M0 4H3.4"),
    "%": (4, "M3.4 0 .6 6M.9 0A.9 1.1 0 1 0 .91 0M3.1 3.8A.9 1.1 0 1 0 3.11 3.8"),
    "$": (
        3.2,
        (
            "M3.1 1.4C2.8 .9 2.2 .7 1.6 .7C.8 .7 .1 1.1 .1 1.9C.1 3.4 3.2 2.8 3.2 4.3C3.2 5.1 2.4 5.5 1.6 5.5"
            "C.8 5.5 .2 5.2 0 4.6M1.6 -.2V6.4"
        ),
    ),
    "&": (3.8, "M3.8 6 .9 2.2A1.25 1.25 0 1 1 2.8 1.9L.7 3.6A1.5 1.5 0 1 0 3.1 5L3.7 3.7"),
    "@": (4.8, "M3.4 3A1.1 1.3 0 1 0 3.4 3.4V1.9M3.4 3.4C3.5 5 4.8 4.6 4.8 3A2.4 2.9 0 1 0 3.6 5.5"),
    "×": (2.4, "M0 2.8 2.4 5.2M2.4 2.8 0 5.2"),
    "·": (0.8, "M.4 3.6V3.8"),
    "…": (3, "M.2 5.8V6M1.5 5.8V6M2.8 5.8V6"),
    "–": (2.8, "M0 4H2.8"),
    "—": (4, "M0 4H4"),
}
_ALIKE = str.maketrans("“”„‘’«»\t\n\r", '"""\'\'""   ')
_TAKEN_AS_IS = "×·…–—"


@cache
def _plain(character: str) -> str:
    """The character without its accents, or itself."""
    if character in _TAKEN_AS_IS:
        return character
    bare = "".join(part for part in unicodedata.normalize("NFKD", character) if not unicodedata.combining(part))
    return bare if all(part in _GLYPHS for part in bare) else character


def _spelled(text: str) -> str:
    return "".join(_plain(character) for character in text.translate(_ALIKE))


def width_of(text: str) -> float:
    """How wide a line runs, in grid units."""
    return sum(_GLYPHS.get(character, _BOX)[0] + _GAP for character in _spelled(text)) - _GAP if text else 0.0


def letters(text: str, x: float, y: float, scale: float) -> Iterator[str]:
    """SVG paths that write one line with its baseline's cap top at (x, y), one grid unit being `scale` pixels."""
    for character in _spelled(text):
        width, path = _GLYPHS.get(character, _BOX)
        if path:
            yield f'<path transform="matrix({scale:.4g} 0 0 {scale:.4g} {x:.5g} {y:.5g})" d="{path}"/>'
        x += (width + _GAP) * scale


def wrapped(text: str, width: float, most: int) -> list[str]:
    """`text` broken at spaces into at most `most` lines of `width` grid units, the last one cut with an ellipsis."""
    lines: list[str] = []
    for word in _spelled(text).split():
        if lines and width_of(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
        if len(lines) > most:
            break
    kept = [_cut(line, width, must=len(line) > 400) for line in lines[:most]]
    if len(lines) > most:
        kept[-1] = _cut(f"{kept[-1]} {lines[most]}", width, must=True)
    return kept


def _cut(line: str, width: float, *, must: bool) -> str:
    if not must and width_of(line) <= width:
        return line
    line = line[:400]
    while line and width_of(f"{line}…") > width:
        line = line[:-1]
    return f"{line.rstrip()}…"
