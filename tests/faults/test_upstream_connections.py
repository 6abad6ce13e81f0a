"""Vendors that cannot be reached, or whose connection fails on the way: rows 78 to 82, 84, 94, 95, 104 and 57."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.faults.deployment import ALL, Deployment, Seen, Vendor
from tests.faults.tls import Untrusted

UNAVAILABLE = {vendor.name: f"{vendor.name}.unavailable_503" for vendor in ALL} | {"openai": "openai.overloaded_503"}
OUT_OF_REACH = ("refused", "nowhere", "untrusted", "expired")


@pytest.mark.fault(57)
def test_f078_a_vendor_that_cannot_be_reached_costs_nothing_and_is_worth_another_try(
    scene: Deployment, vendor: Vendor
) -> None:
    seen = scene.provoke(f"{vendor.model}-refused")
    assert (seen.status, seen.code, seen.retry) == (500, "upstream_unreachable", "true")
    assert (seen.charged, seen.creates) == (0, 0)
    assert seen.told == {"upstream_unreachable": 3}


@pytest.mark.fault(57)
@pytest.mark.parametrize("why", OUT_OF_REACH)
def test_f078_another_vendor_serves_at_once_when_one_cannot_be_reached(
    scene: Deployment, untrusted: Mapping[str, Untrusted], vendor: Vendor, why: str
) -> None:
    seen = scene.provoke(f"{vendor.model}-{why}-pair")
    assert (seen.status, seen.served_by.partition("/")[0]) == (200, vendor.other)
    assert (seen.charged, seen.creates) == (1, 1)
    assert seen.told == {"upstream_unreachable": 1, "ok": 1}
    if why in untrusted:
        assert untrusted[why].handshakes > 0
        assert untrusted[why].heard == b""  # neither a key nor a prompt


def test_f079_a_reset_before_a_word_of_reply_may_have_been_paid_and_is_not_sent_again(
    scene: Deployment, vendor: Vendor
) -> None:
    scene.script(vendor.name, {"wire": "reset_before_read"}, times=5)
    seen = scene.provoke(f"{vendor.model}-pair")
    assert (seen.status, seen.code, seen.retry) == (500, "upstream_error", "false")
    assert (seen.charged, seen.creates, scene.uses_left()) == (0, 0, 4)
    assert seen.told == {"upstream_error": 1}


@pytest.mark.parametrize("wire", ["reset_after_read", "close_after_read"])
def test_f079_a_connection_that_ends_after_the_request_may_have_been_paid(
    scene: Deployment, vendor: Vendor, wire: str
) -> None:
    scene.script(vendor.name, {"wire": wire, "charged": True})
    seen = scene.provoke(f"{vendor.model}-pair")
    assert is_lost_or_found_again(seen, vendor, "upstream_error")


def test_f080_headers_that_come_too_late_are_not_asked_for_again(scene: Deployment, vendor: Vendor) -> None:
    scene.script(vendor.name, {"wire": "stall_headers", "charged": True})
    seen = scene.provoke(f"{vendor.model}-hasty")
    assert is_lost_or_found_again(seen, vendor, "upstream_timeout")
    assert seen.is_hasty


@pytest.mark.parametrize("wire", ["drip", "stall_body"])
def test_f081_a_body_that_drips_or_stalls_is_given_up_in_time_and_not_bought_again(
    scene: Deployment, vendor: Vendor, wire: str
) -> None:
    scene.script(vendor.name, {"wire": wire})
    seen = scene.provoke(f"{vendor.model}-hasty")
    assert is_lost_or_found_again(seen, vendor, "upstream_timeout")
    assert seen.is_hasty


@pytest.mark.parametrize("wire", ["truncated", "chunk_cut", "reset_mid_reply"])
def test_f082_a_reply_that_is_cut_is_not_bought_again(scene: Deployment, vendor: Vendor, wire: str) -> None:
    scene.script(vendor.name, {"wire": wire})
    seen = scene.provoke(f"{vendor.model}-pair")
    assert is_lost_or_found_again(seen, vendor, "upstream_bad_response")


def is_lost_or_found_again(seen: Seen, vendor: Vendor, code: str) -> bool:
    """Whether a paid call whose reply was lost was answered rightly, and in any case paid for once.

    Of the four only Replicate can be asked what became of work whose id never came.
    """
    assert (seen.charged, seen.creates) == (1, 1)
    if vendor.name == "replicate" and seen.status == 200:
        return seen.answered == {"ok": 1} and seen.served_by.startswith("replicate/")
    assert (seen.status, seen.code, seen.retry) == (500, code, "false")
    return seen.answered == {code: 1}


def test_f082_a_look_that_is_cut_is_repeated_since_looking_is_free(scene: Deployment) -> None:
    scene.script("replicate", {"put": {"status": "starting", "output": None}})
    scene.script("replicate", {"wire": "truncated"}, "poll", times=1)
    seen = scene.provoke("flux-1.1-pro")
    assert seen.status == 200
    assert (seen.charged, seen.creates, seen.on("poll")) == (1, 1, 2)
    assert seen.moved["samurai_vendor_polls_total"] == 2


@pytest.mark.slow
def test_f084_a_body_without_end_is_cut_off_at_its_cap_and_not_kept_in_memory(
    scene: Deployment, vendor: Vendor
) -> None:
    pid = scene.running.process.pid
    before = memory_kb(pid, "VmRSS")
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # begin the peak anew
    scene.script(vendor.name, {"wire": "giant"})
    seen = scene.provoke(f"{vendor.model}-pair")
    assert is_lost_or_found_again(seen, vendor, "upstream_bad_response")
    assert memory_kb(pid, "VmHWM") - before < 64 * 1024  # of half a gibibyte on offer


def memory_kb(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


@pytest.mark.slow
def test_f094_a_storm_of_500s_is_answered_with_hardly_more_calls_than_there_were_requests(
    scene: Deployment, vendor: Vendor
) -> None:
    requests = 20
    scene.script(vendor.name, {"status": 500, "body": {"error": {"message": "oops"}, "detail": "oops"}})
    for _ in range(requests - 1):
        reply = scene.ask(vendor.model)
        assert (reply.status_code, reply.json()["error"]["code"]) == (500, "upstream_error")
        assert reply.headers["x-should-retry"] == "false"  # who breaks down may have made the image before
    calls = sum(call["operation"] == "create" for call in scene.calls())
    seen = scene.provoke(vendor.model)
    assert (seen.status, seen.code, seen.retry) == (500, "upstream_error", "false")
    assert calls + seen.creates <= 1.1 * requests
    assert seen.told == {"upstream_error": 1}
    assert scene.charged() == 0


def test_f095_behind_a_vendor_that_comes_and_goes_every_request_is_served_and_paid_once(
    scene: Deployment, vendor: Vendor
) -> None:
    for number in range(4):
        if number % 2:
            scene.script(vendor.name, {"error": UNAVAILABLE[vendor.name]}, times=1)
        seen = scene.provoke(f"{vendor.model}-pair")
        assert (seen.status, seen.charged) == (200, 1)
        assert seen.told == ({"upstream_overloaded": 1, "ok": 1} if number % 2 else {"ok": 1})
    assert scene.provoke(f"{vendor.model}-pair").served_by.partition("/")[0] == vendor.name


def test_f104_a_call_that_a_kept_connection_ends_under_is_sent_once_and_never_called_unsent(
    scene: Deployment, vendor: Vendor
) -> None:
    """The vendor closes before it has read it, which cannot be told from after."""
    model = f"{vendor.model}-relayed"
    assert scene.provoke(model).status == 200
    scene.relay.arm("unread")
    seen = scene.provoke(model)
    assert (scene.relay.met, scene.relay.posts) == (1, 1)
    assert (seen.status, seen.code, seen.retry) == (500, "upstream_error", "false")
    assert (seen.charged, seen.creates) == (0, 0)
    assert seen.told == {"upstream_error": 1}
    assert seen.moved["samurai_vendor_unknown_outcomes_total"] == 1
    assert "samurai_vendor_retries_total" not in seen.moved


def test_f104_a_call_that_was_read_before_its_connection_ended_is_paid_for_once(
    scene: Deployment, vendor: Vendor
) -> None:
    model = f"{vendor.model}-relayed"
    assert scene.provoke(model).status == 200
    scene.relay.arm("read")
    seen = scene.provoke(model)
    assert (scene.relay.met, scene.relay.posts) == (1, 1)
    assert is_lost_or_found_again(seen, vendor, "upstream_error")


def test_f104_a_kept_connection_that_the_vendor_has_closed_is_not_used_again(scene: Deployment, vendor: Vendor) -> None:
    model = f"{vendor.model}-relayed"
    for _ in range(3):
        seen = scene.provoke(model)
        assert (seen.status, seen.charged, seen.creates) == (200, 1, 1)
        assert seen.told == {"ok": 1}
        scene.relay.close_idle()


def test_the_vendors_are_the_four_of_the_catalogue() -> None:
    assert [vendor.name for vendor in ALL] == ["replicate", "openai", "ideogram", "vertex"]
