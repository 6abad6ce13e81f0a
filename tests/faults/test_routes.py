"""By whom a request is served, and how little a failing vendor is bothered."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.deployment import eventually
from tests.faults.failover import COOLDOWN_S, FALLBACK, HASTY_S, PRIMARY, SLACK_S, TIMID_KEY, House, built


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with built(tmp_path_factory.mktemp("routes")) as running:
        yield running


@pytest.fixture
def house(whole: House) -> Iterator[House]:
    whole.running.reset()
    yield whole
    whole.running.reset()


def test_when_everything_is_down_retries_never_come_to_a_tenth_of_the_requests(house: House) -> None:
    for vendor, error in (("openai", "openai.overloaded_503"), ("ideogram", "ideogram.unavailable_503")):
        house.script(vendor, error=error)
    one_by_one = [house.ask("storm") for _ in range(60)]
    together = house.ask_many("storm", 180)
    answers = one_by_one + together
    assert {(answer.status, answer.code, answer.retry) for answer in answers} == {(500, "upstream_overloaded", "true")}
    assert 0 < house.creates() <= 1.10 * len(answers)
    assert house.charged() == (0, 0)


def test_when_everything_breaks_at_it_nothing_is_sent_twice(house: House) -> None:
    for vendor in ("openai", "ideogram"):
        house.script(vendor, error=f"{vendor}.server_500")
    answers = house.ask_many("storm-500", 200)
    assert {(answer.status, answer.code) for answer in answers} == {(500, "upstream_error")}
    assert 0 < house.creates() <= len(answers)


def test_retries_of_what_is_throttled_stay_within_the_accounts_budget(house: House) -> None:
    house.script("openai", error="openai.slow_down_429")
    began = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        only = {"x-samurai-route": "openai-throttled"}
        answers = list(pool.map(lambda _: house.ask("throttled", only), range(40)))
    seconds = time.monotonic() - began
    assert {answer.code for answer in answers} == {"upstream_rate_limited"}
    retries = house.metric("samurai_vendor_retries_total", account="openai-throttled")
    assert 0 < retries <= 0.1 * 40 + 1.0 * (10 + seconds) + 1  # 10 % of the requests, 1 a second, ten at the start
    assert house.metric("samurai_vendor_retries_denied_total", account="openai-throttled") > 0


def test_a_route_without_a_healthy_target_says_when_to_come_back_and_comes_back_at_once(house: House) -> None:
    for vendor, error in (("openai", "openai.overloaded_503"), ("ideogram", "ideogram.unavailable_503")):
        house.script(vendor, error=error)
    down = house.ask_many("probe", 60)[-1]
    assert 1 <= int(down.reply.headers["retry-after"]) <= 4 * COOLDOWN_S
    house.heal()
    house.script("openai", latency_s=0.3)
    house.script("ideogram", latency_s=0.3)
    healed = house.ask_many("probe", 8)  # one probes, and the others wait for its luck
    assert {answer.status for answer in healed} == {200}


def test_a_callers_own_mistakes_never_trip_a_breaker(house: House) -> None:
    for number, error in enumerate(("moderation_blocked", "moderation_blocked_output", "unknown_parameter")):
        house.script("openai", prompt=f"mistake {number}", error=f"openai.{error}")
    for number in range(60):
        assert house.ask("bad-callers", prompt=f"mistake {number % 3}").code in ("content_policy_violation", "ok")
    assert house.creates("openai") == 60
    assert house.metric("samurai_vendor_breaker_state", account="openai-bad-callers", state="closed") == 1
    assert house.ask("bad-callers").served_by == PRIMARY


@pytest.mark.parametrize("error", ["openai.billing_hard_limit", "openai.invalid_api_key_401", "openai.dead_model"])
def test_an_account_that_cannot_serve_is_left_at_once(house: House, error: str) -> None:
    eventually(lambda: house.ask("unpaid").served_by == PRIMARY)
    before = house.creates("openai")
    house.script("openai", error=error)
    began = time.monotonic()
    answers = [house.ask("unpaid") for _ in range(6)]
    assert {(answer.status, answer.served_by) for answer in answers} == {(200, FALLBACK)}
    probes = 1 + (time.monotonic() - began) // COOLDOWN_S  # none but on a very slow machine
    assert 1 <= house.creates("openai") - before <= probes


def test_a_hung_vendor_slows_nobody_elses_requests(house: House) -> None:
    house.script("openai", prompt="never", wire="stall_headers")
    with ThreadPoolExecutor(16) as pool:
        hung = [pool.submit(house.ask, "hung", prompt="never") for _ in range(16)]
        eventually(lambda: house.creates("openai") >= 4)
        others = [house.ask("healthy") for _ in range(10)]
        still_hanging = sum(not one.done() for one in hung)
        assert still_hanging > 0
        assert {(answer.status, answer.served_by) for answer in others} == {(200, PRIMARY)}
        assert max(answer.seconds for answer in others) < HASTY_S
        ended = [one.result() for one in hung]
    # Those that were sent are not sent again; those that found no place in time are served by the other vendor.
    assert {answer.code for answer in ended} <= {"upstream_timeout", "ok"}


def test_the_cheapest_is_asked_first(house: House) -> None:
    assert house.ask("cheapest").served_by == FALLBACK
    house.script("ideogram", times=1, error="ideogram.unavailable_503")
    assert house.ask("cheapest").served_by == PRIMARY


def test_weights_share_the_requests_out(house: House) -> None:
    served = [house.ask("weighted").served_by for _ in range(40)]
    assert 10 <= served.count(PRIMARY) <= 39  # three quarters of them; outside this once in a hundred thousand runs
    assert served.count(FALLBACK) == 40 - served.count(PRIMARY)


def test_the_least_busy_is_asked_first(house: House) -> None:
    house.script("openai", times=1, latency_s=2.0)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(house.ask, "least-busy")
        eventually(lambda: house.creates("openai") == 1)
        assert house.ask("least-busy").served_by == FALLBACK
        assert slow.result().served_by == PRIMARY


def test_a_key_that_may_choose_is_served_by_whom_it_names_and_nobody_else(house: House) -> None:
    chosen = house.ask("chosen", {"x-samurai-route": "ideogram-chosen"})
    assert (chosen.status, chosen.served_by, house.creates("openai")) == (200, FALLBACK, 0)
    house.script("ideogram", error="ideogram.unavailable_503")
    alone = house.ask("chosen", {"x-samurai-route": FALLBACK})
    assert (alone.status, alone.code, house.creates("openai")) == (500, "upstream_overloaded", 0)
    turned = house.ask("chosen", {"x-samurai-route": "ideogram-chosen, openai-chosen"})
    assert (turned.status, turned.served_by) == (200, PRIMARY)
    unknown = house.ask("chosen", {"x-samurai-route": "openai-storm"})
    assert (unknown.status, unknown.reply.json()["error"]["param"]) == (400, "x-samurai-route")


def test_a_key_that_may_not_choose_is_refused(house: House) -> None:
    answer = house.ask("chosen", {"x-samurai-route": "openai-chosen"}, key=TIMID_KEY)
    assert (answer.status, answer.reply.json()["error"]["param"]) == (400, "x-samurai-route")
    assert house.creates() == 0
    assert house.ask("chosen", key=TIMID_KEY).status == 200


def test_nobody_waits_longer_for_a_retry_than_the_client_would(house: House) -> None:
    house.script("openai", times=1, error="openai.slow_down_429", headers={"retry-after": "6"})
    answer = house.ask("hint", {"x-stainless-read-timeout": "5"})
    assert (answer.status, answer.served_by, house.creates("openai")) == (200, FALLBACK, 1)
    assert answer.seconds < 6


def test_a_short_timeout_of_the_client_ends_no_work_that_is_under_way(house: House) -> None:
    house.script("openai", latency_s=1.5)
    answer = house.ask("no-hurry", {"x-stainless-read-timeout": "2.1"})
    assert (answer.status, answer.served_by) == (200, PRIMARY)
    assert 1.5 <= answer.seconds < 1.5 + SLACK_S
