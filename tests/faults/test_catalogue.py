"""That no row of the catalogue is forgotten."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache

import pytest

from tests.faults.elsewhere import SHOWN_ELSEWHERE
from tests.faults.marking import rows_in_name, vendor_in
from tests.faults.rows import NOT_REPRODUCIBLE, ROWS, UPSTREAM
from tests.processes import ROOT

HERE = ROOT / "tests" / "faults"


@cache
def declared_tests() -> dict[str, list[ast.AsyncFunctionDef | ast.FunctionDef]]:
    found = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        tree = ast.parse(path.read_text())
        tests = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
        found[path.relative_to(ROOT).as_posix()] = [test for test in tests if test.name.startswith("test_")]
    return found


def rows_marked(test: ast.AsyncFunctionDef | ast.FunctionDef) -> Iterator[int]:
    for decorator in test.decorator_list:
        for node in ast.walk(decorator):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.fault":
                yield from (argument.value for argument in node.args if isinstance(argument, ast.Constant))  # type: ignore[misc]


def rows_shown() -> set[int]:
    shown = {row for rows in SHOWN_ELSEWHERE.values() for row in rows}
    for tests in declared_tests().values():
        for test in tests:
            shown.update(rows_in_name(test.name), rows_marked(test))
    return shown


def test_the_catalogue_has_its_115_rows() -> None:
    assert list(ROWS) == list(range(1, 116))
    assert len({row.what for row in ROWS.values()}) == 115


def test_every_row_is_shown_or_said_not_to_be() -> None:
    assert sorted(set(ROWS) - rows_shown() - set(NOT_REPRODUCIBLE)) == []
    assert sorted(rows_shown() - set(ROWS)) == []
    assert sorted(set(NOT_REPRODUCIBLE) & rows_shown()) == []


def test_what_is_said_to_stand_elsewhere_stands_there() -> None:
    tests = {f"{file}::{test.name}" for file, found in declared_tests().items() for test in found}
    assert sorted(set(SHOWN_ELSEWHERE) - tests) == []


def test_rows_of_vendors_are_shown_over_each_vendor_that_can_suffer_them() -> None:
    files = sorted(HERE.glob("test_*.py"))
    listed = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *map(str, files)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout
    seen: dict[int, set[str]] = {}
    for test_id in re.findall(r"::(test_\S.*)", listed):
        for row in rows_in_name(test_id):
            seen.setdefault(row, set()).add(vendor_in(test_id))
    for number in UPSTREAM:
        assert set(ROWS[number].vendors) <= seen.get(number, set()), number


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("test_f078_something", (78,)),
        ("test_f062_f063_two", (62, 63)),
        ("test_f91_short", (91,)),
        ("test_fault_3_older", (3,)),
        ("test_faults_61_and_62_older", (61, 62)),
        ("test_four_replicas", ()),
        ("test_f", ()),
    ],
)
def test_a_name_says_its_rows(name: str, rows: tuple[int, ...]) -> None:
    assert rows_in_name(name) == rows


def test_every_row_has_its_place_in_the_threat_model() -> None:
    page = (ROOT / "docs" / "threat-model.md").read_text()
    walls = page.partition("## What each wall is made of")[2].partition("\n## ")[0]
    spans = re.findall(r"(\d+)(?:–(\d+))?(?=[,\d– ]*\|$)", walls, re.MULTILINE)
    placed = {row for first, last in spans for row in range(int(first), int(last or first) + 1)}
    assert sorted(set(ROWS) - placed) == []


def test_the_page_has_a_line_for_every_row() -> None:
    page = (ROOT / "docs" / "faults.md").read_text()
    assert re.findall(r"^\| (F\d{3}) \|", page, re.MULTILINE) == [row.id for row in ROWS.values()]
