"""Schemathesis on the published document of a running gateway: thousands of requests, right and wrong ones."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.contract.schemathesis_hooks import LINK
from tests.processes import ROOT, Running, environment, gateway, sandbox, sandbox_settings

pytestmark = pytest.mark.slow

SEED = 20260401
CASES_AT_LEAST = 5000
DEADLINE_S = 400.0  # it takes about a minute on two quiet cores
AT_ONCE = 2
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "positive_data_acceptance",
    "negative_data_rejection",
)
CONFIGURATION = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "304", "404", "416"]
"""  # a name that nobody has is well-formed, and so is a range beyond the end
GENERATIONS = "/v1/images/generations"


@dataclass(frozen=True)
class Part:
    """A part of the document, with how many examples per operation beside those that each boundary has."""

    examples: int
    options: tuple[str, ...]
    cases_at_least: int


PARTS: Mapping[str, Part] = {
    "wrong requests for images": Part(1200, ("--include-path", GENERATIONS, "--mode", "negative"), 1200),
    "models": Part(2200, ("--include-path-regex", "^/v1/models"), 2200),
    "right requests for images": Part(200, ("--include-path", GENERATIONS, "--mode", "positive"), 200),
    "files and documents": Part(450, ("--exclude-path-regex", "^/v1/(models|images/generations)"), 900),
}


@dataclass(frozen=True)
class Finding:
    """What came of one part: the report as Schemathesis wrote it, and what it said on its way."""

    report: dict[str, Any]
    output: str


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("schemathesis")
    with sandbox() as sandbox_url:
        settings = sandbox_settings(folder, sandbox_url)
        settings["keys"][0]["limits"] = {"requests_per_minute": 100_000, "images_per_minute": 1_000_000}
        with gateway(folder, settings, sandbox_url) as running:
            yield running


@pytest.fixture(scope="module")
def findings(deployment: Running, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Finding]:
    link = image_link(deployment)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        runs = {
            name: pool.submit(run, part, deployment, link, tmp_path_factory.mktemp("part"))
            for name, part in PARTS.items()
        }
        return {name: each.result() for name, each in runs.items()}


def image_link(deployment: Running) -> str:
    reply = httpx2.post(
        f"{deployment.base_url}{GENERATIONS}",
        headers={"authorization": f"Bearer {deployment.key}"},
        json={"model": "flux-schnell", "prompt": "an image that exists", "size": "256x256"},
    ).raise_for_status()
    return str(reply.json()["data"][0]["url"])


def run(part: Part, deployment: Running, link: str, folder: Path) -> Finding:
    report = folder / "report.json"
    (folder / "schemathesis.toml").write_text(CONFIGURATION)
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{deployment.base_url}/openapi.json"),
        *("--header", f"Authorization: Bearer {deployment.key}"),
        *("--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing"),
        *("--seed", str(SEED), "--workers", "1", "--max-examples", str(part.examples)),
        *("--continue-on-failure", "--generation-database", "none", "--no-color"),
        *("--report-json-path", str(report), *part.options),
    ]
    own = {"PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "tests.contract.schemathesis_hooks", LINK: link}
    process = subprocess.run(
        command,
        cwd=folder,
        env=environment() | own,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    output = process.stdout + process.stderr
    assert report.exists(), output
    return Finding(json.loads(report.read_text()), output)


@pytest.mark.parametrize("name", PARTS)
def test_the_gateway_keeps_to_its_document(findings: dict[str, Finding], name: str) -> None:
    report, output = findings[name].report, findings[name].output
    assert (report["failures"], report["errors"], report["exit_code"]) == ([], [], 0), output
    assert report["complete"], output
    assert report["seed"] == SEED
    assert report["operations"]["tested"] == report["operations"]["selected"] > 0
    cases = report["test_cases"]
    assert (cases["with_failures"], cases["errored"], cases["without_checks"]) == (0, 0, 0)
    assert cases["generated"] >= PARTS[name].cases_at_least


def test_the_parts_are_the_whole_document_and_thousands_of_cases(findings: dict[str, Finding]) -> None:
    counts = {name: finding.report["test_cases"]["generated"] for name, finding in findings.items()}
    assert sum(counts.values()) >= CASES_AT_LEAST, f"seed {SEED}: {counts}"
    operations = {finding.report["operations"]["total"] for finding in findings.values()}
    tested = [finding.report["operations"]["tested"] for finding in findings.values()]
    assert {sum(tested) - 1} == operations, "one operation is in two parts: once wrong, once right"


def test_the_gateway_counted_no_failure_of_its_own(findings: dict[str, Finding], deployment: Running) -> None:
    """The same from inside, and that images were really made and read."""
    lines = httpx2.get(f"{deployment.admin_url}/metrics").raise_for_status().text.splitlines()
    statuses = [line for line in lines if line.startswith("samurai_requests_total{")]
    assert any('status="200"' in line for line in statuses)
    assert [line for line in statuses if 'status="5' in line and not line.endswith(" 0.0")] == []
    assert deployment.ledger()["totals"]["images_charged"] >= PARTS["right requests for images"].examples
    answers = Counter(log_answers(deployment.output.lines))
    assert {status for _, _, status in answers if status >= 500} == set()
    for method in ("GET", "HEAD"):
        assert answers[method, "/v1/images/files/{file}", 200] > 10
    assert answers["GET", "/v1/models", 200] > 10


def log_answers(lines: Sequence[str]) -> Iterator[tuple[str, str, int]]:
    """Method, route and status of every line of the access log."""
    for line in lines:
        if line.startswith("{") and "status" in (entry := json.loads(line)):
            yield entry["method"], entry.get("route", ""), entry["status"]
