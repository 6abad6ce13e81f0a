import asyncio
import random
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.edges.transport import AiohttpTransport, ForbiddenAddress, Timeouts
from tests.edges.raw_server import Exchange, serving

TIMEOUTS = Timeouts(5.0, 5.0, 5.0, 5.0, 10.0)
NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
BODY = b'{"prompt": "a cat"}'


@asynccontextmanager
async def transport(max_connections: int = 100, *, loopback: bool = True) -> AsyncIterator[AiohttpTransport]:
    made = AiohttpTransport(loopback_allowed=loopback, max_connections=max_connections)
    try:
        yield made
    finally:
        await made.aclose()


async def post(
    using: AiohttpTransport, url: str, content: bytes | None = BODY, **timeouts: float
) -> tuple[int, bytes, dict[str, str]]:
    headers = {"authorization": "Bearer s"}
    reply = await using.exchange(
        "POST" if content is not None else "GET", url, headers, content or b"", replace(TIMEOUTS, **timeouts)
    )
    try:
        return reply.status, b"".join([chunk async for chunk in reply.body]), reply.headers
    finally:
        reply.body.close()


async def say_yes(exchange: Exchange) -> None:
    await exchange.reply(b'{"ok": true}')


async def test_a_call_arrives_as_written_and_its_reply_comes_back() -> None:
    async with serving(say_yes) as server, transport() as client:
        status, body, headers = await post(client, f"{server.url}/v1/x?y=%2F")
    (exchange,) = server.exchanges
    assert (status, body) == (200, b'{"ok": true}')
    assert headers["content-length"] == "12"
    assert exchange.path == "/v1/x?y=%2F"
    assert exchange.body == BODY
    assert exchange.headers["authorization"] == "Bearer s"
    assert "cookie" not in exchange.headers


async def test_it_serves_as_the_transport_of_an_ordinary_httpx2_client() -> None:
    async with serving(say_yes) as server, transport() as made, httpx2.AsyncClient(transport=made) as client:
        reply = await client.post(f"{server.url}/v1", json={"n": 1})
    assert reply.json() == {"ok": True}
    assert server.exchanges[0].body == b'{"n":1}'


async def test_cookies_are_neither_kept_nor_sent() -> None:
    async def set_cookie(exchange: Exchange) -> None:
        await exchange.reply(b"{}", 200, "Set-Cookie: track=me; Path=/")

    async with serving(set_cookie) as server, transport() as client:
        for _ in range(2):
            await post(client, f"http://localhost:{server.port}/")
    assert [exchange.headers.get("cookie") for exchange in server.exchanges] == [None, None]


async def test_redirects_are_not_followed() -> None:
    async def redirect(exchange: Exchange) -> None:
        await exchange.reply(b"", 302, "Location: /elsewhere")

    async with serving(redirect) as server, transport() as client:
        status, _, headers = await post(client, server.url)
    assert (status, headers["location"], len(server.exchanges)) == (302, "/elsewhere", 1)


async def test_proxies_from_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with serving(say_yes) as server, transport() as client:
        assert (await post(client, server.url))[0] == 200


async def test_a_compressed_body_stays_as_it_came() -> None:
    async def compressed(exchange: Exchange) -> None:
        await exchange.reply(b"\x1f\x8b not really", 200, "Content-Encoding: gzip")

    async with serving(compressed) as server, transport() as client:
        assert (await post(client, server.url))[1] == b"\x1f\x8b not really"


# What was surely not sent


async def test_a_refused_connection_was_never_sent() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with transport() as client:
            with pytest.raises(httpx2.ConnectError):
                await post(client, f"http://127.0.0.1:{taken.getsockname()[1]}")


async def test_a_connection_that_does_not_come_about_in_time_was_never_sent() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            with suppress(BlockingIOError):
                filler.connect(listener.getsockname())
        async with transport() as client:
            with pytest.raises(httpx2.ConnectTimeout):
                await post(client, f"http://127.0.0.1:{listener.getsockname()[1]}", connect_s=0.2)
        for filler in fillers:
            filler.close()


