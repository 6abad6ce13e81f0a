"""What a workload hands back: its rows, what they say of the goals, and the raw figures of every round."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.figures import middle, shown

__all__ = ["Outcome", "Plan", "Row", "Table", "Verdict", "at_least", "at_most", "ratio"]

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and with whom to measure; `only` empty is everybody."""

    rounds: int = 3
    seconds: float = 5.0
    only: frozenset[str] = frozenset()

    def wants(self, contestant: str) -> bool:
        """Whether this one is to be measured."""
        return not self.only or contestant in self.only


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was measured against one goal's number. `met` is None where it could not be measured here."""

    goal: int
    what: str
    limit: str
    figure: str
    met: bool | None


@dataclass(slots=True)
class Table:
    """Rows under columns: numbers are shown in three digits, words as they are."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str | float | int | None, ...]] = field(default_factory=list)
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class Outcome:
    """All of one workload."""

    name: str
    tables: list[Table] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    rounds: list[Row] = field(default_factory=list)
    """As measured, one row for each contestant and round."""
    missing: Mapping[str, str] = field(default_factory=dict)

    def median(self, figure: str, **where: object) -> float | None:
        """The median of a figure over all rounds that match."""
        return middle([row.get(figure) for row in self.rounds if _matches(row, where)])

    def tabulate(
        self, title: str, columns: Mapping[str, str], keys: Sequence[Mapping[str, object]], **where: object
    ) -> Table:
        """Add a table of medians: one row for each of `keys`, whose values come first; columns are figure → heading.

        Only rounds that match `where` count. Without a round, a row is left out.
        """
        table = Table(title, (*(name for name in (keys[0] if keys else {})), *columns.values()))
        for key in keys:
            if any(_matches(row, {**key, **where}) for row in self.rounds):
                figures = (self.median(name, **key, **where) for name in columns)
                table.rows.append((*map(_word, key.values()), *figures))
        self.tables.append(table)
        return table


def at_most(goal: int, what: str, figure: float | None, limit: float, unit: str) -> Verdict:
    """The verdict on a figure that must not be above `limit`."""
    return _verdict((goal, what, f"≤ {_plain(limit)} {unit}".rstrip(), unit), figure, lambda value: value <= limit)


def at_least(goal: int, what: str, figure: float | None, limit: float, unit: str) -> Verdict:
    """The verdict on a figure that must not be below `limit`."""
    return _verdict((goal, what, f"≥ {_plain(limit)} {unit}".rstrip(), unit), figure, lambda value: value >= limit)


def _matches(row: Row, where: Mapping[str, object]) -> bool:
    return all(row.get(name) == value for name, value in where.items())


def ratio(one: float | None, other: float | None) -> float | None:
    """One by the other; None where either is not known."""
    return one / other if one is not None and other else None


def _verdict(words: tuple[int, str, str, str], figure: float | None, is_met: Callable[[float], bool]) -> Verdict:
    goal, what, limit, unit = words
    if figure is None:
        return Verdict(goal, what, limit, "not measured", None)
    return Verdict(goal, what, limit, f"{shown(figure)} {unit}".rstrip(), is_met(figure))


def _plain(value: float) -> str:
    return f"{value:g}"


def _word(value: object) -> str | float | None:
    return value if isinstance(value, str | int | float) or value is None else str(value)
