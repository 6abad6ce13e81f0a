"""How a replica ends: what was begun is finished, what is new goes elsewhere, nothing is lost."""

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.processes import PATIENT, STOP_DEADLINE_S, Running, gateway, sandbox, sandbox_settings
from tests.servers import running_server, valkey_binary

PATIENCE_S = 20.0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline


def begin(running: Running, outcome: dict[str, Any]) -> threading.Thread:
    """Ask for an image that takes a second and a half; back when the vendor has been called."""
    running.script(vendor="openai", operation="create", then={"latency_s": 1.5})

    def ask() -> None:
        outcome["reply"] = httpx2.post(
            f"{running.base_url}/v1/images/generations",
            headers={"authorization": f"Bearer {running.key}"},
            json={"model": "dall-e-3", "prompt": "a last one", "size": "256x256"},
            timeout=60,
        )

    thread = threading.Thread(target=ask)
    thread.start()
    until(lambda: bool(httpx2.get(f"{running.sandbox_url}/sandbox/calls").json()["calls"]))
    return thread


@pytest.mark.slow
def test_work_under_way_is_finished_before_the_end(tmp_path: Path) -> None:
    outcome: dict[str, Any] = {}
    with sandbox() as url, gateway(tmp_path, sandbox_settings(tmp_path, url), url) as running:
        thread = begin(running, outcome)
        running.process.send_signal(signal.SIGTERM)
        thread.join(PATIENCE_S)
        assert running.process.wait(STOP_DEADLINE_S) == 0
    assert outcome["reply"].status_code == 200
    assert len(outcome["reply"].json()["data"]) == 1
    assert '"operations_left":0' in running.output.join()


@pytest.mark.slow
def test_a_replica_says_no_to_readiness_first_and_still_serves_until_balancers_have_noticed(tmp_path: Path) -> None:
    with sandbox() as url, running_server(valkey_binary()) as server:
        settings = sandbox_settings(tmp_path, url)
        settings["redis"] = {"url": server.url, "timeout": PATIENT}
        settings["server"]["drain"] = {"delay": "3s", "deadline": "10s"}
        with gateway(tmp_path, settings, url) as running:
            running.process.send_signal(signal.SIGTERM)
            until(lambda: httpx2.get(f"{running.admin_url}/readyz").status_code == 503)
            served = httpx2.post(
                f"{running.base_url}/v1/images/generations",
                headers={"authorization": f"Bearer {running.key}"},
                json={"model": "flux-schnell", "prompt": "just in time", "size": "256x256"},
            )
            assert served.status_code == 200
            assert served.headers["connection"] == "close"
            assert running.process.wait(STOP_DEADLINE_S) == 0
