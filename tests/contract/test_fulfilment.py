"""What becomes of a batch when a vendor delivers less, late, wrong or nothing; the sandbox's ledger is the oracle."""

import base64
import io
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from PIL import Image

from tests.processes import Running


@pytest.fixture
def gateway(running: Running) -> Iterator[Running]:
    running.reset()
    yield running
    running.reset()


def ask(gateway: Running, model: str, headers: dict[str, str] | None = None, **fields: Any) -> httpx2.Response:
    return httpx2.post(
        f"{gateway.base_url}/v1/images/generations",
        headers={"authorization": f"Bearer {gateway.key}"} | (headers or {}),
        json={"model": model, "prompt": "a lighthouse", "size": "1024x1024"} | fields,
        timeout=60,
    )


def error_code(reply: httpx2.Response) -> str:
    return str(reply.json()["error"]["code"])


def charged(gateway: Running) -> int:
    return int(gateway.ledger()["totals"]["images_charged"])


def creates(gateway: Running) -> int:
    calls = httpx2.get(f"{gateway.sandbox_url}/sandbox/calls").json()["calls"]
    return sum(1 for call in calls if call["operation"] == "create")


def test_images_that_a_vendor_dropped_are_topped_up(gateway: Running) -> None:
    gateway.script(vendor="replicate", operation="create", then={"refuse": "nsfw_some", "drop": 1})
    reply = ask(gateway, "flux-schnell", n=4)
    assert reply.status_code == 200
    assert len(reply.json()["data"]) == 4
    assert (charged(gateway), creates(gateway)) == (4, 2)


def test_images_that_were_withheld_and_billed_are_topped_up_and_their_cost_is_told(gateway: Running) -> None:
    gateway.script(vendor="ideogram", operation="create", then={"refuse": "unsafe_some", "drop": 1})
    reply = ask(gateway, "ideogram-v3", n=4)
    assert reply.status_code == 200
    assert len(reply.json()["data"]) == 4
    assert charged(gateway) == 5
    assert float(reply.headers["x-samurai-cost-usd"]) == pytest.approx(5 * 0.06)


def test_images_withheld_twice_are_a_refusal_and_not_asked_for_a_third_time(gateway: Running) -> None:
    gateway.script(vendor="ideogram", operation="create", then={"refuse": "unsafe_some", "drop": 1})
    gateway.script(vendor="ideogram", operation="create", then={"refuse": "unsafe"})
    reply = ask(gateway, "ideogram-v3", n=4)
    assert (reply.status_code, error_code(reply)) == (400, "content_policy_violation")
    assert reply.headers["x-should-retry"] == "false"
    assert (charged(gateway), creates(gateway)) == (5, 2)


def test_a_batch_that_was_withheld_and_billed_is_a_refusal_whose_cost_is_known(gateway: Running) -> None:
    doubts = metric(gateway, 'samurai_vendor_unknown_outcomes_total{account="ideogram"}')
    gateway.script(vendor="ideogram", operation="create", then={"refuse": "unsafe"})
    reply = ask(gateway, "ideogram-v3", n=2)
    assert (reply.status_code, error_code(reply)) == (400, "content_policy_violation")
    assert (charged(gateway), creates(gateway)) == (2, 1)
    assert float(reply.headers["x-samurai-cost-usd"]) == pytest.approx(2 * 0.06)
    assert metric(gateway, 'samurai_vendor_unknown_outcomes_total{account="ideogram"}') == doubts
    state = httpx2.get(
        f"{gateway.base_url}/v1/operations/{reply.headers['x-samurai-operation-id']}",
        headers={"authorization": f"Bearer {gateway.key}"},
    ).json()
    assert state["status"] == "failed"
    assert float(state["cost_usd"]) == pytest.approx(2 * 0.06)


def test_a_caller_may_choose_to_get_fewer_images(gateway: Running) -> None:
    gateway.script(vendor="ideogram", operation="create", then={"refuse": "unsafe_some", "drop": 1})
    gateway.script(vendor="ideogram", operation="create", then={"refuse": "unsafe"})
    reply = ask(gateway, "ideogram-v3", {"x-samurai-partial": "allow"}, n=4)
    assert reply.status_code == 200
    assert len(reply.json()["data"]) == 3
    assert reply.headers["x-samurai-images"] == "3/4"


def test_a_prompt_refused_as_a_whole_is_asked_only_once(gateway: Running) -> None:
    gateway.script(vendor="openai", operation="create", times=None, then={"error": "openai.moderation_blocked"})
    reply = ask(gateway, "dall-e-3", n=4)
    assert (reply.status_code, error_code(reply)) == (400, "content_policy_violation")
    assert (charged(gateway), creates(gateway)) == (0, 1)


