"""Digging in foreign JSON and reading waits and dates never raises, and finds what is there."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.exchange import LIFTED, Inline, Remote
from gateway.domain.wire import dig, image_source, objects, retry_after_s, text, unix_seconds, wait_s, wait_s_in, whole

_PATHS = st.lists(st.sampled_from(["a", "b", 0, -1, 5]), max_size=4)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner),
)


def test_dig_follows_members_and_places() -> None:
    body = {"a": [{"b": 1}, {"b": 2}]}
    assert dig(body, "a", 1, "b") == 2
    assert dig(body, "a", -1, "b") == 2
    assert dig(body, "a", "b") is None
    assert dig(body, 0) is None


@given(body=_JSON, path=_PATHS)
def test_no_json_and_no_path_makes_a_reader_raise(body: Any, path: list[str | int]) -> None:
    assert isinstance(text(body, *path), str)
    assert all(isinstance(each, dict) for each in objects(body, *path))
    number = whole(body, *path)
    assert number is None or number >= 0
    wish = wait_s(dig(body, *path))
    assert wish is None or 0 <= wish <= 86_400
    assert unix_seconds(dig(body, *path)) is None or isinstance(unix_seconds(dig(body, *path)), int)


def test_true_is_no_number() -> None:
    assert whole({"n": True}, "n") is None
    assert wait_s(True) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (3, 3.0),
        (0.5, 0.5),
        ("3", 3.0),
        (" 3 ", 3.0),
        ("3.3s", 3.3),
        (10**400, 86_400.0),
        ("99999999", 86_400.0),
        (-1, None),
        ("-1", None),
        ("1e9", None),
        ("soon", None),
        ("٣", None),
        ("", None),
        (float("nan"), None),
        (float("inf"), 86_400.0),
        ([], None),
    ],
)
def test_a_wait_is_read_in_every_spelling_and_nonsense_is_none(value: Any, seconds: float | None) -> None:
    assert wait_s(value) == seconds


@pytest.mark.parametrize(
    ("prose", "seconds"),
    [
        ("The limit resets in ~30s.", 30.0),
        ("Well, try again after 51.84 seconds.", 51.84),
        ("Well, try again in 250ms.", 0.25),
        ("Well, try again in 6m0s.", 360.0),
        ("Try again later.", None),
        ("It took 30s.", None),
    ],
)
def test_a_wait_is_found_in_a_sentence(prose: str, seconds: float | None) -> None:
    assert wait_s_in(prose) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "Sat, 21 Nov 2026 10:00:30 GMT", "date": "Sat, 21 Nov 2026 10:00:00 GMT"}, 30.0),
        ({"retry-after": "Sat, 21 Nov 2026 10:00:30 GMT"}, None),
        ({"retry-after": "Sat, 21 Nov 2026 09:00:00 GMT", "date": "Sat, 21 Nov 2026 10:00:00 GMT"}, None),
        ({"retry-after": "-5"}, None),
        ({}, None),
    ],
)
def test_headers_tell_the_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers) == seconds


@given(st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "date"]), st.text()))
def test_no_header_makes_it_raise(headers: dict[str, str]) -> None:
    wish = retry_after_s(headers)
    assert wish is None or 0 <= wish <= 86_400


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        ("2000-01-23T04:56:07+00:00", 948_603_367),
        ("2000-01-23T04:56:07Z", 948_603_367),
        ("2000-01-23T04:56:07", 948_603_367),
        ("2000-01-23T05:56:07.99425+01:00", 948_603_367),
        ("1969-12-31T23:59:59Z", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("x", None),
        (948_603_367, None),
    ],
)
def test_dates_become_unix_seconds(date: Any, seconds: int | None) -> None:
    assert unix_seconds(date) == seconds


@pytest.mark.parametrize(
    ("value", "source"),
    [
        ("https://a.example/1.png", Remote("https://a.example/1.png")),
        ("data:image/png;base64,aGk=", Inline("data:image/png;base64,aGk=")),
        (LIFTED + "0", Inline(LIFTED + "0")),
        ("file:///etc/passwd", None),
        ("gs://bucket/1.png", None),
        (7, None),
    ],
)
def test_an_image_is_told_from_other_strings(value: Any, source: Inline | Remote | None) -> None:
    assert image_source(value) == source
