import asyncio
import base64
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson
import pytest

from gateway.domain.catalogue import Account
from gateway.domain.errors import ErrorCode
from gateway.domain.exchange import LIFTED, Fault, HttpCall, HttpReply, Inline, Next
from gateway.domain.picture import Blob
from gateway.edges.credentials import FixedSecret
from gateway.edges.transport import Timeouts
from gateway.edges.upstreams import AccountAccess, Upstreams
from tests.edges import test_transport as wire
from tests.edges.calling import DIALECT, NO_REPLY, QUICK, Counted, NoSecret, calling, free, paid
from tests.edges.raw_server import Exchange, serving
from tests.edges.test_addresses import Zone

JSON = "Content-Type: application/json"


async def send(upstreams: Upstreams, call: HttpCall, deadline_s: float = 10.0) -> HttpReply | Fault:
    return await upstreams.send("acme-1", DIALECT, call, deadline_s=deadline_s)


async def reply_to(upstreams: Upstreams, call: HttpCall) -> HttpReply:
    reply = await send(upstreams, call)
    assert isinstance(reply, HttpReply), reply.detail
    return reply


async def fault_of(upstreams: Upstreams, call: HttpCall, deadline_s: float = 10.0) -> Fault:
    fault = await send(upstreams, call, deadline_s)
    assert isinstance(fault, Fault)
    return fault


def images_in(spool: Path) -> list[Path]:
    return [path for path in spool.rglob("*") if path.is_file() and path.name != "lock"]


async def echo(exchange: Exchange) -> None:
    await exchange.reply(exchange.body or b"{}", 200, JSON)


# The call and its reply


async def test_a_call_carries_its_body_the_credential_and_the_accounts_headers(tmp_path: Path) -> None:
    async with serving(echo) as server, calling(server.url, tmp_path, headers={"X-Org": "o"}) as upstreams:
        call = HttpCall("POST", f"{server.url}/v1/images", {"Prefer": "wait=5"}, MappingProxyType({"n": {"m": 1}}))
        reply = await reply_to(upstreams, call)
    assert (reply.status, reply.json, reply.headers["content-type"]) == (200, {"n": {"m": 1}}, "application/json")
    sent = server.exchanges[0].headers
    assert sent["authorization"] == "Bearer canary-key"
    assert (sent["prefer"], sent["x-org"], sent["content-type"]) == ("wait=5", "o", "application/json")
    assert sent["accept-encoding"] == "identity"
    assert sent["user-agent"].startswith("samurai-gateway/")


async def test_after_a_refusal_a_fresh_credential_is_asked_for(tmp_path: Path) -> None:
    async with serving(echo) as server, calling(server.url, tmp_path, credential=Counted()) as upstreams:
        for fresh in (False, True, False):
            await upstreams.send("acme-1", DIALECT, free(server.url), deadline_s=5, fresh_credential=fresh)
    sent = [exchange.headers["authorization"] for exchange in server.exchanges]
    assert sent == ["Bearer secret-1", "Bearer secret-2", "Bearer secret-2"]


async def test_a_credential_is_in_no_repr(tmp_path: Path) -> None:
    access = AccountAccess(Account("a", "acme"), FixedSecret("canary-key"), headers={"X-Key": "canary-too"})
    assert "canary" not in repr(access)


@pytest.mark.parametrize("status", [200, 400, 401, 402, 429, 500, 503, 302])
async def test_every_status_with_a_body_is_a_reply_for_the_dialect_to_read(tmp_path: Path, status: int) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.reply(b'{"detail": "x"}', status, "Retry-After: 3", "Location: http://127.0.0.1/")

    async with serving(answer) as server, calling(server.url, tmp_path) as upstreams:
        reply = await reply_to(upstreams, paid(server.url))
    assert (reply.status, reply.json, reply.headers["retry-after"]) == (status, {"detail": "x"}, "3")
    assert len(server.exchanges) == 1


@pytest.mark.parametrize(
    "body", [b"<html>Bad gateway</html>", b"", b'{"a": ', b"[" * 100_000, b'{"a": NaN}', b"\xff\xfe{}"], ids=range(6)
)
async def test_what_is_not_json_comes_as_the_first_of_its_text(tmp_path: Path, body: bytes) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.reply(body)

    async with serving(answer) as server, calling(server.url, tmp_path) as upstreams:
        reply = await reply_to(upstreams, paid(server.url))
    assert reply.json is None
    assert reply.text == body[:2048].decode("utf-8", "replace")


# Images in replies


