import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway.domain.errors import ErrorCode
from gateway.domain.exchange import Fault, Next, Remote
from gateway.domain.picture import Blob
from gateway.edges.upstreams import Upstreams
from tests.edges import test_transport as wire
from tests.edges.calling import DIALECT, NO_REPLY, Clock, calling
from tests.edges.raw_server import Exchange, serving
from tests.edges.test_addresses import Zone
from tests.edges.test_upstreams import images_in

PNG = b"\x89PNG\r\n\x1a\n" + os.urandom(100_000)


async def collect(upstreams: Upstreams, url: str, deadline_s: float = 30.0) -> Blob | Fault:
    return await upstreams.collect("acme-1", DIALECT, Remote(url), NO_REPLY, deadline_s=deadline_s)


async def fault_of(upstreams: Upstreams, url: str, deadline_s: float = 30.0) -> Fault:
    fault = await collect(upstreams, url, deadline_s)
    assert isinstance(fault, Fault)
    assert (fault.next, fault.may_have_billed, fault.counts_against_vendor) == (Next.STOP, True, True)
    return fault


async def image(exchange: Exchange) -> None:
    await exchange.reply(PNG, 200, "Content-Type: text/html", "Set-Cookie: a=b")


async def test_an_image_behind_a_link_becomes_a_file_whatever_its_type_claims(tmp_path: Path) -> None:
    async with serving(image) as server, calling(server.url, tmp_path) as upstreams:
        blob = await collect(upstreams, f"{server.url}/out/1.png?sig=a%2Fb")
        assert isinstance(blob, Blob)
        assert (blob.path.read_bytes(), blob.length) == (PNG, len(PNG))
    (exchange,) = server.exchanges
    assert exchange.path == "/out/1.png?sig=a%2Fb"
    assert "authorization" not in exchange.headers
    assert "cookie" not in exchange.headers
    assert exchange.headers["accept-encoding"] == "identity"


async def test_a_link_that_is_not_there_yet_is_tried_again_for_a_while(tmp_path: Path) -> None:
    async def after_three(exchange: Exchange) -> None:
        await (exchange.reply(b"", 404) if exchange.number < 3 else exchange.reply(PNG))

    clock = Clock()
    async with serving(after_three) as server, calling(server.url, tmp_path, clock=clock) as upstreams:
        assert isinstance(await collect(upstreams, f"{server.url}/1"), Blob)
    assert clock.sleeps == [0.25, 0.75, 1.5]


@pytest.mark.parametrize("status", [403, 404, 410])
async def test_a_link_that_stays_away_is_given_up_within_three_seconds(tmp_path: Path, status: int) -> None:
    async def gone(exchange: Exchange) -> None:
        await exchange.reply(b"<Error/>", status)

    clock = Clock()
    async with serving(gone) as server, calling(server.url, tmp_path, clock=clock) as upstreams:
        fault = await fault_of(upstreams, f"{server.url}/1")
    assert (fault.code, fault.detail) == (ErrorCode.UPSTREAM_BAD_RESPONSE, f"download: status {status}")
    assert len(server.exchanges) == 4
    assert clock.now <= 3


async def refuse(exchange: Exchange) -> None:
    await exchange.reply(b"", 503)


@pytest.mark.parametrize("broken", [wire.short_body, wire.cut_chunk, wire.reset_in_body, wire.reset_unread, refuse])
async def test_a_broken_download_is_tried_three_times_in_all(
    tmp_path: Path, broken: Callable[[Exchange], Awaitable[None]]
) -> None:
    async def third_time_lucky(exchange: Exchange) -> None:
        await (broken(exchange) if exchange.number < 2 else exchange.reply(PNG))

    clock = Clock()
    async with serving(third_time_lucky) as server, calling(server.url, tmp_path, clock=clock) as upstreams:
        blob = await collect(upstreams, f"{server.url}/1")
        assert isinstance(blob, Blob)
        assert blob.path.read_bytes() == PNG
        assert images_in(tmp_path) == [blob.path]
    clock = Clock()
    async with serving(broken) as server, calling(server.url, tmp_path, clock=clock) as upstreams:
        assert (await fault_of(upstreams, f"{server.url}/1")).code is ErrorCode.UPSTREAM_BAD_RESPONSE
        assert images_in(tmp_path) == []
    assert len([sleep for sleep in clock.sleeps if sleep < 1]) == 2


