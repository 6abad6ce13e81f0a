"""What the gateway learns by itself leaves suspense, all or a part of it, once, and only if it is still there."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from gateway.domain.money import Budget
from gateway.edges.key_store import Deed, KeyStore
from gateway.edges.limits import Limits
from gateway.edges.redis_store import RedisStore
from gateway.edges.suspense import Suspense
from gateway.edges.usage_books import read_books, read_purse, read_suspense
from gateway.policies.buckets import Granted
from gateway.policies.purses import Purse, Reservation, Settlement
from tests.servers import Server

PURSE = Purse("key", "web", Budget(total_microusd=10_000))
BILLED, COST = '["web","","flux","v/m","billed"]', '["web","","flux","v/m","cost_microusd"]'


@pytest.fixture
async def redis(server: Server) -> AsyncIterator[RedisStore]:
    """With an operation that cost 100 for sure, and perhaps 400 more in two calls."""
    one = RedisStore(server.url, call_s=2.0)
    limiter, reservation = Limits(one), Reservation((PURSE,), 600, 60_000)
    assert isinstance(await limiter.take("op_1", (), (), reservation), Granted)
    await limiter.settle("op_1", (), reservation, Settlement(100, 400, (), "web flux"))
    yield one
    await one.aclose()


def today() -> datetime:
    return datetime.now(UTC)


async def spent(redis: RedisStore) -> int:
    return (await read_purse(redis, PURSE, today().date()))[2]


async def test_a_part_is_booked_and_the_rest_stays_listed(redis: RedisStore) -> None:
    assert await Suspense(redis).learn("op_1", 150, 120, ((BILLED, 4), (COST, 120)))
    (left,) = await read_suspense(redis)
    assert (left.op_id, left.kind, left.microusd, left.note, left.purses) == (
        "op_1",
        "unknown",
        250,
        "web flux",
        ("key:web",),
    )  # fmt: skip  one thing in one line
    assert await spent(redis) == 100 + 120 + 250
    day = today().date()
    assert await read_books(redis, day, day) == {day.isoformat(): [(BILLED, 4), (COST, 120)]}
    assert await KeyStore(redis).audit("0", 10) == []  # nobody did it by hand


async def test_the_last_part_takes_it_off_the_list_and_what_cost_nothing_is_free(redis: RedisStore) -> None:
    assert await Suspense(redis).learn("op_1", 150, 0, ())
    assert await Suspense(redis).learn("op_1", 250, 300, ())
    assert await read_suspense(redis) == ()
    assert await spent(redis) == 100 + 300


async def test_of_many_who_learn_it_at_once_one_books_it(redis: RedisStore) -> None:
    learnt = await asyncio.gather(*(Suspense(redis).learn("op_1", 400, 400, ((BILLED, 1),)) for _ in range(5)))
    assert sorted(learnt) == [False] * 4 + [True]
    assert await spent(redis) == 500


async def test_what_was_settled_by_hand_or_never_in_doubt_is_left_alone(redis: RedisStore) -> None:
    assert not await Suspense(redis).learn("op_1", 401, 401, ())
    assert not await Suspense(redis).learn("op_2", 1, 1, ())
    await Suspense(redis).resolve("op_1", 50, Deed("settle-suspense", "ann@ops", "203.0.113.7", 1.0))
    assert not await Suspense(redis).learn("op_1", 400, 400, ())
    assert await spent(redis) == 150
