"""Connections as such: early replies, pipelines, caps, and what becomes of them in a shutdown."""

import asyncio
import gc

import pytest
from starlette.types import Receive, Scope, Send

from gateway.protocol import HardenedProtocol
from gateway.transport import Departure, Terms
from tests.wire.corpus import chunked, get, post
from tests.wire.harness import PATIENCE_S, CountingApp, Sends, guarded, hardened, talk, until


class Holds:
    """An app that answers when it is let go."""

    def __init__(self) -> None:
        self.departure = Departure()
        self.entered = asyncio.Event()
        self.let_go = asyncio.Event()
        self.cancelled = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.departure = scope["state"]["departure"]
        self.entered.set()
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize("start", [post(b"Content-Length: 5000000", body=b""), chunked(b"4c4b40\r\n")])
async def test_a_body_that_is_too_large_is_refused_while_the_client_still_sends_and_the_reply_arrives(
    start: bytes,
) -> None:
    app = CountingApp()
    async with hardened(guarded(app)) as running:
        heard = await talk(running.port, [start, b"x" * 5_000_000])

    assert heard.closed
    assert heard.replies.envelope()["code"] == "request_too_large"
    assert heard.replies.headers[-1]["connection"] == "close"
    assert app.calls == []


async def test_a_reply_before_the_body_closes_the_connection_and_what_follows_is_not_a_request() -> None:
    app = Sends(b"early")
    async with hardened(app, Terms(linger_s=0.1)) as running:
        heard = await talk(running.port, [post(b"Content-Length: 500", body=get())])

    assert heard.closed
    assert heard.replies.headers[0]["connection"] == "close"
    assert len(app.scopes) == 1


async def test_a_thousand_pipelined_requests_are_served_one_after_the_other() -> None:
    app = CountingApp()
    async with hardened(guarded(app)) as running:
        heard = await talk(running.port, [get() * 1000], enough=1000)

    assert heard.replies.statuses == [200] * 1000
    assert [int(body) for body in heard.replies.bodies] == list(range(1, 1001))


@pytest.mark.parametrize("way", ["hangs up", "has its answer"])
async def test_whoever_asks_hears_that_a_client_waits_no_more_and_at_once_where_that_was_before(way: str) -> None:
    app, heard = Holds(), list[str]()
    async with hardened(app) as running:
        _, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(get())
        await app.entered.wait()
        app.departure.then(lambda: heard.append("before"))
        assert heard == []
        if way == "hangs up":
            writer.transport.abort()
        else:
            app.let_go.set()
        await until(lambda: heard == ["before"])
        app.departure.then(lambda: heard.append("after"))
        assert heard == ["before", "after"]
        writer.transport.abort()


async def test_a_connection_that_has_ended_is_gone_without_the_collector() -> None:
    def connections() -> int:
        return sum(isinstance(one, HardenedProtocol) for one in gc.get_objects())

    gc.collect()
    before = connections()
    gc.disable()
    try:
        async with hardened(guarded(CountingApp())) as running:
            _, writer = await asyncio.open_connection("127.0.0.1", running.port)
            await until(lambda: connections() == before + 1)
            writer.write(get())
            writer.close()
            await until(lambda: connections() == before)
    finally:
        gc.enable()


async def test_a_pipelined_request_waits_for_the_reply_before_it() -> None:
    app = Holds()
    async with hardened(app) as running:
        talking = asyncio.create_task(talk(running.port, [get() + b"GET /second HTTP/1.1\r\n\r\n"]))
        await app.entered.wait()
        app.let_go.set()
        heard = await talking

    assert heard.replies.statuses == [200, 400]  # the second has no Host, and that is said in its turn


async def test_trailers_do_not_become_headers() -> None:
    app = Sends(b"")

    async with hardened(app) as running:
        trailer = b"Authorization: Bearer stolen"
        await talk(running.port, [chunked(b"0\r\n" + trailer + b"\r\n\r\n")], enough=1)

    assert [name for name, _ in app.scopes[0]["headers"]] == [b"host", b"transfer-encoding"]


async def test_connections_beyond_the_cap_are_closed_at_once_and_room_is_given_back() -> None:
    app = CountingApp()
    async with hardened(guarded(app), Terms(connections=2)) as running:
        held = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(2)]
        await until(lambda: running.server.connections == 2)
        refused = await talk(running.port, [get()])
        assert refused.closed
        assert refused.replies.statuses == []
        assert running.refusals == ["connections"]

        held[0][1].transport.abort()
        await until(lambda: running.server.connections == 1)
        heard = await talk(running.port, [get()], enough=1)
        held[1][1].transport.abort()

    assert heard.replies.statuses == [200]


async def test_a_reply_carries_the_date_and_does_not_name_the_server() -> None:
    async with hardened(guarded(CountingApp())) as running:
        heard = await talk(running.port, [get()], enough=1)

    assert heard.replies.headers[0]["date"].endswith("GMT")
    assert "server" not in heard.replies.headers[0]


async def test_a_connection_that_was_open_before_the_announcement_is_told_at_its_next_reply() -> None:
    app = Holds()
    async with hardened(app) as running:
        talking = asyncio.create_task(talk(running.port, [get() + get()]))
        await app.entered.wait()
        running.server.announce_drain()
        app.let_go.set()
        heard = await talking

    assert heard.closed
    assert ["connection" in headers for headers in heard.replies.headers] == [False, True]


async def test_an_announced_drain_still_serves_and_sends_clients_elsewhere() -> None:
    app = CountingApp()
    async with hardened(guarded(app)) as running:
        running.server.announce_drain()
        heard = await talk(running.port, [get()])

    assert heard.closed
    assert heard.replies.statuses == [200]
    assert heard.replies.headers[0]["connection"] == "close"


async def test_a_drain_lets_running_requests_finish_and_takes_no_new_ones() -> None:
    app = Holds()
    async with hardened(app) as running:
        idle = asyncio.create_task(talk(running.port, []))
        busy = asyncio.create_task(talk(running.port, [get() + get()]))
        await app.entered.wait()
        await until(lambda: running.server.connections == 2)
        draining = asyncio.create_task(running.server.drain(PATIENCE_S))
        assert (await idle).closed
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", running.port)
        admin = await talk(running.server.admin_address[1], [get()], enough=1)
        assert not draining.done()
        app.let_go.set()
        assert await draining is True
        heard = await busy

    assert admin.replies.bodies == [b"admin"]
    assert heard.closed
    assert heard.replies.statuses == [200]
    assert heard.replies.headers[0]["connection"] == "close"


async def test_a_drain_ends_at_its_deadline_and_stop_cancels_the_rest() -> None:
    app = Holds()
    async with hardened(app) as running:
        talking = asyncio.create_task(talk(running.port, [get()]))
        await app.entered.wait()
        assert await running.server.drain(0.05) is False
        before_stop = app.cancelled
        await running.server.stop()
        assert [before_stop, app.cancelled] == [False, True]
        assert (await talking).replies.statuses == []


async def test_a_reply_that_fails_after_its_start_is_broken_off() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"some", "more_body": True})
        raise ZeroDivisionError

    async with hardened(guarded(app)) as running:
        heard = await talk(running.port, [get()])

    assert heard.closed
    assert heard.replies.complete == 0
