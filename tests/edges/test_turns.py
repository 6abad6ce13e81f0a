"""A crowd that comes at one moment begins a few at a time."""

import asyncio
from collections import Counter

import pytest

from gateway.edges.turns import Turns


class Passes:
    """Counts the passes of the event loop."""

    def __init__(self) -> None:
        self.number = 0
        self._count()

    def _count(self) -> None:
        self.number += 1
        asyncio.get_running_loop().call_soon(self._count)


async def test_of_a_crowd_a_few_begin_in_each_pass_of_the_event_loop_in_the_order_in_which_they_came() -> None:
    turns, passes, begun = Turns(3), Passes(), list[tuple[int, int]]()

    async def begin(name: int) -> None:
        await turns.turn()
        begun.append((name, passes.number))

    async with asyncio.TaskGroup() as group:
        for name in range(10):
            group.create_task(begin(name))
    assert [name for name, _ in begun] == list(range(10))
    assert max(Counter(number for _, number in begun).values()) == 3


async def test_who_comes_when_nobody_else_does_begins_at_once() -> None:
    turns, passes = Turns(1), Passes()
    for _ in range(3):
        before = passes.number
        async with asyncio.timeout(5):
            await turns.turn()
        assert passes.number == before
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def test_who_has_given_up_takes_nobodys_turn() -> None:
    turns = Turns(1)
    first, gives_up, next_one = (asyncio.create_task(turns.turn()) for _ in range(3))
    await asyncio.sleep(0)
    assert not gives_up.done()
    gives_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gives_up
    async with asyncio.timeout(5):
        await asyncio.gather(first, next_one)
