"""Requests that are sent again, work that is asked about later, and clients that hang up: two replicas, one journal."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx2
import orjson
import pytest
from typer.testing import CliRunner

from gateway.cli import commands
from tests.processes import START_DEADLINE_S, Running, child, gateway
from tests.replicas import ADMIN_TOKEN, administer, created, replica_settings, status, until
from tests.servers import Server, running_server, valkey_binary

PACE = "0.15"


@dataclass(frozen=True)
class Pair:
    """Two replicas that share everything but their spools."""

    one: Running
    two: Running
    redis: Server

    def ask(
        self, running: Running, prompt: str = "", headers: dict[str, str] | None = None, **fields: Any
    ) -> httpx2.Response:
        body = {"model": "flux-schnell", "prompt": prompt or "a lighthouse", "size": "256x256"} | fields
        sent = {"authorization": f"Bearer {running.key}"} | (headers or {})
        return httpx2.post(f"{running.base_url}/v1/images/generations", headers=sent, json=body, timeout=60)

    def charged(self) -> int:
        return int(self.one.ledger()["totals"]["images_charged"])


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    (folder / "signing.key").write_text("k" * 40)
    with ExitStack() as stack:
        redis = stack.enter_context(running_server(valkey_binary()))
        _, output = stack.enter_context(child("sandbox", "--port", "0", "--unlimited", "--pace", PACE))
        vendors = output.wait_for(r"(http://127\.0\.0\.1:\d+)", START_DEADLINE_S)[1]
        replicas = []
        for name in ("one", "two"):
            settings = replica_settings(folder / name, redis.url, vendors)
            settings["store"] = {"url": f"file://{folder}/images", "signing_key": {"file": str(folder / "signing.key")}}
            settings["idempotency"] = {"lease": "3s", "spool": str(folder / name / "journal")}
            settings["keys"][0]["limits"] = {}
            replicas.append(stack.enter_context(gateway(folder / name, settings, vendors)))
        one, two = replicas
        yield Pair(one, two, redis)


@pytest.fixture(autouse=True)
def _calm(pair: Pair) -> None:
    pair.one.reset()


@pytest.mark.parametrize("form", ["url", "b64_json"])
@pytest.mark.parametrize("key", ["bare-{}", '"quoted-{}"'])
def test_f027_a_repeated_key_gets_the_same_bytes_on_any_replica_and_buys_nothing(
    pair: Pair, form: str, key: str
) -> None:
    fields: dict[str, Any] = {"n": 2, "response_format": form, "headers": {"idempotency-key": key + form}}
    if key.startswith('"'):
        fields["headers"] = {"idempotency-key": f'{key[:-1]}{form}"'}
    first, again = pair.ask(pair.one, **fields), pair.ask(pair.two, **fields)
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.content == again.content
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["x-samurai-operation-id"] == first.headers["x-samurai-operation-id"]
    assert again.headers["x-samurai-cost-usd"] == first.headers["x-samurai-cost-usd"]
    assert pair.charged() == 2


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_given_again_tells_the_limits_as_they_stand_and_takes_nothing_from_them(
    pair: Pair, stream: bool
) -> None:
    _, secret = created(pair.one, limits={"requests_per_minute": 2, "images_per_minute": 30})
    until(lambda: status(pair.two, secret) == 200)
    headers = {"authorization": f"Bearer {secret}", "idempotency-key": "metered"}
    first = pair.ask(pair.one, "metered", headers, n=2, stream=stream)
    replays = [pair.ask(pair.two, "metered", headers, n=2, stream=stream) for _ in range(5)]
    assert [reply.status_code for reply in (first, *replays)] == [200] * 6
    for reply in replays:
        assert reply.headers["idempotent-replayed"] == "true"
        assert reply.headers["x-ratelimit-limit-requests"] == "2"
        assert int(reply.headers["x-ratelimit-remaining-requests"]) >= 1
        assert int(reply.headers["x-ratelimit-remaining-images"]) >= 28
        assert reply.headers["ratelimit-policy"] == first.headers["ratelimit-policy"]


def test_f028_a_hundred_at_once_with_one_key_are_one_purchase(pair: Pair) -> None:
    with ThreadPoolExecutor(100) as pool:
        headers = {"idempotency-key": "all-at-once"}
        asked = [pool.submit(pair.ask, (pair.one, pair.two)[number % 2], "x", headers) for number in range(100)]
        replies = [one.result() for one in asked]
    assert {reply.status_code for reply in replies} == {200}
    assert len({reply.content for reply in replies}) == 1
    assert pair.charged() == 1


def test_f029_a_key_with_another_body_is_refused_and_buys_nothing(pair: Pair) -> None:
    headers = {"idempotency-key": "another-body"}
    assert pair.ask(pair.one, headers=headers).status_code == 200
    refused = pair.ask(pair.two, headers=headers, n=2)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "idempotency_key_reused")
    assert refused.headers["x-should-retry"] == "false"
    assert pair.charged() == 1


def test_f030_the_same_key_of_another_api_key_is_another_request(pair: Pair) -> None:
    _, secret = created(pair.one, id="other-team")
    headers = {"idempotency-key": "everybody-s"}
    mine = pair.ask(pair.one, headers=headers)
    eventually(lambda: pair.ask(pair.two, headers={**headers, "authorization": f"Bearer {secret}"}).status_code == 200)
    theirs = pair.ask(pair.two, headers={**headers, "authorization": f"Bearer {secret}"})
    assert mine.json() != theirs.json()
    assert pair.charged() == 2


@pytest.mark.parametrize("key", ["", '""', "x" * 256, "with space", "caf\u00e9"])
def test_f031_a_malformed_key_is_refused(pair: Pair, key: str) -> None:
    refused = pair.ask(pair.one, headers={"idempotency-key": key.encode("latin-1")})  # type: ignore[dict-item] # raw
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_idempotency_key")
    assert pair.charged() == 0


def test_f032_what_an_sdk_sends_again_joins_its_first_call_and_what_a_person_sends_again_is_new(pair: Pair) -> None:
    retry = {"x-stainless-retry-count": "1"}
    first = pair.ask(pair.one, "again")
    joined = pair.ask(pair.two, "again", retry)
    assert joined.content == first.content
    assert joined.headers["idempotent-replayed"] == "true"
    assert pair.charged() == 1
    assert pair.ask(pair.two, "again").content != first.content
    assert pair.charged() == 2


def test_f033_a_spoofed_retry_is_served_like_a_first_call(pair: Pair) -> None:
    assert pair.ask(pair.one, "never asked before", {"x-stainless-retry-count": "2"}).status_code == 200
    assert pair.charged() == 1


def test_f025_what_nobody_waits_for_is_not_bought(pair: Pair) -> None:
    """Its client hangs up while it waits for a place at the vendor's."""
    pair.one.script(
        vendor="replicate",
        operation="create",
        then={"error": "replicate.throttled_429", "headers": {"retry-after": "2"}},
    )
    with hung_up(pair.one, "soon gone") as client:
        eventually(lambda: [call["status"] for call in creates(pair)] == [429])
        client.close()
    eventually(lambda: "samurai_operations_in_flight 0.0\n" in metric(pair.one, "samurai_operations_in_flight "))
    assert pair.charged() == 0


