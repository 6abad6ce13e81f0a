import json
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.domain.errors import ErrorCode, RequestError
from gateway.policies.strict_json import BODY_LIMIT_BYTES, NESTING_LIMIT, parse_object

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def code_of(body: bytes) -> ErrorCode:
    with pytest.raises(RequestError) as caught:
        parse_object(body)
    return caught.value.code


def nested(levels: int) -> bytes:
    return b'{"a":' * (levels - 1) + b"{}" + b"}" * (levels - 1)


@settings(deadline=None)
@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_what_is_an_object_is_read_as_the_library_reads_it(members: dict[str, object]) -> None:
    body = json.dumps(members).encode()
    assert parse_object(body) == json.loads(body)
    assert list(parse_object(body)) == list(members)


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:\\u0dNI1e.- ', max_size=60).map(str.encode))
@example(b'{"a":' * 20 + b"[" * 20)
@example(b'"' * 41 + b"[" * 41)
def test_any_bytes_are_an_object_or_the_callers_error(body: bytes) -> None:
    error: RequestError | None = None
    try:
        assert isinstance(parse_object(body), dict)
    except RequestError as refused:
        error = refused
    if error is not None:
        assert error.status == 400
        json.dumps(error.envelope(), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"not json",
        b"[]",
        b'[{"prompt":"x"}]',
        b"null",
        b'"text"',
        b"1",
        b"\xef\xbb\xbf{}",
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":1}x',
        b'{"a":1,}',
        b"{'a':1}",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":"\n"}',
        b'{"a":01}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":[{"b":' + b"-" + b"9" * 5000 + b"}]}",
        b'{"a":' + b"[" * 60_000,
        b'{"a":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
        b'{"a":"' + b'\\"' * 30_000,
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_is_not_one_object_of_strict_json_is_invalid(body: bytes) -> None:
    assert code_of(body) is ErrorCode.INVALID_JSON


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'{"n":1,"n":10}', "n"),
        (b'{"n":1,"\\u006e":10}', "n"),
        (b'{"a":[{"b":{"c":1,"d":2,"c":3}}]}', "c"),
        (b'{"\\ud800":1,"\\ud800":2}', "\\ud800"),
        (b'{"a\\r\\nb":1,"a\\r\\nb":2}', "a\\r\\nb"),
    ],
)
def test_a_name_given_twice_is_refused_at_any_depth(body: bytes, name: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_object(body)
    assert caught.value.code is ErrorCode.DUPLICATE_KEY
    assert caught.value.param == name


def test_the_nesting_may_be_32_deep_and_no_deeper() -> None:
    assert NESTING_LIMIT == 32
    assert "a" in parse_object(nested(32))
    assert code_of(nested(33)) is ErrorCode.INVALID_JSON


def test_brackets_inside_strings_are_not_nesting() -> None:
    text = "[{" * 100 + '\\"' + "]" * 7
    assert parse_object(json.dumps({"prompt": text}).encode()) == {"prompt": text}


def test_many_brackets_beside_each_other_are_not_nesting() -> None:
    body = json.dumps({"a": [[] for _ in range(100)]}).encode()
    assert len(parse_object(body)["a"]) == 100


def test_the_body_may_be_64_kib_and_not_a_byte_more() -> None:
    full = b'{"a":"' + b"x" * (BODY_LIMIT_BYTES - 8) + b'"}'
    assert len(full) == 65_536
    assert len(parse_object(full)["a"]) == BODY_LIMIT_BYTES - 8
    assert code_of(full + b" ") is ErrorCode.REQUEST_TOO_LARGE


def test_a_lone_surrogate_is_left_to_whoever_takes_the_text() -> None:
    assert parse_object(b'{"a":"\\ud800"}') == {"a": "\ud800"}


def test_a_number_too_large_for_a_float_is_infinite_and_left_to_its_field() -> None:
    assert parse_object(b'{"n":1e999}') == {"n": float("inf")}


def test_a_string_that_never_ends_is_scanned_once_and_not_from_each_of_its_quotes() -> None:
    body = b'{"a":' + b"[" * 40 + b'"' + b'\\"' * 32_000
    began = time.process_time()
    assert code_of(body) is ErrorCode.INVALID_JSON
    assert time.process_time() - began < 0.5  # one pass takes a few milliseconds, the square of it several seconds
