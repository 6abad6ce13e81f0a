"""OpenAI: the two profiles, and the model table."""

import pytest

from gateway.domain.catalogue import Grid
from gateway.domain.exchange import Delivered, Inline
from gateway.domain.picture import ImageFormat, Size
from gateway.vendors.openai_images import DIALECT
from tests.vendors.making import PROMPT, account, reply, shot

NAME = "openai_images"
GPT = "gpt-image-2"


def test_gpt_image_is_asked_for_what_it_knows_and_never_for_a_response_format() -> None:
    asked = shot(NAME, GPT, count=3, end_user="5f5f", quality="high", moderation="low")
    call = DIALECT.call_for(asked, account(NAME))
    assert call.url == "https://api.openai.com/v1/images/generations"
    assert call.json == {
        "model": GPT,
        "prompt": PROMPT,
        "n": 3,
        "size": "1024x1024",
        "output_format": "png",
        "quality": "high",
        "moderation": "low",
        "safety_identifier": "5f5f",
    }


def test_dall_e_is_asked_for_base64_with_its_own_words() -> None:
    asked = shot(NAME, "dall-e-3", end_user="5f5f", quality="hd", style="natural", size=Size(1792, 1024))
    assert DIALECT.call_for(asked, account(NAME)).json == {
        "model": "dall-e-3",
        "prompt": PROMPT,
        "n": 1,
        "size": "1792x1024",
        "quality": "hd",
        "style": "natural",
        "response_format": "b64_json",
        "user": "5f5f",
    }


def test_an_operator_may_prefer_links_of_dall_e() -> None:
    asked = shot(NAME, "dall-e-2", options={"response_format": "url"})
    assert (DIALECT.call_for(asked, account(NAME)).json or {})["response_format"] == "url"


def test_compression_is_sent_for_lossy_formats_only() -> None:
    for format_, sent in ((ImageFormat.PNG, False), (ImageFormat.JPEG, True), (ImageFormat.WEBP, True)):
        asked = shot(NAME, GPT, format=format_, options={"output_compression": 70})
        body = DIALECT.call_for(asked, account(NAME)).json or {}
        assert ("output_compression" in body) is sent
        assert body["output_format"] == format_.value


def test_a_transparent_background_is_the_callers_whatever_the_operator_set() -> None:
    asked = shot(NAME, GPT, transparent=True, options={"background": "opaque"})
    assert (DIALECT.call_for(asked, account(NAME)).json or {})["background"] == "transparent"
    assert "background" not in (DIALECT.call_for(shot(NAME, GPT), account(NAME)).json or {})


def test_the_reply_limit_grows_with_the_number_of_images() -> None:
    limits = [DIALECT.call_for(shot(NAME, GPT, count=count), account(NAME)).limit_bytes for count in (1, 10)]
    assert limits == [25_000_000, 241_000_000]


@pytest.mark.parametrize("text", ["\x00lifted:3", "aGVsbG8=", "not base64 at all"])
def test_base64_is_handed_on_as_it_stands(text: str) -> None:
    outcome = DIALECT.outcome_of(reply({"created": 1, "data": [{"b64_json": text}]}), shot(NAME, GPT), account(NAME))
    assert isinstance(outcome, Delivered)
    assert outcome.pictures[0].source == Inline(text)


@pytest.mark.parametrize(
    ("model", "gone"),
    [
        ("dall-e-2", "2026-05-12"),
        ("dall-e-3", "2026-05-12"),
        ("gpt-image-1", "2026-10-23"),
        ("gpt-image-1-mini", "2026-12-01"),
        ("gpt-image-1.5", "2026-12-01"),
        ("chatgpt-image-latest", "2026-12-01"),
        ("gpt-image-2", None),
        ("gpt-image-2.6-flare", None),
        ("a-model-of-tomorrow", None),
    ],
)
def test_the_day_of_a_models_end_is_known(model: str, gone: str | None) -> None:
    assert DIALECT.capabilities(model).shutdown_date == gone


@pytest.mark.parametrize("model", [GPT, "gpt-image-2.5-sunburst", "gpt-image-2.6-flare"])
def test_models_from_gpt_image_2_on_take_any_size_of_the_rule(model: str) -> None:
    grid = DIALECT.capabilities(model).grid
    assert grid == Grid(step=16, min_edge=16, max_edge=3840, min_pixels=655_360, max_pixels=8_294_400, max_ratio=3)


def test_qualities_are_the_models_own_words() -> None:
    assert set(DIALECT.capabilities(GPT).qualities) == {"low", "medium", "high"}
    assert set(DIALECT.capabilities("gpt-image-2.5-flare").qualities) == {"low", "medium", "high", "xhigh", "max"}
    assert DIALECT.capabilities("dall-e-3").qualities == {"medium": "standard", "high": "hd"}
    assert DIALECT.capabilities("dall-e-3").styles == ("vivid", "natural")
    assert DIALECT.capabilities(GPT).styles == ()


def test_another_server_is_spoken_to_under_its_own_base() -> None:
    there = account(NAME, base_url="http://127.0.0.1:9000/openai/v1")
    assert DIALECT.call_for(shot(NAME, GPT), there).url == "http://127.0.0.1:9000/openai/v1/images/generations"
    assert DIALECT.probe_for(there).url == "http://127.0.0.1:9000/openai/v1/models"
