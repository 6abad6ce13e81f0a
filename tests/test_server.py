import asyncio
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from gateway.server import Address, CannotListen, PortTaken, Server
from tests.wire.corpus import get
from tests.wire.harness import CountingApp, admin_app, hardened, talk

PUBLIC = Address("127.0.0.1", 0, "server.public.port")
ADMIN = Address("127.0.0.1", 0, "server.admin.port")


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that somebody else listens on for as long as the test runs."""
    with closing(socket.create_server(("127.0.0.1", 0))) as holder:
        yield holder.getsockname()[1]


async def test_a_taken_port_is_named_with_its_option_before_anything_is_started(taken_port: int) -> None:
    with pytest.raises(PortTaken) as caught:
        Server.bind(PUBLIC, Address("127.0.0.1", taken_port, "server.admin.port"))

    assert (caught.value.host, caught.value.port, caught.value.option) == (
        "127.0.0.1",
        taken_port,
        "server.admin.port",
    )
    assert f"127.0.0.1:{taken_port} (server.admin.port)" in str(caught.value)


async def test_an_address_that_is_not_ours_is_refused_in_the_systems_words() -> None:
    with pytest.raises(CannotListen, match=r"203\.0\.113\.1:0 \(server\.public\.port\): "):
        Server.bind(Address("203.0.113.1", 0, "server.public.port"), ADMIN)


async def test_bound_ports_are_ours_before_the_server_starts() -> None:
    server = Server.bind(PUBLIC, ADMIN)
    _, port = server.public_address

    with pytest.raises(PortTaken):
        Server.bind(Address("127.0.0.1", port, "server.public.port"), ADMIN)
    await server.stop()


async def test_port_zero_is_a_real_port_and_a_client_that_comes_early_is_served_once_started() -> None:
    app = CountingApp()
    server = Server.bind(PUBLIC, ADMIN)
    _, port = server.public_address
    early = asyncio.create_task(talk(port, [get()], enough=1))
    await server.start(app, admin_app)
    heard = await early
    await server.stop()

    assert port > 0
    assert port != server.admin_address[1]
    assert heard.replies.statuses == [200]


async def test_both_ports_serve_their_own_app() -> None:
    app = CountingApp()
    async with hardened(app) as running:
        public = await talk(running.port, [get()], enough=1)
        admin = await talk(running.server.admin_address[1], [get()], enough=1)

    assert public.replies.bodies == [b"1"]
    assert admin.replies.bodies == [b"admin"]
    assert len(app.calls) == 1


async def test_a_stopped_server_has_let_its_ports_go() -> None:
    async with hardened(CountingApp()) as running:
        port = running.port

    server = Server.bind(Address("127.0.0.1", port, "server.public.port"), ADMIN)
    await server.stop()
    assert server.public_address == ("127.0.0.1", port)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="the machine has no IPv6")
async def test_an_ipv6_address_is_served() -> None:
    server = Server.bind(Address("::1", 0, "server.public.port"), ADMIN)
    await server.start(CountingApp(), admin_app)
    try:
        reader, writer = await asyncio.open_connection("::1", server.public_address[1])
        writer.write(get(b"Connection: close"))
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()
        await writer.wait_closed()
    finally:
        await server.stop()
