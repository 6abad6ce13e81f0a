from typing import Any

import pytest

from gateway.sandbox.server import Sandbox
from tests.sandbox.conftest import GEMINI, MODELS, Vendors, gemini_body
from tests.sandbox.images import seen_in_base64

IMAGEN = f"{MODELS}/imagen-3.0-generate-002:predict"


def blob_of(reply: dict[str, Any]) -> dict[str, str]:
    blobs = [part["inlineData"] for part in reply["candidates"][0]["content"]["parts"] if "inlineData" in part]
    assert len(blobs) == 1
    blob: dict[str, str] = blobs[0]
    return blob


def imagen(**parameters: object) -> dict[str, object]:
    return {"instances": [{"prompt": "a crane"}], "parameters": parameters}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, ("PNG", (1024, 1024))),
        ({"imageConfig": {"imageSize": "512"}}, ("PNG", (512, 512))),
        (
            {"imageConfig": {"imageSize": "1K", "imageOutputOptions": {"mimeType": "image/jpeg"}}},
            ("JPEG", (1024, 1024)),
        ),
        ({"responseFormat": [{"image": {"imageSize": "IMAGE_SIZE_FIVE_TWELVE"}}]}, ("PNG", (512, 512))),
        (
            {"responseFormat": [{"image": {"aspectRatio": "ASPECT_RATIO_ONE_BY_ONE", "mimeType": "IMAGE_JPEG"}}]},
            ("JPEG", (1024, 1024)),
        ),
        ({"imageConfig": {"imageSize": "2K"}}, ("PNG", (2048, 2048))),
    ],
)
async def test_gemini_makes_one_image_of_the_size_and_type_asked_for(
    sandbox: Sandbox, vendors: Vendors, config: dict[str, object], expected: tuple[str, tuple[int, int]]
) -> None:
    reply = (await vendors.vertex.post(GEMINI, json=gemini_body("a crane", **config))).json()
    blob = blob_of(reply)
    picture = seen_in_base64(blob["data"])
    assert (picture.format, picture.size) == expected
    assert blob["mimeType"] == f"image/{expected[0].lower()}"
    assert reply["candidates"][0]["finishReason"] == "STOP"
    assert (sandbox.ledger.images_charged(), sandbox.ledger.images_delivered()) == (1, 1)


