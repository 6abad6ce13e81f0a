"""What is wrong with a configuration: every fault with its line, collected before anything is said."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

__all__ = ["ConfigFault", "Findings", "Place", "SettingsError", "did_you_mean", "spelt"]

Place = tuple[str | int, ...]
"""Where something stands in the document: names, and numbers for the items of lists."""


@dataclass(frozen=True, slots=True, order=True)
class ConfigFault:
    """One thing wrong. `line` counts from 1 and is 0 when the whole file is meant. `message` never holds a secret."""

    line: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{self.path}: {self.message}" if self.path else f"{where}{self.message}"


class SettingsError(Exception):
    """The configuration cannot be used. `faults` are all of them, by line; `files` what was read, or wanted."""

    def __init__(self, faults: Iterable[ConfigFault], files: Iterable[Path] = ()) -> None:
        self.faults = tuple(sorted(set(faults)))
        self.files = tuple(files)
        super().__init__("\n".join(map(str, self.faults)))


class Findings:
    """The faults and warnings of one document, and on which line each of its parts stands."""

    def __init__(self, lines: Mapping[Place, int]) -> None:
        self.lines = lines
        self.faults: list[ConfigFault] = []
        self.warnings: list[ConfigFault] = []

    def fault(self, place: Place, message: str) -> None:
        """Note something that forbids a start."""
        self.faults.append(ConfigFault(self.line_of(place), spelt(place), message))

    def warn(self, place: Place, message: str) -> None:
        """Note something that works, though hardly as meant."""
        self.warnings.append(ConfigFault(self.line_of(place), spelt(place), message))

    def line_of(self, place: Place) -> int:
        """The line of `place`, or of the nearest thing around it that the document has; 1 for none."""
        while place:
            if place in self.lines:
                return self.lines[place]
            place = place[:-1]
        return 1


def spelt(place: Place) -> str:
    """A place as people write it: `models.dall-e-3.targets[0].price`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean x?` with the nearest of the known names, else nothing. Never repeats `name`."""
    nearest = get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {nearest[0]}?" if nearest else ""
