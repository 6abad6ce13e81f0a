"""What the machine does to a gateway: rows 43, 46, 47, 52, 54, 56 and 58."""

import fcntl
import os
import random
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
import yaml

from tests.faults.deployment import Deployment, eventually, samples_in
from tests.processes import (
    ROOT,
    SAMURAI,
    START_DEADLINE_S,
    Running,
    child,
    environment,
    gateway,
    sandbox,
    sandbox_settings,
)
from tests.servers import free_port

PIPE_BYTES = 4096


@contextmanager
def lone_gateway(folder: Path, sandbox_url: str, program: tuple[str, ...] = SAMURAI) -> Iterator[Running]:
    settings = sandbox_settings(folder, sandbox_url)
    settings["server"]["drain"] = {"delay": "0s"}
    with gateway(folder, settings, sandbox_url, program=program) as running:
        yield running


def ask(running: Running, **fields: Any) -> httpx2.Response:
    return httpx2.post(
        f"{running.base_url}/v1/images/generations",
        headers={"authorization": f"Bearer {running.key}"},
        json={"model": "flux-schnell", "prompt": "a lighthouse", "size": "256x256"} | fields,
        timeout=60,
    )


@pytest.mark.slow
def test_f043_a_gateway_that_stood_still_goes_on_where_it_was(scene: Deployment) -> None:
    scene.script("openai", {"latency_s": 0.5}, times=1)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(scene.ask, "dall-e-3")
        eventually(lambda: len(scene.calls()) == 1)
        os.kill(scene.running.process.pid, signal.SIGSTOP)
        try:
            time.sleep(3.0)  # the fault itself: a loop that stands still for so long
        finally:
            os.kill(scene.running.process.pid, signal.SIGCONT)
        assert asked.result().status_code == 200
    assert scene.charged() == 1
    assert scene.client.get(f"{scene.running.admin_url}/healthz").status_code == 200
    assert scene.ask("flux-schnell").status_code == 200


@pytest.mark.slow
def test_f046_a_gateway_without_a_free_descriptor_recovers_when_there_are_some_again(tmp_path: Path) -> None:
    with sandbox() as url, lone_gateway(tmp_path, url) as running:
        assert ask(running).status_code == 200
        taken = open_files(running)
        limit = taken + 20
        _, hard = resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE, (limit, hard))
        port = urlsplit(running.base_url).port
        with ExitStack() as stack:
            for _ in range(200):
                stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
            eventually(lambda: open_files(running) >= limit - 1)
            assert running.process.poll() is None
        eventually(lambda: open_files(running) <= taken + 10)
        assert ask(running).status_code == 200
        assert running.process.poll() is None


@pytest.mark.slow
def test_f047_an_image_worker_that_is_killed_at_any_moment_loses_no_image(scene: Deployment) -> None:
    """Each request needs a worker, since 256x256 has to be made from something larger."""
    dice, killed = random.Random(47), 0
    with ThreadPoolExecutor(1) as pool:
        for _ in range(10):
            asked = pool.submit(scene.ask, "flux-schnell", size="256x256")
            time.sleep(dice.uniform(0.0, 0.1))  # the fault itself: some moment of the request
            for worker in workers_of(scene.running.process.pid):
                os.kill(worker, signal.SIGKILL)
                killed += 1
            assert asked.result().status_code == 200
    assert killed >= 5
    assert scene.charged() == 10  # nothing was bought twice


def open_files(running: Running) -> int:
    return sum(1 for _ in Path(f"/proc/{running.process.pid}/fd").iterdir())


def workers_of(pid: int) -> list[int]:
    """The child processes that work on images."""
    children = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        children += [int(number) for number in (task / "children").read_text().split()]
    return [number for number in children if b"pixel" in Path(f"/proc/{number}/cmdline").read_bytes()]


