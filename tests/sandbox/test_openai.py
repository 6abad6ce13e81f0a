from typing import Any

import orjson
import pytest

from gateway.sandbox.server import Sandbox
from tests.sandbox.conftest import IMAGES, Vendors
from tests.sandbox.images import seen, seen_in_base64


def order(**more: object) -> dict[str, object]:
    return {"model": "gpt-image-2", "prompt": "a crane", **more}


async def test_a_batch_holds_as_many_different_images_as_asked_for(sandbox: Sandbox, vendors: Vendors) -> None:
    reply = (await vendors.openai.post(IMAGES, json=order(n=3))).json()
    pictures = [seen_in_base64(item["b64_json"]) for item in reply["data"]]
    assert {(one.format, one.size) for one in pictures} == {("PNG", (1024, 1024))}
    assert len({one.pixels for one in pictures}) == 3
    assert (reply["size"], reply["quality"], reply["output_format"]) == ("1024x1024", "medium", "png")
    assert reply["usage"]["total_tokens"] > reply["usage"]["output_tokens"] > 0
    assert (sandbox.ledger.images_charged(), sandbox.ledger.images_delivered()) == (3, 3)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"output_format": "jpeg", "size": "1536x1024"}, ("JPEG", (1536, 1024))),
        ({"output_format": "webp", "output_compression": 50}, ("WEBP", (1024, 1024))),
        ({"size": "832x800"}, ("PNG", (832, 800))),
        ({"size": "auto"}, ("PNG", (1024, 1024))),
    ],
)
async def test_the_image_has_the_size_and_type_asked_for(
    vendors: Vendors, more: dict[str, object], expected: tuple[str, tuple[int, int]]
) -> None:
    reply = (await vendors.openai.post(IMAGES, json=order(**more))).json()
    picture = seen_in_base64(reply["data"][0]["b64_json"])
    assert (picture.format, picture.size) == expected


@pytest.mark.parametrize(
    ("more", "code", "param"),
    [
        ({"response_format": "url"}, "unknown_parameter", "response_format"),
        ({"style": "vivid"}, "unknown_parameter", "style"),
        ({"complexity": "low"}, "unknown_parameter", "complexity"),
        ({"n": 11}, "integer_above_max_value", "n"),
        ({"n": 0}, "integer_below_min_value", "n"),
        ({"n": "2"}, "invalid_type", "n"),
        ({"prompt": "x" * 32_001}, "string_above_max_length", "prompt"),
        ({"prompt": None}, "missing_required_parameter", "prompt"),
        ({"quality": "xhigh"}, "invalid_value", "quality"),
        ({"size": "512x512"}, "invalid_value", "size"),
        ({"size": "1000x1000"}, "invalid_value", "size"),
        ({"size": "3856x1024"}, "invalid_value", "size"),
        ({"size": "3200x1024"}, "invalid_value", "size"),
        ({"size": "big"}, "invalid_value", "size"),
        ({"partial_images": 2}, "invalid_value", "partial_images"),
        ({"background": "transparent", "output_format": "jpeg"}, "invalid_value", "background"),
        ({"output_compression": 50}, "invalid_value", "output_compression"),
    ],
)
async def test_what_the_model_does_not_take_is_a_400_that_names_the_parameter(
    sandbox: Sandbox, vendors: Vendors, more: dict[str, object], code: str, param: str
) -> None:
    reply = await vendors.openai.post(IMAGES, json=order(**more))
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (400, code, param)
    assert set(error) == {"message", "type", "param", "code"}
    assert sandbox.ledger.images_charged() == 0


@pytest.mark.parametrize("model", ["dall-e-2", "dall-e-3", "gpt-image-1", "gpt-image-0"])
async def test_a_model_that_was_shut_down_does_not_exist(vendors: Vendors, model: str) -> None:
    reply = await vendors.openai.post(IMAGES, json=order(model=model))
    assert reply.status_code == 400
    assert reply.json()["error"]["type"] == "image_generation_user_error"
    assert "does not exist" in reply.json()["error"]["message"]