@pytest.mark.parametrize(
    "body",
    [
        gemini_body(imageConfig={"imageSize": "8K"}),
        gemini_body(imageConfig={"size": "1K"}),
        gemini_body(responseFormat={"image": {}}),
        gemini_body(responseFormat=[{"image": {"mimeType": "IMAGE_PNG"}}]),
        gemini_body(imageConfig={}, responseFormat=[{"image": {}}]),
        gemini_body(candidateCount=2),
        gemini_body(sampleCount=2),
        gemini_body("") | {"contents": []},
        {"contents": [{"parts": [{"text": "x"}]}]},
        {**gemini_body(), "prompt": "x"},
    ],
)
async def test_what_generate_content_does_not_know_is_an_invalid_argument(
    sandbox: Sandbox, vendors: Vendors, body: dict[str, object]
) -> None:
    reply = await vendors.vertex.post(GEMINI, json=body)
    assert (reply.status_code, reply.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert sandbox.ledger.images_charged() == 0


async def test_sizes_are_each_model_s_own(vendors: Vendors) -> None:
    small = gemini_body(imageConfig={"imageSize": "512"})
    for model in ("gemini-3.1-flash-lite-image", "gemini-3-pro-image"):
        assert (await vendors.vertex.post(f"{MODELS}/{model}:generateContent", json=small)).status_code == 400


async def test_text_comes_along_when_it_is_asked_for(vendors: Vendors) -> None:
    reply = (await vendors.vertex.post(GEMINI, json=gemini_body(responseModalities=["TEXT", "IMAGE"]))).json()
    assert "text" in reply["candidates"][0]["content"]["parts"][0]
    assert blob_of(reply)["data"]


@pytest.mark.parametrize(
    ("refusal", "finish"),
    [("image_safety", "IMAGE_SAFETY"), ("no_image", "NO_IMAGE"), ("text_only", "STOP"), ("block_reason", None)],
)
async def test_gemini_s_refusals_come_with_a_200_and_are_not_charged(
    sandbox: Sandbox, vendors: Vendors, refusal: str, finish: str | None
) -> None:
    sandbox.state.script("vertex", then={"refuse": refusal})
    reply = await vendors.vertex.post(GEMINI, json=gemini_body())
    assert reply.status_code == 200
    if finish is None:
        assert reply.json()["promptFeedback"]["blockReason"] == "PROHIBITED_CONTENT"
        assert "candidates" not in reply.json()
    else:
        assert reply.json()["candidates"][0]["finishReason"] == finish
    assert "inlineData" not in reply.text
    assert sandbox.ledger.images_charged() == 0


async def test_imagen_is_gone_as_it_is_at_google(vendors: Vendors) -> None:
    reply = await vendors.vertex.post(IMAGEN, json=imagen())
    assert (reply.status_code, reply.json()["error"]["status"]) == (404, "NOT_FOUND")


async def test_imagen_makes_a_batch_where_retired_models_are_spoken(old_sandbox: Sandbox, old_vendors: Vendors) -> None:
    body = imagen(sampleCount=3, seed=1, addWatermark=False, outputOptions={"mimeType": "image/jpeg"})
    reply = (await old_vendors.vertex.post(IMAGEN, json=body)).json()
    pictures = [seen_in_base64(one["bytesBase64Encoded"]) for one in reply["predictions"]]
    assert {(one.format, one.size) for one in pictures} == {("JPEG", (1024, 1024))}
    assert len({one.pixels for one in pictures}) == 3
    assert old_sandbox.ledger.images_charged() == 3


@pytest.mark.parametrize(
    "parameters",
    [
        {"sampleCount": 5},
        {"sampleCount": 0},
        {"seed": 1},
        {"seed": 1, "addWatermark": True},
        {"aspectRatio": "2:1"},
        {"sampleImageSize": "1K"},
        {"outputOptions": {"mimeType": "image/webp"}},
        {"numberOfImages": 2},
        {"storageUri": "https://bucket"},
        {"language": "xx"},
    ],
)
async def test_imagen_refuses_parameters_that_it_does_not_take(
    old_sandbox: Sandbox, old_vendors: Vendors, parameters: dict[str, object]
) -> None:
    reply = await old_vendors.vertex.post(IMAGEN, json=imagen(**parameters))
    assert (reply.status_code, reply.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert old_sandbox.ledger.images_charged() == 0


@pytest.mark.parametrize(
    ("then", "images", "with_reason"),
    [
        ({"refuse": "rai_some", "drop": 2}, 2, True),
        ({"refuse": "rai_all"}, 0, True),
        ({"refuse": "rai_silent", "drop": 1}, 3, False),
    ],
)
async def test_filtered_images_are_missing_and_not_charged(
    old_sandbox: Sandbox, old_vendors: Vendors, then: dict[str, object], images: int, *, with_reason: bool
) -> None:
    old_sandbox.state.script("vertex", then=then)
    reply = await old_vendors.vertex.post(IMAGEN, json=imagen(sampleCount=4, includeRaiReason=True))
    predictions = reply.json()["predictions"]
    assert sum("bytesBase64Encoded" in one for one in predictions) == images
    assert any("raiFilteredReason" in one for one in predictions) is with_reason
    assert old_sandbox.ledger.images_charged() == images


async def test_predictions_may_be_absent_altogether(old_sandbox: Sandbox, old_vendors: Vendors) -> None:
    old_sandbox.state.script("vertex", then={"refuse": "rai_missing"})
    assert (await old_vendors.vertex.post(IMAGEN, json=imagen())).json() == {}


async def test_a_storage_address_gets_names_instead_of_bytes(old_vendors: Vendors) -> None:
    reply = await old_vendors.vertex.post(IMAGEN, json=imagen(storageUri="gs://bucket/a", sampleCount=2))
    assert [one["gcsUri"] for one in reply.json()["predictions"]] == [
        "gs://bucket/a/sample_0.png",
        "gs://bucket/a/sample_1.png",
    ]


async def test_a_place_that_does_not_exist_is_html(vendors: Vendors) -> None:
    reply = await vendors.vertex.post(GEMINI.replace("/global/", "/atlantis/"), json=gemini_body())
    assert (reply.status_code, reply.headers["content-type"]) == (404, "text/html; charset=UTF-8")


async def test_without_a_good_token_google_challenges(sandbox: Sandbox, vendors: Vendors) -> None:
    missing = await vendors.nobody.post(GEMINI, json=gemini_body())
    assert (missing.status_code, missing.json()["error"]["status"]) == (401, "UNAUTHENTICATED")
    assert missing.headers["www-authenticate"].startswith("Bearer")
    sandbox.state.clock.advance(3600)
    assert (await vendors.vertex.post(GEMINI, json=gemini_body())).status_code == 401


async def test_models_and_token_counts_can_be_asked_for_free(sandbox: Sandbox, vendors: Vendors) -> None:
    model = await vendors.vertex.get("/vertex/v1/publishers/google/models/gemini-3.1-flash-image")
    assert model.json()["name"] == "publishers/google/models/gemini-3.1-flash-image"
    count = await vendors.vertex.post(
        GEMINI.replace(":generateContent", ":countTokens"), json={"contents": gemini_body()["contents"]}
    )
    assert count.json()["totalTokens"] == 2
    assert sandbox.ledger.images_charged() == 0
