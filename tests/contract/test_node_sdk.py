"""The stock Node SDK: a success, every documented error that a client can run into, and when it tries again."""

import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image

from gateway.domain.errors import ErrorCode, status_of, type_of
from tests.contract.node_cases import CASES, KEYS, OUT_OF_REACH, Call, Case
from tests.processes import ROOT, Running, environment, gateway, sandbox, sandbox_settings

pytestmark = pytest.mark.slow

SOURCES = Path(__file__).with_name("node")
CACHE = ROOT / ".samurai/cache/node"
OLDEST_NODE = {
    "openai-6": 18,
    "openai-7": 20,
}  # the SDKs of package.json, and the Node that each has been seen to run on
INSTALL_DEADLINE_S = 180.0
CALLS_DEADLINE_S = 120.0
NPM = ("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts")
NO_NETWORK = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ENETUNREACH", "ECONNRESET")


@dataclass(frozen=True)
class Deployment:
    """A running gateway, and the one Node SDK that calls it."""

    running: Running
    images: Path
    folder: Path
    sdk: str
    outcomes: dict[str, list[dict[str, Any]]] = field(repr=False)

    def make(self, calls: Mapping[str, Call]) -> dict[str, list[dict[str, Any]]]:
        """Make the calls in turn and return what came of each, by its name."""
        order = {"base_url": f"{self.running.base_url}/v1", "calls": [wire(name, call) for name, call in calls.items()]}
        node = subprocess.run(
            ["node", "calls.mjs", self.sdk],
            cwd=self.folder,
            env=environment(),
            input=json.dumps(order),
            capture_output=True,
            text=True,
            timeout=CALLS_DEADLINE_S,
            check=False,
        )
        assert node.returncode == 0, node.stderr
        return dict(zip(calls, json.loads(node.stdout), strict=True))

    def creates(self, name: str) -> int:
        """How many paid calls the vendors got for the call of that name."""
        calls = httpx2.get(f"{self.running.sandbox_url}/sandbox/calls").raise_for_status().json()["calls"]
        return sum(1 for call in calls if call["operation"] == "create" and prompt_of(name) in json.dumps(call["body"]))


def prompt_of(name: str) -> str:
    return f"case ({name})"


def wire(name: str, call: Call) -> dict[str, Any]:
    fields = {"model": "flux-schnell", "prompt": prompt_of(name), "size": "256x256"} | dict(call.fields)
    return asdict(call) | {"fields": fields, "headers": dict(call.headers)}


def sdks() -> list[str]:
    """Those SDKs that this machine's Node can run; the oldest where there is no Node, so that its absence shows."""
    if shutil.which("node") is None:
        return list(OLDEST_NODE)[:1]
    major = int(subprocess.check_output(["node", "--print", "process.versions.node"], text=True).split(".")[0])
    return [sdk for sdk, oldest in OLDEST_NODE.items() if major >= oldest]


