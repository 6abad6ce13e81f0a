"""What a script can do to a call, seen from the client's end of the wire."""

import asyncio
from typing import Any

import httpx2
import msgspec
import orjson
import pytest

from gateway.sandbox.catalogue import CATALOGUE, named_error
from gateway.sandbox.options import OPENAI_KEY
from gateway.sandbox.server import Sandbox
from tests.sandbox.conftest import GEMINI, IDEOGRAM, IMAGES, SCHNELL, Vendors, gemini_body
from tests.sandbox.images import seen, seen_in_base64

ORDER: dict[str, object] = {"model": "gpt-image-2", "prompt": "a crane"}


async def create(vendors: Vendors, vendor: str) -> httpx2.Response:
    """One ordinary creation at the vendor named."""
    if vendor == "replicate":
        return await vendors.replicate.post(SCHNELL, json={"input": {"prompt": "x"}}, headers={"Prefer": "wait=5"})
    if vendor == "openai":
        return await vendors.openai.post(IMAGES, json=ORDER)
    if vendor == "ideogram":
        return await vendors.ideogram.post(IDEOGRAM, json={"prompt": "x"})
    if vendor == "vertex":
        return await vendors.vertex.post(GEMINI, json=gemini_body())
    return await vendors.nobody.post("/google/token", data={"grant_type": "x"})


@pytest.mark.parametrize("name", sorted(CATALOGUE))
async def test_every_error_of_the_catalogue_comes_as_written_and_free(
    sandbox: Sandbox, vendors: Vendors, name: str
) -> None:
    vendor = name.partition(".")[0]
    sandbox.state.script(vendor, then={"error": name})
    reply = await create(vendors, vendor)
    expected = named_error(name)
    assert reply.status_code == expected.status >= 400
    assert reply.headers["content-type"].startswith(expected.media_type.partition(";")[0])
    assert (reply.text if isinstance(expected.body, str) else reply.json()) == expected.body
    assert all(reply.headers[header] == value for header, value in expected.headers.items())
    assert sandbox.ledger.images_charged() == 0


@pytest.mark.parametrize("vendor", ["replicate", "openai", "ideogram", "vertex"])
async def test_an_error_after_the_work_is_charged_when_the_script_says_so(
    sandbox: Sandbox, vendors: Vendors, vendor: str
) -> None:
    sandbox.state.script(vendor, then={"status": 500, "charged": True})
    assert (await create(vendors, vendor)).status_code == 500
    assert (sandbox.ledger.images_charged(vendor), sandbox.ledger.images_delivered(vendor)) == (1, 0)


@pytest.mark.parametrize("vendor", ["replicate", "openai", "ideogram", "vertex"])
async def test_work_is_free_when_the_script_says_so(sandbox: Sandbox, vendors: Vendors, vendor: str) -> None:
    sandbox.state.script(vendor, then={"charged": False})
    assert (await create(vendors, vendor)).is_success
    assert sandbox.ledger.images_charged() == 0


@pytest.mark.parametrize("wire", ["reset_before_read", "reset_after_read", "close_after_read"])
async def test_a_cut_before_the_reply_leaves_the_client_with_nothing(
    sandbox: Sandbox, vendors: Vendors, wire: str
) -> None:
    sandbox.state.script("openai", then={"wire": wire})
    with pytest.raises((httpx2.ReadError, httpx2.RemoteProtocolError, httpx2.WriteError)):
        await create(vendors, "openai")
    assert sandbox.ledger.images_charged() == 0
    read = [call for call in sandbox.state.calls if call.vendor == "openai"]
    assert len(read) == (0 if wire == "reset_before_read" else 1)


