from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.picture import ImageFormat
from gateway.policies.link_signing import LinkMaker, link, sign, verify

KEY, OLD_KEY = b"k" * 32, b"o" * 32
ID = "2026013107-" + "a" * 32
EXPIRES = 1_800_000_000
GOOD = sign(KEY, ID, "png", EXPIRES)


def test_a_link_that_we_made_opens_until_it_expires() -> None:
    assert verify([KEY], ID, "png", EXPIRES, GOOD, now=EXPIRES - 0.001)
    assert not verify([KEY], ID, "png", EXPIRES, GOOD, now=EXPIRES)


def test_the_signature_needs_no_escaping() -> None:
    assert len(GOOD) == 43
    assert GOOD.replace("-", "").replace("_", "").isalnum()


@given(
    asset_id=st.text(),
    extension=st.sampled_from(["png", "jpg", "webp"]),
    expires=st.integers(0, 1 << 40),
    key=st.binary(),
)
def test_a_signature_holds_for_one_name_one_end_and_one_key(
    asset_id: str, extension: str, expires: int, key: bytes
) -> None:
    same = (asset_id, extension, expires, key) == (ID, "png", EXPIRES, KEY)
    assert verify([key], asset_id, extension, expires, GOOD, now=0) is same


def test_name_and_extension_cannot_be_shifted_against_each_other() -> None:
    assert not verify([KEY], ID + ".png", "jpg", EXPIRES, sign(KEY, ID, "png.jpg\n", EXPIRES), now=0)


@given(st.text())
def test_no_text_from_a_client_makes_it_raise(text: str) -> None:
    assert verify([KEY], ID, "png", EXPIRES, text, now=0) is (text == GOOD)


@pytest.mark.parametrize("text", ["\ud800", "ü", GOOD + "=", GOOD[:-1], GOOD.swapcase(), ""])
def test_what_is_not_exactly_the_signature_does_not_open(text: str) -> None:
    assert not verify([KEY], ID, "png", EXPIRES, text, now=0)
    assert not verify([KEY], "\ud800", "png", EXPIRES, GOOD, now=0)


def test_links_outlive_a_change_of_keys_as_long_as_the_old_key_is_kept() -> None:
    old = sign(OLD_KEY, ID, "png", EXPIRES)
    assert verify([KEY, OLD_KEY], ID, "png", EXPIRES, old, now=0)
    assert not verify([KEY], ID, "png", EXPIRES, old, now=0)
    assert not verify([], ID, "png", EXPIRES, old, now=0)


def test_a_link_has_the_documented_form() -> None:
    address = link("https://images.example.com", ID, ImageFormat.JPEG, EXPIRES, "abc")
    assert address == f"https://images.example.com/v1/images/files/{ID}.jpg?expires={EXPIRES}&signature=abc"


def test_the_maker_signs_with_its_first_key_for_its_whole_life() -> None:
    maker = LinkMaker("https://images.example.com", (KEY, OLD_KEY), life_s=60)
    query = parse_qs(urlsplit(maker.link_for(ID, ImageFormat.PNG, now=1000.9)).query)
    assert query["expires"] == ["1060"]
    assert verify([KEY], ID, "png", 1060, query["signature"][0], now=1059)


def test_keys_are_never_shown_and_never_empty() -> None:
    assert "kkkk" not in repr(LinkMaker("https://images.example.com", (KEY,)))
    for keys in ((), (b"",)):
        with pytest.raises(ValueError, match="key"):
            LinkMaker("https://images.example.com", keys)
