"""What the release workflow publishes is what the chart asks for."""

import os
import subprocess
from pathlib import Path

import yaml

from tests.chart.charts import CHART
from tests.processes import ROOT

RELEASE = yaml.safe_load((ROOT / ".github/workflows/release.yaml").read_text())
CHARTS_OWN = yaml.safe_load((CHART / "Chart.yaml").read_text())
IMAGE = yaml.safe_load((CHART / "values.yaml").read_text())["image"]


def test_the_image_is_published_under_the_name_and_tag_that_the_chart_asks_for(tmp_path: Path) -> None:
    steps = {step.get("id"): step for step in RELEASE["jobs"]["image"]["steps"]}
    outputs = tmp_path / "outputs"
    given = {
        "PATH": os.environ["PATH"],
        "GITHUB_OUTPUT": str(outputs),
        "GITHUB_REPOSITORY": "Samurai-Gateway/samurai-gateway",
        "GITHUB_REF_NAME": f"v{CHARTS_OWN['version']}",
    }
    subprocess.run(["bash", "-euc", steps["name"]["run"]], env=given, check=True, timeout=30)
    said = dict(line.split("=", 1) for line in outputs.read_text().splitlines())
    tags = steps["push"]["with"]["tags"]
    for name, value in said.items():
        tags = tags.replace(f"${{{{ steps.name.outputs.{name} }}}}", value)
    assert tags == f"{IMAGE['registry']}/{IMAGE['repository']}:{CHARTS_OWN['appVersion']}"


def test_everything_that_is_published_is_attested_by_the_job_that_made_it() -> None:
    for name, made in {
        "build": "dist/samurai_gateway-*",
        "image": "${{ steps.name.outputs.image }}",
        "chart": "dist/*.tgz",
    }.items():
        job = RELEASE["jobs"][name]
        attested = [step["with"] for step in job["steps"] if step.get("uses", "").startswith("actions/attest@")]
        assert made in {step.get("subject-path", step.get("subject-name")) for step in attested}
        assert job["permissions"] | {"id-token": "write", "attestations": "write"} == job["permissions"]


def test_the_chart_and_the_program_have_one_version() -> None:
    program = (ROOT / "pyproject.toml").read_text()
    assert f'\nversion = "{CHARTS_OWN["appVersion"]}"\n' in program
    assert CHARTS_OWN["version"] == CHARTS_OWN["appVersion"]
