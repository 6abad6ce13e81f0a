"""A trial release as far as it goes without a cluster: the rendered configuration served, probed and tested."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from tests.chart.charts import containers, merged, render, rendered, values_of
from tests.processes import PATIENT, ROOT, START_DEADLINE_S, child, environment, sandbox

pytestmark = pytest.mark.slow

HELM_TEST_DEADLINE_S = 180.0
SAMURAI = Path(sys.executable).with_name("samurai")


@dataclass(frozen=True)
class Release:
    """A gateway that serves what the chart rendered for the sandbox."""

    config: Path
    public: str
    admin: str


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    """The configuration that `sandbox.enabled` renders, with a sandbox of ours, its state in a directory of ours."""
    folder = tmp_path_factory.mktemp("release")
    wishes = {"redis": {"mode": "embedded"}, "config": {"redis": {"timeout": PATIENT}}}
    for name, text in render(merged(values_of("sandbox"), wishes)).one("ConfigMap", "-config")["data"].items():
        (folder / name).write_text(text.replace("/var/lib/samurai", str(folder / "state")))
    config = folder / "gateway.yaml"
    with ExitStack() as stack:
        port = stack.enter_context(sandbox()).rpartition(":")[2]
        places = ["--host", "127.0.0.1", "--public-port", "0", "--admin-port", "0", "--sandbox-port", port]
        _, output = stack.enter_context(child("serve", "--config", str(config), *places))
        ready = output.wait_for(r"Ready: http://(\S+)/v1 for clients, http://(\S+) for", START_DEADLINE_S)
        yield Release(config, ready[1], ready[2])


def free_ports(count: int) -> list[str]:
    """Ports that nobody has at the moment."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [str(listener.getsockname()[1]) for listener in listeners]


def helm_test(name: str, surroundings: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """What the pod of `helm test` runs, run here."""
    [container] = rendered(name).one("Pod")["spec"]["containers"]
    given = {entry["name"]: entry["value"] for entry in container["env"]}
    assert container["command"] == ["/opt/samurai/bin/python3", "-c"]
    return subprocess.run(
        [sys.executable, "-c", *container["args"]],
        env=environment() | given | dict(surroundings),
        capture_output=True,
        text=True,
        timeout=HELM_TEST_DEADLINE_S,
        check=False,
    )


def paid_calls(release: Release) -> list[str]:
    """How many calls to vendors the release has made, as it tells Prometheus."""
    lines = httpx2.get(f"http://{release.admin}/metrics").raise_for_status().text.splitlines()
    return [line for line in lines if line.startswith("samurai_vendor_calls_total")]


def test_a_probe_asks_for_what_the_second_port_has(release: Release) -> None:
    for pod in (rendered("minimal"), rendered("full")):
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            asked = pod.container[kind]["httpGet"]
            assert asked["port"] == "admin"
            assert httpx2.get(f"http://{release.admin}{asked['path']}").status_code == 200
    monitor = rendered("full").one("ServiceMonitor")["spec"]["endpoints"][0]
    exposition = httpx2.get(f"http://{release.admin}{monitor['path']}").raise_for_status().text
    assert "\nsamurai_operations_in_flight " in exposition, "which the scalers go by"


def test_helm_test_makes_an_image_through_a_release_that_is_a_sandbox(release: Release) -> None:
    done = helm_test("sandbox", {"PUBLIC": release.public, "ADMIN": release.admin})
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{release.public} made an image" in done.stdout


def test_helm_test_asks_a_release_that_costs_money_for_nothing(release: Release, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "config", tmp_path / "share/config")  # beside it, the image has its state
    ports, before = free_ports(3), paid_calls(release)
    surroundings = {
        "PUBLIC": release.public,
        "ADMIN": release.admin,
        "SAMURAI": str(SAMURAI),
        "CONFIG": str(tmp_path / "share/config/sandbox.yaml"),
        "PORTS": " ".join(ports),
    }
    done = helm_test("minimal", surroundings)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{release.public} refuses who has no key" in done.stdout
    assert f"127.0.0.1:{ports[0]} made an image" in done.stdout
    assert paid_calls(release) == before


def test_helm_test_fails_where_the_wrong_thing_answers(release: Release) -> None:
    done = helm_test("sandbox", {"PUBLIC": release.admin, "ADMIN": release.admin})
    assert done.returncode == 1
    assert "a request without a key was answered with 404" in done.stderr


def test_the_sandboxes_probe_is_a_program_that_tells_whether_it_listens() -> None:
    [container] = rendered("sandbox").gateway["spec"]["template"]["spec"]["initContainers"]
    with sandbox() as url:
        for port, code in ((url.rpartition(":")[2], 0), (free_ports(1)[0], 1)):
            for kind in ("startupProbe", "livenessProbe"):
                _, dash, program = container[kind]["exec"]["command"]
                command = [sys.executable, dash, program.replace("8090", port)]
                done = subprocess.run(command, env=dict(os.environ), capture_output=True, timeout=30, check=False)
                assert done.returncode == code
    assert containers(rendered("sandbox").gateway["spec"]["template"]["spec"])[0] is container
