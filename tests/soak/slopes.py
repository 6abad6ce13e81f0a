"""Whether a figure that is looked at again and again stays where it is. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import linear_regression, median

__all__ = ["Point", "Tolerance", "Trend", "slope", "trend"]

Point = tuple[float, float]
"""Seconds since the start, and a value."""

_MOST_POINTS = 400
"""Theil and Sen compare every point with every other: so many are 80,000 pairs."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How much a figure may grow in an hour and still be flat: so much, or this share of its median."""

    an_hour: float
    share_an_hour: float = 0.0

    def most(self, typical: float) -> float:
        """The growth in an hour that is still flat, for a figure of this size."""
        return max(self.an_hour, self.share_an_hour * typical)


@dataclass(frozen=True, slots=True)
class Trend:
    """What became of a figure: its least, its median, its highest, and its growth an hour beside what is allowed."""

    least: float
    median: float
    highest: float
    growth_an_hour: float
    allowed_an_hour: float

    @property
    def is_flat(self) -> bool:
        """Falling is no leak."""
        return self.growth_an_hour <= self.allowed_an_hour


def slope(points: Sequence[Point]) -> float:
    """Growth a second by Theil and Sen: the median over all pairs, which a few strays do not move."""
    thinned = points[:: max(1, -(-len(points) // _MOST_POINTS))]
    rises = [
        (later - earlier) / (after - before)
        for place, (before, earlier) in enumerate(thinned)
        for after, later in thinned[place + 1 :]
        if after > before
    ]
    return median(rises) if rises else 0.0


def trend(points: Sequence[Point], tolerance: Tolerance, load: Sequence[float] = ()) -> Trend:
    """The verdict over points that were taken after the warm-up. Needs at least one.

    `load` is that of the same moments: what a figure owes to it is no growth, were it more at the end than before.
    """
    values = [value for _, value in points]
    typical = median(values)
    growth = slope(_beside(points, load) if len(set(load)) > 1 else points) * 3600
    return Trend(min(values), typical, max(values), growth, tolerance.most(typical))


def _beside(points: Sequence[Point], load: Sequence[float]) -> list[Point]:
    """The points with the load's part taken out of both: a slope between them is one at the same load."""
    times, values = [at for at, _ in points], [value for _, value in points]
    of_time, of_value = linear_regression(load, times), linear_regression(load, values)
    left = [
        (at - of_time.slope * busy, value - of_value.slope * busy)
        for (at, value), busy in zip(points, load, strict=True)
    ]
    return sorted(left)
