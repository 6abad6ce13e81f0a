"""Throttled by the vendor, or about to be: rows 91 to 93 of the catalogue, and the places that make them rare."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.processes import PATIENT, START_DEADLINE_S, Running, child, gateway, sandbox_settings
from tests.servers import Server, running_server, valkey_binary

PACE = "0.02"  # of the vendors' natural time: Ideogram takes an eighth of a second
LEASE = "{samurai}:pace:ideogram:flight"


@dataclass
class House:
    """Gateways that share a Redis and a sandbox with the vendors' own limits on."""

    redis: Server
    gateways: list[Running] = field(default_factory=list)

    def ask(self, number: int, model: str = "ideogram-v3", **fields: Any) -> httpx2.Response:
        return httpx2.post(
            f"{self.gateways[number % len(self.gateways)].base_url}/v1/images/generations",
            headers={"authorization": f"Bearer {self.gateways[0].key}"},
            json={"model": model, "prompt": "a lighthouse", "size": "1024x1024"} | fields,
            timeout=90,
        )

    def script(self, **behaviour: Any) -> None:
        self.gateways[0].script(**behaviour)

    def creates(self) -> list[dict[str, Any]]:
        calls = httpx2.get(f"{self.gateways[0].sandbox_url}/sandbox/calls").raise_for_status().json()["calls"]
        return [call for call in calls if call["operation"] == "create"]

    def scripts(self) -> list[Any]:
        waiting: list[Any] = httpx2.get(f"{self.gateways[0].sandbox_url}/sandbox/scripts").json()["scripts"]
        return waiting

    def charged(self) -> int:
        return int(self.gateways[0].ledger()["totals"]["images_charged"])

    def metric(self, name: str, number: int = 0) -> float:
        lines = httpx2.get(f"{self.gateways[number].admin_url}/metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


@contextmanager
def house(folder: Path, replicas: int, change: Callable[[dict[str, Any]], None] = lambda _: None) -> Iterator[House]:
    with (
        running_server(valkey_binary()) as redis,
        child("sandbox", "--port", "0", "--pace", PACE) as (_, output),
    ):
        sandbox_url = output.wait_for(r"(http://127\.0\.0\.1:\d+)", START_DEADLINE_S)[1]
        settings = sandbox_settings(folder, sandbox_url)
        settings["redis"] = {"url": redis.url, "replicas_max": replicas, "timeout": PATIENT}
        settings["keys"][0]["limits"] = {}
        change(settings)
        with gateway_each(folder, settings, sandbox_url, replicas) as gateways:
            yield House(redis, gateways)


@contextmanager
def gateway_each(folder: Path, settings: dict[str, Any], sandbox_url: str, replicas: int) -> Iterator[list[Running]]:
    if replicas == 0:
        yield []
        return
    own = folder / str(replicas)
    own.mkdir(parents=True)
    with gateway(own, settings, sandbox_url) as one, gateway_each(folder, settings, sandbox_url, replicas - 1) as rest:
        yield [one, *rest]


def short_deadlines(settings: dict[str, Any]) -> None:
    for route in settings["models"].values():
        route["deadline"] = "8s"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("house"), 1, short_deadlines) as built:
        yield built


@pytest.fixture
def calm(shared: House) -> Iterator[House]:
    """Nothing is scripted or charged, and nothing was learnt of any account."""
    yield shared
    shared.gateways[0].reset()
    with shared.redis.admin() as admin:
        admin.flushall()


