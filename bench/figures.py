"""Sums over samples: percentiles, medians, and the words for a figure."""

from collections.abc import Sequence
from statistics import median

__all__ = ["middle", "percentile", "shown"]


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of all are not above (nearest rank). Raises ValueError for none."""
    if not values:
        raise ValueError("no values")
    ranked = sorted(values)
    rank = -(-len(ranked) * percent // 100)  # rounded up
    return ranked[max(0, min(len(ranked), int(rank)) - 1)]


def middle(values: Sequence[float | None]) -> float | None:
    """The median of what was measured; None where nothing was."""
    known = [value for value in values if value is not None]
    return median(known) if known else None


def shown(value: float | None) -> str:
    """A figure in three significant digits, with thin groups of thousands; a dash for none."""
    if value is None:
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}"
