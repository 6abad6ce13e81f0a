"""Answers that are shared by all who ask at the same moment."""

import asyncio

import pytest

from gateway.edges.shared import Shared


class Asked:
    def __init__(self) -> None:
        self.times = 0
        self.go_on = asyncio.Event()

    async def __call__(self) -> int:
        self.times += 1
        number = self.times
        await self.go_on.wait()
        if number == 3:
            raise OSError("the third time")
        return number


async def test_all_who_ask_within_a_moment_get_one_answer_and_who_comes_later_asks_anew() -> None:
    now = [100.0]
    shared, ask = Shared[int](lambda: now[0]), Asked()
    waiting = [asyncio.create_task(shared.get("list", ask)) for _ in range(20)]
    other = asyncio.create_task(shared.get("another list", ask))
    await asyncio.sleep(0)
    waiting.pop().cancel()
    ask.go_on.set()
    assert await asyncio.gather(*waiting) == [1] * 19
    assert await other == 2
    now[0] += 0.5
    assert await shared.get("list", ask) == 1
    now[0] += 0.6
    with pytest.raises(OSError, match="third"):
        await shared.get("list", ask)
    now[0] += 1.1
    assert await shared.get("list", ask) == 4


async def test_closing_gives_up_what_is_being_asked() -> None:
    shared, ask = Shared[int](lambda: 0.0), Asked()
    waiting = asyncio.create_task(shared.get("list", ask))
    await asyncio.sleep(0)
    await shared.aclose()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_no_answer_is_kept_beyond_its_time_though_nobody_asks_again() -> None:
    shared, ask = Shared[int](lambda: 100.0, fresh_s=0.0), Asked()
    waiting = [asyncio.create_task(shared.get(f"page {number}", ask)) for number in range(10)]
    await asyncio.sleep(0)
    assert len(shared) == 10
    ask.go_on.set()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert [str(answer) for answer in answers] == ["1", "2", "the third time", *map(str, range(4, 11))]
    while len(shared):
        await asyncio.sleep(0)


async def test_an_answer_lasts_its_time_though_an_older_one_to_the_same_question_comes_first() -> None:
    shared, first, second = Shared[int](lambda: 100.0, fresh_s=0.0), Asked(), Asked()
    older, newer = (asyncio.create_task(shared.get("list", ask)) for ask in (first, second))
    await asyncio.sleep(0)
    first.go_on.set()
    assert await older == 1
    for _ in range(5):  # turns of the loop
        await asyncio.sleep(0)
    assert len(shared) == 1
    second.go_on.set()
    assert await newer == 1
