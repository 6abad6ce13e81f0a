"""A vendor's calls back: two replicas behind one address, and a sandbox whose time passes when a test says so."""

import time
from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest

from gateway.edges.bells import LONGEST_S
from gateway.policies.webhook_signing import signed_headers
from tests.faults.deployment import eventually, samples_in
from tests.processes import START_DEADLINE_S, Running, child, gateway
from tests.replicas import replica_settings
from tests.servers import Server, free_port, running_server, valkey_binary

PACE = "10"  # a prediction takes 39.5 s of the sandbox's time
DEADLINE = "60s"
HELD_S = 31.0  # how long the vendor is asked to hold a creation's reply open, and a second
REST_S = 20.0
PATIENCE_S = 25.0
STRANGE = f"/v1/webhooks/replicate/op_{'0' * 24}/1"


@dataclass(frozen=True)
class Hooked:
    """Two replicas; vendors are told the address of the first one."""

    one: Running
    two: Running
    redis: Server
    folder: Path
    pool: ThreadPoolExecutor = field(repr=False)

    def replica(self, name: str) -> Running:
        return self.one if name == "one" else self.two

    def ask(self, running: Running, prompt: str) -> "Future[httpx2.Response]":
        body = {"model": "flux-1.1-pro", "prompt": prompt, "size": "256x256"}
        headers = {"authorization": f"Bearer {running.key}"}
        url = f"{running.base_url}/v1/images/generations"
        return self.pool.submit(httpx2.post, url, headers=headers, json=body, timeout=60)

    def pass_time(self, seconds: float) -> None:
        httpx2.post(f"{self.one.sandbox_url}/sandbox/clock", json={"advance_s": seconds}).raise_for_status()

    def calls(self, operation: str) -> list[dict[str, Any]]:
        calls = httpx2.get(f"{self.one.sandbox_url}/sandbox/calls").raise_for_status().json()["calls"]
        return [call for call in calls if call["operation"] == operation]

    def begun(self) -> str:
        """Wait until the vendor works on the only prediction; the path that it is to call."""
        eventually(lambda: bool(self.calls("create")), PATIENCE_S)
        return str(self.calls("create")[0]["body"]["webhook"]).removeprefix(self.one.base_url)

    def accepted(self) -> str:
        """As `begun`, and wait until the vendor has answered with the prediction's id."""
        path = self.begun()
        self.pass_time(HELD_S)
        eventually(lambda: self.calls("create")[0]["status"] is not None, PATIENCE_S)
        return path

    def post(self, path: str, headers: dict[str, str], body: bytes = b"{}") -> httpx2.Response:
        return httpx2.post(self.one.base_url + path, headers=headers, content=body)

    def signed(self, message_id: str, body: bytes = b"{}", now_s: float | None = None) -> dict[str, str]:
        """Headers that the vendor itself could have sent."""
        token = {"authorization": "Bearer r8_sandbox"}
        reply = httpx2.get(f"{self.one.sandbox_url}/replicate/v1/webhooks/default/secret", headers=token)
        key = b64decode(reply.json()["key"].removeprefix("whsec_"))
        return signed_headers(key, message_id, time.time() if now_s is None else now_s, body)

    def told(self, name: str, word: str) -> float:
        """What the first replica counted of calls back."""
        samples = samples_in(httpx2.get(f"{self.one.admin_url}/metrics").text).items()
        return sum(figure for (metric, labels), figure in samples if metric == name and word in dict(labels).values())

    def taken(self) -> float:
        return self.told("samurai_webhooks_total", "replicate")

    def refused(self, reason: str) -> float:
        return self.told("samurai_webhooks_refused_total", reason)


@contextmanager
def hooked_replica(folder: Path, name: str, redis: Server, vendors: str, ports: tuple[int, int]) -> Iterator[Running]:
    """One of them; `ports` are its own public port and the one that vendors are told of."""
    settings = replica_settings(folder / name, redis.url, vendors)
    settings["store"] = {"url": f"file://{folder}/images", "signing_key": {"file": str(folder / "signing.key")}}
    # With so long a lease, nobody takes up a dead replica's work by looking for it.
    settings["idempotency"] = {"spool": str(folder / name / "journal"), "lease": "10m"}
    settings["keys"][0]["limits"] = {}
    settings["models"]["flux-1.1-pro"]["deadline"] = DEADLINE
    settings["server"]["drain"] = {"delay": "0s", "deadline": "1s"}
    settings["server"]["public"]["port"] = ports[0]
    settings["webhooks"] = {"public_url": f"http://127.0.0.1:{ports[1]}"}
    with gateway(folder / name, settings, vendors) as running:
        yield running


