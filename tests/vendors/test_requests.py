"""Whatever the gateway plans, a dialect emits a request that the vendor would take."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.domain.exchange import Dialect, HttpCall
from gateway.domain.job import Shot
from tests.vendors.making import DIALECTS, account, shots
from tests.vendors.validating import check, check_published, needs_shared, published_input

_FLUX = ("black-forest-labs/flux-schnell", "black-forest-labs/flux-1.1-pro")
_UNKNOWN = {
    "replicate_predictions": "some-lab/some-model",
    "openai_images": "gpt-image-9-comet",
    "ideogram_v2": "ideogram-9",
    "vertex_predict": "imagen-9.0-generate-001",
    "vertex_generate_content": "gemini-9-image",
}
# What nobody may smuggle in among the options: the prompt, the number, the size, the format, and their like.
_SMUGGLED: dict[str, dict[str, Any]] = {
    "black-forest-labs": {
        "num_outputs": 9,
        "aspect_ratio": "7:1",
        "megapixels": "9",
        "width": 1,
        "height": 1,
        "output_format": "gif",
    },
    "some-lab": {"num_outputs": 9},
    "gpt-image": {
        "model": "another",
        "n": 9,
        "size": "1x1",
        "output_format": "svg",
        "response_format": "url",
        "stream": True,
        "partial_images": 3,
        "user": "the caller's own name",
        "safety_identifier": "the caller's own name",
    },
    "dall-e": {"model": "another", "n": 9, "size": "1x1", "stream": True, "user": "the caller's own name"},
    "ideogram": {
        "num_images": 9,
        "resolution": "1x1",
        "aspect_ratio": "7x1",
    },
    "ideogram_v2": {"size": "1x1", "async": False, "webhook_url": "https://elsewhere.example/"},
    "imagen": {
        "sampleCount": 9,
        "aspectRatio": "7:1",
        "sampleImageSize": "9K",
        "outputOptions": {"mimeType": "image/gif"},
        "storageUri": "gs://elsewhere",
        "includeRaiReason": False,
    },
    "gemini": {
        "candidateCount": 9,
        "contents": [],
        "generationConfig": {},
        "imageConfig": {"imageSize": "4K"},
        "responseFormat": [],
        "responseModalities": ["TEXT"],
    },
}
_each_dialect = pytest.mark.parametrize("dialect", [pytest.param(each, id=name) for name, each in DIALECTS.items()])
_some = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def _any_shot(draw: st.DrawFn, dialect: Dialect) -> Shot:
    models = (*dialect.known_models, *filter(None, [_UNKNOWN.get(dialect.name)]))
    return draw(shots(dialect, draw(st.sampled_from(models))))


def _schema_name(dialect: Dialect, model: str) -> str:
    match dialect.name:
        case "replicate_predictions":
            return f"replicate_predictions.{model.split('/')[1] if model in _FLUX else 'other'}.request"
        case "openai_images":
            return f"openai_images.{'dall-e' if model.startswith('dall-e-') else 'gpt-image'}.request"
        case "ideogram_v2":
            return f"ideogram_v2.{model if model in ('ideogram-3', 'ideogram-4') else 'by-size'}.request"
        case name:
            return f"{name}.request"


def _call(dialect: Dialect, shot: Shot) -> HttpCall:
    return dialect.call_for(shot, account(dialect.name))


@_each_dialect
@_some
@given(data=st.data())
def test_every_request_keeps_to_our_closed_schema(dialect: Dialect, data: st.DataObject) -> None:
    shot = data.draw(_any_shot(dialect))
    call = _call(dialect, shot)
    check(_schema_name(dialect, shot.model), call.json)
    assert (call.method, call.starts_work) == ("POST", True)


@_each_dialect
@_some
@given(data=st.data())
def test_options_cannot_change_the_prompt_the_number_the_size_or_the_format(
    dialect: Dialect, data: st.DataObject
) -> None:
    shot = data.draw(_any_shot(dialect))
    stolen: dict[str, Any] = {"prompt": "another prompt"} if dialect.vendor != "vertex" else {}
    for family, names in _SMUGGLED.items():
        if family in shot.model or dialect.name == family:
            stolen |= names
    assert len(stolen) > 1
    assert _call(dialect, replace(shot, options={**shot.options, **stolen})) == _call(dialect, shot)


@needs_shared
@_each_dialect
@_some
@given(data=st.data())
def test_every_request_keeps_to_the_vendors_published_schema(dialect: Dialect, data: st.DataObject) -> None:
    shot = data.draw(_any_shot(dialect))
    body = _call(dialect, shot).json
    assert body is not None
    google = "vertex.discovery.extract.json"
    match dialect.name:
        case "replicate_predictions":
            check_published("replicate.openapi.json", "schemas_prediction_request", {**body, "input": {}})
            if shot.model in _FLUX:
                check_published(published_input(shot.model), "Input", body["input"])
        case "openai_images":
            # The SDK is ahead of the newest published document in these two.
            newer = {"safety_identifier"} | ({"quality"} if shot.quality in ("xhigh", "max") else set())
            known = {name: value for name, value in body.items() if name not in newer}
            check_published("openai.images.openapi.json", "CreateImageRequest", known)
        case "ideogram_v3":
            check_published("ideogram.openapi.json", "GenerateImageRequestV3", body)
        case "vertex_predict":
            check_published(google, "GoogleCloudAiplatformV1PredictRequest", body)
        case "vertex_generate_content":
            check_published(google, "GoogleCloudAiplatformV1GenerateContentRequest", body)
        case name:
            assert name == "ideogram_v2", "a dialect whose vendor publishes a schema must be checked against it"
