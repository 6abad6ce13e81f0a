"""What a client sees when the first of two vendors fails: fourteen scenes, each bounded in calls, time and money."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.failover import COOLDOWN_S, FALLBACK, HASTY_S, PRIMARY, SLACK_S, House, built

TOO_LONG = {
    "error": {"message": "prompt is too long", "type": "invalid_request_error", "param": "prompt", "code": None}
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with built(tmp_path_factory.mktemp("failover")) as running:
        yield running


@pytest.fixture
def house(whole: House) -> Iterator[House]:
    whole.running.reset()
    yield whole
    whole.running.reset()


def test_01_a_429_that_names_a_wait_is_waited_for(house: House) -> None:
    house.script("openai", times=1, error="openai.slow_down_429", headers={"retry-after": "1"})
    answer = house.ask("limited")
    assert (answer.status, answer.served_by) == (200, PRIMARY)
    assert 1.0 <= answer.seconds < 1.0 + SLACK_S
    assert (house.creates("openai"), house.creates("ideogram"), house.charged()) == (2, 0, (1, 0))


def test_02_a_vendor_that_keeps_saying_429_is_left(house: House) -> None:
    house.script("openai", error="openai.slow_down_429")
    answer = house.ask("limited-for-long")
    assert (answer.status, answer.served_by, answer.cost_usd) == (200, FALLBACK, 0.06)
    assert answer.seconds < 1.5 + SLACK_S  # at most half a second and a second, before it is left
    assert (house.creates("openai"), house.creates("ideogram"), house.charged()) == (3, 1, (0, 1))
    assert house.metric("samurai_vendor_failovers_total", from_account="openai-limited-for-long") == 1


def test_02_two_vendors_that_keep_saying_429_get_six_calls_in_all(house: House) -> None:
    house.script("openai", error="openai.slow_down_429")
    house.script("ideogram", error="ideogram.inflight_429")
    answer = house.ask("both-limited")
    assert (answer.status, answer.code, answer.retry) == (429, "upstream_rate_limited", "true")
    assert int(answer.reply.headers["retry-after"]) >= 1
    assert (house.creates(), house.charged()) == (6, (0, 0))
    assert answer.seconds < 4 * 1.0 + SLACK_S  # twice at most half a second and a second, at each


@pytest.mark.parametrize("wish", ["-5", "soon", "Wed, 21 Oct 2015 07:28:00 GMT", "86400"])
def test_02_odd_waits_hold_nobody_up(house: House, wish: str) -> None:
    house.script("openai", times=1, error="openai.slow_down_429", headers={"retry-after": wish})
    answer = house.ask("odd-waits")
    assert answer.status == 200
    assert answer.seconds < 1.0 + SLACK_S
    assert house.creates() == 2


def test_03_a_500_may_have_been_paid_and_is_not_bought_again(house: House) -> None:
    house.script("openai", times=1, error="openai.server_500")
    answer = house.ask("one-500")
    assert (answer.status, answer.code, answer.retry) == (500, "upstream_error", "false")
    assert answer.seconds < SLACK_S
    assert (house.creates(), house.charged()) == (1, (0, 0))
    assert house.ask("one-500").served_by == PRIMARY


def test_03_a_503_was_not_paid_and_the_next_vendor_serves_at_once(house: House) -> None:
    house.script("openai", times=1, error="openai.overloaded_503")
    answer = house.ask("one-503")
    assert (answer.status, answer.served_by) == (200, FALLBACK)
    assert answer.seconds < SLACK_S
    assert (house.creates("openai"), house.creates("ideogram"), house.charged()) == (1, 1, (0, 1))
    assert house.ask("one-503").served_by == PRIMARY


def test_04_a_vendor_that_is_down_is_left_after_ten_calls_and_comes_back_by_single_probes(house: House) -> None:
    house.script("openai", error="openai.overloaded_503")
    answers = [house.ask("back") for _ in range(14)]
    assert {(answer.status, answer.served_by) for answer in answers} == {(200, FALLBACK)}
    assert max(answer.seconds for answer in answers) < SLACK_S
    assert 10 <= house.creates("openai") <= 13  # ten, and the probes that a slow machine had time for
    assert house.creates("ideogram") == 14
    assert house.charged() == (0, 14)
    assert house.metric("samurai_vendor_breaker_state", account="openai-back", state="open") == 1
    house.heal()
    healed = time.monotonic()
    while house.ask("back").served_by != PRIMARY:
        assert time.monotonic() - healed < 4 * COOLDOWN_S + SLACK_S
    assert house.metric("samurai_vendor_breaker_state", account="openai-back", state="closed") == 1
    assert house.ask("back").served_by == PRIMARY


def test_05_a_connection_that_was_refused_costs_nothing_and_is_gone_round(house: House) -> None:
    answer = house.ask("gone")
    assert (answer.status, answer.served_by) == (200, FALLBACK)
    assert answer.seconds < SLACK_S
    assert (house.creates("ideogram"), house.charged()) == (1, (0, 1))


def test_05_a_reset_after_the_request_may_have_been_paid(house: House) -> None:
    house.script("openai", wire="reset_after_read", charged=True)
    answer = house.ask("reset")
    assert (answer.status, answer.code, answer.retry) == (500, "upstream_error", "false")
    assert answer.seconds < SLACK_S
    assert (house.creates(), house.charged()) == (1, (1, 0))


def test_06_a_silent_vendor_is_never_asked_twice(house: House) -> None:
    house.script("openai", wire="stall_headers", charged=True)
    answer = house.ask("silent")
    assert (answer.status, answer.code, answer.retry) == (500, "upstream_timeout", "false")
    assert HASTY_S <= answer.seconds < HASTY_S + SLACK_S
    assert (house.creates(), house.charged()) == (1, (1, 0))


def test_07_slow_headers_are_waited_for(house: House) -> None:
    house.script("openai", latency_s=1.0)
    answer = house.ask("slow-headers")
    assert (answer.status, answer.served_by) == (200, PRIMARY)
    assert 1.0 <= answer.seconds < 1.0 + SLACK_S
    assert (house.creates(), house.charged()) == (1, (1, 0))


@pytest.mark.parametrize("wire", ["truncated", "reset_mid_reply", "chunk_cut"])
def test_08_a_body_cut_in_the_middle_was_paid_for_and_is_not_bought_again(house: House, wire: str) -> None:
    house.script("openai", wire=wire)
    answer = house.ask("cut")
    assert (answer.status, answer.code, answer.retry) == (500, "upstream_bad_response", "false")
    assert answer.seconds < SLACK_S
    assert (house.creates(), house.charged()) == (1, (1, 0))


def test_09_a_body_that_stalls_ends_with_the_deadline(house: House) -> None:
    house.script("openai", wire="stall_body")
    answer = house.ask("stalls")
    assert (answer.status, answer.code, answer.retry) == (500, "upstream_timeout", "false")
    assert answer.seconds < 4.0 + SLACK_S
    assert (house.creates(), house.charged()) == (1, (1, 0))


@pytest.mark.parametrize("what", [{"mangle": "malformed_json"}, {"image": {"spoil": "not_base64"}}])
def test_10_what_cannot_be_read_was_paid_for_and_is_not_bought_again(house: House, what: dict[str, Any]) -> None:
    house.script("openai", **what)
    answer = house.ask("malformed")
    assert (answer.status, answer.code, answer.retry) == (500, "upstream_bad_response", "false")
    assert answer.seconds < SLACK_S
    assert (house.creates(), house.charged()) == (1, (1, 0))


def test_11_a_prompt_too_long_for_one_vendor_is_served_by_another(house: House) -> None:
    house.script("openai", status=400, body=TOO_LONG)
    answer = house.ask("too-long")
    assert (answer.status, answer.served_by) == (200, FALLBACK)
    assert answer.seconds < SLACK_S
    assert (house.creates("openai"), house.creates("ideogram"), house.charged()) == (1, 1, (0, 1))


def test_12_a_refusal_is_an_answer_and_not_carried_from_vendor_to_vendor(house: House) -> None:
    house.script("openai", error="openai.moderation_blocked")
    answer = house.ask("filtered")
    assert (answer.status, answer.code, answer.retry) == (400, "content_policy_violation", "false")
    assert answer.seconds < SLACK_S
    assert (house.creates(), house.charged()) == (1, (0, 0))


def test_12_a_refusal_goes_on_where_the_route_says_so_and_nothing_was_billed(house: House) -> None:
    house.script("openai", times=1, error="openai.moderation_blocked")
    answer = house.ask("filtered-on")
    assert (answer.status, answer.served_by) == (200, FALLBACK)
    assert (house.creates("openai"), house.charged()) == (1, (0, 1))
    house.script("openai", times=1, error="openai.moderation_blocked_output")
    billed = house.ask("filtered-on")
    assert (billed.status, billed.code) == (400, "content_policy_violation")
    assert max(answer.seconds, billed.seconds) < SLACK_S
    assert (house.creates("openai"), house.creates("ideogram")) == (2, 1)


def test_13_behind_a_flapping_vendor_clients_notice_nothing(house: House) -> None:
    for _ in range(3):
        house.script("openai", times=12, error="openai.overloaded_503")
        answers = [house.ask("flapping") for _ in range(12)]
        assert {answer.status for answer in answers} == {200}
        assert max(answer.seconds for answer in answers) < SLACK_S
        assert house.creates("openai") <= 13
        house.heal()
        healed = time.monotonic()
        while house.ask("flapping").served_by != PRIMARY:
            assert time.monotonic() - healed < 4 * COOLDOWN_S + SLACK_S
        house.running.reset()


def test_14_the_accounts_name_the_one_who_served(house: House) -> None:
    house.script("openai", times=1, error="openai.overloaded_503")
    fallen, usual = house.ask("accounts", n=2), house.ask("accounts", n=2)
    assert (fallen.served_by, fallen.cost_usd) == (FALLBACK, 0.12)
    assert (usual.served_by, usual.cost_usd) == (PRIMARY, 0.14)
    assert max(fallen.seconds, usual.seconds) < SLACK_S
    assert (house.creates("openai"), house.creates("ideogram"), house.charged()) == (2, 1, (2, 2))
    books = house.usage()
    assert books["accounts", FALLBACK]["delivered"] == books["accounts", FALLBACK]["billed"] == 2
    assert [books["accounts", who]["cost_microusd"] for who in (FALLBACK, PRIMARY)] == [120_000, 140_000]
    assert house.metric("samurai_vendor_images_billed_total", account="ideogram-accounts") == 2
    assert house.metric("samurai_vendor_images_billed_total", account="openai-accounts") == 2
