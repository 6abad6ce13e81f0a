"""Vendors that answer, and not what was hoped for: rows 83, 85 to 93, 103 and 108."""

from typing import Any

import pytest

from tests.faults.deployment import Deployment, Vendor

REJECTED = {
    "replicate": "replicate.input_422",
    "openai": "openai.unknown_parameter",
    "ideogram": "ideogram.validation_400",
    "vertex": "vertex.invalid_argument_400",
}
REFUSED: dict[str, dict[str, Any]] = {
    "replicate": {"refuse": "nsfw"},
    "openai": {"error": "openai.moderation_blocked"},
    "ideogram": {"error": "ideogram.safety_422"},
    "vertex": {"refuse": "block_reason"},
}
UNAUTHENTICATED = {
    "replicate": ("replicate.unauthenticated_401", "replicate.forbidden_403"),
    "openai": ("openai.invalid_api_key_401", "openai.country_403"),
    "ideogram": ("ideogram.unauthorized_401", "ideogram.forbidden_403"),
    "vertex": ("vertex.unauthenticated_401", "vertex.iam_denied_403"),
}
NO_MONEY = {
    "replicate": ("replicate.no_credit_402", "replicate.spend_limit_402"),
    "openai": ("openai.insufficient_quota_429", "openai.billing_hard_limit"),
    "ideogram": ("ideogram.insufficient_funds_402", "ideogram.daily_limit_402"),
    "vertex": ("vertex.no_credit_402", "vertex.quota_zero_429"),
}
THROTTLED = {
    "replicate": {"status": 429, "body": {"title": "Too Many Requests", "detail": "Request was throttled."}},
    "openai": {"status": 429, "body": {"error": {"message": "Too fast.", "code": "rate_limit_exceeded"}}},
    "ideogram": {"status": 429, "body": {"error": "Too many requests"}},
    "vertex": {"status": 429, "body": {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Slowly."}}},
}
ERROR_IN_200: dict[str, dict[str, Any]] = {
    "replicate": {"title": "Invalid input", "detail": "- input.size: no", "status": 422},
    "openai": {"error": {"message": "no such size", "type": "invalid_request_error", "param": "size", "code": "x"}},
    "ideogram": {"error": "Invalid request"},
    "vertex": {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "no such size"}},
}
NEWS: dict[str, dict[str, Any]] = {
    "replicate": {"put": {"status": "brand-new", "output": None}},
    "openai": {"put": {"status": "brand_new", "data.0.brand_new": {"a": [1]}}},
    "ideogram": {"put": {"status": "brand_new", "data.0.style_type": "BRAND_NEW"}},
    "vertex": {"put": {"candidates.0.finishReason": "BRAND_NEW", "brandNew": {"a": [1]}}},
}


def test_f083_html_is_no_answer_and_nothing_is_bought_again(scene: Deployment, vendor: Vendor) -> None:
    scene.script(vendor.name, {"mangle": "html"})
    seen = scene.provoke(f"{vendor.model}-pair")
    assert (seen.status, seen.code, seen.retry) == (500, "upstream_bad_response", "false")
    assert (seen.charged, seen.creates) == (1, 1)
    assert seen.told == {"upstream_bad_response": 1}


@pytest.mark.parametrize("how", ["malformed_json", "deep_json", "empty", "not_object"])
def test_f085_json_that_is_none_is_no_answer_and_nothing_is_bought_again(
    scene: Deployment, vendor: Vendor, how: str
) -> None:
    scene.script(vendor.name, {"mangle": how})
    seen = scene.provoke(f"{vendor.model}-pair")
    assert (seen.status, seen.code, seen.retry) == (500, "upstream_bad_response", "false")
    assert (seen.charged, seen.creates) == (1, 1)
    assert seen.told == {"upstream_bad_response": 1}


@pytest.mark.parametrize("what", ["missing", "null", "empty", "number"])
def test_f085_a_reply_without_its_images_is_no_answer_and_nothing_is_bought_again(
    scene: Deployment, vendor: Vendor, what: str
) -> None:
    values: dict[str, Any] = {"null": None, "empty": [], "number": 7}
    done = {"status": "succeeded"} if vendor.name == "replicate" else {}
    put = done | ({vendor.images_at: values[what]} if what in values else {})
    then = {"put": put} | ({"remove": [vendor.images_at]} if what == "missing" else {})
    scene.script(vendor.name, then)
    seen = scene.provoke(f"{vendor.model}-pair")
    assert (seen.status, seen.code, seen.retry) == (500, "upstream_bad_response", "false")
    assert (seen.charged, seen.creates) == (1, 1)
    assert seen.told == {"upstream_bad_response": 1}


def test_f086_an_error_inside_a_200_is_an_error(scene: Deployment, vendor: Vendor) -> None:
    scene.script(vendor.name, {"status": 200, "body": ERROR_IN_200[vendor.name]})
    seen = scene.provoke(vendor.model)
    assert (seen.status, seen.code, seen.retry) == (500, "upstream_rejected_request", "false")
    assert (seen.charged, seen.creates) == (0, 1)
    assert seen.told == {"upstream_rejected_request": 1}


def test_f087_what_a_vendor_rejects_in_our_words_is_our_fault(scene: Deployment, vendor: Vendor) -> None:
    scene.script(vendor.name, {"error": REJECTED[vendor.name]})
    seen = scene.provoke(vendor.model)
    assert (seen.status, seen.code, seen.retry) == (500, "upstream_rejected_request", "false")
    assert (seen.charged, seen.creates) == (0, 1)
    assert seen.told == {"upstream_rejected_request": 1}


def test_f088_a_safety_refusal_is_the_callers_to_know_and_is_not_routed_round(
    scene: Deployment, vendor: Vendor
) -> None:
    scene.script(vendor.name, REFUSED[vendor.name])
    seen = scene.provoke(f"{vendor.model}-pair")
    assert (seen.status, seen.code, seen.retry) == (400, "content_policy_violation", "false")
    assert (seen.charged, seen.creates) == (0, 1)
    assert seen.told == {"content_policy_violation": 1}


@pytest.mark.parametrize("status", [401, 403])
def test_f089_a_key_of_ours_that_is_refused_is_never_the_callers_401(
    scene: Deployment, vendor: Vendor, status: int
) -> None:
    scene.script(vendor.name, {"error": UNAUTHENTICATED[vendor.name][status == 403]})
    seen = scene.provoke(vendor.model)
    # Google's tokens expire, so that a 401 is worth one try with a fresh one
    tries = 2 if (vendor.name, status) == ("vertex", 401) else 1
    assert (seen.status, seen.code, seen.retry) == (500, "upstream_auth_failed", "false")
    assert (seen.charged, seen.creates) == (0, tries)
    assert seen.told == {"upstream_auth_failed": tries}
    assert "www-authenticate" not in seen.reply.headers


def test_f089_another_vendor_serves_when_our_key_is_refused(scene: Deployment, vendor: Vendor) -> None:
    scene.script(vendor.name, {"error": UNAUTHENTICATED[vendor.name][1]})
    seen = scene.provoke(f"{vendor.model}-pair")
    assert (seen.status, seen.served_by.partition("/")[0]) == (200, vendor.other)
    assert (seen.charged, seen.creates) == (1, 2)
    assert seen.told == {"upstream_auth_failed": 1, "ok": 1}


@pytest.mark.parametrize("kind", [0, 1], ids=["no credit", "limit reached"])
def test_f090_an_account_that_cannot_pay_is_our_fault_and_another_vendor_serves(
    scene: Deployment, vendor: Vendor, kind: int
) -> None:
    scene.script(vendor.name, {"error": NO_MONEY[vendor.name][kind]})
    seen = scene.provoke(vendor.model)
    assert (seen.status, seen.code, seen.retry) == (500, "upstream_billing", "false")
    assert (seen.charged, seen.creates) == (0, 1)
    assert seen.told == {"upstream_billing": 1}
    seen = scene.provoke(f"{vendor.model}-pair")
    assert (seen.status, seen.served_by.partition("/")[0]) == (200, vendor.other)
    assert (seen.charged, seen.creates) == (1, 2)


def test_f091_a_429_with_a_short_time_is_waited_for_and_paid_once(scene: Deployment, vendor: Vendor) -> None:
    scene.script(vendor.name, THROTTLED[vendor.name] | {"headers": {"retry-after": "1"}}, times=1)
    seen = scene.provoke(vendor.model)
    assert seen.status == 200
    assert (seen.charged, seen.creates) == (1, 2)
    assert seen.told == {"upstream_rate_limited": 1, "ok": 1}
    assert seen.moved["samurai_pacing_pauses_total"] == 1
    first, second = (call["at"] for call in seen.calls if call["operation"] == "create")
    assert second - first >= 1.0


def test_f092_a_429_without_a_time_is_tried_again_a_little_later(scene: Deployment, vendor: Vendor) -> None:
    scene.script(vendor.name, THROTTLED[vendor.name], times=1)
    seen = scene.provoke(vendor.model)
    assert seen.status == 200
    assert (seen.charged, seen.creates) == (1, 2)
    assert seen.told == {"upstream_rate_limited": 1, "ok": 1}
    assert seen.moved["samurai_pacing_vendor_refusals_total"] == 1
    assert "samurai_pacing_pauses_total" not in seen.moved


def test_f091_a_429_that_lasts_is_a_429_after_three_calls(scene: Deployment, vendor: Vendor) -> None:
    scene.script(vendor.name, THROTTLED[vendor.name])
    seen = scene.provoke(vendor.model)
    assert (seen.status, seen.code, seen.retry) == (429, "upstream_rate_limited", "true")
    assert int(seen.reply.headers["retry-after"]) >= 1
    assert int(seen.reply.headers["retry-after-ms"]) >= 1
    assert (seen.charged, seen.creates) == (0, 3)
    assert seen.told == {"upstream_rate_limited": 3}


@pytest.mark.parametrize("wish", ["-5", "soon", "Thu, 01 Jan 1970 00:00:00 GMT", "1e9", "٣"])
def test_f093_a_time_that_makes_no_sense_counts_as_none(scene: Deployment, vendor: Vendor, wish: str) -> None:
    if not wish.isascii():
        wish = wish.encode().decode("latin-1")
    scene.script(vendor.name, THROTTLED[vendor.name] | {"headers": {"retry-after": wish}}, times=1)
    seen = scene.provoke(vendor.model)
    assert seen.status == 200
    assert (seen.charged, seen.creates) == (1, 2)
    assert seen.moved["samurai_pacing_vendor_refusals_total"] == 1


@pytest.mark.parametrize("wish", ["86400", "99999999999", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_f093_a_day_is_not_waited_for_and_the_clients_wait_is_clamped(
    scene: Deployment, vendor: Vendor, wish: str
) -> None:
    scene.script(vendor.name, THROTTLED[vendor.name] | {"headers": {"retry-after": wish}})
    alone = scene.provoke(vendor.model)
    assert (alone.status, alone.code) == (429, "upstream_rate_limited")
    assert 1 <= int(alone.reply.headers["retry-after"]) <= 120
    assert (alone.charged, alone.creates) == (0, 1)
    paired = scene.provoke(f"{vendor.model}-pair")
    assert (paired.status, paired.served_by.partition("/")[0]) == (200, vendor.other)
    assert paired.charged == 1


def test_f103_no_header_of_a_vendor_reaches_a_client(scene: Deployment, vendor: Vendor) -> None:
    ordinary = set(scene.ask(vendor.model).headers)
    forged = {
        "set-cookie": "a=b",
        "x-request-id": "forged",
        "x-should-retry": "true",
        "retry-after": "7",
        "access-control-allow-origin": "*",
        "x-samurai-served-by": "forged",
        "openai-processing-ms": "forged",
    }
    scene.script(vendor.name, {"headers": forged})
    seen = scene.provoke(vendor.model)
    assert seen.status == 200
    assert set(seen.reply.headers) == ordinary
    assert not set(forged.values()) & set(seen.reply.headers.values())
    assert (seen.charged, seen.told) == (1, {"ok": 1})


def test_f103_two_thousand_headers_of_a_vendor_are_no_answer(scene: Deployment, vendor: Vendor) -> None:
    scene.script(vendor.name, {"headers": {f"x-{number}": "y" * 40 for number in range(2_000)}}, times=1)
    seen = scene.provoke(f"{vendor.model}-pair")
    assert (seen.charged, seen.creates) == (1, 1)
    if vendor.name != "replicate" or seen.status != 200:  # which can be asked what became of the work
        assert (seen.status, seen.code, seen.retry) == (500, "upstream_bad_response", "false")
    assert scene.ask(vendor.model).status_code == 200


def test_f108_what_the_api_did_not_have_before_does_no_harm(scene: Deployment, vendor: Vendor) -> None:
    scene.script(vendor.name, NEWS[vendor.name])
    seen = scene.provoke(vendor.model)
    assert (seen.status, seen.charged, seen.creates) == (200, 1, 1)
    assert seen.told == {"ok": 1}
