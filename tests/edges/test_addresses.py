import socket

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from gateway.edges.addresses import AddressRefused, GuardedResolver, guarded_socket
from gateway.policies.addresses import Reason


class Zone(AbstractResolver):
    """A name server that says what the test tells it to; an empty list is a failure."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        if not answer:
            raise OSError("no answer")
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0) for address in answer
        ]

    async def close(self) -> None:
        pass


async def addresses_of(resolver: GuardedResolver) -> list[str]:
    return [found["host"] for found in await resolver.resolve("images.example", 443)]


async def test_public_addresses_pass() -> None:
    zone = Zone(["93.184.216.34", "2606:4700::1"])
    assert await addresses_of(GuardedResolver(loopback_allowed=False, inner=zone)) == ["93.184.216.34", "2606:4700::1"]


async def test_one_inner_address_among_public_ones_refuses_the_name() -> None:
    resolver = GuardedResolver(loopback_allowed=False, inner=Zone(["93.184.216.34", "10.0.0.1"]))
    with pytest.raises(AddressRefused) as caught:
        await addresses_of(resolver)
    assert caught.value.reason is Reason.PRIVATE


async def test_loopback_passes_only_for_an_account_that_is_there() -> None:
    assert await addresses_of(GuardedResolver(loopback_allowed=True, inner=Zone(["127.0.0.1"]))) == ["127.0.0.1"]
    with pytest.raises(AddressRefused):
        await addresses_of(GuardedResolver(loopback_allowed=False, inner=Zone(["127.0.0.1"])))


async def test_while_lookups_fail_the_last_good_answer_serves_for_a_minute() -> None:
    now = 0.0
    zone = Zone(["93.184.216.34"], [])
    resolver = GuardedResolver(loopback_allowed=False, inner=zone, clock=lambda: now)
    assert await addresses_of(resolver) == ["93.184.216.34"]
    now = 59.0
    assert await addresses_of(resolver) == ["93.184.216.34"]
    now = 61.0
    with pytest.raises(OSError, match="no answer"):
        await addresses_of(resolver)
    assert zone.asked == 3


async def test_a_name_that_turns_inwards_is_refused_although_it_was_good_before() -> None:
    resolver = GuardedResolver(loopback_allowed=False, inner=Zone(["93.184.216.34"], ["169.254.169.254"]))
    await addresses_of(resolver)
    with pytest.raises(AddressRefused):
        await addresses_of(resolver)


def info(address: str) -> aiohttp.AddrInfoType:
    return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, 443))


def test_a_socket_is_made_only_for_an_address_that_may_be_spoken_to() -> None:
    make = guarded_socket(loopback_allowed=False)
    with make(info("93.184.216.34")) as made:
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    with pytest.raises(AddressRefused):
        make(info("127.0.0.1"))