async def test_a_call_that_finds_no_free_connection_was_never_sent() -> None:
    release = asyncio.Event()

    async def hold(exchange: Exchange) -> None:
        await release.wait()
        await exchange.reply()

    async with serving(hold) as server, transport(max_connections=1) as client:
        first = asyncio.create_task(post(client, server.url, first_byte_s=5.0))
        await server.seen.wait()
        with pytest.raises(NEVER_SENT):
            await post(client, server.url, connect_s=0.1)
        release.set()
        assert (await first)[0] == 200
    assert len(server.exchanges) == 1


async def test_a_deadline_that_passes_while_waiting_for_a_connection_means_never_sent() -> None:
    async def hold(_: Exchange) -> None:
        await asyncio.Event().wait()

    async with serving(hold) as server, transport(max_connections=1) as client:
        first = asyncio.create_task(post(client, server.url, first_byte_s=5.0))
        await server.seen.wait()
        with pytest.raises(NEVER_SENT):
            await post(client, server.url, connect_s=5.0, total_s=0.15)
        first.cancel()
        with suppress(asyncio.CancelledError):
            await first


async def test_a_server_whose_certificate_nobody_vouches_for_gets_nothing(tmp_path: Path) -> None:
    async with serving(say_yes, tls=self_signed(tmp_path)) as server, transport() as client:
        with pytest.raises(httpx2.ConnectError, match="Certificate"):
            await post(client, server.url)
    assert server.exchanges == []


async def test_an_address_out_of_bounds_is_refused_even_as_a_literal() -> None:
    async with serving(say_yes) as server, transport(loopback=False) as client:
        with pytest.raises(ForbiddenAddress) as caught:
            await post(client, server.url)
    assert caught.value.reason == "loopback"
    assert server.connections == 0


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "10.0.0.1", "[64:ff9b::7f00:1]", "224.0.0.1"])
async def test_loopback_is_the_only_inner_address_that_can_be_allowed(host: str) -> None:
    async with transport() as client:
        with pytest.raises(ForbiddenAddress):
            await post(client, f"http://{host}/")


# What may have been sent


async def reset_unread(exchange: Exchange) -> None:
    exchange.reset()


async def close_unanswered(exchange: Exchange) -> None:
    exchange.hang_up()


async def silence(_: Exchange) -> None:
    await asyncio.Event().wait()


async def half_a_head(exchange: Exchange) -> None:
    await exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Le")
    exchange.hang_up()


async def no_http(exchange: Exchange) -> None:
    await exchange.raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


async def huge_header(exchange: Exchange) -> None:
    await exchange.raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n")


async def reset_in_body(exchange: Exchange) -> None:
    await exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 100)
    exchange.reset()


async def stall_in_body(exchange: Exchange) -> None:
    await exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 100)
    await asyncio.Event().wait()


async def drip(exchange: Exchange) -> None:
    await exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while not exchange.writer.is_closing():
        await exchange.raw(b"x")
        await asyncio.sleep(0.05)


async def short_body(exchange: Exchange) -> None:
    await exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 999)
    exchange.hang_up()


async def cut_chunk(exchange: Exchange) -> None:
    await exchange.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nff\r\nhal")
    exchange.hang_up()


async def broken_chunk(exchange: Exchange) -> None:
    await exchange.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\nhal\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (reset_unread, httpx2.ReadError),
        (close_unanswered, httpx2.RemoteProtocolError),
        (silence, httpx2.ReadTimeout),
        (half_a_head, httpx2.RemoteProtocolError),
        (no_http, httpx2.RemoteProtocolError),
        (huge_header, httpx2.RemoteProtocolError),
        (reset_in_body, (httpx2.ReadError, httpx2.RemoteProtocolError)),
        (stall_in_body, httpx2.ReadTimeout),
        (short_body, httpx2.RemoteProtocolError),
        (cut_chunk, httpx2.RemoteProtocolError),
        (broken_chunk, httpx2.RemoteProtocolError),
    ],
)
@pytest.mark.parametrize("body", [BODY, None], ids=["post", "get"])
async def test_whatever_fails_after_the_request_left_is_never_reported_as_unsent(
    script: Callable[[Exchange], Awaitable[None]], expected: type[Exception], body: bytes | None
) -> None:
    async with serving(script) as server, transport() as client:
        with pytest.raises(httpx2.TransportError) as caught:
            await post(client, server.url, body, first_byte_s=0.4, idle_s=0.2)
    assert isinstance(caught.value, expected)
    assert not isinstance(caught.value, NEVER_SENT)
    assert server.exchanges


