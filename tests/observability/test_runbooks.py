"""Runbooks send nobody astray: what they name (commands, metrics, panels, settings, codes) is there."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from typer.core import TyperGroup

from gateway.cli import commands
from gateway.domain.errors import ErrorCode
from tests.processes import ROOT

RUNBOOKS = tuple(sorted((ROOT / "docs/runbooks").glob("*.md")))
COMMANDS_STAND_IN = (*RUNBOOKS, *sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "helm/README.md")
RULES = ROOT / "helm/rules/samurai.yaml"
_CODE = re.compile(r"^```\w*\n(.*?)^```|`([^`\n]+)`", re.MULTILINE | re.DOTALL)
_METRIC = re.compile(r"\b(?:samurai_[a-z0-9_]+[a-z0-9]|samurai:[a-z0-9_:]+|process_[a-z0-9_]+)\b")
_PANELS = re.compile(r'\*(Overview|Vendors|Keys and money)\*,((?:\s+(?:and\s+)?"[^"]+",?)+)')
_SETTING = re.compile(
    r"(?:server|redis|store|admission|metrics|health|pacing|tracing|logging|webhooks|idempotency)\.[a-z_.]+"
)
_ERROR = re.compile(r"(?:upstream|asset_store|internal|gateway|insufficient)_[a-z_]*[a-z]")
_SUFFIXES = ("_bucket", "_sum", "_count")


def spans(path: Path) -> Iterator[str]:
    """Everything that stands there as code, line by line."""
    for block, span in _CODE.findall(path.read_text()):
        yield from (block or span).replace("\\\n", " ").splitlines()


def problem_with(line: str) -> str:
    """Why the program would not understand `samurai …`; empty where it would."""
    given = shlex.split(line.partition(" #")[0].partition("|")[0])[1:]
    at = typer.main.get_command(commands)
    while isinstance(at, TyperGroup) and given and not given[0].startswith("-"):
        name = given.pop(0)
        if name not in at.commands:
            return f"there is no {name}"
        at = at.commands[name]
    options = {option for parameter in at.params for option in parameter.opts}
    unknown = [word for word in given if word.startswith("-") and word.partition("=")[0] not in options]
    return f"unknown: {', '.join(unknown)}" if unknown else ""


def documented_metrics() -> set[str]:
    """Of the gateway, by docs/metrics.md, and what the rules record."""
    found = set(
        re.findall(r"^\| `((?:samurai|process)_[a-z0-9_]+)`", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE)
    )
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return found | {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}


def unknown_metrics(text: str) -> set[str]:
    known = documented_metrics()
    named = {match[0] for match in _METRIC.finditer(text)}
    return {name for name in named if not {name, *(name.removesuffix(end) for end in _SUFFIXES)} & known}


def panels() -> dict[str, set[str]]:
    """The titles of every dashboard's panels."""
    found = {}
    for path in (ROOT / "helm/dashboards").glob("*.json"):
        board = json.loads(path.read_text())
        found[board["title"].removeprefix("Samurai Gateway: ")] = {panel["title"] for panel in board["panels"]}
    return found


def settings() -> set[str]:
    """Every name of the configuration, with dots between, as config/schema.json has it."""
    schema = json.loads((ROOT / "config/schema.json").read_text())

    def names(part: dict[str, Any], path: str, depth: int) -> Iterator[str]:
        whole = schema["$defs"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part
        for name, inner in whole.get("properties", {}).items():
            yield f"{path}{name}"
            if depth:
                yield from names(inner, f"{path}{name}.", depth - 1)
        for choice in (*whole.get("anyOf", ()), *whole.get("allOf", ())):
            yield from names(choice, path, depth)

    return set(names(schema, "", 4))


def test_every_command_that_a_page_names_is_one() -> None:
    lines = [
        (path.name, line) for path in COMMANDS_STAND_IN for line in spans(path) if re.match(r"(\S*/)?samurai ", line)
    ]
    assert len(lines) > 30
    assert [(name, line, problem) for name, line in lines if (problem := problem_with(line))] == []


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("samurai doctor --config FILE", ""),
        ("samurai suspense settle OPERATION --billed AMOUNT", ""),
        ("samurai operations list", "there is no list"),
        ("samurai suspense settle OPERATION --paid AMOUNT", "unknown: --paid"),
    ],
)
def test_a_command_that_is_none_would_be_noticed(line: str, problem: str) -> None:
    assert problem_with(line) == problem


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.stem)
def test_every_metric_that_a_runbook_names_is_documented(path: Path) -> None:
    assert unknown_metrics(path.read_text()) == set()


def test_every_metric_that_an_alert_asks_for_is_documented() -> None:
    assert unknown_metrics(RULES.read_text()) == set()
    assert unknown_metrics("rate(samurai_requests_total[5m]) + samurai_request_seconds") == {"samurai_request_seconds"}


def test_every_panel_that_a_runbook_names_is_on_that_dashboard() -> None:
    there = panels()
    named = [
        (path.stem, board, title)
        for path in RUNBOOKS
        for board, list_of_titles in _PANELS.findall(path.read_text())
        for title in re.findall(r'"([^"]+)"', " ".join(list_of_titles.split()))
    ]
    assert len(named) > 20
    assert [one for one in named if one[2].rstrip(",") not in there[one[1]]] == []


def test_every_setting_that_a_runbook_names_can_be_set() -> None:
    there = settings()
    named = {(path.stem, span) for path in RUNBOOKS for span in spans(path) if _SETTING.fullmatch(span)}
    assert len(named) >= 6
    assert {one for one in named if one[1] not in there} == set()


def test_every_error_code_that_a_runbook_names_is_one() -> None:
    there = {code.value for code in ErrorCode}
    named = {(path.stem, match[0]) for path in RUNBOOKS for span in spans(path) for match in _ERROR.finditer(span)}
    assert len(named) >= 10
    assert {one for one in named if one[1] not in there} == set()
