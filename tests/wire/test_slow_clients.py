"""Slow clients: what they may cost, and when they are shown out."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable

import pytest

from gateway.transport import Terms
from tests.wire.corpus import chunked, get, post
from tests.wire.harness import PATIENCE_S, CountingApp, Running, Sends, guarded, hardened, talk, until

STALLED = post(b"Content-Length: 500", body=b"half of it")


async def drip_until_closed(port: int, start: bytes) -> float:
    """Send `start` and then a byte every 20 ms. Seconds until the server ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began_s = time.monotonic()
    writer.write(start)
    closed = asyncio.create_task(reader.read())
    async with asyncio.timeout(PATIENCE_S):
        while not closed.done():
            writer.write(b"a")
            await asyncio.wait([closed], timeout=0.02)
    writer.transport.abort()
    closed.exception()
    return time.monotonic() - began_s


async def test_a_header_block_that_drips_is_closed_at_its_deadline() -> None:
    app = CountingApp()
    async with hardened(guarded(app), Terms(head_s=0.3)) as running:
        took_s = await drip_until_closed(running.port, b"GET / HTTP/1.1\r\nHost: a\r\nX-A: ")
        assert running.refusals == ["header_timeout"]

    assert 0.25 < took_s < 2
    assert app.calls == []


async def test_a_late_header_block_is_told_so() -> None:
    async with hardened(guarded(CountingApp()), Terms(head_s=0.1)) as running:
        heard = await talk(running.port, [b"GET / HTTP/1.1\r\n"])

    assert heard.closed
    assert heard.replies.statuses == [400]
    assert heard.replies.envelope()["code"] == "request_timeout"


async def test_a_connection_that_says_nothing_is_closed_without_a_word() -> None:
    async with hardened(guarded(CountingApp()), Terms(idle_s=0.1)) as running:
        heard = await talk(running.port, [])

    assert heard.closed
    assert heard.replies.statuses == []


async def test_a_connection_is_kept_between_requests_and_then_closed() -> None:
    app = CountingApp()
    async with hardened(guarded(app), Terms(idle_s=0.05, head_s=0.05, keep_alive_s=0.4)) as running:
        began_s = time.monotonic()
        heard = await talk(running.port, [get()])
        took_s = time.monotonic() - began_s

    assert heard.closed
    assert heard.replies.statuses == [200]
    assert took_s > 0.35


async def test_empty_lines_do_not_keep_a_connection_for_ever() -> None:
    async with hardened(guarded(CountingApp())) as running:
        heard = await talk(running.port, [get(), b"\r\n", b"\r\n"])

    assert heard.closed
    assert heard.replies.statuses == [200, 400]


async def test_one_empty_line_after_a_body_leaves_the_connection_idle_and_not_late() -> None:
    async with hardened(guarded(CountingApp()), Terms(head_s=0.05, keep_alive_s=0.3)) as running:
        heard = await talk(running.port, [post(b"Content-Length: 5") + b"\r\n"])

    assert heard.closed
    assert heard.replies.statuses == [200]


async def test_a_stalled_body_is_refused_by_the_endpoints_own_deadline() -> None:
    app = CountingApp(body_deadline_s=0.1)
    async with hardened(guarded(app)) as running:
        heard = await talk(running.port, [STALLED])

    assert heard.closed
    assert heard.replies.envelope()["code"] == "request_timeout"
    assert heard.replies.headers[-1]["connection"] == "close"
    assert app.calls == []


@pytest.mark.parametrize("start", [STALLED, chunked(b"5\r\nhel")], ids=["sized", "chunked"])
async def test_a_stalled_body_is_closed_below_an_app_that_would_wait_for_ever(start: bytes) -> None:
    app = CountingApp(body_deadline_s=3600)
    async with hardened(guarded(app), Terms(body_s=0.1)) as running:
        heard = await talk(running.port, [start])
        await until(lambda: app.gone == 1)
        assert running.refusals == ["body_timeout"]

    assert heard.closed
    assert heard.replies.envelope()["code"] == "request_timeout"
    assert app.calls == []


async def test_a_body_that_drips_is_closed_at_its_deadline() -> None:
    app = CountingApp(body_deadline_s=0.3)
    async with hardened(guarded(app)) as running:
        took_s = await drip_until_closed(running.port, post(b"Content-Length: 60000", body=b""))

    assert 0.25 < took_s < 2
    assert app.calls == []


async def test_a_client_that_leaves_in_the_middle_is_never_taken_for_a_short_body() -> None:
    app = CountingApp()
    async with hardened(guarded(app)) as running:
        _, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(STALLED)
        await until(lambda: running.server.connections == 1)
        writer.transport.abort()
        await until(lambda: app.gone == 1)

    assert app.calls == []


async def test_two_hundred_slow_connections_do_not_disturb_a_healthy_one() -> None:
    app = CountingApp()
    async with hardened(guarded(app), Terms(head_s=1.0)) as running:
        slow = [
            asyncio.create_task(drip_until_closed(running.port, b"POST / HTTP/1.1\r\nHost: a\r\nX-A: "))
            for _ in range(200)
        ]
        await until(lambda: running.server.connections == 200)
        waits_s = []
        for _ in range(20):
            began_s = time.monotonic()
            heard = await talk(running.port, [get()], enough=1)
            waits_s.append(time.monotonic() - began_s)
            assert heard.replies.statuses == [200]
        took_s = await asyncio.gather(*slow)
        assert running.refusals == ["header_timeout"] * 200

    assert sorted(waits_s)[10] < 0.2
    assert max(took_s) < 3
    assert len(app.calls) == 20


async def read_from(port: int, receive_bytes: int, read: Callable[[asyncio.StreamReader], Awaitable[int]]) -> int:
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=raw, limit=receive_bytes)
    writer.write(get())
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await read(reader)
    finally:
        writer.transport.abort()


async def test_a_reader_that_does_not_read_is_cut_off() -> None:
    async with hardened(Sends(b"x" * 20_000_000), Terms(write_s=0.2)) as running:

        async def read_nothing(_: asyncio.StreamReader) -> int:
            await until(lambda: running.refusals == ["slow_reader"])
            await until(lambda: running.server.connections == 0)
            return 0

        assert await read_from(running.port, 4096, read_nothing) == 0


def with_little_room(running: Running) -> None:
    """Make the kernel take little of each reply, so that the rest waits in the server."""
    running.server._public.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)


async def test_a_reader_that_is_slow_but_steady_gets_everything() -> None:
    body = b"x" * 2_000_000

    async def read_steadily(reader: asyncio.StreamReader) -> int:
        taken = 0
        while taken < len(body):
            taken += len(await reader.read(32768))
            await asyncio.sleep(0.005)
        return taken

    async with hardened(Sends(body), Terms(write_s=0.05)) as running:
        with_little_room(running)
        assert await read_from(running.port, 65536, read_steadily) >= len(body)
        assert running.refusals == []


async def test_a_client_that_reads_nothing_cannot_hold_up_a_closed_connection() -> None:
    app = Sends(b"x" * 30_000)  # less than the server would stop writing for
    async with hardened(app, Terms(keep_alive_s=0.05, write_s=0.1)) as running:
        with_little_room(running)

        async def read_nothing(_: asyncio.StreamReader) -> int:
            await until(lambda: len(app.scopes) == 1)
            await until(lambda: running.server.connections == 0)
            return 0

        assert await read_from(running.port, 2048, read_nothing) == 0
        assert running.refusals == ["slow_reader"]