@pytest.mark.parametrize(("wire", "is_reset"), [("reset_after_read", True), ("close_after_read", False)])
async def test_a_reset_is_a_reset_and_a_close_is_a_close(sandbox: Sandbox, wire: str, *, is_reset: bool) -> None:
    sandbox.state.script("openai", then={"wire": wire})
    host, port = sandbox.base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = orjson.dumps(ORDER)
    lines = [
        f"POST {IMAGES} HTTP/1.1",
        "Host: x",
        f"Authorization: Bearer {OPENAI_KEY}",
        f"Content-Length: {len(body)}",
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    try:
        assert await reader.read() == b""
        assert not is_reset
    except ConnectionResetError:
        assert is_reset
    finally:
        writer.close()


@pytest.mark.parametrize("wire", ["reset_mid_reply", "truncated", "chunk_cut"])
async def test_a_reply_cut_short_was_paid_for_and_not_delivered(sandbox: Sandbox, vendors: Vendors, wire: str) -> None:
    sandbox.state.script("openai", then={"wire": wire})
    with pytest.raises((httpx2.ReadError, httpx2.RemoteProtocolError)):
        await create(vendors, "openai")
    assert (sandbox.ledger.images_charged(), sandbox.ledger.images_delivered()) == (1, 0)


@pytest.mark.parametrize("wire", ["stall_headers", "stall_body", "drip"])
async def test_a_stalled_reply_lasts_longer_than_the_client_waits(
    sandbox: Sandbox, vendors: Vendors, wire: str
) -> None:
    sandbox.state.script("openai", then={"wire": wire})
    with pytest.raises(httpx2.ReadTimeout):
        await vendors.openai.post(IMAGES, json=ORDER, timeout=0.4)


async def test_a_giant_reply_goes_on_far_beyond_what_anybody_wants(sandbox: Sandbox, vendors: Vendors) -> None:
    sandbox.state.script("openai", then={"wire": "giant"})
    received = 0
    async with vendors.openai.stream("POST", IMAGES, json=ORDER) as reply:
        async for piece in reply.aiter_bytes():
            received += len(piece)
            if received > 8_000_000:
                break
    assert received > 8_000_000
    assert (await create(vendors, "openai")).status_code == 200


@pytest.mark.parametrize(
    ("mangle", "media_type"),
    [("malformed_json", "application/json"), ("html", "text/html"), ("empty", "application/json")],
)
async def test_a_reply_that_is_no_json_was_paid_for(
    sandbox: Sandbox, vendors: Vendors, mangle: str, media_type: str
) -> None:
    sandbox.state.script("ideogram", then={"mangle": mangle})
    reply = await create(vendors, "ideogram")
    assert (reply.status_code, reply.headers["content-type"].partition(";")[0]) == (200, media_type)
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(reply.content)
    assert sandbox.ledger.images_charged() == 1


async def test_an_error_can_come_wrapped_in_an_array(sandbox: Sandbox, vendors: Vendors) -> None:
    sandbox.state.script("vertex", then={"error": "vertex.exhausted_429", "mangle": "array_wrapped"})
    reply = await create(vendors, "vertex")
    assert (reply.status_code, reply.json()[0]["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")


async def test_fields_drift_at_the_paths_named(sandbox: Sandbox, vendors: Vendors) -> None:
    then = {"rename": {"data.*.url": "href"}, "remove": ["created"], "put": {"data.0.extra": 1, "version": "9"}}
    sandbox.state.script("ideogram", then=then)
    reply = (await create(vendors, "ideogram")).json()
    assert "created" not in reply
    assert reply["version"] == "9"
    assert set(reply["data"][0]) >= {"href", "extra"}
    assert "url" not in reply["data"][0]


@pytest.mark.parametrize(
    ("image", "size", "file_format"),
    [
        ({"size": "640x480"}, (640, 480), "PNG"),
        ({"format": "jpeg"}, (1024, 1024), "JPEG"),
        ({"spoil": "one_pixel"}, (1, 1), "PNG"),
        ({"spoil": "animated"}, (1024, 1024), "WEBP"),
        ({"spoil": "polyglot"}, (1024, 1024), "PNG"),  # to a reader that does not look behind its end
        ({"spoil": "cmyk"}, (1024, 1024), "JPEG"),
        ({"spoil": "sixteen_bit"}, (1024, 1024), "PNG"),
    ],
)
async def test_the_image_can_be_another_than_was_asked_for(
    sandbox: Sandbox, vendors: Vendors, image: dict[str, str], size: tuple[int, int], file_format: str
) -> None:
    sandbox.state.script("openai", then={"image": image})
    picture = seen_in_base64((await create(vendors, "openai")).json()["data"][0]["b64_json"])
    assert (picture.size, picture.format) == (size, file_format)


@pytest.mark.parametrize("spoil", ["corrupt", "truncated", "empty", "html", "svg", "not_base64"])
async def test_the_image_can_be_no_image_at_all(sandbox: Sandbox, vendors: Vendors, spoil: str) -> None:
    sandbox.state.script("openai", then={"image": {"spoil": spoil}})
    text = (await create(vendors, "openai")).json()["data"][0]["b64_json"]
    with pytest.raises((OSError, ValueError, SyntaxError)):
        seen_in_base64(text)


async def test_a_bomb_is_small_as_a_file_and_huge_as_an_image(sandbox: Sandbox, vendors: Vendors) -> None:
    sandbox.state.script("ideogram", operation="download", then={"image": {"spoil": "bomb"}})
    url = (await create(vendors, "ideogram")).json()["data"][0]["url"]
    bomb = (await vendors.nobody.get(url)).content
    assert len(bomb) < 100_000
    assert (int.from_bytes(bomb[16:20]), int.from_bytes(bomb[20:24])) == (20_000, 20_000)


async def test_links_can_lead_anywhere(sandbox: Sandbox, vendors: Vendors) -> None:
    hostile = "http://169.254.169.254/latest/meta-data"
    for vendor in ("replicate", "ideogram"):
        sandbox.state.script(vendor, then={"output_url": hostile})
        assert hostile in (await create(vendors, vendor)).text


async def test_a_download_can_be_aged_redirected_or_fail(sandbox: Sandbox, vendors: Vendors) -> None:
    url = (await create(vendors, "replicate")).json()["output"][0]
    for then in ({"age_s": 3601}, {"redirect_to": "http://127.0.0.1:1/"}, {"status": 503}):
        sandbox.state.script("replicate", operation="download", then=then)
    answers = [(await vendors.nobody.get(url)).status_code for _ in range(4)]
    assert answers == [404, 302, 503, 200]


async def test_a_credential_sent_to_a_download_host_is_refused_and_recorded(sandbox: Sandbox, vendors: Vendors) -> None:
    url = (await create(vendors, "ideogram")).json()["data"][0]["url"]
    reply = await vendors.ideogram.get(url)
    assert reply.status_code == 400
    assert [(leak.vendor, leak.headers) for leak in sandbox.ledger.leaks] == [("ideogram", ("api-key",))]
    assert (await vendors.nobody.get(url)).status_code == 200


async def test_a_poll_can_show_a_status_nobody_knows(sandbox: Sandbox, vendors: Vendors) -> None:
    sandbox.state.script("replicate", then={"life": "unknown_status"})
    urls = (await vendors.replicate.post(SCHNELL, json={"input": {"prompt": "x"}})).json()["urls"]
    assert (await vendors.replicate.get(urls["get"])).json()["status"] == "hibernating"


async def test_a_failure_has_the_text_that_the_script_gives(sandbox: Sandbox, vendors: Vendors) -> None:
    sandbox.state.script("replicate", then={"failure": "CUDA out of memory"})
    assert (await create(vendors, "replicate")).json()["error"] == "CUDA out of memory"


async def test_a_script_is_for_the_calls_it_matches_and_as_often_as_it_says(sandbox: Sandbox, vendors: Vendors) -> None:
    sandbox.state.script("openai", then={"status": 500}, times=2, match={"prompt": "crane", "model": "gpt-image-2"})
    for other in ({"prompt": "a heron"}, {"model": "gpt-image-2.5-flare"}):
        assert (await vendors.openai.post(IMAGES, json=ORDER | other)).status_code == 200
    answers = [(await vendors.openai.post(IMAGES, json=ORDER)).status_code for _ in range(3)]
    assert answers == [500, 500, 200]


async def test_latency_passes_on_the_sandbox_s_clock(sandbox: Sandbox, vendors: Vendors) -> None:
    sandbox.state.script("openai", then={"latency_s": 0.2})
    before = sandbox.state.clock.now()
    assert (await create(vendors, "openai")).status_code == 200
    assert sandbox.state.clock.now() - before >= 0.2


@pytest.mark.parametrize(
    "script",
    [
        {"vendor": "openai"},
        {"vendor": "nobody", "then": {}},
        {"vendor": "openai", "then": {"eror": "x"}},
        {"vendor": "openai", "then": {"error": "openai.nothing"}},
        {"vendor": "openai", "then": {"error": "vertex.internal_500"}},
        {"vendor": "openai", "then": {}, "times": 0},
        {"vendor": "openai", "then": {"refuse": "nsfw"}},
        {"vendor": "vertex", "then": {"refuse": "unsafe"}},
        {"vendor": "vertex", "then": {"life": "fails"}},
        {"vendor": "openai", "then": {"wire": "reset_before_read"}, "match": {"prompt": "x"}},
    ],
)
async def test_a_script_that_makes_no_sense_is_refused(
    sandbox: Sandbox, vendors: Vendors, script: dict[str, Any]
) -> None:
    reply = await vendors.nobody.post("/sandbox/scripts", json=script)
    assert reply.status_code == 400
    assert reply.json()["error"]
    assert sandbox.state.scripts.waiting() == []
    if "then" in script:
        with pytest.raises(msgspec.ValidationError):
            sandbox.state.script(**script)


async def test_images_behind_links_are_spoilt_too(sandbox: Sandbox, vendors: Vendors) -> None:
    sandbox.state.script("replicate", then={"image": {"size": "64x64", "format": "png"}})
    url = (await create(vendors, "replicate")).json()["output"][0]
    reply = await vendors.nobody.get(url)
    assert (seen(reply.content).size, reply.headers["content-type"]) == ((64, 64), "image/png")
