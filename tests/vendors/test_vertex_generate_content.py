"""Gemini's image models: one spelling of the size, one image a call, and the many ways to come back without."""

import pytest

from gateway.domain.errors import ErrorCode
from gateway.domain.exchange import Delivered, Fault, Next
from gateway.domain.picture import ImageFormat, Size
from gateway.vendors.vertex_generate_content import DIALECT
from tests.vendors.making import PROMPT, account, reply, shot

NAME, MODEL = "vertex_generate_content", "gemini-3.1-flash-image"


def test_the_size_is_asked_for_by_response_format() -> None:
    call = DIALECT.call_for(shot(NAME, MODEL, size=Size(512, 512), seed=3), account(NAME))
    assert call.url == (
        "https://aiplatform.googleapis.com/v1/projects/paper-boats-1/locations/global"
        "/publishers/google/models/gemini-3.1-flash-image:generateContent"
    )
    assert call.json == {
        "contents": [{"role": "user", "parts": [{"text": PROMPT}]}],
        "generationConfig": {
            "responseModalities": ["IMAGE"],
            "responseFormat": [
                {"image": {"aspectRatio": "ASPECT_RATIO_ONE_BY_ONE", "imageSize": "IMAGE_SIZE_FIVE_TWELVE"}}
            ],
            "seed": 3,
        },
    }


def test_jpeg_is_named_and_png_is_what_comes_without_a_name() -> None:
    for format_, word in ((ImageFormat.JPEG, "IMAGE_JPEG"), (ImageFormat.PNG, None)):
        body = DIALECT.call_for(shot(NAME, MODEL, format=format_), account(NAME)).json or {}
        assert body["generationConfig"]["responseFormat"][0]["image"].get("mimeType") == word


def test_a_model_of_one_size_is_not_told_it() -> None:
    body = DIALECT.call_for(shot(NAME, "gemini-3.1-flash-lite-image"), account(NAME)).json or {}
    assert "imageSize" not in body["generationConfig"]["responseFormat"][0]["image"]


def test_native_512_is_the_flash_models_alone() -> None:
    small = [model for model in DIALECT.known_models if Size(512, 512) in DIALECT.capabilities(model).sizes]
    assert small == [MODEL]
    assert {DIALECT.capabilities(model).images_per_call for model in DIALECT.known_models} == {1}


def test_options_go_where_they_belong() -> None:
    options = {
        "temperature": 0.5,
        "safetySettings": [],
        "labels": {"team": "boats"},
        "imageConfig": {"imageSize": "4K"},
    }
    body = DIALECT.call_for(shot(NAME, MODEL, options=options), account(NAME)).json or {}
    assert body["safetySettings"] == []
    assert body["labels"] == {"team": "boats"}
    assert body["generationConfig"]["temperature"] == 0.5
    assert "imageConfig" not in str(body)


@pytest.mark.parametrize(
    "end",
    ["SAFETY", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT"],
)
def test_every_safety_end_is_a_refusal(end: str) -> None:
    outcome = DIALECT.outcome_of(reply({"candidates": [{"finishReason": end}]}), shot(NAME, MODEL), account(NAME))
    assert isinstance(outcome, Fault)
    assert (outcome.code, outcome.next) == (ErrorCode.CONTENT_POLICY_VIOLATION, Next.STOP)


@pytest.mark.parametrize("reason", ["SAFETY", "OTHER", "BLOCKLIST", "IMAGE_SAFETY", "JAILBREAK", "MODEL_ARMOR"])
def test_every_blocked_prompt_is_a_refusal(reason: str) -> None:
    body = {"promptFeedback": {"blockReason": reason}}
    outcome = DIALECT.outcome_of(reply(body), shot(NAME, MODEL), account(NAME))
    assert isinstance(outcome, Fault)
    assert outcome.code is ErrorCode.CONTENT_POLICY_VIOLATION


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        ("I cannot generate images that depict violence.", True),
        ("I’m unable to help: this goes against our content policy.", True),
        ("I can't see which boat you mean.", False),
        ("Our safety first: wear a life vest.", False),
    ],
)
def test_prose_is_a_refusal_only_when_it_says_no_and_why(said: str, refused: bool) -> None:
    body = {"candidates": [{"finishReason": "STOP", "content": {"parts": [{"text": said}]}}]}
    outcome = DIALECT.outcome_of(reply(body), shot(NAME, MODEL), account(NAME))
    assert isinstance(outcome, Fault)
    assert (outcome.code is ErrorCode.CONTENT_POLICY_VIOLATION) is refused


def test_an_image_counts_even_beside_a_refused_candidate() -> None:
    good = {"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": "aGk="}}]}}
    body = {"candidates": [{"finishReason": "IMAGE_SAFETY"}, good]}
    assert isinstance(DIALECT.outcome_of(reply(body), shot(NAME, MODEL), account(NAME)), Delivered)


def test_the_probe_reads_the_catalogue() -> None:
    url = DIALECT.probe_for(account(NAME, location="europe-west4")).url
    assert url == ("https://europe-west4-aiplatform.googleapis.com/v1/publishers/google/models/gemini-3.1-flash-image")