async def test_a_link_that_leads_on_is_not_followed(tmp_path: Path) -> None:
    async def redirect(exchange: Exchange) -> None:
        await exchange.reply(b"", 302, "Location: /1")

    async with serving(redirect) as server, calling(server.url, tmp_path) as upstreams:
        assert (await fault_of(upstreams, f"{server.url}/0")).detail == "download: status 302"
    assert len(server.exchanges) == 1


@pytest.mark.parametrize("announced", [True, False])
async def test_a_download_without_end_is_cut_at_its_cap(tmp_path: Path, *, announced: bool) -> None:
    async def endless(exchange: Exchange) -> None:
        length = "Content-Length: 99999999" if announced else "Connection: close"
        await exchange.raw(f"HTTP/1.1 200 OK\r\n{length}\r\n\r\n".encode())
        while not exchange.writer.is_closing():
            await exchange.raw(bytes(100_000))

    async with serving(endless) as server, calling(server.url, tmp_path) as upstreams:
        assert (await fault_of(upstreams, f"{server.url}/1")).detail == "download: too large"
        assert images_in(tmp_path) == []


async def test_a_compressed_download_is_refused(tmp_path: Path) -> None:
    async def bomb(exchange: Exchange) -> None:
        await exchange.reply(PNG, 200, "Content-Encoding: gzip")

    async with serving(bomb) as server, calling(server.url, tmp_path) as upstreams:
        assert (await fault_of(upstreams, f"{server.url}/1")).detail == "download: compressed"


async def test_an_empty_download_is_no_image(tmp_path: Path) -> None:
    async def empty(exchange: Exchange) -> None:
        await exchange.reply(b"")

    async with serving(empty) as server, calling(server.url, tmp_path, clock=Clock()) as upstreams:
        assert (await fault_of(upstreams, f"{server.url}/1")).detail == "download: empty"


async def test_a_download_that_does_not_end_in_time_is_a_timeout(tmp_path: Path) -> None:
    async with serving(wire.drip) as server, calling(server.url, tmp_path) as upstreams:
        async with asyncio.timeout(5):
            fault = await fault_of(upstreams, f"{server.url}/1", deadline_s=0.3)
    assert fault.code is ErrorCode.UPSTREAM_TIMEOUT


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://169.254.169.254/latest/meta-data", "scheme"),
        ("https://169.254.169.254/", "address_literal"),
        ("file:///etc/passwd", "scheme"),
        ("https://evil.example/1.png", "host"),
        ("https://user@cdn.example/1.png", "userinfo"),
        ("https://cdn.example:8443/1.png", "port"),
        ("http://127.0.0.1:1/1.png", "scheme"),
        ("not a link", "malformed"),
    ],
)
async def test_a_link_out_of_bounds_is_not_fetched(tmp_path: Path, url: str, reason: str) -> None:
    async with serving(image) as server, calling(server.url, tmp_path) as upstreams:
        assert (await fault_of(upstreams, url)).detail == f"ssrf: {reason}"
    assert server.connections == 0


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::"])
async def test_an_allowed_name_that_leads_inwards_is_not_fetched(tmp_path: Path, address: str) -> None:
    async with calling(None, tmp_path, resolver=Zone([address])) as upstreams:
        fault = await fault_of(upstreams, "https://cdn.example/1.png")
    assert fault.detail.startswith("ssrf: ")


async def test_hosts_of_the_account_are_allowed_beside_the_dialects(tmp_path: Path) -> None:
    zone = Zone(["10.0.0.1"])
    async with calling(None, tmp_path, resolver=zone, download_hosts=("mirror.example",)) as upstreams:
        assert (await fault_of(upstreams, "https://mirror.example/1.png")).detail == "ssrf: private"
        assert (await fault_of(upstreams, "https://other.example/1.png")).detail == "ssrf: host"
    assert zone.asked == 1