@pytest.mark.parametrize(
    ("model", "vendor", "error"),
    [
        ("flux-1.1-pro", "replicate", "replicate.throttled_low_credit_429"),
        ("imagen-3", "vertex", "vertex.retry_info_429"),
        ("imagen-3", "vertex", "vertex.unavailable_503"),
        ("imagen-3", "vertex", "vertex.unauthenticated_401"),
        ("dall-e-3", "openai", "openai.overloaded_503"),
    ],
)
def test_what_was_surely_not_billed_is_tried_again(gateway: Running, model: str, vendor: str, error: str) -> None:
    gateway.script(vendor=vendor, operation="create", then={"error": error})
    reply = ask(gateway, model)
    assert reply.status_code == 200
    assert charged(gateway) == 1


@pytest.mark.parametrize(
    ("model", "vendor", "then", "code"),
    [
        ("flux-1.1-pro", "replicate", {"error": "replicate.server_500", "charged": True}, "upstream_error"),
        ("dall-e-3", "openai", {"error": "openai.server_500", "charged": True}, "upstream_error"),
        ("ideogram-v3", "ideogram", {"wire": "close_after_read", "charged": True}, "upstream_error"),
        ("dall-e-3", "openai", {"wire": "reset_mid_reply", "charged": True}, "upstream_bad_response"),
        ("dall-e-3", "openai", {"wire": "truncated"}, "upstream_bad_response"),
        ("imagen-3", "vertex", {"mangle": "malformed_json"}, "upstream_bad_response"),
        ("ideogram-v3", "ideogram", {"mangle": "html"}, "upstream_bad_response"),
    ],
)
def test_what_may_have_been_billed_is_never_bought_again(
    gateway: Running, model: str, vendor: str, then: dict[str, Any], code: str
) -> None:
    gateway.script(vendor=vendor, operation="create", then=then)
    reply = ask(gateway, model)
    assert reply.status_code == 500
    assert reply.headers["x-should-retry"] == "false"
    assert creates(gateway) == 1
    assert error_code(reply) == code


def test_a_prediction_that_takes_longer_is_polled_and_never_started_again(gateway: Running) -> None:
    gateway.script(vendor="replicate", operation="create", then={"put": {"status": "starting", "output": None}})
    gateway.script(vendor="replicate", operation="poll", then={"error": "replicate.server_500"})
    gateway.script(vendor="replicate", operation="poll", then={"put": {"status": "brand-new", "output": None}})
    reply = ask(gateway, "flux-1.1-pro")
    assert reply.status_code == 200
    assert (charged(gateway), creates(gateway)) == (1, 1)


def test_images_inside_data_uris_are_taken_as_they_come(gateway: Running) -> None:
    gateway.script(vendor="replicate", then={"data_uris": True})
    reply = ask(gateway, "flux-schnell", n=2, response_format="b64_json")
    assert reply.status_code == 200
    for entry in reply.json()["data"]:
        assert image_of(entry).size == (1024, 1024)


def test_a_prompt_that_the_vendor_rewrote_is_handed_on(gateway: Running) -> None:
    gateway.script(vendor="ideogram", then={"rewritten_prompt": "a white lighthouse, dusk"})
    reply = ask(gateway, "ideogram-v3")
    assert reply.json()["data"][0]["revised_prompt"] == "a white lighthouse, dusk"


@pytest.mark.parametrize("spoil", ["corrupt", "truncated", "empty", "html", "svg", "polyglot", "bomb", "one_pixel"])
def test_a_file_that_is_not_the_image_asked_for_is_not_delivered(gateway: Running, spoil: str) -> None:
    gateway.script(vendor="replicate", then={"image": {"spoil": spoil}})
    reply = ask(gateway, "flux-1.1-pro")
    assert (reply.status_code, error_code(reply)) == (500, "upstream_bad_response")
    assert reply.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("spoil", ["cmyk", "sixteen_bit", "animated"])
def test_an_unusual_file_is_made_a_usual_one_or_refused(gateway: Running, spoil: str) -> None:
    gateway.script(vendor="replicate", then={"image": {"spoil": spoil}})
    reply = ask(gateway, "flux-1.1-pro", response_format="b64_json", size="512x512")
    if reply.status_code == 200:
        image = image_of(reply.json()["data"][0])
        assert (image.format, image.size) == ("PNG", (512, 512))
    else:
        assert error_code(reply) == "upstream_bad_response"