def test_f026_paid_work_goes_on_without_its_client_and_is_there_for_the_next(pair: Pair) -> None:
    with hung_up(pair.one, "goes on", model="ideogram-v3") as client:
        eventually(lambda: len(creates(pair)) == 1)
        client.close()
    reply = pair.ask(pair.two, "goes on", {"x-stainless-retry-count": "1"}, model="ideogram-v3")
    assert reply.status_code == 200
    assert pair.charged() == 1


@pytest.mark.parametrize("form", ["url", "b64_json"])
def test_work_may_be_asked_about_later_instead_of_waited_for(pair: Pair, form: str) -> None:
    begun = pair.ask(pair.one, "later", {"prefer": "respond-async"}, n=2, response_format=form)
    assert begun.status_code == 202
    assert begun.headers["preference-applied"] == "respond-async"
    assert begun.json()["status"] == "running"
    where = begun.headers["location"]
    assert where == f"/v1/operations/{begun.json()['id']}"
    seen: list[dict[str, Any]] = []

    def over() -> bool:
        seen.append(operation(pair.two, where).json())
        return bool(seen[-1]["status"] != "running")

    eventually(over, 20)
    assert seen[-1]["status"] == "completed"
    assert seen[-1]["images_ready"] == 2
    assert [set(image) for image in seen[-1]["result"]["data"]] == [{form}] * 2
    assert seen[-1]["cost_usd"] == "0.006"
    assert operation(pair.one, where).json() == seen[-1]