@pytest.fixture(scope="module")
def modules() -> Path:
    """The pinned SDKs as npm installs them, once."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    wanted = hashlib.sha256((SOURCES / "package.json").read_bytes()).hexdigest()[:16]
    kept = CACHE / wanted
    if not kept.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            install(Path(folder))
            with suppress(OSError):  # another worker was first
                Path(folder, "node_modules").rename(kept)
    assert kept.is_dir()
    return kept


def install(folder: Path) -> None:
    shutil.copy(SOURCES / "package.json", folder)
    npm = subprocess.run(
        NPM,
        cwd=folder,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=INSTALL_DEADLINE_S,
        check=False,
    )
    if npm.returncode and any(word in npm.stderr for word in NO_NETWORK):
        pytest.skip("the package registry cannot be reached, so the Node SDK cannot be installed")
    assert npm.returncode == 0, npm.stderr


@pytest.fixture(scope="module")
def vendors() -> Iterator[str]:
    with sandbox() as url:
        yield url


@pytest.fixture(scope="module", params=sdks())
def deployment(
    request: pytest.FixtureRequest, modules: Path, vendors: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """A gateway for each SDK, and all cases run against it."""
    folder = tmp_path_factory.mktemp("node")
    shutil.copy(SOURCES / "calls.mjs", folder)
    (folder / "node_modules").symlink_to(modules)
    with gateway(folder, settings_for(folder, vendors), vendors) as running:
        running.reset()
        for case in CASES:
            if case.then is not None:
                match = {"prompt": prompt_of(case.name)}
                running.script(vendor=case.vendor, operation="create", match=match, times=None, then=dict(case.then))
        deployment = Deployment(running, folder / "images", folder, request.param, {})
        deployment.outcomes.update(deployment.make({case.name: case.call for case in CASES}))
        yield deployment


def settings_for(folder: Path, vendors: str) -> dict[str, Any]:
    settings = sandbox_settings(folder, vendors)
    settings["keys"] = [
        {"id": name.replace(" ", "-"), "sha256": hashlib.sha256(name.encode()).hexdigest()}
        | {ceiling: dict(figures) for ceiling, figures in ceilings.items()}
        for name, ceilings in KEYS.items()
    ]
    accounts, models = settings["accounts"], settings["models"]
    accounts["closed"] = accounts["openai"] | {"base_url": "http://127.0.0.1:1/v1"}  # nobody listens there
    models["nowhere"] = {"targets": [models["dall-e-3"]["targets"][0] | {"account": "closed"}]}
    accounts["slow"] = accounts["replicate"]  # of its own, since an account that is throttled is left alone for a while
    slow = models["flux-schnell"]["targets"][0] | {"account": "slow"}
    models["hasty"] = {"targets": [slow], "deadline": "5s"}  # too soon for a vendor that wants 30 s
    return settings


def test_a_batch_is_made(deployment: Deployment) -> None:
    [outcome] = deployment.make({"success": Call({"n": 3, "response_format": "b64_json"})})["success"]
    images = [base64.b64decode(entry["b64_json"], validate=True) for entry in outcome["data"]["data"]]
    assert [Image.open(io.BytesIO(image)).size for image in images] == [(256, 256)] * 3
    assert len(set(images)) == 3
    assert outcome["statuses"] == [200]
    assert outcome["headers"]["x-request-id"]


def test_a_stream_is_read(deployment: Deployment) -> None:
    [outcome] = deployment.make({"stream": Call({"n": 2, "stream": True})})["stream"]
    assert [event["type"] for event in outcome["data"]] == ["image_generation.completed"] * 2


def test_the_models_are_listed(deployment: Deployment) -> None:
    [outcome] = deployment.make({"models": Call(raw=("get", "/models", None))})["models"]
    assert {"flux-schnell", "imagen-3"} <= {model["id"] for model in outcome["data"]["data"]}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_documented_error_is_the_sdks_own(deployment: Deployment, case: Case) -> None:
    outcomes = deployment.outcomes[case.name]
    error = next(outcome for outcome in outcomes if "class" in outcome)
    shown = [error[name] for name in ("class", "status", "code", "param", "type")]
    assert shown == [case.sdk_class, status_of(case.code), case.code, case.param, type_of(case.code)]
    assert error["request_id"]
    assert error["headers"].get("x-should-retry") == case.should_retry
    assert sum("class" in outcome for outcome in outcomes) == 1, "of calls made at once, just one is refused"
    if status_of(case.code) == 429:
        wait_ms = int(error["headers"]["retry-after-ms"])
        assert wait_ms >= 1
        assert int(error["headers"]["retry-after"]) == -(-wait_ms // 1000)
    if status_of(case.code) == 405:
        assert error["headers"]["allow"] == "POST"


def test_every_documented_code_was_provoked_or_is_named_as_out_of_reach() -> None:
    provoked = {case.code for case in CASES}
    assert provoked.isdisjoint(OUT_OF_REACH)
    assert provoked | set(OUT_OF_REACH) == set(ErrorCode)


def test_what_may_have_been_paid_for_is_not_tried_again(deployment: Deployment) -> None:
    """x-should-retry: false against an SDK that would try three times."""
    script(deployment, "paid", vendor="openai", then={"error": "openai.server_500"})
    [outcome] = deployment.make({"paid": Call({"model": "dall-e-3"}, max_retries=2)})["paid"]
    assert (outcome["code"], outcome["statuses"]) == ("upstream_error", [500])
    assert deployment.creates("paid") == 1


def test_what_is_free_is_tried_again_and_succeeds(deployment: Deployment) -> None:
    """x-should-retry: true; the gateway itself has asked three times before it says so."""
    script(deployment, "overloaded", vendor="vertex", times=3, then={"error": "vertex.unavailable_503"})
    [outcome] = deployment.make({"overloaded": Call({"model": "imagen-3"}, max_retries=1)})["overloaded"]
    assert outcome["statuses"] == [500, 200]
    assert deployment.creates("overloaded") == 4


def test_a_limit_that_ends_soon_is_waited_for_and_the_call_succeeds(deployment: Deployment) -> None:
    outcomes = deployment.make({"quick": Call(key="two requests a second", max_retries=2, together=2)})["quick"]
    assert all(len(outcome["data"]["data"]) == 1 for outcome in outcomes)
    assert sorted(outcome["statuses"] for outcome in outcomes) == [[200], [429, 200]]
    assert deployment.creates("quick") == 2


def test_without_its_store_the_gateway_says_so(deployment: Deployment) -> None:
    away = deployment.images.with_name("away")
    deployment.images.rename(away)
    deployment.images.write_text("no directory")
    try:
        [outcome] = deployment.make({"store": Call(max_retries=2)})["store"]
    finally:
        deployment.images.unlink()
        away.rename(deployment.images)
    assert (outcome["class"], outcome["code"]) == ("InternalServerError", "asset_store_unavailable")
    assert outcome["statuses"] == [500, 500, 500]
    assert deployment.creates("store") == 1, "the image is paid for and kept: a retry buys nothing"


def script(deployment: Deployment, name: str, **behaviour: Any) -> None:
    behaviour = {"operation": "create", "match": {"prompt": prompt_of(name)}, "times": None} | behaviour
    deployment.running.script(**behaviour)
