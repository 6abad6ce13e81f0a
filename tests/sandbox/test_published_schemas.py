"""Every kind of reply that the sandbox gives, against what the vendor publishes."""

from typing import Any

import httpx2
import orjson
import pytest

from gateway.sandbox.catalogue import CATALOGUE
from gateway.sandbox.server import Sandbox
from tests.sandbox import published
from tests.sandbox.conftest import GEMINI, IDEOGRAM, IMAGES, MODELS, PRO, SCHNELL, Vendors, gemini_body
from tests.sandbox.published import check, openapi, vertex

REPLICATE = "replicate.openapi.json"
OPENAI = "openai.images.openapi.json"
PREDICTION = "schemas_prediction_response"
V2 = "/ideogram/v2/image/generate/ideogram-3"


@pytest.mark.parametrize(
    "then",
    [
        {},
        {"refuse": "nsfw"},
        {"refuse": "nsfw_some"},
        {"refuse": "sensitive"},
        {"life": "stuck_processing"},
        {"life": "stuck_starting"},
        {"life": "fails"},
        {"data_uris": True},
    ],
)
@pytest.mark.parametrize("path", [SCHNELL, PRO])
async def test_predictions_have_only_the_published_fields_all_their_life(
    sandbox: Sandbox, vendors: Vendors, path: str, then: dict[str, object]
) -> None:
    schema = openapi(REPLICATE, PREDICTION)
    sandbox.state.script("replicate", then=then)
    headers = {"Cancel-After": "5m"} | ({"Prefer": "wait=1"} if "life" not in then else {})
    created = await vendors.replicate.post(path, json={"input": {"prompt": "x"}}, headers=headers)
    check(created.json(), schema)
    urls = created.json()["urls"]
    check((await vendors.replicate.get(urls["get"])).json(), schema)
    check((await vendors.replicate.post(urls["cancel"])).json(), schema)
    sandbox.state.clock.advance(7200)
    check((await vendors.replicate.get(urls["get"])).json(), schema)
    check(
        (await vendors.replicate.get("/replicate/v1/predictions")).json(),
        openapi(REPLICATE, "schemas_paginated_prediction_response"),
    )
    model = path.removesuffix("/predictions")
    check((await vendors.replicate.get(model)).json(), openapi(REPLICATE, "schemas_model_response"))


async def test_openai_s_images_have_only_the_published_fields(vendors: Vendors, old_vendors: Vendors) -> None:
    schema = openapi(OPENAI, "ImagesResponse")
    order = {"prompt": "x", "n": 1}
    check((await vendors.openai.post(IMAGES, json=order | {"model": "gpt-image-2"})).json(), schema)
    for model, answer in (("dall-e-2", "url"), ("dall-e-3", "url"), ("dall-e-3", "b64_json")):
        body = order | {"model": model, "response_format": answer}
        check((await old_vendors.openai.post(IMAGES, json=body)).json(), schema)


async def test_openai_s_events_have_only_the_published_fields(vendors: Vendors) -> None:
    body = {"model": "gpt-image-2", "prompt": "x", "stream": True, "partial_images": 1}
    lines = (await vendors.openai.post(IMAGES, json=body)).text.splitlines()
    partial, completed = (orjson.loads(line[6:]) for line in lines if line.startswith("data: "))
    check(partial, openapi(OPENAI, "ImageGenPartialImageEvent"))
    check(completed, openapi(OPENAI, "ImageGenCompletedEvent"))


async def test_openai_s_models_and_errors_have_their_shape(vendors: Vendors) -> None:
    models = (await vendors.openai.get("/openai/v1/models")).json()
    for model in models["data"]:
        check(model, published.OPENAI_MODEL)
    refused = await vendors.openai.post(IMAGES, json={"model": "gpt-image-2", "prompt": "x", "n": 99})
    check(refused.json(), published.OPENAI_ERROR)
    for name, error in CATALOGUE.items():
        if name.startswith("openai.") and isinstance(error.body, dict) and "moderation" not in name:
            check(error.body, published.OPENAI_ERROR)


