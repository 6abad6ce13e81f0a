"""Google's tokens: their endpoint is down, slow or will not have us, or takes back what it gave: row 106.

Each test uses a Vertex account of its own, for which no token was ever fetched.
"""

import time
from typing import Any

import pytest

from tests.faults.deployment import DEADLINE_S, Deployment

pytestmark = pytest.mark.parametrize("vendor", ["vertex"])  # the only one that is called with tokens that expire

AWAY: dict[str, dict[str, Any]] = {
    "down": {"status": 503, "body": {"error": "backend_error"}},
    "refuses": {"status": 401, "body": {"error": "invalid_client"}},
}


def tokens_asked_for(scene: Deployment) -> int:
    return sum((call["vendor"], call["operation"]) == ("google", "token") for call in scene.calls())


@pytest.mark.parametrize(("number", "how"), [(0, "down"), (1, "refuses")])
def test_f106_without_a_token_nothing_is_sent_and_another_vendor_serves(
    scene: Deployment, vendor: str, number: int, how: str
) -> None:
    scene.script("google", AWAY[how], "token")
    model = f"imagen-3-tokenless-{number}"
    alone = scene.provoke(model)
    assert (alone.status, alone.code, alone.retry) == (500, "upstream_auth_failed", "false")
    assert (alone.charged, alone.creates) == (0, 0)
    assert alone.told == {"upstream_auth_failed": 1}
    paired = scene.provoke(f"{model}-pair")
    assert (paired.status, paired.served_by.partition("/")[0]) == (200, "ideogram")
    assert (paired.charged, paired.creates) == (1, 1)
    assert paired.told == {"upstream_auth_failed": 1, "ok": 1}
    scene.calm()
    healed = scene.provoke(model)
    while healed.status != 200:  # a failure answers everybody for a second
        healed = scene.provoke(model)
    assert (healed.charged, healed.creates) == (1, 1)


def test_f106_a_slow_endpoint_is_waited_for_once_for_all_callers(scene: Deployment, vendor: str) -> None:
    scene.script("google", {"latency_s": 1.0}, "token")
    began = time.monotonic()
    first = scene.provoke("imagen-3-tokenless-2")
    assert 1.0 <= time.monotonic() - began < DEADLINE_S
    assert (first.status, first.charged, first.creates) == (200, 1, 1)
    assert tokens_asked_for(scene) == 1
    second = scene.provoke("imagen-3-tokenless-2")
    assert (second.status, second.charged) == (200, 1)
    assert tokens_asked_for(scene) == 0  # and kept


def test_f106_a_token_that_was_taken_back_is_replaced_and_costs_no_image(scene: Deployment, vendor: str) -> None:
    model = "imagen-3-tokenless-3"
    assert scene.provoke(model).status == 200
    began = time.monotonic()
    scene.client.delete(f"{scene.running.sandbox_url}/sandbox/google-tokens").raise_for_status()
    seen = scene.provoke(model)
    while seen.status != 200:  # what is seconds old is not replaced: the refusal may be of the one before
        assert (seen.code, seen.retry, seen.charged) == ("upstream_auth_failed", "false", 0)
        assert time.monotonic() - began < DEADLINE_S
        seen = scene.provoke(model)
    assert (seen.charged, seen.creates) == (1, 2)
    assert seen.told == {"upstream_auth_failed": 1, "ok": 1}
    assert seen.moved["samurai_vendor_retries_total"] == 1
    assert tokens_asked_for(scene) == 1


def test_f106_while_the_endpoint_is_down_a_token_taken_back_is_our_fault_and_never_the_callers(
    scene: Deployment, vendor: str
) -> None:
    model = "imagen-3-tokenless-3"
    assert scene.provoke(model).status == 200
    scene.client.delete(f"{scene.running.sandbox_url}/sandbox/google-tokens").raise_for_status()
    scene.script("google", AWAY["down"], "token")
    seen = scene.provoke(model)
    assert (seen.status, seen.code, seen.retry) == (500, "upstream_auth_failed", "false")
    assert (seen.charged, seen.creates) == (0, 2)
    assert seen.told == {"upstream_auth_failed": 2}
    assert "www-authenticate" not in seen.reply.headers
