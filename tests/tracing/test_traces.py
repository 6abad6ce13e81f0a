"""Traces of a real gateway at a real collector: the tree, what the spans say, and what they never say."""

import base64
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.processes import ROOT, STOP_DEADLINE_S, Running, gateway, sandbox, sandbox_settings
from tests.tracing.collector import CLIENT, INTERNAL, SERVER, Collector, Seen, collector

PROMPT = "a samurai whose name is Kenshiro"
ROUTE = "POST /v1/images/generations"


@dataclass(frozen=True)
class Sent:
    """A request that was made, and all that is known of it."""

    reply: httpx2.Response
    trace_id: str
    parent_id: str


@dataclass(frozen=True)
class Day:
    """A gateway's life from start to end: what was asked, what the collector got, what was logged."""

    collector: Collector
    sent: dict[str, Sent]
    lines: list[dict[str, Any]]
    vendor_calls: list[dict[str, Any]]
    images: list[str]

    def tree(self, name: str) -> list[Seen]:
        return self.collector.trace(self.sent[name].trace_id)


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    folder = tmp_path_factory.mktemp("traces")
    with collector() as kept, sandbox() as sandbox_url:
        settings = sandbox_settings(folder, sandbox_url)
        settings["tracing"] = {"otlp_endpoint": kept.url}
        settings["models"]["dall-e-3"]["targets"] += settings["models"]["flux-schnell"]["targets"]
        with gateway(folder, settings, sandbox_url) as running:
            sent = _live(running)
            calls = httpx2.get(f"{sandbox_url}/sandbox/calls").json()["calls"]
            running.process.terminate()
            running.process.wait(STOP_DEADLINE_S)
            lines = [json.loads(line) for line in running.output.join().splitlines() if line.startswith("{")]
        images = [base64.b64encode(path.read_bytes()).decode() for path in (folder / "images").rglob("*.png")]
        yield Day(kept, sent, lines, calls, images)


def _live(running: Running) -> dict[str, Sent]:
    running.script(
        vendor="openai", then={"error": "openai.insufficient_quota_429"}, match={"prompt": "over"}, times=None
    )
    running.script(vendor="ideogram", then={"refuse": "unsafe"}, times=None)
    body = {"prompt": PROMPT, "size": "1024x1024"}
    return {
        "success": _ask(running, {**body, "model": "flux-schnell", "n": 2}),
        "base64": _ask(running, {**body, "model": "imagen-3", "response_format": "b64_json", "size": "512x512"}),
        "failover": _ask(running, {**body, "model": "dall-e-3", "prompt": f"over and over: {PROMPT}"}),
        "refusal": _ask(running, {**body, "model": "ideogram-v3"}),
        "mistake": _ask(running, {**body, "model": "flux-schnell", "n": 11}),
        "unsampled": _ask(running, {**body, "model": "flux-schnell"}, flags="00"),
    }


def _ask(running: Running, body: dict[str, Any], flags: str = "01") -> Sent:
    trace_id, parent_id = secrets.token_hex(16), secrets.token_hex(8)
    headers = {
        "authorization": f"Bearer {running.key}",
        "traceparent": f"00-{trace_id}-{parent_id}-{flags}",
        "tracestate": "acme=internal-routing-detail",
    }
    reply = httpx2.post(f"{running.base_url}/v1/images/generations", json=body, headers=headers, timeout=60)
    return Sent(reply, trace_id, parent_id)


def _root(spans: list[Seen]) -> Seen:
    (root,) = [span for span in spans if span.kind == SERVER]
    return root


def _calls(spans: list[Seen]) -> list[Seen]:
    return [span for span in spans if span.kind == CLIENT]


def test_a_success_is_one_tree_under_the_callers_span(day: Day) -> None:
    assert day.sent["success"].reply.status_code == 200
    spans = day.tree("success")
    root = _root(spans)
    assert root.name == ROUTE
    assert root.parent_id == day.sent["success"].parent_id
    assert sorted(span.name for span in spans) == sorted(
        [ROUTE, "claim", "debit", "generate_content black-forest-labs/flux-schnell", *("finish", "store") * 2, "settle"]
    )
    finishing = {span.span_id for span in spans if span.name == "finish"}
    assert {span.parent_id for span in spans if span.name == "store"} == finishing
    above = {span.parent_id for span in spans if span.name not in (ROUTE, "store")}
    assert above == {root.span_id}
    assert not any(span.failed for span in spans)
    assert all(span.began_ns <= span.ended_ns for span in spans)
    assert {span.kind for span in spans} == {SERVER, CLIENT, INTERNAL}


def test_the_servers_span_says_what_the_log_says(day: Day) -> None:
    said = _root(day.tree("success")).attributes
    assert said == {
        "http.request.method": "POST",
        "url.scheme": "http",
        "http.route": "/v1/images/generations",
        "http.response.status_code": 200,
        "samurai.request_id": day.sent["success"].reply.headers["x-request-id"],
        "samurai.key_id": "demo",
        "samurai.model": "flux-schnell",
    }


