"""More than fits: rows 44 and 45, and what is refused first."""

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from gateway.policies.key_format import digest, new_key
from tests.faults.deployment import eventually, samples_in
from tests.processes import Running, gateway, sandbox, sandbox_settings

LOW, HIGH = new_key(b"l" * 32), new_key(b"h" * 32)
SOON_S = 20.0
MB = 1_000_000
ONE_IMAGE_BYTES = 2 * 1024 * 1024  # by the gateway's own estimate


@pytest.fixture(scope="module")
def sandbox_url() -> Iterator[str]:
    with sandbox() as url:
        yield url


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory, sandbox_url: str) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("gate")
    settings = sandbox_settings(folder, sandbox_url)
    settings["logging"] = {"level": "warning"}
    settings["keys"] = [
        {"id": "low", "sha256": digest(LOW), "priority": 0, "limits": {"images_per_minute": 600}},
        {"id": "high", "sha256": digest(HIGH), "priority": 9},
    ]
    with gateway(folder, settings, sandbox_url) as running:
        yield running


@contextmanager
def crowded(running: Running, **admission: Any) -> Iterator[Running]:
    """The gateway with these budgets, which it takes up while it runs."""
    file = Path(str(running.process.args[-1]))  # type: ignore[index]  # serve --config <file>
    settings = yaml.safe_load(file.read_text())
    settings["admission"] = {"loop_lag": "60s", "queue_time": "10m"} | admission
    text = yaml.safe_dump(settings)
    file.write_text(text)
    running.process.send_signal(signal.SIGHUP)
    eventually(
        lambda: (
            httpx2.get(f"{running.admin_url}/readyz", timeout=30).json()["configuration"]["version"]
            == sha256(text.encode()).hexdigest()[:12]
        ),
        SOON_S,
    )
    running.reset()
    yield running


def ask(running: Running, key: str, **fields: Any) -> httpx2.Response:
    return httpx2.post(
        f"{running.base_url}/v1/images/generations",
        headers={"authorization": f"Bearer {key}"},
        json={"model": "dall-e-3", "prompt": "a crowd"} | fields,
        timeout=120,
    )


def shed(running: Running) -> dict[tuple[str, str], float]:
    text = httpx2.get(f"{running.admin_url}/metrics", timeout=30).text
    samples = {(name, dict(labels).get("reason"), dict(labels).get("priority")): value
               for (name, labels), value in samples_in(text).items()}  # fmt: skip
    return {
        (str(reason), str(priority)): value
        for (name, reason, priority), value in samples.items()
        if name == "samurai_shed_total" and value
    }


@contextmanager
def held(running: Running, images: int, for_s: float = 4) -> Iterator[list[httpx2.Response]]:
    """A request of the important key for so many images, which the vendor takes its time for."""
    running.reset()
    running.script(vendor="openai", operation="create", then={"latency_s": for_s})
    replies: list[httpx2.Response] = []
    thread = threading.Thread(target=lambda: replies.append(ask(running, HIGH, n=images)))
    thread.start()
    eventually(lambda: "openai" in httpx2.get(f"{running.sandbox_url}/sandbox/calls").text, SOON_S)
    try:
        yield replies
    finally:
        thread.join()


@pytest.mark.slow
def test_f044_beyond_the_budget_the_lowest_are_refused_first_and_all_are_served_again_after_it(gate: Running) -> None:
    with crowded(gate, spool=f"{10 * ONE_IMAGE_BYTES // 1024}KiB") as running:
        before = shed(running)
        with held(running, images=6) as replies:
            refused = ask(running, LOW, n=2)  # eight of ten: more than seven tenths
            assert replies == []
            assert refused.status_code == 429
            error = refused.json()["error"]
            assert (error["type"], error["code"], error["param"]) == ("rate_limit_error", "gateway_overloaded", None)
            assert 1 <= int(refused.headers["retry-after"]) <= 60
            assert 0 < int(refused.headers["retry-after-ms"]) <= 1000 * int(refused.headers["retry-after"])
            assert refused.headers["x-should-retry"] == "true"
            assert refused.headers["x-ratelimit-limit-images"] == "600"
            assert refused.headers["x-ratelimit-remaining-images"] == "600"  # it took nothing
            assert ask(running, LOW, n=1).status_code == 200  # exactly seven tenths
            assert ask(running, HIGH, n=4).status_code == 200  # exactly all
            assert ask(running, HIGH, n=5).json()["error"]["code"] == "gateway_overloaded"
        assert replies[0].status_code == 200
        told = shed(running)
        assert told["memory", "low"] - before.get(("memory", "low"), 0) == 1
        assert told["memory", "high"] - before.get(("memory", "high"), 0) == 1
        assert running.ledger()["totals"]["images_charged"] == 6 + 1 + 4
        assert ask(running, LOW, n=7).status_code == 200


@pytest.mark.slow
@pytest.mark.fault(44)
def test_a_memory_budget_that_is_too_small_serves_one_at_a_time_and_never_none(gate: Running) -> None:
    with crowded(gate, memory="1MB") as running:
        with held(running, images=1) as replies:
            for key in (LOW, HIGH):
                refused = ask(running, key)
                assert (refused.status_code, refused.json()["error"]["code"]) == (429, "gateway_overloaded")
        assert replies[0].status_code == 200
        assert ask(running, LOW).status_code == 200


@pytest.mark.slow
def test_f045_a_loop_that_cannot_keep_up_refuses_the_lowest_first_and_recovers(gate: Running) -> None:
    """The processor is taken away in slices, as a machine that is overcommitted does it."""
    with crowded(gate, loop_lag="250ms") as running:  # 125 ms for the lowest, 350 for the highest
        with held(running, images=1, for_s=10), slowed(running, stopped_s=0.4, running_s=0.06):
            outcomes = [ask(running, LOW)]
            while outcomes[-1].status_code != 429 and len(outcomes) < 10:
                outcomes.append(ask(running, LOW))
            assert outcomes[-1].json()["error"]["code"] == "gateway_overloaded"
            assert 1 <= int(outcomes[-1].headers["retry-after"]) <= 60
        assert ("cpu", "low") in shed(running)
        eventually(lambda: ask(running, LOW).status_code == 200, SOON_S)


@contextmanager
def slowed(running: Running, stopped_s: float, running_s: float) -> Iterator[None]:
    over = threading.Event()

    def slice_on() -> None:
        while not over.is_set():
            running.process.send_signal(signal.SIGSTOP)
            time.sleep(stopped_s)
            running.process.send_signal(signal.SIGCONT)
            time.sleep(running_s)

    thread = threading.Thread(target=slice_on)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.slow
@pytest.mark.fault(44)
def test_of_a_crowd_what_fits_is_served_and_the_rest_is_told_so_at_once(gate: Running) -> None:
    with crowded(gate, spool="24MiB") as running, ThreadPoolExecutor(16) as crowd:
        before = sum(shed(running).values())
        replies = list(crowd.map(lambda _: ask(running, HIGH, n=4, response_format="b64_json"), range(16)))
        statuses = [reply.status_code for reply in replies]
        assert set(statuses) == {200, 429}
        assert all(len(reply.json()["data"]) == 4 for reply in replies if reply.status_code == 200)
        assert running.ledger()["totals"]["images_charged"] == 4 * statuses.count(200)
        assert sum(shed(running).values()) - before == statuses.count(429)