@pytest.mark.slow
def test_thirty_large_requests_at_two_replicas_never_meet_the_vendors_limit_in_flight(tmp_path: Path) -> None:
    with house(tmp_path, 2) as built, ThreadPoolExecutor(30) as pool:
        replies = list(pool.map(lambda number: built.ask(number, n=(8, 3)[number // 2 % 2]), range(30)))
        assert [reply.status_code for reply in replies] == [200] * 30
        images = [len(reply.json()["data"]) for reply in replies]
        assert sorted(set(images)) == [3, 8]
        assert {call["status"] for call in built.creates()} == {200}
        assert built.charged() == sum(images)
        places = 'samurai_pacing_wait_seconds_count{account="ideogram",granted="yes"'  # a call that is split got none
        assert built.metric(places, 0) + built.metric(places, 1) == len(built.creates()) >= 30
        with built.redis.admin() as admin:
            assert admin.zcard(LEASE) == 0


@pytest.mark.slow
def test_a_killed_replicas_places_fall_free_and_a_killed_redis_costs_no_500(tmp_path: Path) -> None:
    def slowly(settings: dict[str, Any]) -> None:
        settings["models"]["ideogram-v3"]["deadline"] = "60s"

    with house(tmp_path, 2, slowly) as built, ThreadPoolExecutor(12) as pool:
        built.script(vendor="ideogram", operation="create", then={"latency_s": 30, "status": 500, "charged": False})
        stuck = pool.submit(lambda: built.ask(0, n=8))
        with built.redis.admin() as admin:
            eventually(lambda: not built.scripts())
            assert admin.zcard(LEASE) == 1
            ends_us = admin.zrange(LEASE, 0, -1, withscores=True)[0][1]
            os.kill(built.gateways[0].process.pid, signal.SIGKILL)
            assert isinstance(stuck.exception(), httpx2.TransportError)
            assert 60 < ends_us / 1e6 - time.time() < 151  # it will fall free by itself, and when that moment has come
            member = admin.zrange(LEASE, 0, -1)[0]
            admin.zadd(LEASE, {member: int((time.time() + 1) * 1e6)})
            started = time.monotonic()
            assert built.ask(1, n=8).status_code == 200
            assert time.monotonic() - started > 0.5
        asked = [pool.submit(built.ask, 1, n=3) for _ in range(6)]
        built.redis.kill()
        asked += [pool.submit(built.ask, 1, n=8) for _ in range(4)]
        statuses = [one.result().status_code for one in asked]
        assert set(statuses) <= {200, 429}
        assert statuses.count(200) >= 8
        assert built.ask(1, n=8).status_code == 200
        assert built.metric("samurai_limiter_degraded_total", 1) > 0


def eventually(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_f91_a_429_with_a_time_is_waited_for_and_paid_once(calm: House) -> None:
    calm.script(vendor="replicate", operation="create", then=throttle("3"))
    started = time.monotonic()
    assert calm.ask(0, "flux-1.1-pro").status_code == 200
    assert 3 <= time.monotonic() - started < 6
    assert [call["status"] for call in calm.creates()] == [429, 201]
    assert calm.charged() == 1
    assert calm.metric('samurai_pacing_adaptive_limit{account="replicate"}') == 5
    assert calm.metric('samurai_pacing_pauses_total{account="replicate"}') == 1


def test_f91_the_account_pauses_for_everybody_who_shares_it(calm: House) -> None:
    calm.script(vendor="replicate", operation="create", then=throttle("2"))
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(calm.ask, 0, "flux-1.1-pro")
        eventually(lambda: len(calm.creates()) == 1)
        others = [pool.submit(calm.ask, 0, "flux-schnell") for _ in range(3)]
        assert [one.result().status_code for one in (first, *others)] == [200] * 4
    refused, *served = calm.creates()
    assert all(call["at"] - refused["at"] >= 1.9 for call in served)
    assert [call["status"] for call in served] == [201] * 4


def test_f91_a_429_that_outlasts_the_deadline_is_a_429_with_the_true_time(calm: House) -> None:
    calm.script(vendor="replicate", operation="create", times=None, then=throttle("30"))
    reply = calm.ask(0, "flux-1.1-pro")
    assert (reply.status_code, reply.json()["error"]["code"]) == (429, "upstream_rate_limited")
    assert (reply.headers["retry-after"], reply.headers["x-should-retry"]) == ("30", "true")
    again = calm.ask(0, "flux-1.1-pro")  # the account is still paused: not even asked
    assert again.status_code == 429
    assert 25 <= int(again.headers["retry-after"]) <= 30
    assert len(calm.creates()) == 1
    assert calm.charged() == 0


def test_f92_a_429_without_a_time_is_tried_again_after_a_short_while(calm: House) -> None:
    calm.script(vendor="ideogram", operation="create", times=2, then={"error": "ideogram.inflight_429"})
    assert calm.ask(0, n=2).status_code == 200
    assert [call["status"] for call in calm.creates()] == [429, 429, 200]
    assert calm.charged() == 2
    assert calm.metric('samurai_pacing_pauses_total{account="ideogram"}') == 0
    assert calm.metric('samurai_pacing_vendor_refusals_total{account="ideogram"}') == 2


@pytest.mark.parametrize("wish", ["-5", "soon", "NaN", ""])
def test_f93_a_nonsensical_time_counts_as_none(calm: House, wish: str) -> None:
    calm.script(vendor="replicate", operation="create", then=throttle(wish))
    started = time.monotonic()
    assert calm.ask(0, "flux-1.1-pro").status_code == 200
    assert time.monotonic() - started < 4
    assert [call["status"] for call in calm.creates()] == [429, 201]


@pytest.mark.parametrize("wish", ["86400", "Wed, 21 Oct 2099 07:28:00 GMT"])
def test_f93_an_absurd_time_is_clamped(calm: House, wish: str) -> None:
    calm.script(vendor="replicate", operation="create", then=throttle(wish))
    reply = calm.ask(0, "flux-1.1-pro")
    assert reply.status_code == 429
    assert 1 <= int(reply.headers["retry-after"]) <= 120
    with calm.redis.admin() as admin:
        until_us = float(admin.hget("{samurai}:pace:replicate:state", "paused_until"))
    assert until_us / 1e6 - time.time() <= 120


def throttle(wish: str) -> dict[str, Any]:
    """Replicate's 429 with this Retry-After, and no other hint of a time."""
    return {"status": 429, "body": {"detail": "Request was throttled."}, "headers": {"Retry-After": wish}}


def test_a_place_that_does_not_come_in_time_is_a_429_and_nothing_is_paid(calm: House) -> None:
    with calm.redis.admin() as admin:
        admin.zadd(LEASE, {"10:of-somebody-else": int((time.time() + 60) * 1e6)})
    started = time.monotonic()
    reply = calm.ask(0, n=3)
    assert 4 < time.monotonic() - started < 8  # a quarter of the deadline is kept for the work
    assert (reply.status_code, reply.json()["error"]["code"]) == (429, "upstream_rate_limited")
    assert (reply.headers["retry-after"], reply.headers["x-should-retry"]) == ("1", "true")
    assert calm.creates() == []
    assert calm.metric('samurai_pacing_wait_seconds_count{account="ideogram",granted="no"}') == 1


def test_pending_work_keeps_its_place_until_it_is_over(calm: House) -> None:
    calm.script(vendor="replicate", operation="create", then={"life": "stuck_processing"})
    with ThreadPoolExecutor(1) as pool, calm.redis.admin() as admin:
        stuck = pool.submit(calm.ask, 0, "flux-1.1-pro")
        flight = "{samurai}:pace:replicate:flight"
        eventually(lambda: len(calm.creates()) == 1)
        eventually(lambda: calm_polls(calm) >= 3)
        assert admin.zcard(flight) == 1
        assert stuck.result().status_code == 500
        assert admin.zcard(flight) == 0


def calm_polls(built: House) -> int:
    calls = httpx2.get(f"{built.gateways[0].sandbox_url}/sandbox/calls").json()["calls"]
    return sum(1 for call in calls if call["operation"] != "create")
