"""What aiohttp's own pool of connections gets wrong (3.14): each of these fails with it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.edges.diced_server import STALLED_S, descriptors, turns, until
from tests.edges.raw_server import Exchange, serving
from tests.edges.test_transport import NEVER_SENT, TIMEOUTS, post, transport

IDLE_S = 0.05
LARGE = b"x" * 5_000_000
STUCK = b"x" * 30_000_000  # more than the kernel's buffers take


@asynccontextmanager
async def taking_nothing() -> AsyncIterator[tuple[str, list[asyncio.StreamWriter]]]:
    """The address of a server that never reads, and its connections."""
    writers: list[asyncio.StreamWriter] = []

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=1024)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", writers
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


async def test_a_turn_that_comes_as_its_caller_gives_up_goes_to_the_next_in_line() -> None:
    async def large(exchange: Exchange) -> None:
        await exchange.reply(LARGE)

    async with serving(large) as server, transport(max_connections=1) as client:
        reply = await client.exchange("GET", server.url, {}, b"", TIMEOUTS)
        gives_up, next_in_line = (asyncio.create_task(post(client, server.url, connect_s=1.0)) for _ in range(2))
        await turns(5)
        reply.body.close()
        gives_up.cancel()
        assert (await next_in_line)[1] == LARGE
    assert gives_up.cancelled()


async def test_a_body_that_nobody_takes_keeps_no_connection_open_once_its_caller_is_gone() -> None:
    async with taking_nothing() as (url, taken), transport() as client:
        before = descriptors()
        call = asyncio.create_task(client.exchange("POST", url, {}, STUCK, TIMEOUTS))
        await until(lambda: len(taken) == 1)
        await turns(1000)
        call.cancel()
        await until(lambda: descriptors() == before + len(taken))
    assert call.cancelled()


async def test_closing_does_not_wait_for_a_vendor_that_takes_no_bytes() -> None:
    async with taking_nothing() as (url, taken), transport() as client:
        call = asyncio.create_task(post(client, url, STUCK))
        await until(lambda: len(taken) == 1)
        await turns(1000)
        async with asyncio.timeout(STALLED_S):
            await client.aclose()
        (failure,) = await asyncio.gather(call, return_exceptions=True)
    assert isinstance(failure, Exception)
    assert not isinstance(failure, NEVER_SENT)


@pytest.mark.parametrize("size", [10, 1_000_000])
async def test_a_connection_at_rest_is_not_timed_out_by_the_reply_that_it_brought(size: int) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.reply(b"x" * size)

    async with serving(answer) as server, transport() as client:
        await post(client, server.url, idle_s=IDLE_S)
        await asyncio.sleep(2 * IDLE_S)  # nothing may happen in this time
        assert (await post(client, server.url))[0] == 200
    assert server.connections == 1
