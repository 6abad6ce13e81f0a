"""What the journal is for: replicas that end, die or freeze with paid work in hand, and vendors that are late or short.

Rows 39 to 42, 96, 97 and 107. A replica that stays and the ones that a test ends share one Redis and one image store.
"""

import signal
import time
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from gateway.edges.journal import LEASES, op_key
from tests.faults.deployment import eventually
from tests.faults.site import (
    BRINGING_UP_S,
    HASTY_S,
    RETRY,
    SLACK_S,
    TAKEN_UP_S,
    Site,
    pictures,
    recovered,
    refusal,
    total,
    unknown_at,
)
from tests.processes import STOP_DEADLINE_S

RULES_OF_LIVES = [" canceled while running is billed", " per output image (metrics.image_count)"]


@pytest.mark.slow
def test_f039_a_replica_told_to_end_goes_on_listening_finishes_what_is_paid_and_leaves_in_peace(site: Site) -> None:
    with site.another("ends", {"delay": "3s", "deadline": "20s"}) as ends:
        paid = site.begin_endless(ends, "paid for before the end")
        ends.process.send_signal(signal.SIGTERM)
        told_at = time.monotonic()
        eventually(lambda: httpx2.get(f"{ends.admin_url}/readyz").status_code == 503)
        late = site.ask(ends, "still let in", model="ideogram-v3")
        assert len(pictures(late)) == 1
        assert late.headers["connection"] == "close"
        assert not paid.done()
        eventually(lambda: time.monotonic() - told_at > 3.0)
        assert ends.process.poll() is None
        site.let_go()
        assert len(pictures(paid.result())) == 1
        assert ends.process.wait(STOP_DEADLINE_S) == 0
        assert '"operations_left":0' in ends.output.join()
    assert (site.charges(), len(site.calls())) == ([1, 1], 2)


@pytest.mark.slow
def test_f040_work_that_outlasts_the_drain_is_handed_over_and_its_client_gets_it_elsewhere(site: Site) -> None:
    with site.another("cut-short", {"delay": "0s", "deadline": "1s"}) as ends:
        paid = site.begin_endless(ends, "longer than the drain", 2)
        ends.process.send_signal(signal.SIGTERM)
        assert refusal(paid.result()) == (500, "gateway_draining", "true")
        assert ends.process.wait(STOP_DEADLINE_S) == 0
        assert '"operations_left":1' in ends.output.join()
        assert waits_for_no_lease(site, paid.result().headers["x-samurai-operation-id"])
    again = site.pool.submit(site.ask, site.stays, "longer than the drain", RETRY, n=2)
    site.let_go()
    assert len(pictures(again.result())) == 2
    assert (site.charges(), len(site.calls())) == ([2], 1)


def waits_for_no_lease(site: Site, op_id: str) -> bool:
    """Whether an operation is free for any replica, or somebody's already, before its writer's lease has lapsed."""
    with site.redis.admin() as admin:
        return admin.zscore(LEASES, op_id) == 0 or int(admin.hget(op_key(op_id), "token")) > 1


@pytest.mark.slow
def test_f041_what_a_killed_replica_had_begun_at_replicate_is_finished_by_another(site: Site) -> None:
    """One prediction whose id was written down, and one whose id never came."""
    before = recovered(site.stays, "completed")
    with site.another("killed") as killed:
        named = site.begin_endless(killed, "its id was written down", 2)
        site.script("replicate", {"latency_s": BRINGING_UP_S})
        nameless = site.begin(killed, "its id never came")
        killed.process.kill()
        for asked in (nameless, named):
            assert isinstance(asked.exception(), httpx2.TransportError)
    site.let_go()
    eventually(lambda: recovered(site.stays, "completed") == before + 2, TAKEN_UP_S + BRINGING_UP_S + SLACK_S)
    assert sorted(site.charges()) == [1, 2]
    for prompt, images in (("its id never came", 1), ("its id was written down", 2)):
        again = site.ask(site.stays, prompt, RETRY, n=images)
        assert len(pictures(again)) == images
        assert again.headers["idempotent-replayed"] == "true"
    assert (sorted(site.charges()), len(site.calls())) == ([1, 2], 2)