async def test_images_in_a_reply_are_files_and_markers(tmp_path: Path) -> None:
    images = [os.urandom(1_500_000), os.urandom(5000)]
    document = {"data": [{"b64_json": base64.b64encode(image).decode()} for image in images]}

    async def answer(exchange: Exchange) -> None:
        await exchange.reply(orjson.dumps(document))

    async with serving(answer) as server, calling(server.url, tmp_path) as upstreams:
        reply = await reply_to(upstreams, paid(server.url))
        assert reply.json == {"data": [{"b64_json": LIFTED + "0"}, {"b64_json": LIFTED + "1"}]}
        for number, image in enumerate(images):
            source = Inline(reply.json["data"][number]["b64_json"])
            blob = await upstreams.collect("acme-1", DIALECT, source, reply, deadline_s=5)
            assert isinstance(blob, Blob)
            assert (blob.path.read_bytes(), blob.length) == (image, len(image))
        upstreams.discard(reply)
        assert images_in(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "image"),
    [
        ("iVBORw0KGgo=", b"\x89PNG\r\n\x1a\n"),
        ("iVBORw0KGgo", b"\x89PNG\r\n\x1a\n"),
        ("data:image/png;base64,iVBORw0KGgo=", b"\x89PNG\r\n\x1a\n"),
    ],
)
async def test_a_short_image_becomes_a_file_too(tmp_path: Path, text: str, image: bytes) -> None:
    async with calling("http://127.0.0.1:1", tmp_path) as upstreams:
        blob = await upstreams.collect("acme-1", DIALECT, Inline(text), NO_REPLY, deadline_s=5)
        assert isinstance(blob, Blob)
        assert blob.path.read_bytes() == image


@pytest.mark.parametrize("text", ["not base64!", "A", LIFTED + "0", LIFTED + "x", LIFTED + "-1", "\N{SNOWMAN}"])
async def test_an_image_that_cannot_be_read_is_a_paid_fault(tmp_path: Path, text: str) -> None:
    async with calling("http://127.0.0.1:1", tmp_path) as upstreams:
        fault = await upstreams.collect("acme-1", DIALECT, Inline(text), NO_REPLY, deadline_s=5)
        assert isinstance(fault, Fault)
    assert (fault.code, fault.next, fault.may_have_billed) == (ErrorCode.UPSTREAM_BAD_RESPONSE, Next.STOP, True)


async def test_files_of_a_reply_that_is_not_json_are_removed(tmp_path: Path) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.reply(b'<img src="data:image/png;base64,' + base64.b64encode(bytes(9000)) + b'">')

    async with serving(answer) as server, calling(server.url, tmp_path) as upstreams:
        reply = await reply_to(upstreams, paid(server.url))
        assert (reply.json, reply.blobs, images_in(tmp_path)) == (None, (), [])


# What was surely not sent


NEVER_SENT = (ErrorCode.UPSTREAM_UNREACHABLE, Next.RETRY, False, True)


def what(fault: Fault) -> tuple[ErrorCode, Next, bool, bool]:
    return fault.code, fault.next, fault.may_have_billed, fault.counts_against_vendor


async def test_a_refused_connection_may_be_tried_again_also_for_a_paid_call(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with calling(url, tmp_path) as upstreams:
            fault = await fault_of(upstreams, paid(url))
    assert what(fault) == NEVER_SENT
    assert fault.detail.startswith("ConnectError from ClientConnectorError")
    assert "127.0.0.1" not in fault.detail


async def test_a_name_that_leads_inwards_is_not_spoken_to(tmp_path: Path) -> None:
    async with calling(None, tmp_path, resolver=Zone(["10.0.0.1"])) as upstreams:
        fault = await fault_of(upstreams, paid("https://api.acme.example"))
    assert what(fault) == (ErrorCode.UPSTREAM_UNREACHABLE, Next.ELSEWHERE, False, True)
    assert fault.detail == "ssrf: private"


async def test_a_missing_credential_is_a_fault_that_another_account_may_heal(tmp_path: Path) -> None:
    async with serving(echo) as server, calling(server.url, tmp_path, credential=NoSecret()) as upstreams:
        fault = await fault_of(upstreams, paid(server.url))
    assert what(fault) == (ErrorCode.UPSTREAM_AUTH_FAILED, Next.ELSEWHERE, False, True)
    assert server.exchanges == []


async def test_a_credential_that_does_not_come_in_time_is_a_missing_one(tmp_path: Path) -> None:
    class Late(NoSecret):
        async def secret(self, *, fresh: bool = False) -> str:
            await asyncio.sleep(30)
            return "late"

    async with serving(echo) as server, calling(server.url, tmp_path, credential=Late()) as upstreams:
        fault = await fault_of(upstreams, paid(server.url), deadline_s=0.05)
    assert fault.code is ErrorCode.UPSTREAM_AUTH_FAILED


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/v1/images",
        "http://127.0.0.1:1/v1/images",
        "https://127.0.0.1:{port}/v1/images",
        "http://localhost:{port}/v1/images",
        "http://user@127.0.0.1:{port}/v1/images",
        "http://127.0.0.1:{port}\\@evil.example/",
    ],
)
async def test_the_credential_goes_nowhere_but_to_the_accounts_own_origin(tmp_path: Path, url: str) -> None:
    async with serving(echo) as server, calling(server.url, tmp_path) as upstreams:
        fault = await fault_of(upstreams, HttpCall("GET", url.format(port=server.port)))
    assert what(fault) == (ErrorCode.UPSTREAM_BAD_RESPONSE, Next.STOP, False, False)
    assert server.connections == 0