@pytest.mark.parametrize("then", [{}, {"refuse": "unsafe_some"}, {"refuse": "unsafe"}])
async def test_ideogram_v1_has_only_the_published_fields(
    sandbox: Sandbox, vendors: Vendors, then: dict[str, object]
) -> None:
    sandbox.state.script("ideogram", then=then)
    reply = await vendors.ideogram.post(IDEOGRAM, json={"prompt": "x", "num_images": 2, "style_type": "DESIGN"})
    check(reply.json(), openapi("ideogram.openapi.json", "ImageGenerationResponseV3"))


async def test_ideogram_s_safety_error_has_the_published_shape() -> None:
    check(CATALOGUE["ideogram.safety_422"].body, openapi("ideogram.openapi.json", "GenerateImageSafetyError"))


@pytest.mark.parametrize("then", [{}, {"refuse": "policy_failure"}, {"life": "stuck_processing"}])
async def test_ideogram_v2_has_only_the_documented_fields(
    sandbox: Sandbox, vendors: Vendors, then: dict[str, object]
) -> None:
    check((await vendors.ideogram.post(V2, json={"prompt": "x"})).json(), published.V2_REPLY)
    check((await vendors.ideogram.post(f"{V2}?dry_run=true", json={"prompt": "x"})).json(), published.V2_QUOTE)
    sandbox.state.script("ideogram", then=then)
    begun = (await vendors.ideogram.post(V2, json={"prompt": "x", "async": True})).json()
    check(begun, published.V2_REPLY)
    polled = await vendors.ideogram.get(f"/ideogram/v2/generations/{begun['generation_id']}")
    check(polled.json(), published.V2_GENERATION)


@pytest.mark.parametrize(
    "then",
    [{}, *({"refuse": refusal} for refusal in ("block_reason", "image_safety", "text_only", "no_image"))],
)
async def test_gemini_has_only_the_published_fields(
    sandbox: Sandbox, vendors: Vendors, then: dict[str, object]
) -> None:
    sandbox.state.script("vertex", then=then)
    reply = await vendors.vertex.post(GEMINI, json=gemini_body(responseModalities=["TEXT", "IMAGE"]))
    check(reply.json(), vertex("GenerateContentResponse"))


@pytest.mark.parametrize(
    "then",
    [{}, *({"refuse": one} for one in ("rai_some", "rai_all", "rai_missing", "rai_silent", "positive_prompt"))],
)
async def test_imagen_has_only_the_documented_fields(
    old_sandbox: Sandbox, old_vendors: Vendors, then: dict[str, object]
) -> None:
    old_sandbox.state.script("vertex", then=then)
    parameters = {"sampleCount": 2, "includeRaiReason": True, "enhancePrompt": True}
    body = {"instances": [{"prompt": "x"}], "parameters": parameters}
    reply: httpx2.Response = await old_vendors.vertex.post(f"{MODELS}/imagen-3.0-generate-002:predict", json=body)
    check(reply.json(), published.IMAGEN_REPLY)
    check(reply.json(), vertex("PredictResponse"))


def test_the_check_itself_sees_a_field_too_many_and_a_wrong_type() -> None:
    good: dict[str, Any] = {"generation_id": "a", "status": "pending", "created": "b"}
    check(good, published.V2_GENERATION)
    for bad in (good | {"more": 1}, good | {"status": "x"}, {"status": "pending"}):
        with pytest.raises(AssertionError):
            check(bad, published.V2_GENERATION)


def test_the_published_documents_are_closed_too() -> None:
    schema = openapi(REPLICATE, PREDICTION)
    assert schema["additionalProperties"] is False
    with pytest.raises(AssertionError):
        check({"id": "x", "surprise": 1}, schema)
    assert vertex("Candidate")["properties"]["content"]["additionalProperties"] is False
