"""What is in suspense is resolved once: the money is booked or freed, and the deed written down."""

import asyncio
import time
from datetime import UTC, datetime

import pytest

from gateway.domain.money import Budget
from gateway.edges import limits
from gateway.edges.key_store import Deed, KeyStore
from gateway.edges.limits import Limits
from gateway.edges.redis_store import RedisStore
from gateway.edges.suspense import Suspense
from gateway.edges.usage_books import read_books, read_suspense
from gateway.policies.buckets import Granted
from gateway.policies.purses import Purse, Reservation, Settlement, Unaffordable
from gateway.policies.usage_lines import line_name
from tests.servers import Server

DEED = Deed("settle-suspense", "ann@ops", "203.0.113.7", 1_900_000_000.0)
PURSES = (
    Purse("key", "web", Budget(total_microusd=1000, per_day_microusd=900)),
    Purse("tenant", "acme", Budget(per_month_microusd=1000)),
)


def spent(server: Server) -> list[set[bytes]]:
    with server.admin() as admin:
        return [set(admin.hgetall(limits._purse_key(purse)).values()) for purse in PURSES]


async def suspended(limiter: Limits, op_id: str) -> None:
    """An operation that cost 100 for sure and perhaps 400 more."""
    reservation = Reservation(PURSES, 600, 60_000)
    assert isinstance(await limiter.take(op_id, (), (), reservation), Granted)
    await limiter.settle(op_id, (), reservation, Settlement(100, 400, (), "web flux-schnell"))


@pytest.mark.parametrize(("billed", "left"), [(0, b"100"), (150, b"250"), (400, b"500"), (700, b"800")])
async def test_what_was_billed_is_booked_once_and_the_rest_is_free(server: Server, billed: int, left: bytes) -> None:
    redis = RedisStore(server.url, call_s=1.0)
    try:
        await suspended(Limits(redis), "op_1")
        assert spent(server) == [{b"500"}, {b"500"}]
        outcomes = await asyncio.gather(*(Suspense(redis).resolve("op_1", billed, DEED) for _ in range(5)))
        assert len([one for one in outcomes if one is not None]) == 1
        assert spent(server) == [{left}, {left}]
        assert await read_suspense(redis) == ()
        today = datetime.now(UTC).date()
        line = line_name("web", "acme", "flux-schnell", "", "cost_microusd")
        assert await read_books(redis, today, today) == ({today.isoformat(): [(line, billed)]} if billed else {})
        (entry,) = await KeyStore(redis).audit("0", 10)
        assert (entry.content["who"], entry.content["key_id"]) == ("ann@ops", "web")
        assert entry.content["before"]["microusd"] == 400
        assert (entry.content["before"]["billed_microusd"], entry.content["after"]["billed_microusd"]) == (None, billed)
    finally:
        await redis.aclose()


async def test_a_lapsed_one_costs_what_is_booked_and_its_late_settlement_does_nothing(server: Server) -> None:
    redis = RedisStore(server.url, call_s=1.0)
    try:
        limiter, reservation = Limits(redis), Reservation(PURSES, 600, 1)
        await limiter.take("dead", (), (), reservation)
        deadline = time.monotonic() + 5
        while isinstance(await limiter.take("next", (), (), Reservation(PURSES, 600, 60_000)), Unaffordable):
            assert time.monotonic() < deadline
        await limiter.settle("next", (), None, Settlement())
        assert spent(server) == [{b"0"}, {b"0"}]
        resolved = await Suspense(redis).resolve("dead", 250, DEED)
        assert resolved is not None
        assert resolved.kind == "lapsed"
        await limiter.settle("dead", (), reservation, Settlement(300))
        assert spent(server) == [{b"250"}, {b"250"}]
    finally:
        await redis.aclose()


async def test_what_is_not_in_suspense_cannot_be_resolved(server: Server) -> None:
    redis = RedisStore(server.url, call_s=1.0)
    try:
        assert await Suspense(redis).resolve("op_0", 5, DEED) is None
        assert await KeyStore(redis).audit("0", 10) == []
    finally:
        await redis.aclose()
