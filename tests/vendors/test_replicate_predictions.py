"""Replicate: what is sent for each FLUX model, and how a prediction is followed."""

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.domain.catalogue import Grid
from gateway.domain.errors import ErrorCode
from gateway.domain.exchange import Delivered, Fault, HttpCall, Pending, Remote
from gateway.domain.picture import ImageFormat, Size
from gateway.vendors.replicate_predictions import DIALECT
from tests.vendors.making import PROMPT, account, reply, shot

NAME = "replicate_predictions"
SCHNELL, PRO = "black-forest-labs/flux-schnell", "black-forest-labs/flux-1.1-pro"
BASE = "https://api.replicate.com/v1"
LINK = "https://replicate.delivery/xezq/a/out-0.png"


def prediction(status: str, output: Any = None, **members: Any) -> dict[str, Any]:
    return {"id": "k3v9x0t2c8", "status": status, "output": output, **members}


def test_flux_schnell_is_asked_by_ratio_and_megapixels() -> None:
    call = DIALECT.call_for(shot(NAME, SCHNELL, count=4, seed=77), account(NAME))
    assert call.url == "https://api.replicate.com/v1/models/black-forest-labs/flux-schnell/predictions"
    assert call.json == {
        "input": {
            "prompt": PROMPT,
            "num_outputs": 4,
            "aspect_ratio": "1:1",
            "megapixels": "1",
            "output_format": "png",
            "seed": 77,
        }
    }


@pytest.mark.parametrize(
    ("size", "ratio", "megapixels"),
    [(Size(512, 512), "1:1", "0.25"), (Size(1344, 768), "16:9", "1"), (Size(672, 384), "16:9", "0.25")],
)
def test_every_native_size_of_flux_schnell_has_its_spelling(size: Size, ratio: str, megapixels: str) -> None:
    body = DIALECT.call_for(shot(NAME, SCHNELL, size=size), account(NAME)).json or {}
    assert (body["input"]["aspect_ratio"], body["input"]["megapixels"]) == (ratio, megapixels)


def test_flux_pro_is_asked_for_exact_pixels_and_one_image() -> None:
    asked = shot(NAME, PRO, size=Size(256, 256), format=ImageFormat.JPEG, options={"safety_tolerance": 2})
    assert DIALECT.call_for(asked, account(NAME)).json == {
        "input": {
            "prompt": PROMPT,
            "aspect_ratio": "custom",
            "width": 256,
            "height": 256,
            "output_format": "jpg",
            "safety_tolerance": 2,
        }
    }


def test_the_end_alone_is_to_be_told_where_there_is_somebody_to_tell() -> None:
    told = DIALECT.call_for(shot(NAME, PRO, webhook="https://hooks.example.com/1"), account(NAME)).json or {}
    assert (told["webhook"], told["webhook_events_filter"]) == ("https://hooks.example.com/1", ["completed"])
    assert set(DIALECT.call_for(shot(NAME, PRO), account(NAME)).json or {}) == {"input"}


@pytest.mark.parametrize(
    ("body", "work"),
    [({"id": "k3v9x0t2c8"}, "k3v9x0t2c8"), ({"id": "../x"}, ""), ({"id": 7}, ""), ([], ""), (None, "")],
)
def test_a_call_back_names_its_prediction_or_nothing(body: Any, work: str) -> None:
    assert DIALECT.callback is not None
    assert DIALECT.callback.work_in(body) == work


def test_what_is_asked_about_after_a_call_back_is_asked_for_at_our_own_address() -> None:
    assert DIALECT.callback is not None
    pending = DIALECT.callback.pending("k3v9x0t2c8", shot(NAME, PRO), account(NAME))
    assert pending.check.url == "https://api.replicate.com/v1/predictions/k3v9x0t2c8"
    assert not pending.cancel_is_free
    secret = DIALECT.callback.secret_call(account(NAME))
    assert (secret.method, secret.url) == ("GET", "https://api.replicate.com/v1/webhooks/default/secret")
    assert DIALECT.callback.secret_in(reply({"key": "whsec_x"})) == "whsec_x"
    assert DIALECT.callback.secret_in(reply({"key": "whsec_x"}, 401)) == ""


def test_a_model_nobody_knows_gets_the_prompt_and_what_the_operator_configured() -> None:
    asked = shot(NAME, "some-lab/some-model", options={"aspect_ratio": "1:1", "prompt": "another", "num_outputs": 9})
    call = DIALECT.call_for(asked, account(NAME))
    assert call.json == {"input": {"prompt": PROMPT, "aspect_ratio": "1:1"}}


def test_the_safety_checker_is_never_touched_unless_the_operator_does() -> None:
    assert "disable_safety_checker" not in str(DIALECT.call_for(shot(NAME, SCHNELL), account(NAME)).json)


