"""The shipped dashboards: up to date, stable, self-explaining, and made of documented metrics only."""

import re
from typing import Any

import pytest

from gateway.edges.metrics_table import TABLE
from tests.observability.panels import FOLDER, dashboards, expressions
from tests.observability.test_rules import RULES
from tools.dashboards import DASHBOARDS, rendered

_NAME = re.compile(r"\b(?:samurai|process)_[a-z0-9_]+")
_GENERIC = {"process_cpu_seconds_total", "process_resident_memory_bytes"}
_FROZEN_UIDS = {
    "overview": "samurai-overview",
    "vendors": "samurai-vendors",
    "keys-and-money": "samurai-keys-and-money",
}


def _known() -> set[str]:
    names = {metric.name for metric in TABLE} | _GENERIC
    return names | {f"{one.name}{suffix}" for one in TABLE if one.buckets for suffix in ("_bucket", "_count", "_sum")}


def _panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def test_the_files_are_what_their_generator_makes() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(DASHBOARDS)
    for name, dashboard in DASHBOARDS.items():
        assert (FOLDER / f"{name}.json").read_text() == rendered(dashboard), "run `make docs`"


def test_the_uids_never_change() -> None:
    assert {name: dashboard["uid"] for name, dashboard in dashboards().items()} == _FROZEN_UIDS


@pytest.mark.parametrize("name", _FROZEN_UIDS)
def test_the_data_source_is_always_a_variable_and_every_panel_explains_itself(name: str) -> None:
    dashboard = dashboards()[name]
    assert dashboard["templating"]["list"][0]["type"] == "datasource"
    assert "samurai" in dashboard["tags"]
    for panel in _panels(dashboard):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])


@pytest.mark.parametrize("name", _FROZEN_UIDS)
def test_panels_have_their_own_ids_and_do_not_overlap(name: str) -> None:
    panels = dashboards()[name]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_rates_go_by_grafanas_own_interval() -> None:
    for name in _FROZEN_UIDS:
        spans = re.findall(r"\[([^]]+)\]", (FOLDER / f"{name}.json").read_text().replace("[]", ""))
        used = {span for span in spans if span.startswith("$") or span[0].isdigit()}
        assert used <= {"$__rate_interval", "$__range"}


def test_dashboards_and_rules_use_documented_metrics_only() -> None:
    used = {name for one in expressions() for name in _NAME.findall(one.expr)} | set(_NAME.findall(RULES.read_text()))
    assert used - _known() == set()


def test_every_metric_is_on_a_dashboard() -> None:
    text = " ".join(one.expr for one in expressions())
    unused = {metric.name for metric in TABLE if metric.name not in text}
    # Which of them an operator looks up by hand.
    assert unused == {
        "samurai_replicas",
        "samurai_config_reloads_total",
        "samurai_config_last_reload_success_timestamp_seconds",
    }


@pytest.mark.parametrize("name", _FROZEN_UIDS)
def test_deployments_of_one_name_in_two_namespaces_can_be_told_apart(name: str) -> None:
    choices = [one["name"] for one in dashboards()[name]["templating"]["list"]]
    assert choices[:3] == ["datasource", "namespace", "job"]
    for panel in _panels(dashboards()[name]):
        for target in panel["targets"]:
            selectors = re.findall(r"\{([^}]*)\}", target["expr"])
            assert selectors
            assert all('namespace=~"$namespace",job=~"$job"' in selector for selector in selectors), panel["title"]