@pytest.fixture(scope="module")
def hooked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hooked]:
    folder, port = tmp_path_factory.mktemp("hooked"), free_port()
    (folder / "signing.key").write_text("k" * 40)
    with (
        running_server(valkey_binary()) as redis,
        child("sandbox", "--port", "0", "--unlimited", "--pace", PACE) as (_, output),
        ThreadPoolExecutor() as pool,
    ):
        vendors = output.wait_for(r"(http://127\.0\.0\.1:\d+)", START_DEADLINE_S)[1]
        with (
            hooked_replica(folder, "one", redis, vendors, (port, port)) as one,
            hooked_replica(folder, "two", redis, vendors, (0, port)) as two,
        ):
            yield Hooked(one, two, redis, folder, pool)


@pytest.fixture(autouse=True)
def _calm(hooked: Hooked) -> None:
    hooked.one.reset()


@pytest.mark.parametrize("owner", ["replicate-one", "replicate-two"])
def test_a_genuine_call_wakes_its_operation_on_whichever_replica_it_is(hooked: Hooked, owner: str) -> None:
    taken = hooked.taken()
    reply = hooked.ask(hooked.replica(owner.removeprefix("replicate-")), f"woken {owner}")
    hooked.accepted()
    since = time.monotonic()
    hooked.pass_time(REST_S)
    assert reply.result().status_code == 200
    assert time.monotonic() - since < LONGEST_S - 2  # nobody would have looked before that
    assert len(hooked.calls("poll")) == 1
    assert hooked.taken() == taken + 1
    assert hooked.calls("create")[0]["body"]["webhook_events_filter"] == ["completed"]
    assert hooked.one.ledger()["totals"]["images_charged"] == 1


@pytest.mark.parametrize("vendor", ["replicate"])
def test_f105_forged_and_stale_calls_are_refused_and_wake_nobody(hooked: Hooked, vendor: str) -> None:
    reply = hooked.ask(hooked.one, f"forged {vendor}")
    path = hooked.accepted()
    body = b'{"status":"succeeded","output":["https://evil.example/x.png"]}'
    good = hooked.signed("msg_forged", body)
    before = {reason: hooked.refused(reason) for reason in ("signature", "stale", "malformed", "too_large")}
    forged = hooked.post(path, good | {"webhook-signature": "v1,AAAA"}, body)
    altered = hooked.post(path, good, body.replace(b"evil", b"devil"))
    elsewhere = hooked.post(path.replace("/replicate/", "/nobody/"), good, body)
    stale = hooked.post(path, hooked.signed("msg_old", body, time.time() - 301), body)
    unsigned = hooked.post(path, {}, body)
    large = httpx2.post(hooked.one.base_url + path, headers=good, content=iter([b"x" * 70_000]))
    assert [one.status_code for one in (forged, altered, elsewhere, stale)] == [401] * 4
    assert {one.json()["error"]["code"] for one in (forged, altered, elsewhere, stale)} == {"invalid_api_key"}
    assert (unsigned.status_code, unsigned.json()["error"]["code"]) == (400, "invalid_value")
    assert (large.status_code, large.json()["error"]["code"]) == (400, "request_too_large")
    assert {reason: hooked.refused(reason) - figure for reason, figure in before.items()} == {
        "signature": 3,
        "stale": 1,
        "malformed": 1,
        "too_large": 1,
    }
    assert hooked.calls("poll") == []
    assert len(hooked.calls("webhook_secret")) <= 3  # however many are forged: ours, and those of this test
    hooked.pass_time(REST_S)
    assert reply.result().status_code == 200


@pytest.mark.parametrize("vendor", ["replicate"])
def test_a_genuine_call_that_lies_gets_nobody_to_believe_it(hooked: Hooked, vendor: str) -> None:
    reply = hooked.ask(hooked.one, f"lied {vendor}")
    path = hooked.accepted()
    body = orjson.dumps({"id": "nothere", "status": "succeeded", "output": ["https://evil.example/x.png"]})
    assert hooked.post(path, hooked.signed("msg_lie", body), body).status_code == 200
    eventually(lambda: bool(hooked.calls("poll")), PATIENCE_S)  # looked, and saw that it is not over
    assert not reply.done()
    hooked.pass_time(REST_S)
    assert reply.result().status_code == 200
    assert hooked.one.ledger()["totals"]["images_charged"] == 1


