"""The OpenAI SDK's own tests of image generation, unmodified, against a deployment that is set up as they expect."""

import hashlib
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.processes import ROOT, Running, environment, gateway, sandbox, sandbox_settings

VERSION = "3.54.0"
SHA256 = "2e393e63f8a38be6452806f9ef0b6534fecd6d41ab3b2165180dfce3599249cd"  # of the source distribution
GENERATE_TESTS = 40  # in that version: 8 sync × loose, strict; 8 async × loose, strict, aiohttp
OPAQUE_KEY = "My API Key"  # what the SDK's conftest sends
CACHE = ROOT / ".samurai/cache"
ARCHIVE = f"openai-{VERSION}.tar.gz"
UNREACHABLE = ("connection broken", "from versions: none")  # pip's words for no network, and for no index at all
DOWNLOAD_DEADLINE_S = 180.0
TESTS_DEADLINE_S = 240.0


@pytest.fixture(scope="module")
def archive() -> Path:
    """The source distribution of the SDK that is installed, downloaded once and verified each time."""
    assert version("openai") == VERSION, "another SDK is installed: update VERSION, SHA256 and GENERATE_TESTS here"
    kept = CACHE / ARCHIVE
    if not kept.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            download(Path(folder))
            (Path(folder) / ARCHIVE).replace(kept)
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == SHA256, f"{kept} is not the archive that was published"
    return kept


def download(folder: Path) -> None:
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "--retries", "1"]
    run = subprocess.run(
        [*pip, "--dest", str(folder), f"openai=={VERSION}"],
        capture_output=True,
        text=True,
        timeout=DOWNLOAD_DEADLINE_S,
        check=False,
    )
    said = run.stdout + run.stderr
    if run.returncode and any(words in said for words in UNREACHABLE):
        pytest.skip("the package index cannot be reached, so the SDK's own tests cannot be fetched")
    assert run.returncode == 0, said


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Contract §7: an opaque key by its hash, a default model, and a model of ours under the name that clients use."""
    folder = tmp_path_factory.mktemp("openai_own_tests")
    with sandbox() as sandbox_url:
        settings = sandbox_settings(folder, sandbox_url)
        settings["keys"] = [{"id": "sdk-tests", "sha256": hashlib.sha256(OPAQUE_KEY.encode()).hexdigest()}]
        settings["models"]["gpt-image-2.5-flare"] = settings["models"]["dall-e-3"]
        settings["compatibility"] = {"default_model": "flux-schnell"}
        with gateway(folder, settings, sandbox_url) as process:
            yield process


@pytest.mark.slow
def test_every_generate_test_of_the_sdk_passes(archive: Path, deployment: Running, tmp_path: Path) -> None:
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    report = tmp_path / "report.xml"
    options = ["-k", "generate", "-n", "0", "-p", "no:cacheprovider", f"--junitxml={report}"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/api_resources/test_images.py", *options],
        cwd=tmp_path / ARCHIVE.removesuffix(".tar.gz"),
        env=environment() | {"TEST_API_BASE_URL": f"{deployment.base_url}/v1"},
        capture_output=True,
        text=True,
        timeout=TESTS_DEADLINE_S,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    suite = ET.parse(report).getroot().find("testsuite")
    assert suite is not None
    counts = {name: int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": GENERATE_TESTS, "failures": 0, "errors": 0, "skipped": 0}
    paid_for = deployment.ledger()["totals"]["images_charged"]
    assert paid_for >= GENERATE_TESTS // 2, "the tests must have been served by this deployment"