@pytest.mark.parametrize(
    ("deadline_s", "prefer", "cancel_after"),
    [(120.0, "wait=60", "120s"), (30.5, "wait=15", "31s"), (0.2, "wait=1", "5s")],
)
def test_the_wait_and_the_end_follow_the_deadline(deadline_s: float, prefer: str, cancel_after: str) -> None:
    headers = DIALECT.call_for(shot(NAME, SCHNELL, deadline_s=deadline_s), account(NAME)).headers
    assert headers == {"prefer": prefer, "cancel-after": cancel_after}


def test_a_prediction_is_looked_up_and_cancelled_at_our_own_address_only() -> None:
    elsewhere = {"get": "https://evil.example/x", "cancel": "https://evil.example/y"}
    here = account(NAME, base_url="http://127.0.0.1:8090/v1")
    outcome = DIALECT.outcome_of(reply(prediction("processing", urls=elsewhere)), shot(NAME, SCHNELL), here)
    assert isinstance(outcome, Pending)
    assert outcome.check.url == "http://127.0.0.1:8090/v1/predictions/k3v9x0t2c8"
    assert outcome.cancel is not None
    assert (outcome.cancel.method, outcome.cancel.url) == ("POST", f"{outcome.check.url}/cancel")
    assert outcome.wait_s == 0.5


@pytest.mark.parametrize("wicked", ["", "../account", "a/b", "a?b", "ÄÖ", "x" * 65, "a\n"])
def test_an_id_that_could_lead_elsewhere_is_not_followed(wicked: str) -> None:
    outcome = DIALECT.outcome_of(reply(prediction("starting", id=wicked)), shot(NAME, SCHNELL), account(NAME))
    assert isinstance(outcome, Fault)
    assert outcome.code is ErrorCode.UPSTREAM_BAD_RESPONSE


def test_cancelling_is_free_only_before_the_work_began() -> None:
    for status, free in (("starting", True), ("processing", False), ("unheard-of", False)):
        outcome = DIALECT.outcome_of(reply(prediction(status)), shot(NAME, SCHNELL), account(NAME))
        assert isinstance(outcome, Pending)
        assert outcome.cancel_is_free is free


def test_a_single_string_and_a_list_are_the_same_output() -> None:
    for output in (LINK, [LINK]):
        outcome = DIALECT.outcome_of(reply(prediction("succeeded", output)), shot(NAME, PRO), account(NAME))
        assert isinstance(outcome, Delivered)
        assert [each.source for each in outcome.pictures] == [Remote(LINK)]


def test_an_absurd_billing_counter_does_not_reach_the_books() -> None:
    body = prediction("succeeded", [LINK], metrics={"image_count": 10**12})
    outcome = DIALECT.outcome_of(reply(body), shot(NAME, SCHNELL, count=2), account(NAME))
    assert isinstance(outcome, Delivered)
    assert outcome.billed == 2


def test_capabilities_are_the_vendors() -> None:
    schnell, pro = DIALECT.capabilities(SCHNELL), DIALECT.capabilities(PRO)
    assert schnell.images_per_call == 4
    assert {Size(512, 512), Size(1024, 1024)} <= set(schnell.sizes)
    assert Size(256, 256) not in schnell.sizes
    assert (pro.images_per_call, pro.grid) == (1, Grid(step=32, min_edge=256, max_edge=1440))
    assert all(each.takes_seed and each.delivers_links and not each.takes_end_user for each in (schnell, pro))


def test_the_probe_asks_whose_token_it_is() -> None:
    probe = DIALECT.probe_for(account(NAME))
    assert (probe.method, probe.url, probe.json) == ("GET", "https://api.replicate.com/v1/account", None)


def listed(number: int, created_at: str, **members: Any) -> dict[str, Any]:
    return prediction("succeeded", LINK, created_at=created_at, input={"prompt": "another", "seed": number}, **members)


@pytest.mark.parametrize(
    ("oldest", "goes_on"), [("2026-03-01T12:00:30.000Z", True), ("2026-03-01T11:58:30.000Z", False), ("", True)]
)
def test_the_list_of_past_work_is_read_as_far_as_where_a_call_must_stand(oldest: str, goes_on: bool) -> None:
    assert DIALECT.search is not None
    sent_s = datetime(2026, 3, 1, 12, 0, tzinfo=UTC).timestamp()
    times = ("2026-03-01T12:01:00.000Z", oldest)
    page = {"next": f"{BASE}/predictions?cursor=cD0x", "results": [listed(*one) for one in enumerate(times)]}
    found = DIALECT.search.found_in(reply(page), shot(NAME, SCHNELL, seed=77), "hash", sent_s, account(NAME))
    more = HttpCall("GET", f"{BASE}/predictions?cursor=cD0x", limit_bytes=8_000_000)
    assert (found.matches, found.more) == ((), more if goes_on else None)