def test_another_type_than_asked_is_recognised_by_its_bytes_and_converted(gateway: Running) -> None:
    gateway.script(vendor="replicate", then={"image": {"format": "jpeg"}})
    reply = ask(gateway, "flux-1.1-pro", response_format="b64_json")
    assert image_of(reply.json()["data"][0]).format == "PNG"
    assert "format" in reply.headers["x-samurai-emulated"]


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "https://127.0.0.1/x.png",
        "file:///etc/passwd",
        "https://replicate.delivery@evil.example/x.png",
        "https://evil.example/x.png",
    ],
)
def test_a_vendors_link_to_a_foreign_place_is_never_followed(gateway: Running, url: str) -> None:
    gateway.script(vendor="replicate", then={"output_url": url})
    reply = ask(gateway, "flux-1.1-pro")
    assert (reply.status_code, error_code(reply)) == (500, "upstream_bad_response")


def test_no_download_carries_a_credential(gateway: Running) -> None:
    assert ask(gateway, "flux-1.1-pro", n=2).status_code == 200
    assert ask(gateway, "ideogram-v3", n=2).status_code == 200
    assert gateway.ledger()["leaks"] == []


def test_a_vendors_extras_reach_it_only_through_the_routes_allow_list(gateway: Running) -> None:
    reply = ask(gateway, "ideogram-v3", provider_options={"negative_prompt": "fog", "seed": 7})
    assert reply.status_code == 200
    calls = httpx2.get(f"{gateway.sandbox_url}/sandbox/calls").json()["calls"]
    sent = next(call["body"] for call in calls if call["operation"] == "create")
    assert (sent["negative_prompt"], sent["seed"]) == ("fog", 7)
    refused = ask(gateway, "ideogram-v3", provider_options={"rendering_speed": "QUALITY"})
    assert (refused.status_code, error_code(refused)) == (400, "unknown_parameter")
    assert refused.json()["error"]["param"] == "provider_options.rendering_speed"


def test_hints_that_a_model_cannot_take_are_named(gateway: Running) -> None:
    reply = ask(gateway, "flux-schnell", quality="hd", style="vivid", moderation="low")
    assert reply.status_code == 200
    assert reply.headers["x-samurai-ignored"] == "quality,style,moderation"


def test_a_quality_is_passed_on_where_the_model_has_it_and_priced(gateway: Running) -> None:
    reply = ask(gateway, "dall-e-3", quality="hd")
    assert reply.status_code == 200
    assert "x-samurai-ignored" not in reply.headers
    assert float(reply.headers["x-samurai-cost-usd"]) == 0.19


def test_a_failure_after_the_first_event_is_an_event_itself(gateway: Running) -> None:
    gateway.script(vendor="vertex", operation="create", then={"error": "vertex.internal_500", "latency_s": 0.5})
    reply = ask(gateway, "imagen-3", n=2, size="256x256", stream=True, quality="high")
    events = [line.removeprefix("event: ") for line in reply.text.splitlines() if line.startswith("event: ")]
    assert reply.status_code == 200
    assert events == ["image_generation.completed", "error"]
    last = json.loads(reply.text.splitlines()[-2].removeprefix("data: "))
    assert (last["type"], last["error"]["code"]) == ("error", "upstream_error")
    assert reply.headers["x-samurai-ignored"] == "quality"
    assert reply.headers["x-samurai-served-by"] == "vertex/gemini-3.1-flash-image"


def test_a_failure_before_the_first_event_is_an_ordinary_error(gateway: Running) -> None:
    gateway.script(vendor="openai", operation="create", then={"error": "openai.moderation_blocked"})
    reply = ask(gateway, "dall-e-3", stream=True)
    assert (reply.status_code, error_code(reply)) == (400, "content_policy_violation")


def test_what_was_bought_for_a_client_that_hung_up_is_finished_and_stored(gateway: Running) -> None:
    gateway.script(vendor="openai", operation="create", then={"latency_s": 0.5})
    before = metric(gateway, 'samurai_image_bytes_total{model="dall-e-3"}')
    with pytest.raises(httpx2.ReadTimeout):
        httpx2.post(
            f"{gateway.base_url}/v1/images/generations",
            headers={"authorization": f"Bearer {gateway.key}"},
            json={"model": "dall-e-3", "prompt": "nobody waits for this"},
            timeout=httpx2.Timeout(5, read=0.2),
        )
    deadline = time.monotonic() + 20
    while metric(gateway, 'samurai_image_bytes_total{model="dall-e-3"}') == before:
        assert time.monotonic() < deadline
    assert charged(gateway) == 1


def metric(gateway: Running, name: str) -> float:
    lines = httpx2.get(f"{gateway.admin_url}/metrics").text.splitlines()
    return next(float(line.removeprefix(name)) for line in lines if line.startswith(name))


def image_of(entry: dict[str, str]) -> Image.Image:
    image = Image.open(io.BytesIO(base64.b64decode(entry["b64_json"], validate=True)))
    image.load()
    return image
