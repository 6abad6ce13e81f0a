"""Ideogram's v1 API: what is sent, and what is billed."""

from gateway.domain.exchange import Delivered
from gateway.domain.picture import Size
from gateway.vendors.ideogram_v3 import DIALECT
from tests.vendors.making import PROMPT, account, reply, shot

NAME, MODEL = "ideogram_v3", "ideogram-v3"


def test_the_call_names_the_resolution_and_the_number() -> None:
    asked = shot(NAME, MODEL, count=8, seed=2**31 + 5, options={"rendering_speed": "TURBO"})
    call = DIALECT.call_for(asked, account(NAME))
    assert call.url == "https://api.ideogram.ai/v1/ideogram-v3/generate"
    assert call.json == {
        "prompt": PROMPT,
        "num_images": 8,
        "resolution": "1024x1024",
        "seed": 5,
        "rendering_speed": "TURBO",
    }


def test_the_caller_cannot_ask_for_a_ratio_beside_the_resolution() -> None:
    asked = shot(NAME, MODEL, options={"aspect_ratio": "16x9"})
    assert "aspect_ratio" not in (DIALECT.call_for(asked, account(NAME)).json or {})


def test_the_only_square_size_is_1024() -> None:
    can = DIALECT.capabilities(MODEL)
    assert [size for size in can.sizes if size.width == size.height] == [Size(1024, 1024)]
    assert (len(can.sizes), can.images_per_call, can.delivers_links) == (69, 8, True)


def test_a_withheld_image_is_billed_and_a_link_without_a_verdict_is_taken() -> None:
    body = {"data": [{"url": "https://ideogram.ai/1.png"}, {"is_image_safe": False, "url": ""}]}
    outcome = DIALECT.outcome_of(reply(body), shot(NAME, MODEL, count=2), account(NAME))
    assert isinstance(outcome, Delivered)
    assert (len(outcome.pictures), outcome.withheld, outcome.billed) == (1, 1, 2)


def test_an_unsafe_image_is_never_delivered_even_with_a_link() -> None:
    images = [{"url": f"https://ideogram.ai/{n}.png", "is_image_safe": n == 1} for n in (0, 1)]
    outcome = DIALECT.outcome_of(reply({"data": images}), shot(NAME, MODEL, count=2), account(NAME))
    assert isinstance(outcome, Delivered)
    assert [each.source for each in outcome.pictures] == [type(outcome.pictures[0].source)("https://ideogram.ai/1.png")]


def test_the_key_goes_into_the_vendors_own_header() -> None:
    assert DIALECT.credential_header == ("Api-Key", "{}")
    assert DIALECT.download_hosts == ("ideogram.ai",)
