"""docs/metrics.md against a running gateway: nothing is documented that is not there, and the other way round."""

import re
from collections.abc import Iterator

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.processes import ROOT, Running, gateway, sandbox_settings
from tests.replicas import NO_VENDORS, ask
from tools.metrics_page import page

PAGE = ROOT / "docs/metrics.md"
_ROW = re.compile(
    r"^\| `((?:samurai|process)_[a-z0-9_]+)` \| (?:(counter|gauge|histogram) \| (\S.*?) \| )?", re.MULTILINE
)
_NEVER_YET = {  # what has series only once a key was used
    "samurai_key_requests_total",
    "samurai_key_limit_refusals_total",
    "samurai_key_images_total",
    "samurai_key_cost_usd_total",
    "samurai_key_budget_used_ratio",
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("gateway")
    settings = sandbox_settings(folder, NO_VENDORS)
    settings["metrics"] = {"per_key": True}
    retiring = dict(settings["models"]["dall-e-3"]["targets"][0], model="dall-e-3")
    settings["models"]["retiring"] = {"targets": [retiring, settings["models"]["ideogram-v3"]["targets"][0]]}
    with gateway(folder, settings) as process:
        assert ask(process, process.key).status_code == 200
        yield process


def _documented() -> dict[str, tuple[str, frozenset[str]]]:
    """Type and labels of every metric of the page, by name; those of the process by name alone."""
    rows = _ROW.findall(PAGE.read_text().split("## Values of labels")[0])
    rows += _ROW.findall(PAGE.read_text().partition("## Of the process")[2])
    return {name: (kind, frozenset(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


def _emitted(running: Running) -> dict[str, tuple[str, frozenset[str]]]:
    """Type and labels of every metric of a running gateway, by the name in its text."""
    found = {}
    for family in text_string_to_metric_families(httpx2.get(f"{running.admin_url}/metrics").text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = frozenset(label for sample in family.samples for label in sample.labels) - {"le"}
        found[name] = (family.type, labels)
    return found


def test_the_page_is_what_its_generator_makes() -> None:
    assert PAGE.read_text() == page(), "run `make docs`"


def test_every_documented_metric_is_emitted_with_its_type_and_labels(running: Running) -> None:
    emitted = _emitted(running)
    documented = _documented()
    assert len(documented) > 60
    for name, (kind, labels) in documented.items():
        assert name in emitted
        if kind:
            assert emitted[name][0] == kind, name
            assert emitted[name][1] == (labels if name not in _NEVER_YET else frozenset()), name


def test_every_emitted_metric_is_documented(running: Running) -> None:
    assert set(_emitted(running)) == set(_documented())


def test_counters_bring_no_second_series_of_when_they_were_made(running: Running) -> None:
    assert "_created" not in httpx2.get(f"{running.admin_url}/metrics").text
