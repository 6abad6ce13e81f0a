"""Money as whole micro-dollars, and what one image costs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal

from gateway.domain.picture import Size

__all__ = ["Budget", "Price", "dollars", "microdollars"]

_MICRO = Decimal(1_000_000)


def microdollars(dollars: Decimal | float | str) -> int:
    """Dollars as whole micro-dollars, rounded half up. A float is read by its shortest decimal form."""
    return int((Decimal(str(dollars)) * _MICRO).quantize(Decimal(1), ROUND_HALF_UP))


def dollars(micro: int) -> str:
    """Micro-dollars as plain decimal dollars without exponent or trailing zeroes, for headers and reports."""
    text = format(Decimal(micro) / _MICRO, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


@dataclass(frozen=True, slots=True)
class Budget:
    """Ceilings of spending in micro-dollars; None is no ceiling."""

    per_day_microusd: int | None = None
    per_month_microusd: int | None = None
    total_microusd: int | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """What a vendor bills for one image, in micro-dollars: one figure, or a table size → quality → figure.

    A table's keys are `1024x1024` and a quality word, or `*` for any.
    """

    flat: int | None = None
    table: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def of(self, size: Size, quality: str | None) -> int | None:
        """Micro-dollars for one image of this native size and quality; None where no price is known."""
        if self.flat is not None:
            return self.flat
        for row in (self.table.get(str(size)), self.table.get("*")):
            if row is None:
                continue
            figure = row.get(quality or "*", row.get("*"))
            if figure is not None:
                return figure
        return None

    @property
    def highest(self) -> int:
        """The dearest figure of the price, in micro-dollars: what must be reserved when nothing else is known."""
        if self.flat is not None:
            return self.flat
        return max(figure for row in self.table.values() for figure in row.values())
