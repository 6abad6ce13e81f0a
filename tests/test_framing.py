import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import ErrorCode, RequestError
from gateway.framing import Head, HeadLimits, check_unfinished, read_head
from tests.wire.corpus import HEADER_SYNTAX, LENGTH_AND_CODING, TARGETS, Case

LIMITS = HeadLimits()
TOKENS = st.text("!#$%&'*+-.^_`|~09AZaz", min_size=1, max_size=20).map(str.encode)
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=40).map(
    lambda text: text.encode("latin-1")
)
CONTROL = st.integers(0, 31).filter(lambda byte: byte != 9).map(lambda byte: bytes([byte]))
FRAMING = {b"host", b"content-length", b"transfer-encoding", b"upgrade"}


def block(*fields: bytes, line: bytes = b"POST /v1/images/generations HTTP/1.1") -> bytes:
    return b"\r\n".join([line, b"Host: a", *fields]) + b"\r\n\r\n"


def head_or_refusal(text: bytes) -> Head | int:
    try:
        return read_head(text, LIMITS)
    except RequestError as error:
        return error.status


def code_of(text: bytes, limits: HeadLimits = LIMITS) -> ErrorCode:
    with pytest.raises(RequestError) as caught:
        read_head(text, limits)
    return caught.value.code


@given(st.lists(st.tuples(TOKENS.filter(lambda name: name.lower() not in FRAMING), VALUES), max_size=50))
def test_a_block_of_proper_fields_is_passed_on_unchanged(fields: list[tuple[bytes, bytes]]) -> None:
    text = block(*(name + b": " + value for name, value in fields))

    assert read_head(text, LIMITS) == Head(text, body_bytes=0, chunked=False)


@given(st.binary(max_size=200), st.integers(0, 200))
def test_any_bytes_give_a_head_or_a_documented_refusal(noise: bytes, at: int) -> None:
    text = block(b"Content-Length: 5")
    outcome = head_or_refusal(text[:at] + noise + text[at:])

    if isinstance(outcome, Head):
        assert outcome.block.endswith(b"\r\n\r\n")
        assert outcome.body_bytes < 10**15
    else:
        assert outcome in (400, 405)


@given(VALUES, CONTROL, VALUES)
def test_no_control_character_survives_in_a_value(before: bytes, control: bytes, after: bytes) -> None:
    assert code_of(block(b"X-A: " + before + control + after)) is ErrorCode.INVALID_VALUE


HEADS = [
    case
    for case in (*LENGTH_AND_CODING, *HEADER_SYNTAX, *TARGETS)
    if b"\r\n\r\n" in case.payload and case.name != "unknown method"  # the parser knows which methods there are
]


@pytest.mark.parametrize("case", HEADS, ids=lambda case: case.name)
def test_a_bad_head_is_refused_before_the_parser_could_be_asked(case: Case) -> None:
    head, end, _ = case.payload.partition(b"\r\n\r\n")

    assert code_of(head + end) == case.code


def test_length_and_coding_are_read() -> None:
    assert read_head(block(b"content-length: 0042"), LIMITS).body_bytes == 42
    assert read_head(block(b"Transfer-Encoding: Chunked"), LIMITS).chunked


def test_upgrade_is_taken_out_and_nothing_else() -> None:
    upgrading = block(b"UPGRADE: h2c", b"Connection: Upgrade", b"Upgrade:websocket", b"X-Upgrade: yes")

    assert read_head(upgrading, LIMITS).block == block(b"Connection: Upgrade", b"X-Upgrade: yes")


def test_limits_are_inclusive() -> None:
    fields = [b"X: y"] * 99
    size = len(block(*fields))
    assert read_head(block(*fields), HeadLimits(block_bytes=size)).block == block(*fields)

    assert code_of(block(*fields, b"X: y")) is ErrorCode.REQUEST_TOO_LARGE
    assert code_of(block(*fields), HeadLimits(block_bytes=size - 1)) is ErrorCode.REQUEST_TOO_LARGE
    line = b"GET /" + b"a" * 100 + b" HTTP/1.1"
    assert code_of(block(line=line), HeadLimits(line_bytes=len(line) + 1)) is ErrorCode.REQUEST_TOO_LARGE


def test_connect_is_a_method_that_is_not_allowed_and_says_which_are() -> None:
    with pytest.raises(RequestError) as caught:
        read_head(block(line=b"CONNECT a:443 HTTP/1.1"), LIMITS)

    assert caught.value.status == 405
    assert caught.value.headers["allow"] == "GET, HEAD, POST"


@pytest.mark.parametrize(
    ("start", "code"),
    [
        (b"\x16\x03\x01", ErrorCode.INVALID_VALUE),
        (b"get /", ErrorCode.INVALID_VALUE),
        (b"GET /" + b"a" * 9000, ErrorCode.REQUEST_TOO_LARGE),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 17_000, ErrorCode.REQUEST_TOO_LARGE),
    ],
)
def test_a_hopeless_start_is_refused_before_its_end(start: bytes, code: ErrorCode) -> None:
    with pytest.raises(RequestError) as caught:
        check_unfinished(start, LIMITS)

    assert caught.value.code is code


@given(st.integers(1, 60))
def test_every_start_of_a_good_block_may_go_on(length: int) -> None:
    check_unfinished(block(b"Content-Length: 5")[:length], LIMITS)
    assert read_head(block(b"Content-Length: 5"), LIMITS).body_bytes == 5
