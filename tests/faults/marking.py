"""Which rows of the catalogue a test shows.

By its name (`test_f078_…`), by its mark (`@pytest.mark.fault(26, 27)`), or by the list of those that stand elsewhere.
"""

import re

import pytest

from tests.faults.elsewhere import SHOWN_ELSEWHERE
from tests.faults.rows import VENDORS

__all__ = ["PROPERTY", "mark", "rows_in_name", "vendor_in"]

PROPERTY = "faults"
_NAME = re.compile(r"test_(?:f\d{1,3}(?:_f\d{1,3})*|faults?_\d+(?:_and_\d+)*)(?=_)")


def rows_in_name(name: str) -> tuple[int, ...]:
    """The rows that a test's name begins with."""
    found = _NAME.match(name)
    return tuple(map(int, re.findall(r"\d+", found[0]))) if found else ()


def vendor_in(test_id: str) -> str:
    """The vendor that a test's id names among its parameters; empty for none."""
    _, _, parameters = test_id.partition("[")
    words = re.split(r"[-\]\s]", parameters)
    return next((vendor for vendor in VENDORS if vendor in words), "")


def mark(items: list[pytest.Item]) -> None:
    """Give every test that shows a fault the mark, and note its rows where a report finds them."""
    for item in items:
        rows = {row for given in item.iter_markers("fault") for row in given.args}
        rows.update(rows_in_name(item.name), SHOWN_ELSEWHERE.get(item.nodeid.partition("[")[0], ()))
        if rows:
            item.add_marker(pytest.mark.fault(*sorted(rows)))
            item.user_properties.append((PROPERTY, " ".join(map(str, sorted(rows)))))