async def test_the_total_deadline_holds_against_a_dripping_body() -> None:
    async with serving(drip) as server, transport() as client:
        began = time.monotonic()
        with pytest.raises(httpx2.ReadTimeout):
            await post(client, server.url, total_s=0.4)
    assert 0.3 < time.monotonic() - began < 1.5


async def test_a_body_that_stalls_is_given_up_long_before_a_slow_vendor_is() -> None:
    async with serving(stall_in_body) as server, transport() as client:
        async with asyncio.timeout(5):
            with pytest.raises(httpx2.ReadTimeout):
                await post(client, server.url, first_byte_s=30.0, idle_s=0.2, total_s=30.0)


async def test_a_body_that_nobody_takes_is_a_write_timeout() -> None:
    never_read = asyncio.Event()

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await never_read.wait()
        writer.transport.abort()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=1024)
    port = server.sockets[0].getsockname()[1]
    async with transport() as client:
        with pytest.raises(httpx2.WriteTimeout):
            await post(client, f"http://127.0.0.1:{port}", b"x" * 30_000_000, write_s=0.3)
    never_read.set()
    server.close()
    await server.wait_closed()


async def test_a_paid_call_on_a_connection_that_the_server_drops_is_sent_once_and_not_reported_as_unsent() -> None:
    async def one_each(exchange: Exchange) -> None:
        if exchange.number == 0:
            await exchange.reply()
        else:
            exchange.hang_up()  # the second call on a kept connection is read and then dropped

    async with serving(one_each) as server, transport() as client:
        await post(client, server.url)
        with pytest.raises(httpx2.RemoteProtocolError):
            await post(client, server.url)
    assert (len(server.exchanges), server.connections) == (2, 1)


async def test_a_kept_connection_that_the_server_closed_meanwhile_is_not_used() -> None:
    async def last_words(exchange: Exchange) -> None:
        await exchange.reply()
        exchange.hang_up()

    async with serving(last_words) as server, transport() as client:
        for _ in range(5):
            assert (await post(client, server.url))[0] == 200
            await asyncio.sleep(0.01)  # lets the FIN arrive
    assert len(server.exchanges) == 5


async def test_whatever_is_reported_as_unsent_in_a_keep_alive_race_really_was_not_read() -> None:
    async def sometimes_last(exchange: Exchange) -> None:
        await exchange.reply()
        if random.random() < 0.5:
            exchange.writer.get_extra_info("socket").shutdown(socket.SHUT_WR)
            exchange.hang_up()

    unsent = lost = won = 0
    async with serving(sometimes_last) as server, transport() as client:
        for _ in range(150):
            before = len(server.exchanges)
            try:
                await post(client, server.url)
                won += 1
            except NEVER_SENT:
                unsent += 1
                assert len(server.exchanges) == before
            except httpx2.TransportError:
                lost += 1
    assert won > 0
    assert won + unsent + lost == 150


# Slots


async def test_a_body_left_unread_closes_its_connection_and_frees_its_slot() -> None:
    async def large(exchange: Exchange) -> None:
        await exchange.reply(b"x" * 5_000_000)

    async with serving(large) as server, transport(max_connections=1) as client:
        for _ in range(3):
            reply = await client.exchange("GET", server.url, {}, b"", TIMEOUTS)
            reply.body.close()
    assert server.connections == 3


def self_signed(directory: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = directory / "server.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context