@pytest.mark.parametrize("vendor", ["replicate"])
def test_f105_the_same_call_twice_counts_once(hooked: Hooked, vendor: str) -> None:
    hooked.one.script(vendor="replicate", operation="create", then={"webhooks": 2})
    taken, repeated = hooked.taken(), hooked.refused("repeated")
    reply = hooked.ask(hooked.one, f"twice {vendor}")
    hooked.accepted()
    hooked.pass_time(REST_S)
    assert reply.result().status_code == 200
    eventually(lambda: hooked.refused("repeated") == repeated + 1, PATIENCE_S)
    assert hooked.taken() == taken + 1
    assert len(hooked.calls("poll")) == 1


@pytest.mark.parametrize("vendor", ["replicate"])
def test_f105_a_call_that_comes_late_or_for_nothing_is_taken_and_does_nothing(hooked: Hooked, vendor: str) -> None:
    reply = hooked.ask(hooked.two, f"late {vendor}")
    path = hooked.accepted()
    hooked.pass_time(REST_S)
    assert reply.result().status_code == 200
    late, unknown, looks = hooked.refused("late"), hooked.refused("unknown"), len(hooked.calls("poll"))
    assert hooked.post(path, hooked.signed("msg_late")).status_code == 200
    assert hooked.post(STRANGE, hooked.signed("msg_unknown")).status_code == 200
    assert (hooked.refused("late"), hooked.refused("unknown")) == (late + 1, unknown + 1)
    assert len(hooked.calls("poll")) == looks


@pytest.mark.parametrize("vendor", ["replicate"])
def test_a_call_finds_the_work_whose_first_reply_was_lost(hooked: Hooked, vendor: str) -> None:
    hooked.one.script(vendor="replicate", operation="create", then={"wire": "reset_after_read", "charged": True})
    hooked.one.script(vendor="replicate", operation="list", then={"status": 500}, times=None)
    reply = hooked.ask(hooked.two, f"lost {vendor}")
    hooked.begun()
    hooked.pass_time(HELD_S + REST_S)
    assert reply.result().status_code == 200
    assert len(hooked.calls("create")) == 1
    assert hooked.one.ledger()["totals"]["images_charged"] == 1


@pytest.mark.parametrize("vendor", ["replicate"])
def test_a_call_for_a_dead_replicas_operation_has_it_taken_up(hooked: Hooked, vendor: str) -> None:
    port = int(hooked.one.base_url.rpartition(":")[2])
    with hooked_replica(hooked.folder, "three", hooked.redis, hooked.one.sandbox_url, (0, port)) as three:
        reply = hooked.ask(three, f"orphaned {vendor}")
        path = hooked.accepted()
        with hooked.redis.admin() as admin:
            op_id = path.split("/")[-2]
            eventually(lambda: b'"accepted"' in admin.hget(f"{{samurai}}:op:{op_id}", "doc"), PATIENCE_S)
            three.process.kill()
            three.process.wait()
            admin.zadd("{samurai}:ops:leases", {op_id: 0})  # as if the lease were over
    assert isinstance(reply.exception(), httpx2.TransportError)
    hooked.pass_time(REST_S)
    headers = {"authorization": f"Bearer {hooked.one.key}"}
    url = f"{hooked.one.base_url}/v1/operations/{op_id}"
    eventually(lambda: httpx2.get(url, headers=headers).json()["status"] == "completed", PATIENCE_S)
    assert hooked.one.ledger()["totals"]["images_charged"] == 1


def test_a_call_that_is_lost_is_made_up_for_by_a_slow_look(hooked: Hooked) -> None:
    hooked.one.script(vendor="replicate", operation="create", then={"webhooks": 0})
    reply = hooked.ask(hooked.one, "never told")
    hooked.accepted()
    hooked.pass_time(REST_S)
    assert reply.result().status_code == 200
    assert len(hooked.calls("poll")) == 1


def test_an_address_that_names_nothing_is_not_found_and_takes_calls_by_post_alone(hooked: Hooked) -> None:
    assert hooked.post("/v1/webhooks/replicate/op_1/1", hooked.signed("msg_x")).status_code == 404
    assert httpx2.get(hooked.one.base_url + STRANGE).status_code == 405
