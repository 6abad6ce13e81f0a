import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gateway.doctor.appraisal import drift_in
from gateway.doctor.purchases import Exchange, Order, Purchase
from gateway.doctor.recording import Scrubber, sample_of, save
from gateway.domain.exchange import HttpReply
from gateway.domain.faults import throttled
from gateway.policies.drift import Drift
from tests.vendors.making import DIALECTS, account, reply, shot

TODAY = date(2026, 11, 22)
SCRUBBER = Scrubber(["canary-secret", "r8_" + "x" * 37], ["paper-boats-1"])


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("with canary-secret in it", "with [redacted] in it"),
        ("https://ideogram.ai/a/b.png?exp=1&sig=abc", "https://ideogram.ai/a/b.png"),
        ("see https://x.example/a#frag and so on", "see https://x.example/a and so on"),
        ("data:image/png;base64," + "A" * 400, "data:image/png;base64," + "A" * 16),
        ("iVBORw0KGgoAAAANSUhEUg" + "Q" * 200 + "==", "iVBORw0KGgoAAAAN"),
        ("projects/987654/locations/global", "projects/project/locations/global"),
        ("the project paper-boats-1 has no quota", "the project redacted has no quota"),
        ("in organization org-AbC123def on images", "in organization org-redacted on images"),
        ("\x00lifted:0", "\x00lifted:0"),
        ("0123456789abcdef" * 4, "0123456789abcdef" * 4),
        ("A paper boat on a puddle", "A paper boat on a puddle"),
    ],
)
def test_a_sample_holds_nothing_that_is_nobodys_business(text: str, left: str) -> None:
    assert SCRUBBER.text(text) == left


def test_a_links_long_path_is_kept_so_that_it_stays_a_link() -> None:
    link = "https://x.example/" + "/".join(["abcdefghijklmnop"] * 12) + "/out-0.png"
    assert SCRUBBER.text(link) == link


def test_values_are_scrubbed_however_deep_they_lie() -> None:
    value = {"a": [{"b": "canary-secret", "c": 1, "d": None, "e": True}]}
    assert SCRUBBER.value(value) == {"a": [{"b": "[redacted]", "c": 1, "d": None, "e": True}]}


def exchange(name: str, model: str, answer: HttpReply) -> tuple[Exchange, Order]:
    asked, dialect = shot(name, model), DIALECTS[name]
    call = dialect.call_for(asked, account(name))
    outcome = dialect.outcome_of(answer, asked, account(name))
    return Exchange("create", call, answer, outcome), Order("pictures", dialect, asked)


def test_an_error_is_a_sample_too_without_a_schema_and_with_harmless_headers_only() -> None:
    headers = {"retry-after": "7", "openai-organization": "org-AbC123def", "set-cookie": "a=b", "x-request-id": "r"}
    body = {"error": {"message": "Rate limit reached in organization org-AbC123def", "code": "rate_limit_exceeded"}}
    sample = sample_of(*exchange("openai_images", "gpt-image-2", reply(body, 429, headers=headers)), SCRUBBER, TODAY)
    assert sample["schema"] is None
    assert sample["reply"]["headers"] == {"retry-after": "7"}
    assert sample["expect"]["fault"] == throttled("", 7.0).code
    assert sample["expect"]["retry_after_s"] == 7.0
    assert "AbC123def" not in json.dumps(sample)


def test_a_reply_that_is_no_json_is_kept_as_text() -> None:
    sample = sample_of(
        *exchange("openai_images", "gpt-image-2", reply(None, 502, text="<html>bad</html>")), SCRUBBER, TODAY
    )
    assert (sample["reply"]["text"], "body" in sample["reply"]) == ("<html>bad</html>", False)


def test_a_drifted_reply_names_no_schema() -> None:
    body = {"created": 1, "data": [{"b64": "AA=="}]}
    assert sample_of(*exchange("openai_images", "gpt-image-2", reply(body)), SCRUBBER, TODAY)["schema"] is None
    body = {"created": 1, "data": [{"b64_json": "AA=="}]}
    sample = sample_of(*exchange("openai_images", "gpt-image-2", reply(body)), SCRUBBER, TODAY)
    assert sample["schema"] == "openai_images.reply"


def test_a_reply_is_not_compared_where_a_dialect_declares_nothing() -> None:
    made, order = exchange("openai_images", "gpt-image-2", reply({"created": 1, "data": [{"b64": "AA=="}]}))
    silent = replace(order, dialect=replace(order.dialect, reply_fields={}))
    assert drift_in(made, order) == Drift(("data[].b64_json or data[].url",), (), ("data[].b64",))
    assert drift_in(made, silent) is None


def test_samples_lie_in_their_vendors_folder_under_names_of_their_own(tmp_path: Path) -> None:
    body: dict[str, Any] = {"created": 1, "data": [{"b64_json": "AA=="}]}
    made, order = exchange("openai_images", "gpt-image-2", reply(body))
    purchase = Purchase(order, (made,), throttled("", None), (), 0.0)
    written = save([purchase, purchase], tmp_path, SCRUBBER, TODAY)
    assert [path.parent for path in written] == [tmp_path / "openai"] * 2
    assert len(set(written)) == 2
    assert all(json.loads(path.read_text("utf-8"))["dialect"] == "openai_images" for path in written)
