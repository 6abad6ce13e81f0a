import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.domain.exchange import LIFTED
from gateway.domain.picture import Blob
from gateway.edges.lifting import BodyRefused, lift
from gateway.edges.spool import Spool

PLENTY = 100_000_000
IMAGE = bytes(range(256)) * 40
ENCODED = base64.b64encode(IMAGE).decode()


async def stream(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        await asyncio.sleep(0)
        yield chunk


def lifted(tmp_path: Path, *chunks: bytes, limit_bytes: int = PLENTY) -> tuple[Any, list[bytes]]:
    """The parsed reply and the images' bytes."""

    async def run() -> tuple[bytes, list[bytes]]:
        spool = Spool(tmp_path)
        try:
            text, blobs = await lift(stream(chunks), spool, limit_bytes)
            return text, [read(blob) for blob in blobs]
        finally:
            assert spool.buffered_bytes == 0
            spool.close()

    text, images = asyncio.run(run())
    return orjson.loads(text), images


def read(blob: Blob) -> bytes:
    found = blob.path.read_bytes()
    assert len(found) == blob.length
    return found


def in_pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize("size", [3, 7, 4095, 4096, 4097, 10_000, 1_000_000])
def test_an_image_leaves_the_reply_whatever_the_pieces(tmp_path: Path, size: int) -> None:
    document = {"created": 1, "data": [{"b64_json": ENCODED, "revised_prompt": 'say "hi"'}, {"b64_json": ENCODED}]}
    found, images = lifted(tmp_path, *in_pieces(json.dumps(document).encode(), size))
    assert found == {
        "created": 1,
        "data": [{"b64_json": LIFTED + "0", "revised_prompt": 'say "hi"'}, {"b64_json": LIFTED + "1"}],
    }
    assert images == [IMAGE, IMAGE]


@pytest.mark.parametrize("cut", [0, 1, 2])
def test_base64_may_come_without_its_padding(tmp_path: Path, cut: int) -> None:
    image = os.urandom(9_000 + cut)
    bare = base64.b64encode(image).rstrip(b"=")
    assert lifted(tmp_path, b'["' + bare + b'"]') == ([LIFTED + "0"], [image])


@pytest.mark.parametrize("prefix", ["data:image/png;base64,", "data:application/octet-stream;base64,", "data:;base64,"])
def test_a_data_uri_is_lifted_without_its_prefix(tmp_path: Path, prefix: str) -> None:
    assert lifted(tmp_path, json.dumps([prefix + ENCODED]).encode()) == ([LIFTED + "0"], [IMAGE])


@pytest.mark.parametrize(
    ("character", "spelling"),
    [("/", "\\/"), ("+", "\\u002b"), ("+", "\\u002B"), ("=", "\\u003d"), ("/", "\\u002f")],
)
@pytest.mark.parametrize("size", [7, 4099, 1_000_000])
def test_escapes_that_json_writers_put_into_base64_are_understood(
    tmp_path: Path, character: str, spelling: str, size: int
) -> None:
    image = b"\xfb\xef\xbe\xff\xff\xff" * 1500 + b"x"
    plain = "data:image/png;base64," + base64.b64encode(image).decode()
    assert character in plain
    written = ('["' + plain.replace(character, spelling) + '"]').encode()
    assert json.loads(written) == [plain]
    assert lifted(tmp_path, *in_pieces(written, size)) == ([LIFTED + "0"], [image])


@pytest.mark.parametrize(
    "text",
    [
        "a long log line. " * 1000,
        "A" * 5000 + " ",
        "A" * 5000 + "\n" + "A" * 5000,
        "A" * 5000 + "-_" * 10,
        "A" * 5001,
        "A" * 5000 + "==" + "A" * 4,
        "QQ==" * 2000,
        "A" * 100_000 + '"' + "B" * 100_000,
        "A" * 100_000 + "\\",
        "A" * 100_000 + '\\"' + "A" * 5000,
        "data:text/plain," + "A" * 5000,
        "=" * 5000,
        "\N{SNOWMAN}" * 3000,
        '"' * 5000,
        "\\" * 5001,
        ",:" + "A" * 9000,
    ],
    ids=range(16),
)
@pytest.mark.parametrize("size", [997, 1_000_000])
def test_a_long_string_that_is_no_base64_comes_through_as_it_was(tmp_path: Path, text: str, size: int) -> None:
    document = {"logs": text, "image": ENCODED, "more": [text]}
    found, images = lifted(tmp_path, *in_pieces(json.dumps(document).encode(), size))
    assert found == {"logs": text, "image": LIFTED + "0", "more": [text]}
    assert images == [IMAGE]


@pytest.mark.parametrize("cut", [4090, 4095, 4096, 4097, 4100])
def test_an_escaped_quote_before_base64_does_not_open_a_string(tmp_path: Path, cut: int) -> None:
    document = {"text": "so " * 1350 + 'he said "' + ENCODED}
    written = json.dumps(document).encode()
    assert 4060 < written.index(b'\\"') < 4090
    assert lifted(tmp_path, written[:cut], written[cut:]) == (document, [])


def test_base64_that_goes_on_in_the_next_piece_after_its_padding_is_none(tmp_path: Path) -> None:
    ended, more = "A" * 5002 + "==", "QUJD" * 10
    chunks = (f'["{ended}', f'{more}"]')
    assert lifted(tmp_path, *(chunk.encode() for chunk in chunks)) == ([ended + more], [])


def test_long_runs_outside_strings_are_left_alone(tmp_path: Path) -> None:
    written = b'{"a":' + b" " * 10_000 + b'"b", "c": [' + b"1," * 5000 + b'2], "d": "e"' + b"\n" * 5000 + b"}"
    assert lifted(tmp_path, written) == (json.loads(written), [])


def test_a_short_image_stays_in_the_text(tmp_path: Path) -> None:
    short = base64.b64encode(b"x" * 3000).decode()
    assert lifted(tmp_path, json.dumps([short]).encode()) == ([short], [])


def test_a_string_that_breaks_off_is_given_back_for_the_parser_to_refuse(tmp_path: Path) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        lifted(tmp_path, b'["' + ENCODED.encode())


@pytest.mark.parametrize("broken", [b"!" + b"A" * 8, b"A"], ids=["foreign character", "odd length"])
def test_a_large_image_that_breaks_late_refuses_the_reply(tmp_path: Path, broken: bytes) -> None:
    with pytest.raises(BodyRefused):
        lifted(tmp_path, *in_pieces(b'["' + b"A" * 400_000 + broken + b'"]', 10_000))


def test_a_reply_over_its_limit_is_refused_before_it_is_over(tmp_path: Path) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b'["'
        while True:
            yield b"A" * 40_000

    async def run() -> None:
        spool = Spool(tmp_path)
        try:
            with pytest.raises(BodyRefused):
                await lift(endless(), spool, 3_000_000)
            assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["lock"]
            assert spool.buffered_bytes == 0
        finally:
            spool.close()

    asyncio.run(run())


def test_text_that_is_no_image_may_not_fill_the_memory(tmp_path: Path) -> None:
    with pytest.raises(BodyRefused):
        lifted(tmp_path, *in_pieces(json.dumps(["logs and logs, " * 200_000]).encode(), 65_536))


def test_many_large_images_arrive_whole(tmp_path: Path) -> None:
    images = [os.urandom(1_300_000 + number) for number in range(5)]
    document = json.dumps({"data": [{"b64_json": base64.b64encode(image).decode()} for image in images]}).encode()
    found, blobs = lifted(tmp_path, *in_pieces(document, 65_536))
    assert blobs == images
    assert found == {"data": [{"b64_json": f"{LIFTED}{number}"} for number in range(5)]}


leaf = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.text(max_size=50),
    st.text(st.sampled_from('A/+=" \\\n{}[]:,'), min_size=4000, max_size=6000),
    st.binary(max_size=100).map(lambda image: base64.b64encode(image * 500).decode()),
    st.binary(min_size=1, max_size=30).map(
        lambda image: "data:image/webp;base64," + base64.b64encode(image * 500).decode()
    ),
)
documents = st.recursive(
    leaf,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=20), inner, max_size=5),
    max_leaves=15,
)


