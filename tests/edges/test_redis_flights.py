"""Commands that travel together: none is left behind, whenever it comes."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway.edges.redis_flights import Flights

PATIENCE_S = 5.0


@dataclass
class Pipeline:
    gate: asyncio.Event
    commands: list[tuple[Any, ...]] = field(default_factory=list)

    def execute_command(self, *command: Any) -> None:
        self.commands.append(command)

    async def execute(self, *, raise_on_error: bool) -> list[Any]:
        await self.gate.wait()
        return [command[-1] for command in self.commands]


@dataclass
class Client:
    """Answers with a command's last word, to all that wait at the same moment."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def pipeline(self, *, transaction: bool) -> Pipeline:
        return Pipeline(self.gate)


@pytest.mark.parametrize("at_once", [1, 2, 4, 9])
async def test_who_asks_again_while_all_flights_land_at_once_is_answered(at_once: int) -> None:
    client = Client()
    flights = Flights(client, PATIENCE_S)  # type: ignore[arg-type]  # a fake of the one method that is used

    async def asks_twice(number: int) -> list[Any]:
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