@pytest.mark.parametrize("url", ["http://api.example", "ftp://api.example", "https://user@api.example", "nonsense"])
def test_a_base_url_that_must_not_be_used_is_refused_at_the_start(tmp_path: Path, url: str) -> None:
    entry = AccountAccess(Account("a", "acme", url), FixedSecret("k"))
    with pytest.raises(ValueError, match="account a: base_url"):
        Upstreams({"a": entry}, tmp_path)
    assert list(tmp_path.iterdir()) == []


# What may have been paid


TIMEOUT, ERROR, BAD = ErrorCode.UPSTREAM_TIMEOUT, ErrorCode.UPSTREAM_ERROR, ErrorCode.UPSTREAM_BAD_RESPONSE


async def compressed(exchange: Exchange) -> None:
    await exchange.reply(b"\x1f\x8b", 200, "Content-Encoding: gzip")


async def giant(exchange: Exchange) -> None:
    await exchange.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not exchange.writer.is_closing():
        await exchange.raw(b"10000\r\n" + b"[" * 65536 + b"\r\n")


async def broken_image(exchange: Exchange) -> None:
    await exchange.reply(b'["' + b"A" * 900_000 + b'!"]')


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (wire.reset_unread, ERROR),
        (wire.close_unanswered, ERROR),
        (wire.half_a_head, ERROR),
        (wire.no_http, BAD),
        (wire.silence, TIMEOUT),
        (wire.stall_in_body, TIMEOUT),
        (wire.reset_in_body, BAD),
        (wire.short_body, BAD),
        (wire.cut_chunk, BAD),
        (wire.broken_chunk, BAD),
        (compressed, BAD),
        (giant, BAD),
        (broken_image, BAD),
    ],
)
async def test_a_paid_call_that_was_sent_and_lost_stops_and_a_look_may_be_repeated(
    tmp_path: Path, script: Callable[[Exchange], Awaitable[None]], code: ErrorCode
) -> None:
    async with serving(script) as server, calling(server.url, tmp_path, timeouts=QUICK) as upstreams:
        assert what(await fault_of(upstreams, paid(server.url, limit_bytes=1_000_000))) == (code, Next.STOP, True, True)
        assert what(await fault_of(upstreams, free(server.url))) == (code, Next.RETRY, False, True)
        assert images_in(tmp_path) == []


async def test_the_deadline_bounds_the_whole_call(tmp_path: Path) -> None:
    async with serving(wire.drip) as server, calling(server.url, tmp_path) as upstreams:
        async with asyncio.timeout(5):
            fault = await fault_of(upstreams, paid(server.url), deadline_s=0.3)
    assert what(fault) == (TIMEOUT, Next.STOP, True, True)


async def test_the_accounts_own_total_bounds_it_too(tmp_path: Path) -> None:
    async with serving(wire.drip) as server, calling(server.url, tmp_path, timeouts=Timeouts(total_s=0.3)) as upstreams:
        async with asyncio.timeout(5):
            assert (await fault_of(upstreams, paid(server.url), deadline_s=60)).code is TIMEOUT


async def test_a_full_disk_is_not_held_against_the_vendor(tmp_path: Path) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.reply(b'["' + base64.b64encode(bytes(9000)) + b'"]')

    async with serving(answer) as server, calling(server.url, tmp_path / "spool") as upstreams:
        (directory,) = (tmp_path / "spool").iterdir()
        directory.rename(tmp_path / "gone")
        fault = await fault_of(upstreams, paid(server.url))
        (tmp_path / "gone").rename(directory)
    assert what(fault) == (ErrorCode.ASSET_STORE_UNAVAILABLE, Next.STOP, True, False)


async def test_no_detail_shows_an_address_a_key_or_a_prompt(tmp_path: Path) -> None:
    details = []
    for script in (wire.reset_unread, wire.silence, wire.no_http, wire.short_body, broken_image):
        async with serving(script) as server, calling(server.url, tmp_path, timeouts=QUICK) as upstreams:
            call = paid(f"{server.url}", {"prompt": "canary-prompt"})
            details.append((await fault_of(upstreams, call)).detail)
    assert all(details)
    assert not any(word in detail for detail in details for word in ("canary", "127.0.0.1", "http://"))


async def test_one_account_that_hangs_holds_up_no_other(tmp_path: Path) -> None:
    async with serving(wire.silence) as slow, serving(echo) as quick:
        accounts = {
            name: AccountAccess(Account(name, "acme", server.url), FixedSecret("k"), max_connections=1)
            for name, server in (("slow", slow), ("quick", quick))
        }
        upstreams = Upstreams(accounts, tmp_path)
        hanging = asyncio.create_task(upstreams.send("slow", DIALECT, paid(slow.url), deadline_s=30))
        await slow.seen.wait()
        reply: Any = await upstreams.send("quick", DIALECT, paid(quick.url), deadline_s=5)
        assert reply.status == 200
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)
        await upstreams.aclose()
