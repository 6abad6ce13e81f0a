"""The kinds that are not Kubernetes' own, by schemas that are published for them."""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tests.chart.charts import SETS, Object, rendered
from tests.chart.test_rendering import NOT_KUBERNETES
from tests.processes import ROOT

SOURCES = Path(__file__).with_name("crds")
CACHE = ROOT / ".samurai/cache/custom-resources"
KINDS = {"ServiceMonitor", "PrometheusRule", "HTTPRoute", "ScaledObject", "ExternalSecret"}
FAULTS = (
    ("ServiceMonitor", ("endpoints", 0, "interval"), "often"),
    ("PrometheusRule", ("groups", 0, "rules", 0, "for"), 5),
    ("HTTPRoute", ("rules", 0, "timeouts", "request"), "600"),
    ("ScaledObject", ("triggers", 0, "metricType"), 1),
    ("ExternalSecret", ("target", "creationPolicy"), "Sometimes"),
)
INSTALL_DEADLINE_S, CHECK_DEADLINE_S = 300.0, 120.0
NPM = ("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")  # by the hashes of npm-shrinkwrap.json


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which check.mjs finds the schemas, which are installed once."""
    wanted = hashlib.sha256((SOURCES / "npm-shrinkwrap.json").read_bytes()).hexdigest()[:16]
    kept = CACHE / wanted
    if not kept.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as fresh:
            whole = Path(fresh, "in")
            whole.mkdir()
            for name in ("package.json", "npm-shrinkwrap.json"):
                shutil.copy(SOURCES / name, whole)
            npm = run(NPM, whole, INSTALL_DEADLINE_S)
            assert npm.returncode == 0, npm.stderr
            with suppress(OSError):  # another worker was first
                whole.rename(kept)
    place = tmp_path_factory.mktemp("custom-resources")
    for name in ("package.json", "check.mjs"):
        shutil.copy(SOURCES / name, place)
    (place / "node_modules").symlink_to(kept / "node_modules")
    return place


def run(command: Sequence[str], cwd: Path, deadline_s: float, text: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        cwd=cwd,
        env=dict(os.environ),
        input=text,
        capture_output=True,
        text=True,
        timeout=deadline_s,
        check=False,
    )


def problems(objects: Sequence[Object], folder: Path) -> list[list[str]]:
    """What the schemas have against each object."""
    node = run(("node", "check.mjs"), folder, CHECK_DEADLINE_S, json.dumps(objects))
    assert node.returncode == 0, node.stderr
    found: list[list[str]] = json.loads(node.stdout)
    assert len(found) == len(objects)
    return found


def test_every_custom_resource_is_as_its_published_schema_has_it(folder: Path) -> None:
    ours = [one for name in SETS for one in rendered(name).objects if one["apiVersion"].startswith(NOT_KUBERNETES)]
    assert {one["kind"] for one in ours} == KINDS
    assert problems(ours, folder) == [[]] * len(ours)


@pytest.mark.parametrize("suffix", ["", "s"], ids=["a wrong value", "a misspelt name"])
def test_a_fault_in_any_kind_would_be_noticed(suffix: str, folder: Path) -> None:
    found = rendered("full").objects + rendered("keda").objects
    originals = {one["kind"]: one for one in found if one["kind"] in KINDS}
    faulty: list[Object] = []
    for kind, (*way, name), value in FAULTS:
        copy = deepcopy(originals[kind])
        place: Any = copy["spec"]
        for step in way:
            place = place[step]
        place[f"{name}{suffix}"] = value
        faulty.append(copy)
    assert {one["kind"] for one in faulty} == KINDS
    assert [one["kind"] for one, against in zip(faulty, problems(faulty, folder), strict=True) if not against] == []
