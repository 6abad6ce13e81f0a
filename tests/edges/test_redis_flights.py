"""Commands that travel together: none is left behind, whenever it comes."""

import asyncio
from dataclasses import dataclass, field

import pytest

from gateway.edges.redis_flights import Flights

PATIENCE_S = 5.0


@dataclass
class Connection:
    """Answers every command with its last word, once the gate is open."""

    gate: asyncio.Event
    replies: list[int] = field(default_factory=list)

    async def send_packed_command(self, packed: bytes) -> None:
        self.replies += [int(command.split(b"\r\n")[-2]) for command in packed.split(b"*2\r\n")[1:]]

    async def read_response(self) -> int:
        await self.gate.wait()
        return self.replies.pop(0)

    async def can_read(self) -> bool:
        return bool(self.replies)

    def should_reconnect(self) -> bool:
        return False


@dataclass
class Client:
    """A client and its pool of connections, which has one for everybody who wants one."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def connection_pool(self) -> "Client":
        return self

    async def get_connection(self) -> Connection:
        return Connection(self.gate)

    async def release(self, connection: Connection) -> None:
        connection.replies.clear()


@pytest.mark.parametrize("at_once", [1, 2, 4, 9])
async def test_who_asks_again_while_all_flights_land_at_once_is_answered(at_once: int) -> None:
    client = Client()
    flights = Flights(client, PATIENCE_S)  # type: ignore[arg-type]  # a fake of what is used of it

    async def asks_twice(number: int) -> list[int]:
        return [await flights.send("ECHO", number), await flights.send("ECHO", -number)]

    askers = []
    for number in range(at_once):
        askers.append(asyncio.create_task(asks_twice(number)))
        for _ in range(3):
            await asyncio.sleep(0)  # so that each has a flight of its own, as long as there are any
    client.gate.set()
    async with asyncio.timeout(PATIENCE_S):
        assert await asyncio.gather(*askers) == [[number, -number] for number in range(at_once)]
    await flights.aclose()


async def test_a_command_without_an_answer_in_time_is_given_up_and_the_others_are_not() -> None:
    client = Client()
    flights = Flights(client, 0.05)  # type: ignore[arg-type]  # a fake of what is used of it
    with pytest.raises(TimeoutError):
        await flights.send("ECHO", 1)
    client.gate.set()
    assert await flights.send("ECHO", 2) == 2
    await flights.aclose()