@pytest.mark.slow
def test_f041_what_a_killed_replica_had_asked_of_ideogram_is_unknown_and_never_bought_again(site: Site) -> None:
    key = {"idempotency-key": "killed-at-ideogram"}
    site.script("ideogram", {"latency_s": BRINGING_UP_S})
    known = unknown_at(site.stays)
    with site.another("killed-too") as killed:
        lost = site.begin(killed, "nobody can know", key, model="ideogram-v3")
        killed.process.kill()
        assert isinstance(lost.exception(), httpx2.TransportError)
    again = site.ask(site.stays, "nobody can know", key | RETRY, model="ideogram-v3")
    assert refusal(again) == (500, "upstream_outcome_unknown", "false")
    assert len(unknown_at(site.stays) - known) == 1
    third = site.ask(site.stays, "nobody can know", key, model="ideogram-v3")
    assert (third.content, third.headers["idempotent-replayed"]) == (again.content, "true")
    eventually(lambda: site.charges() == [1])  # the vendor did not notice, and bills it
    assert len(site.calls()) == 1


@pytest.mark.slow
def test_f042_a_frozen_replica_that_wakes_up_buys_nothing_that_another_has_taken_over(site: Site) -> None:
    """It froze while it followed one paid call, and while it waited before it would repeat another."""
    before = recovered(site.stays, "completed"), recovered(site.stays, "released")
    with site.another("frozen") as frozen:
        paid = site.begin_endless(frozen, "to be followed", 2)
        site.script("replicate", {"error": "replicate.throttled_429", "headers": {"retry-after": "4"}})
        refused = site.begin(frozen, "to be sent again")
        eventually(lambda: [call["status"] for call in site.calls()] == [201, 429])
        frozen.process.send_signal(signal.SIGSTOP)
        site.let_go()
        eventually(lambda: recovered(site.stays, "completed") == before[0] + 1, TAKEN_UP_S + SLACK_S)
        eventually(lambda: recovered(site.stays, "released") == before[1] + 1, TAKEN_UP_S + SLACK_S)
        taken = site.ask(site.stays, "to be followed", RETRY, n=2)
        frozen.process.send_signal(signal.SIGCONT)
        assert len(pictures(paid.result())) == len(pictures(taken)) == 2
        for name in ("x-samurai-operation-id", "x-samurai-cost-usd"):
            assert paid.result().headers[name] == taken.headers[name]
        assert refused.result().status_code != 200
        assert [call["status"] for call in site.calls()] == [201, 429]
        assert total(frozen, "samurai_journal_fenced_total") >= 1
        assert site.charges() == [2]
        assert len(pictures(site.ask(site.stays, "to be sent again", RETRY))) == 1
    assert (site.charges(), len(site.calls())) == ([2, 1], 3)


@pytest.mark.slow
@pytest.mark.parametrize("vendor", ["replicate"])
def test_f096_a_prediction_that_never_ends_is_cancelled_at_the_deadline_and_looked_at_once_more(
    site: Site, vendor: str
) -> None:
    """Before it ran that is free, and while it ran it is billed; what is ready by then after all is delivered."""

    def ended(code: str) -> float:
        return total(site.stays, "samurai_vendor_calls_total", model="flux-schnell-hasty", code=code)

    lives = ("stuck_starting", "stuck_processing", "succeeds_during_cancel")
    before, retries = (
        (ended("upstream_timeout"), ended("ok")),
        total(site.stays, "samurai_vendor_retries_total", account=vendor),
    )
    for life in lives:
        site.stays.script(vendor=vendor, operation="create", match={"prompt": life}, then={"life": life})
    asked = [site.pool.submit(site.ask, site.stays, life, model="flux-schnell-hasty") for life in lives]
    starting, processing, ready = (one.result() for one in asked)
    assert refusal(starting) == (500, "upstream_timeout", "false")
    assert refusal(processing) == (500, "upstream_timeout", "false")
    assert len(pictures(ready)) == 1
    rules = [entry["rule"] for entry in site.stays.ledger()["entries"]]
    assert sorted(rule.partition(":")[2] for rule in rules) == RULES_OF_LIVES
    assert (len(site.calls()), len(site.calls("cancel"))) == (3, 3)
    assert [ended("upstream_timeout"), ended("ok")] == [before[0] + 2, before[1] + 1]
    assert total(site.stays, "samurai_vendor_retries_total", account=vendor) == retries


@dataclass(frozen=True)
class Short:
    """How a vendor comes to deliver two of three images, and what it bills for the three and for the third again.

    Gemini, which makes one image a call, has none or all of it.
    """

    model: str
    then: dict[str, Any]
    charges: list[int]


SHORT = {
    "replicate": Short("flux-schnell", {"drop": 1}, [2, 1]),
    "openai": Short("dall-e-3", {"remove": ["data.2"]}, [3, 1]),
    "ideogram": Short("ideogram-v3", {"remove": ["data.2"]}, [3, 1]),
    "vertex": Short("imagen-predict", {"refuse": "rai_silent", "drop": 1}, [2, 1]),
}


