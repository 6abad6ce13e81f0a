"""The vendors' own limits: Replicate's rates and Ideogram's places in flight."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["InFlight", "Rate"]


@dataclass(slots=True)
class Rate:
    """A bucket of `per_minute` calls that fills evenly."""

    per_minute: int
    tokens: float = -1.0
    at: float = 0.0

    def take(self, now: float) -> bool:
        """Use one call; False when there is none left."""
        if self.tokens < 0:
            self.tokens, self.at = float(self.per_minute), now
        self.tokens = min(self.per_minute, self.tokens + (now - self.at) * self.per_minute / 60)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    @property
    def remaining(self) -> int:
        """Whole calls left."""
        return math.floor(max(self.tokens, 0))

    @property
    def reset_s(self) -> int:
        """Seconds until the bucket is full again, at least 1."""
        return max(math.ceil((self.per_minute - self.tokens) * 60 / self.per_minute), 1)


@dataclass(slots=True)
class InFlight:
    """Places counted in images, not in requests."""

    most: int
    taken: int = 0

    def has_room(self, images: int) -> bool:
        """Whether so many more images may be under way."""
        return self.taken + images <= self.most

    @contextmanager
    def hold(self, images: int) -> Iterator[None]:
        """Keep the places for as long as the work goes on."""
        self.taken += images
        try:
            yield
        finally:
            self.taken -= images
