import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from gateway.edges.bells import Bells
from gateway.edges.redis_store import RedisStore
from tests.servers import Server

OPERATION = f"op_{'1' * 24}"


@pytest.fixture
async def pair(server: Server) -> AsyncIterator[tuple[Bells, Bells]]:
    """Two replicas' bells."""
    one, two = RedisStore(server.url, call_s=2.0), RedisStore(server.url, call_s=2.0)
    yield Bells(one), Bells(two)
    await one.aclose()
    await two.aclose()


def wait(bells: Bells, *, most_s: float = 30.0, every_s: float = 0.05, enough: bool = False) -> "asyncio.Task[bool]":
    return asyncio.create_task(bells.wait(OPERATION, 1, every_s=every_s, most_s=most_s, enough=lambda: enough))


async def test_a_bell_is_heard_where_it_rings_at_once(pair: tuple[Bells, Bells]) -> None:
    one, _ = pair
    waiting = wait(one, every_s=60.0, most_s=60.0)
    await asyncio.sleep(0)
    began = time.monotonic()
    assert await one.ring(OPERATION, 1, "abc")
    assert await waiting
    assert time.monotonic() - began < 10


async def test_a_bell_is_heard_on_the_replica_that_waits_for_it(pair: tuple[Bells, Bells]) -> None:
    one, two = pair
    waiting = wait(two)
    assert await one.ring(OPERATION, 1, "abc")
    assert await waiting
    assert await two.heard(OPERATION, 1) == "abc"


async def test_a_bell_that_rang_before_anybody_waited_is_heard(pair: tuple[Bells, Bells]) -> None:
    one, two = pair
    assert await one.ring(OPERATION, 1, "abc")
    assert await wait(two, every_s=60.0)


async def test_bells_of_other_calls_are_not_heard(pair: tuple[Bells, Bells]) -> None:
    one, two = pair
    assert await one.ring(OPERATION, 2, "abc")
    assert await two.heard(OPERATION, 1) == ""
    assert not await wait(two, most_s=0.1)


async def test_who_has_waited_enough_waits_no_more(pair: tuple[Bells, Bells]) -> None:
    assert not await wait(pair[0], enough=True)


async def test_without_redis_a_bell_is_heard_only_by_who_waits_where_it_rings(
    pair: tuple[Bells, Bells], server: Server
) -> None:
    one, two = pair
    server.kill()
    assert not await one.ring(OPERATION, 1, "abc")  # so that the vendor says it again
    here, elsewhere = wait(one, every_s=60.0), wait(two, most_s=0.5)
    while not (rung := await one.ring(OPERATION, 1, "abc")):
        await asyncio.sleep(0)
    assert rung
    assert await here
    assert not await elsewhere
