"""Run every test that shows a row of the fault catalogue, print the table, and write it to docs/faults.md.

`make faults` runs it. Arguments are handed on to pytest. Ends with 1 when a test failed or a row is shown by none.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.faults.marking import PROPERTY, vendor_in
from tests.faults.rows import NOT_REPRODUCIBLE, ROWS, Row

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "faults.md"
HEAD = """# The fault table

Every row of the catalogue of faults, what it was shown over, by which tests, and how that ended. `make faults` runs
the tests and writes this page; `tests/faults/` says which statuses, codes, headers, payments, calls and metrics each
one asserts. Rows 78 to 108 are shown over each of the four vendors that can suffer them.

| id | fault | vendors | tests | result |
|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Shown:
    """One test that ran: the rows that it shows, the vendor it showed them over, and how it ended."""

    test: str
    rows: tuple[int, ...]
    vendor: str
    result: str


def run(arguments: Sequence[str]) -> list[Shown]:
    """Run the tests that show rows; what each of them came to."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-m", "fault", "-n", "auto", "--dist", "loadfile"]
        subprocess.run([*command, f"--junitxml={report}", *arguments], cwd=ROOT, check=False, env=os.environ)
        return list(read(ET.parse(report).getroot()))


def read(report: ET.Element) -> Iterator[Shown]:
    """The tests of a JUnit report that name rows."""
    for case in report.iter("testcase"):
        rows = {
            int(number)
            for given in case.iter("property")
            if given.get("name") == PROPERTY
            for number in given.get("value", "").split()
        }
        if rows:
            name = case.get("name", "")
            yield Shown(name.partition("[")[0], tuple(sorted(rows)), vendor_in(name), _result_of(case))


def _result_of(case: ET.Element) -> str:
    for tag, word in (("failure", "FAILED"), ("error", "FAILED"), ("skipped", "skipped")):
        if case.find(tag) is not None:
            return word
    return "passed"


def verdict(row: Row, shown: Iterable[Shown]) -> str:
    """How a row stands: what its tests came to, or why there are none."""
    results = [one.result for one in shown]
    if not results:
        return NOT_REPRODUCIBLE.get(row.number, "MISSING")
    for word in ("FAILED", "skipped"):
        if word in results:
            return f"{word}: {results.count(word)} of {len(results)}"
    return f"passed: {len(results)}"


def lines(row: Row, shown: Sequence[Shown]) -> Iterator[tuple[str, str, str]]:
    """Id, vendor and result: one line for each vendor that a row is shown over."""
    for vendor in row.vendors or ("",):
        own = [one for one in shown if one.vendor in (vendor, "")]
        yield row.id, vendor or "-", verdict(row, own if vendor else shown)


def page(table: dict[int, list[Shown]]) -> str:
    """The table as Markdown."""
    written = [HEAD]
    for number, row in ROWS.items():
        shown = table[number]
        vendors = ", ".join(row.vendors) + (f"; {row.without}" if row.without else "")
        tests = "<br>".join(f"`{test}`" for test in sorted({one.test for one in shown}))
        written.append(f"| {row.id} | {row.what} | {vendors or '–'} | {tests or '–'} | {verdict(row, shown)} |\n")
    return "".join(written)


def main(arguments: Sequence[str]) -> int:
    """Run, print, write."""
    shown = run(arguments)
    table = {number: [one for one in shown if number in one.rows] for number in ROWS}
    for number, row in ROWS.items():
        for row_id, vendor, result in lines(row, table[number]):
            print(f"{row_id}  {vendor:10}  {result}")
    PAGE.write_text(page(table))
    verdicts = [verdict(row, table[number]) for number, row in ROWS.items()]
    passed = sum(one.startswith("passed") for one in verdicts)
    print(f"{passed} of {len(ROWS)} rows shown and passed, by {len(shown)} tests")
    return int(any(one.startswith(("FAILED", "MISSING", "skipped")) for one in verdicts))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
