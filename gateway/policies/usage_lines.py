"""The lines of the books: how one is named, and how a day's lines become a report."""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

__all__ = ["COLUMNS", "Usage", "UsageRow", "csv_of", "line_name", "objects_of", "report"]

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
COLUMNS = ("day", "key", "tenant", "model", "vendor")
"""What a report can be grouped by. `vendor` is `vendor/native model`, empty for what never reached one."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Sums of one line. `requests` were admitted, `refused_…` were not, by the limit that bound.

    `delivered` images reached the client's reply; `billed` ones were charged by the vendor; `cost` is in micro-dollars.
    `content_refusals` are requests that a vendor's safety system turned down.
    """

    requests: int = 0
    refused_requests: int = 0
    refused_images: int = 0
    refused_concurrency: int = 0
    refused_budget: int = 0
    content_refusals: int = 0
    delivered: int = 0
    billed: int = 0
    cost_microusd: int = 0

    @property
    def refused(self) -> int:
        """Refusals by any limit."""
        return self.refused_requests + self.refused_images + self.refused_concurrency + self.refused_budget


_MEASURES = tuple(field.name for field in fields(Usage))


@dataclass(frozen=True, slots=True)
class UsageRow:
    """One row of a report: the values of the columns that it was grouped by, and the sums."""

    group: tuple[str, ...]
    usage: Usage


def line_name(key: str, tenant: str | None, model: str, vendor: str, measure: str) -> str:
    """The name of a line in the books of one day. `measure` is a field of `Usage`."""
    return _encode([key, tenant or "", model, vendor, measure])


def report(books: Mapping[str, Iterable[tuple[str, int]]], by: Sequence[str]) -> tuple[UsageRow, ...]:
    """The books (ISO day → lines), summed over everything that is not in `by`, in order.

    Lines that a later version wrote and this one does not know are left out.
    """
    sums: dict[tuple[str, ...], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for day, lines in books.items():
        for name, amount in lines:
            *place, measure = json.loads(name)
            values = dict(zip(COLUMNS, (day, *place), strict=True))
            if measure in _MEASURES:
                sums[tuple(values[column] for column in by)][measure] += amount
    return tuple(UsageRow(group, Usage(**sums[group])) for group in sorted(sums))


def objects_of(columns: Sequence[str], rows: Sequence[UsageRow]) -> list[dict[str, Any]]:
    """A report by `columns` as one flat object a row, for JSON."""
    return [dict(zip(columns, row.group, strict=True)) | asdict(row.usage) for row in rows]


def csv_of(columns: Sequence[str], rows: Sequence[UsageRow]) -> str:
    """A report by `columns` as CSV, its first line the names."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*columns, *_MEASURES])
    writer.writerows([*row.group, *asdict(row.usage).values()] for row in rows)
    return text.getvalue()
