"""Faults 1 to 5 of the catalogue, and what becomes of keys in faults 61 to 63."""

import itertools
import random
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest

from gateway.domain.caller import Caller
from gateway.edges.key_mirror import KeyMirror
from gateway.edges.key_store import KeyStore
from gateway.edges.keys import Keys
from gateway.edges.redis_store import RedisStore
from gateway.policies.key_format import digest, new_key
from tests.processes import Running, demo_key
from tests.replicas import EVERYWHERE_S, administer, ask, created, replica, status, until
from tests.servers import Server, running_server, valkey_binary

OUTAGE_S = 0.25  # the most that an outage may add to one request
NOBODYS = new_key(bytes(32))

Pair = tuple[Running, Running]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two gateways that share one Redis."""
    folder = tmp_path_factory.mktemp("pair")
    with (
        running_server(valkey_binary()) as server,
        replica(folder / "a", server.url) as first,
        replica(folder / "b", server.url) as second,
    ):
        yield first, second


@pytest.fixture
def valkey() -> Iterator[Server]:
    with running_server(valkey_binary()) as server:
        yield server


def refusals(running: Running, reason: str) -> float:
    text = httpx2.get(f"{running.admin_url}/metrics").text
    name = f'samurai_key_refusals_total{{reason="{reason}"}} '
    return next((float(line.removeprefix(name)) for line in text.splitlines() if line.startswith(name)), 0.0)


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Basic dXNlcjpwYXNz", demo_key()])
def test_fault_1_no_key_to_look_at(pair: Pair, authorization: str | None) -> None:
    before = refusals(pair[0], "missing")
    headers = {} if authorization is None else {"authorization": authorization}
    reply = httpx2.get(f"{pair[0].base_url}/v1/models", headers={**headers, "x-forwarded-for": "192.0.2.1"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "missing_api_key")
    assert reply.json()["error"]["type"] == "authentication_error"
    assert reply.headers["www-authenticate"] == "Bearer"
    assert refusals(pair[0], "missing") == before + 1


async def test_fault_2_ten_thousand_wrong_keys_ask_redis_nothing(valkey: Server) -> None:
    dice = random.Random(2)
    redis = RedisStore(valkey.url, call_s=1.0)
    mirror = KeyMirror(KeyStore(redis), honour_s=900)
    assert await mirror.look()
    keys = Keys({}, mirror)
    admin = valkey.admin()
    before = admin.info("stats")["total_commands_processed"]
    for number in range(10_000):
        key = new_key(dice.randbytes(32))
        assert keys.find(key if number % 2 else key[:-3] + "xyz") is None
    assert admin.info("stats")["total_commands_processed"] == before + 1  # the first INFO itself
    admin.close()
    await redis.aclose()


def test_fault_2_a_bad_checksum_is_told_from_a_key_nobody_holds(pair: Pair) -> None:
    mistyped, unknown = refusals(pair[0], "mistyped"), refusals(pair[0], "unknown")
    assert ask(pair[0], demo_key()[:-1] + "_").json()["error"]["code"] == "invalid_api_key"
    assert ask(pair[0], NOBODYS).json()["error"]["code"] == "invalid_api_key"
    assert (refusals(pair[0], "mistyped"), refusals(pair[0], "unknown")) == (mistyped + 1, unknown + 1)


def test_fault_3_a_new_key_works_everywhere(pair: Pair) -> None:
    _, secret = created(pair[0])
    assert status(pair[0], secret) == 200
    until(lambda: status(pair[1], secret) == 200)


def test_fault_3_a_revoked_key_ends_everywhere(pair: Pair) -> None:
    key_id, secret = created(pair[0])
    until(lambda: status(pair[1], secret) == 200)
    assert administer(pair[1], "DELETE", f"/admin/keys/{key_id}").status_code == 204
    assert status(pair[1], secret) == 401
    until(lambda: status(pair[0], secret) == 401)


def test_fault_3_a_disabled_key_rests_everywhere_and_works_again(pair: Pair) -> None:
    key_id, secret = created(pair[0])
    until(lambda: status(pair[1], secret) == 200)
    administer(pair[0], "POST", f"/admin/keys/{key_id}/disable")
    assert status(pair[0], secret) == 401
    until(lambda: status(pair[1], secret) == 401)
    administer(pair[1], "POST", f"/admin/keys/{key_id}/enable")
    until(lambda: status(pair[0], secret) == 200)


def test_fault_3_a_key_expires_everywhere_by_the_clock(pair: Pair) -> None:
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=3)
    _, secret = created(pair[0], expires_at=end.isoformat())
    until(lambda: status(pair[1], secret) == 200)
    until(lambda: all(status(one, secret) == 401 for one in pair), deadline_s=3 + EVERYWHERE_S)
    assert datetime.now(UTC) >= end
    assert refusals(pair[1], "expired") >= 1


def test_fault_3_both_secrets_work_during_a_rotation_and_the_new_one_after_it(pair: Pair) -> None:
    key_id, old = created(pair[0])
    until(lambda: status(pair[1], old) == 200)
    rotation = administer(pair[0], "POST", f"/admin/keys/{key_id}/rotate", {"overlap": "3s"}).json()
    new = rotation["secret"]
    until(lambda: status(pair[1], new) == 200)
    assert [status(one, secret) for one in pair for secret in (old, new)] == [200] * 4
    end = datetime.fromisoformat(rotation["key"]["secrets"][1]["not_after"])
    until(lambda: all(status(one, old) == 401 for one in pair), deadline_s=3 + EVERYWHERE_S)
    assert datetime.now(UTC) >= end
    assert [status(one, new) for one in pair] == [200, 200]


def test_fault_3_what_a_key_may_do_changes_everywhere(pair: Pair) -> None:
    key_id, secret = created(pair[0], models=["flux-schnell"])

    def models(one: Running) -> set[str]:
        return {model["id"] for model in ask(one, secret).json().get("data", ())}

    until(lambda: models(pair[1]) == {"flux-schnell"})
    administer(pair[0], "PATCH", f"/admin/keys/{key_id}", {"models": ["dall-e-3", "ideogram-v3"]})
    for one in pair:
        until(lambda one=one: models(one) == {"dall-e-3", "ideogram-v3"})  # type: ignore[misc]


def test_fault_4_guessing_from_one_address_is_slowed_down(pair: Pair) -> None:
    address = "198.51.100.4"
    replies = [ask(pair[0], NOBODYS, address) for _ in range(25)]
    assert [reply.status_code for reply in replies] == [401] * 20 + [429] * 5
    assert replies[-1].json()["error"]["code"] == "too_many_attempts"
    assert 1 <= int(replies[-1].headers["retry-after"]) <= 60
    assert ask(pair[0], demo_key(), address).status_code == 200
    assert ask(pair[0], NOBODYS, "198.51.100.5").status_code == 401


def test_fault_5_a_nearly_right_key_takes_no_longer_than_any_other() -> None:
    held = "an opaque key of no special form, and quite a long one"
    near, far = held[:-1] + "f", "x" * len(held)
    keys = Keys({digest(held): Caller("web")})
    times: dict[str, list[int]] = {near: [], far: []}
    for key in itertools.islice(itertools.cycle((near, far)), 20_000):
        began = time.perf_counter_ns()
        keys.find(key)
        times[key].append(time.perf_counter_ns() - began)
    medians = [statistics.median(series) for series in times.values()]
    assert max(medians) < 1.25 * min(medians)  # a comparison of 50 characters, one by one, would show more


def test_faults_61_and_62_redis_is_killed_and_a_replica_starts_without_it(tmp_path: Path, valkey: Server) -> None:
    honour_s = 4
    with replica(tmp_path / "a", valkey.url, redis={"honour_keys": f"{honour_s}s"}) as running:
        _, secret = created(running)
        valkey.kill()
        killed = time.monotonic()
        assert ask(running, secret).elapsed.total_seconds() < OUTAGE_S + 0.25
        until(lambda: status(running, NOBODYS) == 500)
        refused = ask(running, NOBODYS)
        assert refused.json()["error"]["code"] == "internal_error"
        assert refused.headers["x-should-retry"] == "true"
        assert (status(running, secret), status(running, demo_key())) == (200, 200)
        assert status(running, "opaque, so none of Redis's") == 401
        until(lambda: status(running, secret) == 500, deadline_s=honour_s + EVERYWHERE_S)
        assert time.monotonic() - killed > honour_s - 1
        assert status(running, demo_key()) == 200
        assert refusals(running, "unverifiable") >= 3
    with replica(tmp_path / "b", valkey.url) as late:
        assert [status(late, key) for key in (demo_key(), secret, NOBODYS)] == [200, 500, 500]


def test_fault_63_redis_falls_silent_and_a_replica_starts_meanwhile(tmp_path: Path, valkey: Server) -> None:
    with replica(tmp_path / "a", valkey.url) as running:
        _, secret = created(running)
        valkey.pause()
        for _ in range(20):
            reply = ask(running, secret)
            assert reply.status_code == 200
            assert reply.elapsed.total_seconds() < OUTAGE_S + 0.25
        until(lambda: status(running, NOBODYS) == 500)
        assert administer(running, "POST", "/admin/keys", {}).status_code == 500
        with replica(tmp_path / "b", valkey.url) as late:
            assert [status(late, key) for key in (demo_key(), secret, NOBODYS)] == [200, 500, 500]
            valkey.resume()
            until(lambda: status(late, secret) == 200)
            until(lambda: status(late, NOBODYS) == 401)
        until(lambda: status(running, NOBODYS) == 401)
        assert administer(running, "POST", "/admin/keys", {}).status_code == 201