def test_an_operation_is_its_own_keys_business(pair: Pair) -> None:
    _, secret = created(pair.one, id="curious")
    done = pair.ask(pair.one)
    where = f"/v1/operations/{done.headers['x-samurai-operation-id']}"
    assert operation(pair.one, where).status_code == 200
    foreign = httpx2.get(pair.one.base_url + where, headers={"authorization": f"Bearer {secret}"})
    assert (foreign.status_code, foreign.json()["error"]["code"]) == (404, "not_found")
    for wrong in ("op_unknown", "op_" + "0" * 24, "op_" + "g" * 24):
        assert operation(pair.one, f"/v1/operations/{wrong}").status_code == 404
    assert httpx2.get(pair.one.base_url + where).status_code == 401


def test_a_short_batch_keeps_what_was_paid_for_and_the_retry_buys_the_rest(pair: Pair) -> None:
    pair.one.script(vendor="ideogram", operation="create", then={"remove": ["data.2"]})
    pair.one.script(vendor="ideogram", operation="create", then={"error": "ideogram.inflight_429"}, times=3)
    short = pair.ask(pair.one, "short", model="ideogram-v3", n=3)
    assert (short.status_code, short.json()["error"]["code"]) == (429, "upstream_rate_limited"), short.text
    assert short.headers["x-should-retry"] == "true"
    charged = pair.charged()
    assert charged == 3
    whole = pair.ask(pair.two, "short", {"x-stainless-retry-count": "1"}, model="ideogram-v3", n=3)
    assert whole.status_code == 200
    assert len(whole.json()["data"]) == 3
    assert pair.charged() == charged + 1
    kept = operation(pair.one, f"/v1/operations/{short.headers['x-samurai-operation-id']}").json()
    assert (kept["status"], kept["images_ready"]) == ("completed", 3)


def test_what_nobody_can_know_is_never_bought_again_and_is_listed_until_it_is_settled(pair: Pair) -> None:
    pair.one.script(vendor="ideogram", operation="create", then={"wire": "reset_after_read", "charged": True})
    headers = {"idempotency-key": "lost"}
    lost = pair.ask(pair.one, "lost", headers, model="ideogram-v3")
    assert lost.status_code == 500
    assert lost.headers["x-should-retry"] == "false"
    op_id = lost.headers["x-samurai-operation-id"]
    again = pair.ask(pair.two, "lost", headers, model="ideogram-v3")
    assert again.json() == lost.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert len(creates(pair)) == 1
    listed = administer(pair.two, "GET", "/admin/operations?state=unknown").json()["operations"]
    [call] = next(one for one in listed if one["operation"] == op_id)["calls"]
    assert (call["state"], call["account"], call["images"]) == ("unknown", "ideogram", 1)
    row = next(line for line in told(pair.two, "operations").splitlines() if op_id in line)
    assert row.split()[1:] == [op_id, "demo", "ideogram-v3", "ideogram/ideogram-v3", "1", "unknown"]
    assert json.loads(told(pair.two, "operations", "show", op_id))["operation"] == op_id
    settled = administer(pair.two, "POST", f"/admin/operations/{op_id}/settle", {"billed": 0})
    assert settled.status_code == 200, settled.text
    assert op_id not in administer(pair.one, "GET", "/admin/operations").text
    assert pair.ask(pair.one, "lost", headers, model="ideogram-v3").status_code == 200
    assert len(creates(pair)) == 2


def told(running: Running, *arguments: str) -> str:
    """What the command line prints, having asked this gateway."""
    environment = {"SAMURAI_ADMIN_TOKEN": ADMIN_TOKEN, "SAMURAI_ADMIN_URL": running.admin_url}
    result = CliRunner().invoke(commands, list(arguments), env=environment)
    assert result.exit_code == 0, result.output
    return result.stdout


def creates(pair: Pair) -> list[dict[str, Any]]:
    calls = httpx2.get(f"{pair.one.sandbox_url}/sandbox/calls").raise_for_status().json()["calls"]
    return [call for call in calls if call["operation"] == "create"]


def operation(running: Running, where: str) -> httpx2.Response:
    return httpx2.get(running.base_url + where, headers={"authorization": f"Bearer {running.key}"}, timeout=20)


def metric(running: Running, name: str) -> str:
    return "".join(line + "\n" for line in httpx2.get(f"{running.admin_url}/metrics").text.splitlines() if name in line)


def hung_up(running: Running, prompt: str, **fields: Any) -> socket.socket:
    """A client that has sent its request, and will not wait for the answer."""
    host, _, port = running.base_url.removeprefix("http://").partition(":")
    body = orjson.dumps({"model": "flux-schnell", "prompt": prompt, "size": "256x256"} | fields)
    client = socket.create_connection((host, int(port)), timeout=10)
    head = f"POST /v1/images/generations HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {running.key}\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    client.sendall(head.encode() + body)
    return client


def eventually(holds: Callable[[], bool], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