async def test_the_schema_s_default_model_is_dead(vendors: Vendors) -> None:
    reply = await vendors.openai.post(IMAGES, json={"prompt": "x"})
    assert "dall-e-2" in reply.json()["error"]["message"]


async def test_dall_e_3_speaks_links_revised_prompts_and_one_image_at_a_time(old_vendors: Vendors) -> None:
    reply = (await old_vendors.openai.post(IMAGES, json=order(model="dall-e-3", style="vivid"))).json()
    assert set(reply["data"][0]) == {"url", "revised_prompt"}
    assert seen((await old_vendors.nobody.get(reply["data"][0]["url"])).content).size == (1024, 1024)
    refused = await old_vendors.openai.post(IMAGES, json=order(model="dall-e-3", n=2))
    assert refused.json()["error"]["param"] == "n"
    text = (await old_vendors.openai.post(IMAGES, json=order(model="dall-e-3", response_format="b64_json"))).json()
    assert seen_in_base64(text["data"][0]["b64_json"]).format == "PNG"


async def test_a_dall_e_link_lives_an_hour(old_sandbox: Sandbox, old_vendors: Vendors) -> None:
    reply = (await old_vendors.openai.post(IMAGES, json=order(model="dall-e-2", size="256x256"))).json()
    old_sandbox.state.clock.advance(3601)
    assert (await old_vendors.nobody.get(reply["data"][0]["url"])).status_code == 403


async def test_a_stream_sends_partial_images_and_then_each_one_complete(sandbox: Sandbox, vendors: Vendors) -> None:
    reply = await vendors.openai.post(IMAGES, json=order(n=2, stream=True, partial_images=1))
    assert reply.headers["content-type"].startswith("text/event-stream")
    events: list[dict[str, Any]] = [
        orjson.loads(line.removeprefix("data: ")) for line in reply.text.splitlines() if line.startswith("data: ")
    ]
    kinds = [event["type"].removeprefix("image_generation.") for event in events]
    assert kinds == ["partial_image", "partial_image", "completed", "completed"]
    assert all(seen_in_base64(event["b64_json"]).size == (1024, 1024) for event in events)
    assert (sandbox.ledger.images_charged(), sandbox.ledger.images_delivered()) == (2, 2)


async def test_a_transparent_picture_has_an_alpha_channel(vendors: Vendors) -> None:
    reply = (await vendors.openai.post(IMAGES, json=order(background="transparent"))).json()
    picture = seen_in_base64(reply["data"][0]["b64_json"])
    assert len(picture.pixels) == 32 * 32 * 4
    assert min(picture.pixels[3::4]) == 0


async def test_the_list_shows_living_models_with_their_shutdown_dates(vendors: Vendors) -> None:
    shown = {model["id"]: model for model in (await vendors.openai.get("/openai/v1/models")).json()["data"]}
    assert "dall-e-3" not in shown
    assert shown["gpt-image-2"]["shutdown_date"] is None
    gone = await vendors.openai.get("/openai/v1/models/dall-e-3")
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "model_not_found")


async def test_a_model_dies_on_its_shutdown_date(sandbox: Sandbox, vendors: Vendors) -> None:
    sandbox.state.clock.advance(400 * 86_400)
    reply = await vendors.openai.post(IMAGES, json=order(model="gpt-image-1.5"))
    assert "does not exist" in reply.json()["error"]["message"]


async def test_missing_and_wrong_keys_are_told_apart(vendors: Vendors) -> None:
    missing = await vendors.nobody.post(IMAGES, json=order())
    wrong = await vendors.nobody.post(IMAGES, json=order(), headers={"Authorization": "Bearer sk-wrong-key-123456"})
    assert (missing.status_code, missing.json()["error"]["code"]) == (401, None)
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (401, "invalid_api_key")
    assert "sk-wrong-key-123456" not in wrong.text
