"""Imagen on Vertex AI: where it is, what is sent, and the seed against the watermark."""

import pytest

from gateway.domain.exchange import Delivered
from gateway.domain.picture import ImageFormat, Size
from gateway.vendors.vertex_predict import DIALECT
from tests.vendors.making import PROMPT, account, reply, shot

NAME, MODEL = "vertex_predict", "imagen-3.0-generate-002"
PATH = "publishers/google/models/imagen-3.0-generate-002:predict"


@pytest.mark.parametrize(
    ("location", "origin"),
    [
        ("us-central1", "https://us-central1-aiplatform.googleapis.com"),
        ("global", "https://aiplatform.googleapis.com"),
        (None, "https://aiplatform.googleapis.com"),
        ("eu", "https://aiplatform.eu.rep.googleapis.com"),
        ("us", "https://aiplatform.us.rep.googleapis.com"),
    ],
)
def test_the_host_follows_the_location(location: str | None, origin: str) -> None:
    call = DIALECT.call_for(shot(NAME, MODEL), account(NAME, location=location))
    assert call.url == f"{origin}/v1/projects/paper-boats-1/locations/{location or 'global'}/{PATH}"


def test_a_location_cannot_lead_to_another_host() -> None:
    call = DIALECT.call_for(shot(NAME, MODEL), account(NAME, location="evil.example/x?"))
    assert call.url.startswith("https://evil.example%2Fx%3F-aiplatform.googleapis.com/v1/")


def test_an_account_without_a_project_is_told_so() -> None:
    with pytest.raises(ValueError, match="a4"):
        DIALECT.call_for(shot(NAME, MODEL), account(NAME, project=None))


def test_the_reason_of_a_filtered_image_is_always_asked_for() -> None:
    assert DIALECT.call_for(shot(NAME, MODEL, count=4), account(NAME)).json == {
        "instances": [{"prompt": PROMPT}],
        "parameters": {
            "sampleCount": 4,
            "aspectRatio": "1:1",
            "outputOptions": {"mimeType": "image/png"},
            "includeRaiReason": True,
        },
    }


def test_a_seed_switches_the_watermark_off_since_they_exclude_each_other() -> None:
    sent = (DIALECT.call_for(shot(NAME, MODEL, seed=2**31 + 7), account(NAME)).json or {})["parameters"]
    assert (sent["seed"], sent["addWatermark"]) == (7, False)


def test_an_operator_who_asks_for_the_watermark_keeps_it_and_the_seed_goes() -> None:
    asked = shot(NAME, MODEL, seed=7, options={"addWatermark": True})
    sent = (DIALECT.call_for(asked, account(NAME)).json or {})["parameters"]
    assert sent["addWatermark"] is True
    assert "seed" not in sent


def test_two_thousand_pixels_are_asked_of_imagen_4_only() -> None:
    large = shot(NAME, "imagen-4.0-generate-001", size=Size(2048, 2048), format=ImageFormat.JPEG)
    sent = (DIALECT.call_for(large, account(NAME)).json or {})["parameters"]
    assert (sent["sampleImageSize"], sent["outputOptions"]) == ("2K", {"mimeType": "image/jpeg"})
    assert Size(2048, 2048) not in DIALECT.capabilities(MODEL).sizes


def test_labels_stand_beside_the_parameters() -> None:
    body = DIALECT.call_for(shot(NAME, MODEL, options={"labels": {"team": "boats"}}), account(NAME)).json or {}
    assert body["labels"] == {"team": "boats"}
    assert "labels" not in body["parameters"]


def test_more_filtered_than_are_missing_is_not_believed() -> None:
    said = {"raiFilteredReason": "filtered out 300 generated images"}
    body = {"predictions": [{"bytesBase64Encoded": "aGk="}, said]}
    outcome = DIALECT.outcome_of(reply(body), shot(NAME, MODEL, count=3), account(NAME))
    assert isinstance(outcome, Delivered)
    assert (outcome.withheld, outcome.billed) == (2, 1)


def test_all_of_imagen_is_marked_as_gone_and_a_private_model_is_not() -> None:
    assert {DIALECT.capabilities(model).shutdown_date for model in DIALECT.known_models} == {"2026-06-30"}
    assert DIALECT.capabilities("our-own-imagen").shutdown_date is None