def test_a_vendor_call_is_worded_as_the_conventions_for_generative_ai_ask(day: Day) -> None:
    (call,) = _calls(day.tree("success"))
    address = call.attributes.pop("server.port"), call.attributes.pop("gen_ai.request.seed")
    polls = call.attributes.pop("samurai.polls")
    assert all(isinstance(number, int) for number in (*address, polls))
    assert call.attributes == {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.output.type": "image",
        "gen_ai.provider.name": "replicate",
        "gen_ai.request.model": "black-forest-labs/flux-schnell",
        "gen_ai.response.model": "black-forest-labs/flux-schnell",
        "gen_ai.request.choice.count": 2,
        "server.address": "127.0.0.1",
        "http.response.status_code": call.attributes["http.response.status_code"],
        "samurai.account": "replicate",
        "samurai.images": 2,
        "samurai.images.billed": 2,
    }
    (google,) = _calls(day.tree("base64"))
    assert google.attributes["gen_ai.provider.name"] == "gcp.vertex_ai"


def test_a_failover_shows_both_vendors_and_why(day: Day) -> None:
    assert day.sent["failover"].reply.status_code == 200
    spans = day.tree("failover")
    first, second = _calls(spans)
    assert (first.attributes["gen_ai.provider.name"], first.failed) == ("openai", True)
    assert first.attributes["error.type"] == "upstream_billing"
    assert first.attributes["samurai.may_have_billed"] is False
    assert (second.attributes["gen_ai.provider.name"], second.failed) == ("replicate", False)
    assert first.ended_ns <= second.began_ns
    assert not _root(spans).failed


def test_a_refusal_fails_the_call_and_not_the_servers_span(day: Day) -> None:
    assert day.sent["refusal"].reply.status_code == 400
    spans = day.tree("refusal")
    (call,) = _calls(spans)
    root = _root(spans)
    assert call.attributes["gen_ai.provider.name"] == "ideogram"
    assert root.attributes["samurai.code"] == "content_policy_violation"
    assert root.attributes["http.response.status_code"] == 400
    assert not root.failed
    assert "finish" not in {span.name for span in spans}


def test_a_mistake_of_the_caller_is_a_single_span(day: Day) -> None:
    (root,) = day.tree("mistake")
    assert root.name == ROUTE
    assert (root.attributes["http.response.status_code"], root.failed) == (400, False)


def test_a_caller_that_samples_nothing_gets_no_spans(day: Day) -> None:
    assert day.sent["unsampled"].reply.status_code == 200
    assert day.tree("unsampled") == []


def test_the_trace_goes_on_at_the_vendor_without_the_callers_own_state(day: Day) -> None:
    (call,) = _calls(day.tree("success"))
    headers = [dict(seen["headers"]) for seen in day.vendor_calls if seen["vendor"] == "replicate"]
    carried = {found["traceparent"] for found in headers if "traceparent" in found}
    assert f"00-{call.trace_id}-{call.span_id}-01" in carried
    assert not [found for found in headers if "tracestate" in found]


def test_every_log_line_of_a_request_has_its_trace_and_its_id(day: Day) -> None:
    for sent in day.sent.values():
        about = [line for line in day.lines if line.get("request_id") == sent.reply.headers["x-request-id"]]
        assert about
        assert {line["trace_id"] for line in about} == {sent.trace_id}
    failover = day.sent["failover"]
    about = [line for line in day.lines if line.get("trace_id") == failover.trace_id]
    assert {line["event"] for line in about} == {"request", "vendor call failed"}
    assert {line["request_id"] for line in about} == {failover.reply.headers["x-request-id"]}


def test_no_prompt_key_credential_link_or_image_is_in_any_export(day: Day) -> None:
    assert len(day.images) >= 5
    tokens = [path.read_text().strip() for path in (ROOT / "config/sandbox").iterdir()]
    links = [sent.reply.json()["data"][0].get("url") for sent in day.sent.values() if sent.reply.status_code == 200]
    secret = ["Kenshiro", "sk-samurai", "signature=", *tokens, *filter(None, links)]
    secret += [image[start : start + 40] for image in day.images for start in (0, len(image) // 2)]
    exported = b"".join(day.collector.bodies)
    assert b"generate_content" in exported
    assert not [text for text in secret if text.encode() in exported]


def test_it_names_itself(day: Day) -> None:
    assert {resource["service.name"] for resource in day.collector.resources} == {"samurai-gateway"}


def test_a_collector_that_is_away_costs_no_request_and_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with collector() as kept, sandbox() as sandbox_url:
        kept.refuses = True
        settings = sandbox_settings(tmp_path, sandbox_url)
        settings["tracing"] = {"otlp_endpoint": f"{kept.url}/v1/traces"}
        with gateway(tmp_path, settings, sandbox_url) as running:
            sent = _ask(running, {"prompt": PROMPT, "model": "flux-schnell"})
            assert sent.reply.status_code == 200
            running.process.terminate()
            assert running.process.wait(STOP_DEADLINE_S) == 0
            assert "Kenshiro" not in running.output.join()
    assert kept.spans == []
