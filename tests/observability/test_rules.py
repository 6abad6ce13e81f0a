"""The rules, by Prometheus's own tool: every alert in the situation it is for, and in no other."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.observability.prometheus import PROMTOOL, needs_prometheus
from tests.observability.situations import HEALTHY, JOB, SITUATIONS, Situation
from tests.processes import ROOT

RULES = ROOT / "helm/rules/samurai.yaml"
RUNBOOKS = ROOT / "docs/runbooks"
_HEADINGS = ("## Meaning", "## Impact", "## What to look at", "## What to do")


def alerts() -> dict[str, dict[str, Any]]:
    """All alerting rules, by name."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def _unit_test(situation: Situation) -> dict[str, Any]:
    series = {name: values for name, values in {**HEALTHY, **situation.series}.items() if name not in situation.without}
    expected: dict[str, list[dict[str, Any]]] = {name: [] for name in alerts()}
    for alarm in situation.alarms:
        wanted = {"job": JOB, **alarm.labels, "severity": alarm.severity}
        labels = {label: value for label, value in wanted.items() if value}
        annotations = {"summary": alarm.summary, "runbook_url": f"docs/runbooks/{alarm.name}.md"}
        expected[alarm.name].append({"exp_labels": labels, "exp_annotations": annotations})
    return {
        "name": situation.name,
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [
            {"eval_time": f"{situation.at}m", "alertname": name, "exp_alerts": alarms}
            for name, alarms in expected.items()
        ],
    }


def _run(folder: Path, *tests: dict[str, Any], rules: Path = RULES) -> "subprocess.CompletedProcess[str]":
    path = folder / "unit.yaml"
    path.write_text(yaml.safe_dump({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": list(tests)}))
    return subprocess.run(
        [PROMTOOL, "test", "rules", str(path)], capture_output=True, text=True, timeout=60, check=False
    )


@needs_prometheus
def test_prometheus_takes_the_rules() -> None:
    done = subprocess.run(
        [PROMTOOL, "check", "rules", str(RULES)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@needs_prometheus
@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.name.replace(" ", "_"))
def test_the_right_alerts_fire_and_no_others(situation: Situation, tmp_path: Path) -> None:
    done = _run(tmp_path, _unit_test(situation))
    assert done.returncode == 0, done.stdout + done.stderr


@needs_prometheus
def test_an_alert_that_should_fire_and_does_not_is_noticed(tmp_path: Path) -> None:
    fires = next(one for one in SITUATIONS if one.alarms)
    done = _run(tmp_path, _unit_test(Situation(fires.name, {}, fires.alarms)))
    assert done.returncode == 1


def test_every_alert_has_a_situation_in_which_it_fires() -> None:
    assert {alarm.name for situation in SITUATIONS for alarm in situation.alarms} == set(alerts())


@pytest.mark.parametrize("name", alerts())
def test_every_alert_has_a_runbook_and_says_who_is_to_come(name: str) -> None:
    rule = alerts()[name]
    assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{name}.md"
    assert rule["labels"]["severity"] in ("page", "ticket")
    text = (RUNBOOKS / f"{name}.md").read_text()
    assert text.startswith(f"# {name}\n")
    parts = [text.index(heading) for heading in _HEADINGS]
    assert parts == sorted(parts)
    assert all(len(part.strip()) > 40 for part in text.split("\n## ")[1:])


def test_no_runbook_is_left_of_an_alert_that_is_gone() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == set(alerts())
