"""`samurai drain`: what a preStop hook calls, from the same host and the same user only."""

import os
import signal
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
import typer

from gateway import cli_drain
from gateway.edges.drain_socket import run_directory, sockets_of
from tests.faults.deployment import eventually
from tests.processes import PATIENT, ROOT, SAMURAI, STOP_DEADLINE_S, Running, environment, gateway, sandbox
from tests.processes import sandbox_settings as settings_of
from tests.servers import running_server, valkey_binary

PATIENCE_S = 20.0
DRAINED, NOBODY, WORK_LEFT = 0, 1, 75


@pytest.fixture(scope="module")
def sandbox_url() -> Iterator[str]:
    with sandbox() as url:
        yield url


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with running_server(valkey_binary()) as server:
        yield server.url


def settings_for(folder: Path, sandbox_url: str, redis_url: str, **drain: str) -> dict[str, Any]:
    settings = settings_of(folder, sandbox_url)
    settings["redis"] = {"url": redis_url, "timeout": PATIENT}
    settings["server"]["drain"] = {"delay": "0s", "deadline": "30s"} | drain
    return settings


def drain(config: Path) -> "subprocess.Popen[str]":
    command = [*SAMURAI, "drain", "--config", str(config)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment() | {"PYTHONPATH": str(ROOT)},
    )


def ended(command: "subprocess.Popen[str]") -> tuple[int, str]:
    said, _ = command.communicate(timeout=60)
    return command.returncode, said


def drained(config: Path, pid: int | None = None) -> int:
    """The command's exit code, without the seconds that its start takes on a busy machine."""
    try:
        cli_drain.drain(config, pid)
    except typer.Exit as end:
        return end.exit_code
    return DRAINED


def ask(running: Running) -> httpx2.Response:
    return httpx2.post(
        f"{running.base_url}/v1/images/generations",
        headers={"authorization": f"Bearer {running.key}"},
        json={"model": "dall-e-3", "prompt": "a last one", "size": "256x256"},
        timeout=60,
    )


def ready(running: Running) -> bool:
    return httpx2.get(f"{running.admin_url}/readyz").status_code == 200


def begun(running: Running, latency_s: float) -> tuple[threading.Thread, list[httpx2.Response]]:
    """An image that takes so long, under way at the vendor."""
    running.reset()
    running.script(vendor="openai", operation="create", then={"latency_s": latency_s})
    replies: list[httpx2.Response] = []

    def client() -> None:
        with suppress(httpx2.TransportError):  # of a gateway that is killed meanwhile
            replies.append(ask(running))

    thread = threading.Thread(target=client)
    thread.start()
    eventually(lambda: "openai" in httpx2.get(f"{running.sandbox_url}/sandbox/calls").text, PATIENCE_S)
    return thread, replies


@pytest.mark.slow
def test_it_waits_for_what_is_in_flight_while_new_requests_are_served_and_sigterm_then_ends_at_once(
    tmp_path: Path, sandbox_url: str, redis_url: str
) -> None:
    settings = settings_for(tmp_path, sandbox_url, redis_url, delay="1s")
    with gateway(tmp_path, settings, sandbox_url) as running:
        assert ready(running)
        thread, replies = begun(running, 3)
        command = drain(tmp_path / "gateway.yaml")
        eventually(lambda: not ready(running), PATIENCE_S)
        assert command.poll() is None
        served = httpx2.get(f"{running.base_url}/llms.txt")
        assert (served.status_code, served.headers["connection"]) == (200, "close")
        assert ended(command) == (DRAINED, f"gateway {running.process.pid}: drained\n")
        thread.join()
        assert [reply.status_code for reply in replies] == [200]
        assert httpx2.get(f"{running.base_url}/llms.txt").status_code == 200  # it listens until it is told to end
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(STOP_DEADLINE_S) == 0
    text = running.output.join()
    assert text.index('"event":"draining"') < text.index('"event":"drained"')
    assert sockets_of(tmp_path / "gateway.yaml") == {}


@pytest.mark.slow
def test_it_says_when_work_is_left_at_the_deadline_and_draining_twice_is_no_harm(
    tmp_path: Path, sandbox_url: str, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_for(tmp_path, sandbox_url, redis_url, deadline="1s")
    with gateway(tmp_path, settings, sandbox_url) as running:
        thread, replies = begun(running, 6)
        for _ in range(2):
            assert drained(tmp_path / "gateway.yaml") == WORK_LEFT
            assert capsys.readouterr().out == f"gateway {running.process.pid}: 1 in flight at its deadline\n"
        thread.join()
        assert [reply.status_code for reply in replies] == [200]  # the deadline is the command's, not the work's


@pytest.mark.slow
def test_a_gateway_that_ends_meanwhile_was_not_drained_and_a_dead_ones_socket_is_cleared_away(
    tmp_path: Path, sandbox_url: str, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "gateway.yaml"
    settings = settings_for(tmp_path, sandbox_url, redis_url)
    with gateway(tmp_path, settings, sandbox_url) as running:
        thread, _ = begun(running, 30)
        codes: list[int] = []
        command = threading.Thread(target=lambda: codes.append(drained(config)))
        command.start()
        eventually(lambda: not ready(running), PATIENCE_S)
        os.kill(running.process.pid, signal.SIGKILL)
        command.join()
        assert codes == [NOBODY]
        assert capsys.readouterr().out == f"gateway {running.process.pid}: 1 in flight when it ended\n"
        running.process.wait()
        thread.join()
    assert list(sockets_of(config)) == [running.process.pid]
    assert drained(config) == NOBODY
    assert "no gateway runs with" in capsys.readouterr().err
    assert sockets_of(config) == {}


@pytest.mark.slow
def test_only_this_user_can_reach_it_and_one_process_of_several_can_be_named(
    tmp_path: Path, sandbox_url: str, redis_url: str
) -> None:
    settings = settings_for(tmp_path, sandbox_url, redis_url)
    with gateway(tmp_path, settings, sandbox_url) as one, gateway(tmp_path, settings, sandbox_url) as other:
        sockets = sockets_of(tmp_path / "gateway.yaml")
        assert set(sockets) == {one.process.pid, other.process.pid}
        assert stat.S_IMODE(run_directory().stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in sockets.values()} == {0o600}
        assert drained(tmp_path / "gateway.yaml", other.process.pid) == DRAINED
        assert ready(one)
        assert not ready(other)
        for url in (one.base_url, one.admin_url):
            assert httpx2.post(f"{url}/drain").status_code in (404, 405)
        assert ready(one)