@pytest.mark.slow
@pytest.mark.parametrize("jump_s", [3600, -3600])
def test_f052_a_wall_clock_that_jumps_by_an_hour_changes_no_limit_and_no_deadline(tmp_path: Path, jump_s: int) -> None:
    offset = tmp_path / "offset"
    offset.write_text("0")
    skewed = (sys.executable, "-m", "tests.faults.skewed", str(offset))
    with sandbox() as url, lone_gateway(tmp_path, url, skewed) as running:
        before = ask(running)
        then = {"latency_s": 1.0, "error": "replicate.unavailable_503"}  # so that there is a deadline to look at
        running.script(vendor="replicate", operation="create", then=then)
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(ask, running)
            calls = f"{url}/sandbox/calls"
            eventually(lambda: str(httpx2.get(calls).json()).count("'create'") == 2)
            offset.write_text(str(jump_s))  # while the call is under way
            after = asked.result()
        assert (before.status_code, after.status_code) == (200, 200)
        left = [int(reply.headers["x-ratelimit-remaining-requests"]) for reply in (before, after)]
        assert left[0] - 1 <= left[1] <= left[0]  # neither refilled nor emptied by the jump
        assert abs(after.json()["created"] - before.json()["created"]) <= 4000
        assert httpx2.get(after.json()["data"][0]["url"]).status_code == 200
        assert httpx2.get(f"{running.admin_url}/readyz").status_code == 200


@pytest.mark.slow
def test_f054_a_log_that_nobody_reads_holds_up_nothing(tmp_path: Path) -> None:
    with sandbox() as url:
        settings = sandbox_settings(tmp_path, url)
        settings["server"]["drain"] = {"delay": "0s"}
        path = tmp_path / "gateway.yaml"
        path.write_text(yaml.safe_dump(settings))
        process = subprocess.Popen(
            [*SAMURAI, "serve", "--config", str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment() | {"PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )
        assert process.stdout is not None
        try:
            fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            base_url = ready_url(process)
            with httpx2.Client(timeout=30) as client:
                statuses = [client.get(f"{base_url}/llms.txt").status_code for _ in range(200)]
            assert statuses == [200] * 200  # each of which is a line of some hundred bytes
            # Far more than the pipe holds, so that the writer stood still; and what had to wait is not lost.
            assert bytes_until(process, lines_with=b"/llms.txt", count=200) > 2 * PIPE_BYTES
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def ready_url(process: "subprocess.Popen[bytes]") -> str:
    assert process.stdout is not None
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline:
        line = process.stdout.readline().decode()
        if found := re.search(r"Ready: (\S+)/v1", line):
            return found[1]
    raise AssertionError("the gateway did not start")


def bytes_until(process: "subprocess.Popen[bytes]", *, lines_with: bytes, count: int) -> int:
    """Read what the gateway logs until so many lines with these words came: how many bytes that were in all."""
    assert process.stdout is not None
    read = 0
    while count:
        line = process.stdout.readline()
        assert line, "the gateway ended"
        read += len(line)
        count -= lines_with in line
    return read


def test_f056_names_that_callers_make_up_make_no_series(scene: Deployment) -> None:
    def series() -> int:
        return len(samples_in(scene.client.get(f"{scene.running.admin_url}/metrics").text))

    def make_up(number: int) -> None:
        scene.ask(f"model-{number}", user=f"user-{number}")
        scene.ask("flux-schnell", user=f"user-{number}", n=99)
        scene.client.get(f"{scene.running.base_url}/path-{number}")

    make_up(0)
    scene.ask("flux-schnell", user="user-0")
    before = series()
    for number in range(1, 150):
        make_up(number)
    scene.ask("flux-schnell", user="another")
    assert series() == before


@pytest.mark.slow
def test_f058_a_gateway_starts_before_its_vendors_and_finds_them_when_they_come(tmp_path: Path) -> None:
    port = free_port()
    with lone_gateway(tmp_path, f"http://127.0.0.1:{port}") as running:
        assert httpx2.get(f"{running.admin_url}/readyz").json()["status"] == "ready"
        early = ask(running)
        assert (early.status_code, early.json()["error"]["code"]) == (500, "upstream_unreachable")
        assert early.headers["x-should-retry"] == "true"
        with child("sandbox", "--port", str(port), "--unlimited") as (_, output):
            output.wait_for(r"(http://127\.0\.0\.1:\d+)", START_DEADLINE_S)
            assert ask(running).status_code == 200
            ledger = httpx2.get(f"http://127.0.0.1:{port}/sandbox/ledger").json()
            assert ledger["totals"]["images_charged"] == 1