def put_back(value: Any, images: list[bytes]) -> Any:
    """The document with every image's bytes in the place of its marker."""
    match value:
        case str() if value.startswith(LIFTED):
            return images[int(value.removeprefix(LIFTED))]
        case list():
            return [put_back(inner, images) for inner in value]
        case dict():
            return {key: put_back(inner, images) for key, inner in value.items()}
        case _:
            return value


def as_bytes_where_long(value: Any) -> Any:
    """The document with every long base64 string decoded, by the standard library."""
    match value:
        case str() if len(value) > 4096 + 30:
            encoded = value.partition(";base64,")[2] if value.startswith("data:") else value
            try:
                return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
            except ValueError:
                return value
        case list():
            return [as_bytes_where_long(inner) for inner in value]
        case dict():
            return {key: as_bytes_where_long(inner) for key, inner in value.items()}
        case _:
            return value


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(document=documents, data=st.data(), indent=st.sampled_from([None, 2]), ascii_only=st.booleans())
def test_any_document_split_anywhere_reads_as_the_parser_would_read_it(
    tmp_path_factory: pytest.TempPathFactory,
    document: Any,
    data: st.DataObject,
    indent: int | None,
    *,
    ascii_only: bool,
) -> None:
    written = json.dumps(document, indent=indent, ensure_ascii=ascii_only).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(written)), max_size=12)))
    chunks = [written[start:end] for start, end in pairwise([0, *cuts, len(written)])]
    found, images = lifted(tmp_path_factory.mktemp("spool"), *chunks)
    assert put_back(found, images) == as_bytes_where_long(document)
