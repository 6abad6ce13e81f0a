import asyncio
import socket
import time

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from gateway.domain.facts import Fact, WebhookSent
from gateway.edges.messenger import TRIES, Messenger, Receiver
from gateway.edges.world import World
from gateway.policies.webhook_signing import objection_to
from tests.receivers import receiver
from tests.servers import free_port

KEY = b"k" * 32
BODY = b'{"id":"op_1","status":"completed"}'


class Hasty(World):
    """Whoever waits has waited."""

    def __init__(self) -> None:
        super().__init__()
        self.waited_s: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waited_s.append(seconds)


class Listener:
    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.heard = asyncio.Event()

    def __call__(self, fact: Fact) -> None:
        self.facts.append(fact)
        self.heard.set()


async def told(url: str, world: World | None = None) -> list[Fact]:
    """What is told of one message to `url`."""
    listener = Listener()
    messenger = Messenger({"web": Receiver(url, KEY)}, world or Hasty(), listener)
    messenger.send_soon("web", "op_1", BODY)
    async with asyncio.timeout(30):
        await listener.heard.wait()
    await messenger.aclose()
    return listener.facts


async def test_the_owner_of_a_key_gets_a_signed_message() -> None:
    with receiver() as owner:
        assert await told(owner.url) == [WebhookSent(ok=True)]
    ((headers, body),) = owner.taken
    assert body == BODY
    assert headers["webhook-id"] == "op_1"
    assert headers["content-type"] == "application/json"
    assert objection_to(headers, body, time.time(), KEY) is None


async def test_a_receiver_that_fails_twice_gets_the_message_a_third_time_under_the_same_id() -> None:
    world = Hasty()
    with receiver(500, 302) as owner:
        assert await told(owner.url, world) == [WebhookSent(ok=True)]
    assert [headers["webhook-id"] for headers, _ in owner.taken] == ["op_1"] * 3
    assert len(world.waited_s) == 2
    assert world.waited_s[0] < world.waited_s[1]


async def test_after_three_tries_it_is_given_up() -> None:
    with receiver(*[503] * 10) as owner:
        assert await told(owner.url) == [WebhookSent(ok=False)]
    assert len(owner.taken) == TRIES


async def test_nobody_there_is_a_failure_and_no_exception() -> None:
    assert await told(f"http://127.0.0.1:{free_port()}/") == [WebhookSent(ok=False)]


class Inwards(AbstractResolver):
    """Every name is this machine."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        pass


async def test_a_name_that_leads_inwards_is_never_connected_to() -> None:
    touched = asyncio.Event()
    server = await asyncio.start_server(lambda *_: touched.set(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    listener = Listener()
    messenger = Messenger({"web": Receiver(f"https://hooks.example.com:{port}/", KEY)}, Hasty(), listener, Inwards())
    messenger.send_soon("web", "op_1", BODY)
    async with asyncio.timeout(30):
        await listener.heard.wait()
    await messenger.aclose()
    server.close()
    assert listener.facts == [WebhookSent(ok=False)]
    assert not touched.is_set()


@pytest.mark.parametrize(
    "url", ["http://example.com/", "ftp://example.com/", "https://user@example.com/", "https://127.1/", "nonsense"]
)
def test_an_address_out_of_bounds_makes_no_receiver(url: str) -> None:
    with pytest.raises(ValueError, match=r"^webhook: "):
        Receiver(url, KEY)


async def test_a_key_without_a_receiver_is_sent_nothing_until_one_is_adopted() -> None:
    listener = Listener()
    messenger = Messenger({}, Hasty(), listener)
    messenger.send_soon("web", "op_1", BODY)
    assert not messenger.serves("web")
    with receiver() as owner:
        messenger.adopt({"web": Receiver(owner.url, KEY)})
        messenger.send_soon("web", "op_2", BODY)
        async with asyncio.timeout(30):
            await listener.heard.wait()
    await messenger.aclose()
    assert [headers["webhook-id"] for headers, _ in owner.taken] == ["op_2"]


def test_its_key_does_not_show() -> None:
    assert "k" * 8 not in repr(Receiver("https://example.com/", KEY))