@pytest.mark.parametrize("vendor", SHORT)
def test_f097_images_that_are_missing_are_bought_and_no_more_than_those(site: Site, vendor: str) -> None:
    model, charges = SHORT[vendor].model, SHORT[vendor].charges
    before = [total(site.stays, f"samurai_{name}_total", model=model) for name in ("vendor_images_billed", "images")]
    site.script(vendor, SHORT[vendor].then)
    whole = site.ask(site.stays, "two of three", model=model, n=3)
    assert len(set(pictures(whole))) == 3
    assert (site.charges(), len(site.calls())) == (charges, 2)
    after = [total(site.stays, f"samurai_{name}_total", model=model) for name in ("vendor_images_billed", "images")]
    assert after[1] - before[1] == 3
    if vendor in ("replicate", "vertex"):  # the other two bill what they then leave out of their reply
        assert after[0] - before[0] == sum(charges)


def test_f097_of_three_calls_to_gemini_one_brings_nothing_and_the_other_two_are_kept(site: Site) -> None:
    """Words cost money at Google, so that what they were said for is not asked for again."""
    key = {"idempotency-key": "gemini-said-nothing"}
    site.script("vertex", {"refuse": "no_image"})
    short = site.ask(site.stays, "one says nothing", key, model="imagen-3", n=3)
    assert refusal(short) == (500, "upstream_bad_response", "false")
    assert (site.charges(), len(site.calls())) == ([1, 1], 3)
    some = site.ask(site.stays, "one says nothing", key | {"x-samurai-partial": "allow"}, model="imagen-3", n=3)
    assert len(set(pictures(some))) == 2
    assert some.headers["x-samurai-images"] == "2/3"
    assert (site.charges(), len(site.calls())) == ([1, 1], 3)


def test_f097_what_cannot_be_topped_up_is_kept_and_the_retry_buys_only_the_rest(site: Site) -> None:
    short_of_one(site)
    short = site.ask(site.stays, "kept", model="dall-e-3", n=3)
    assert refusal(short) == (500, "upstream_overloaded", "true")
    assert site.charges() == [3]
    site.let_go()
    assert len(set(pictures(site.ask(site.stays, "kept", RETRY, model="dall-e-3", n=3)))) == 3
    assert site.charges() == [3, 1]


def test_f097_who_allows_it_gets_the_images_there_are(site: Site) -> None:
    short_of_one(site)
    some = site.ask(site.stays, "some will do", {"x-samurai-partial": "allow"}, model="dall-e-3", n=3)
    assert len(set(pictures(some))) == 2
    assert some.headers["x-samurai-images"] == "2/3"
    assert site.charges() == [3]


def short_of_one(site: Site) -> None:
    """OpenAI makes three images and hands over two of them, and is overloaded from then on.

    A 429 would not do: the pace that it teaches would outlast the test.
    """
    site.script("openai", SHORT["openai"].then)
    site.script("openai", {"error": "openai.overloaded_503"}, times=None)


LATE = {"replicate": "flux-schnell", "openai": "dall-e-3", "ideogram": "ideogram-v3", "vertex": "imagen-3"}


@pytest.mark.slow
@pytest.mark.parametrize("vendor", LATE)
def test_f107_images_that_come_after_the_deadline_are_kept_for_who_asks_again(site: Site, vendor: str) -> None:
    model, key = f"{LATE[vendor]}-hasty", {"idempotency-key": f"late-but-good-{vendor}"}
    before = total(site.stays, "samurai_vendor_late_successes_total", account=vendor)
    site.script(vendor, {"latency_s": HASTY_S + 1})
    began = time.monotonic()
    told = site.ask(site.stays, "late", key, model=model)
    assert time.monotonic() - began >= HASTY_S
    assert refusal(told) == (500, "upstream_timeout", "false")
    assert total(site.stays, "samurai_vendor_late_successes_total", account=vendor) == before
    again: list[httpx2.Response] = []

    def is_there() -> bool:
        again.append(site.ask(site.stays, "late", key, model=model))
        return again[-1].status_code == 200

    eventually(is_there)
    assert len(pictures(again[-1])) == 1
    assert again[-1].headers["idempotent-replayed"] == "true"
    assert again[-1].headers["x-samurai-operation-id"] == told.headers["x-samurai-operation-id"]
    assert total(site.stays, "samurai_vendor_late_successes_total", account=vendor) == before + 1
    assert (site.charges(), len(site.calls())) == ([1], 1)
