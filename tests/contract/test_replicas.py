"""`samurai serve --replicas N`: independent processes on one public port, and a parent that looks after them."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from gateway.edges.drain_socket import sockets_of
from gateway.replicas import wait_before
from gateway.server import Address, PortTaken, reserve
from tests.faults.deployment import eventually
from tests.processes import (
    START_DEADLINE_S,
    STOP_DEADLINE_S,
    Output,
    child,
    demo_key,
    sandbox,
    sandbox_settings,
)
from tests.servers import free_port

PATIENCE_S = 30.0
REPLICAS = 3


@dataclass(frozen=True)
class Fleet:
    """A parent with its replicas, which are known by the process ids that their sockets are named by."""

    process: "subprocess.Popen[str]"
    output: Output = field(repr=False)
    config: Path
    base_url: str
    admin_urls: tuple[str, ...]

    def pids(self) -> set[int]:
        return {pid for pid in sockets_of(self.config) if alive(pid)}

    def ask(self) -> httpx2.Response:
        """One image, over a connection of its own."""
        return httpx2.post(
            f"{self.base_url}/v1/images/generations",
            headers={"authorization": f"Bearer {demo_key()}"},
            json={"model": "flux-schnell", "prompt": "a row of gates", "size": "256x256"},
            timeout=60,
        )

    def served(self) -> list[int]:
        """How many requests each replica has answered."""
        figures = []
        for url in self.admin_urls:
            text = httpx2.get(f"{url}/metrics").text
            found = re.findall(r'^samurai_requests_total\{.*code="ok".*\} (\S+)$', text, re.MULTILINE)
            figures.append(round(sum(map(float, found))))
        return figures


def answers(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/healthz").status_code == 200
    except httpx2.TransportError:
        return False


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def descendants(pid: int) -> set[int]:
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(one): int(parent) for one, parent in (line.split() for line in listed.splitlines())}
    found, fresh = set[int](), {pid}
    while fresh:
        fresh = {one for one, parent in parents.items() if parent in fresh}
        found |= fresh
    return found


def configured(folder: Path, sandbox_url: str, **groups: Any) -> Path:
    settings = sandbox_settings(folder, sandbox_url) | groups
    settings["logging"] = {"level": "warning"}
    path = folder / "gateway.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.fixture(scope="module")
def sandbox_url() -> Iterator[str]:
    with sandbox() as url:
        yield url


@contextmanager
def fleet_in(folder: Path, sandbox_url: str, replicas: int) -> Iterator[Fleet]:
    config = configured(folder, sandbox_url)
    with child("serve", "--config", str(config), "--replicas", str(replicas)) as (process, output):
        found = [
            output.wait_for(r"Ready: (\S+)/v1 for clients, (\S+) for", START_DEADLINE_S * 2) for _ in range(replicas)
        ]
        yield Fleet(process, output, config, found[0][1], tuple(match[2] for match in found))


@pytest.mark.slow
def test_all_serve_and_reload_a_killed_one_comes_back_and_a_drain_leaves_nothing_running(
    tmp_path: Path, sandbox_url: str
) -> None:
    with fleet_in(tmp_path, sandbox_url, REPLICAS) as fleet:
        assert len(set(fleet.admin_urls)) == REPLICAS
        pids = fleet.pids()
        assert len(pids) == REPLICAS
        eventually(lambda: fleet.ask().status_code == 200 and all(fleet.served()), PATIENCE_S)

        victim = min(pids)
        os.kill(victim, signal.SIGKILL)
        fleet.output.wait_for("a replica ended by itself and is started again", PATIENCE_S)
        reborn = fleet.output.wait_for(r"Ready: (\S+)/v1 for clients, (\S+) for", START_DEADLINE_S * 2)
        survivors = [url for url in fleet.admin_urls if answers(url)]
        eventually(lambda: len(fleet.pids()) == REPLICAS, PATIENCE_S)
        assert victim not in fleet.pids()
        assert pids - {victim} < fleet.pids()
        assert [fleet.ask().status_code for _ in range(6)] == [200] * 6

        settings = yaml.safe_load(fleet.config.read_text())
        settings["keys"][0]["limits"] = {"requests_per_minute": 3, "images_per_minute": 100}
        settings["keys"][0]["id"] = "fresh"
        fleet.config.write_text(yaml.safe_dump(settings))
        fleet.process.send_signal(signal.SIGHUP)
        for url in (*survivors, reborn[2]):
            eventually(
                lambda url=url: httpx2.get(f"{url}/readyz").json()["configuration"]["loaded"] >= 2,  # type: ignore[misc]
                PATIENCE_S,
            )
        statuses = [fleet.ask().status_code for _ in range(6)]
        assert (statuses.count(200), statuses.count(429)) == (3, 3)  # one Valkey counts for all of them

        family = descendants(fleet.process.pid)
        assert fleet.pids() < family
        fleet.process.send_signal(signal.SIGTERM)
        assert fleet.process.wait(STOP_DEADLINE_S) == 0
        eventually(lambda: not any(map(alive, family)), PATIENCE_S)
    assert sockets_of(fleet.config).keys() <= {victim}


@pytest.mark.slow
def test_none_outlives_a_parent_that_was_killed(tmp_path: Path, sandbox_url: str) -> None:
    with fleet_in(tmp_path, sandbox_url, 2) as fleet:
        family = descendants(fleet.process.pid)
        assert len(fleet.pids() & family) == 2
        os.kill(fleet.process.pid, signal.SIGKILL)
        fleet.process.wait()
        eventually(lambda: not any(map(alive, family)), PATIENCE_S)


@pytest.mark.slow
def test_what_cannot_start_is_said_once_and_not_tried_again(tmp_path: Path, sandbox_url: str) -> None:
    taken = free_port()
    config = configured(
        tmp_path,
        sandbox_url,
        server={"public": {"host": "127.0.0.1", "port": 0}, "admin": {"host": "127.0.0.1", "port": taken}},
    )
    with reserve(Address("127.0.0.1", taken, "the test's")) as held:
        held.listen()
        with child("serve", "--config", str(config), "--replicas", "1") as (process, output):
            assert process.wait(START_DEADLINE_S) == 1
        with child("serve", "--config", str(config), "--replicas", "2") as (process, output):
            assert process.wait(START_DEADLINE_S * 2) == 1
    assert f"cannot listen on 127.0.0.1:{taken}" in output.join()
    assert "started again" not in output.join()
    assert sockets_of(config) == {}


def test_a_shared_port_keeps_strangers_out() -> None:
    with reserve(Address("127.0.0.1", 0, "--public-port")) as held:
        port = held.getsockname()[1]
        with pytest.raises(PortTaken):
            reserve_alone(port)
        with reserve(Address("127.0.0.1", port, "--public-port")) as beside:
            beside.listen()
            with pytest.raises(PortTaken):
                reserve(Address("127.0.0.1", port, "--public-port"))


def reserve_alone(port: int) -> None:
    """Somebody who does not share, in a process that knows nothing of ours."""
    code = f"import socket; s = socket.socket(); s.bind(('127.0.0.1', {port})); s.listen()"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if "Address already in use" in said.stderr:
        raise PortTaken(Address("127.0.0.1", port, "stranger"), "taken")


def test_a_replica_that_ends_again_and_again_is_started_ever_more_slowly_up_to_half_a_minute() -> None:
    waits = [wait_before(restarts) for restarts in range(10)]
    assert waits[:4] == [0.5, 1.0, 2.0, 4.0]
    assert max(waits) == waits[-1] == 30.0
