"""What is looked at for the metrics: the loop's lag, the store, and money in a real Valkey."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime

import pytest

from gateway.domain.facts import BudgetSeen, Fact, LoopLagged, ReservedSeen, StoreSeen, SuspenseSeen
from gateway.domain.money import Budget
from gateway.edges.assets import StoreUnavailable
from gateway.edges.limits import Limits
from gateway.edges.redis_store import RedisStore
from gateway.edges.watch import LAG_EVERY_S, MOST_PURSES, Watch
from gateway.policies.purses import Purse, Reservation, Settlement
from tests.servers import Server, running_server, valkey_binary

_LATE_S = 0.4


@dataclass
class Purses:
    purses: tuple[Purse, ...] = ()


@pytest.fixture
def server() -> Iterator[Server]:
    with running_server(valkey_binary()) as running:
        yield running


@pytest.fixture
async def redis(server: Server) -> AsyncIterator[RedisStore]:
    store = RedisStore(server.url, call_s=2.0)
    yield store
    await store.aclose()


async def _works() -> None:
    """A store that is well."""


async def _fails() -> None:
    raise StoreUnavailable("gone")


def _watch(redis: RedisStore, told: list[Fact], *purses: Purse, now: Callable[[], float] = time.time) -> Watch:
    return Watch(told.append, redis, Purses(purses), _works, now=now)


def _purse(name: str, *, day: int | None = None, total: int | None = None) -> Purse:
    return Purse("key", name, Budget(per_day_microusd=day, total_microusd=total))


async def test_money_that_is_reserved_spent_or_in_suspense_is_seen(redis: RedisStore) -> None:
    limits, told = Limits(redis), list[Fact]()
    purse = _purse("web", day=1_000_000, total=4_000_000)
    for number, settlement in enumerate((Settlement(300_000), Settlement(0, 100_000, note="web dall-e-3"), None)):
        reservation = Reservation((purse,), 400_000, 60_000)
        await limits.take(f"op_{number}", (), (), reservation)
        if settlement is not None:
            await limits.settle(f"op_{number}", (), reservation, settlement)

    await _watch(redis, told, purse).look()

    assert SuspenseSeen("unknown", 1, 100_000) in told
    assert SuspenseSeen("lapsed", 0, 0) in told
    assert ReservedSeen(400_000) in told
    shares = {seen.period: seen.used_ratio for seen in told if isinstance(seen, BudgetSeen)}
    assert shares == {"day": pytest.approx(0.8), "total": pytest.approx(0.2)}


async def test_a_long_list_of_suspense_is_read_in_pages(redis: RedisStore, server: Server) -> None:
    records = {
        f"op_{number}": f"unknown 10 20779 24322 {{samurai}}:purse:key:web|web {number}" for number in range(3_000)
    }
    server.admin().hset("{samurai}:suspense", mapping=records)
    told = list[Fact]()
    await _watch(redis, told).look()
    assert SuspenseSeen("unknown", 3_000, 30_000) in told


@pytest.mark.parametrize(
    ("moment", "ends"),
    [("2030-12-31T23:59:59", ("2031-01-01", "2031-01-01")), ("2030-01-31T00:00:00", ("2030-02-01", "2030-02-01"))],
)
async def test_a_budgets_share_says_when_its_period_ends(redis: RedisStore, moment: str, ends: tuple[str, str]) -> None:
    now, told = datetime.fromisoformat(moment).replace(tzinfo=UTC), list[Fact]()
    purse = Purse("tenant", "acme", Budget(1, 1, 1))
    await _watch(redis, told, purse, now=now.timestamp).look()
    seen = {one.period: one.ends_at for one in told if isinstance(one, BudgetSeen)}
    day, month = (datetime.combine(date.fromisoformat(end), datetime.min.time(), UTC).timestamp() for end in ends)
    assert seen == {"day": day, "month": month, "total": float("inf")}


async def test_more_purses_than_one_look_may_ask_for_are_asked_for_in_turns(redis: RedisStore) -> None:
    told = list[Fact]()
    purses = tuple(_purse(f"key-{number}", day=1) for number in range(MOST_PURSES + 3))
    watch = _watch(redis, told, *purses)
    counts = []
    for _ in range(3):
        told.clear()
        await watch.look()
        counts.append(sum(isinstance(fact, BudgetSeen) for fact in told))
    assert counts == [MOST_PURSES, 3, MOST_PURSES]


async def test_a_store_that_fails_is_told_and_redis_that_is_away_stops_nothing(server: Server) -> None:
    told, redis = list[Fact](), RedisStore(server.url, call_s=0.2)
    server.kill()
    watch = Watch(told.append, redis, Purses(), _fails)
    await watch.look()
    assert told == [StoreSeen(works=False)]
    await redis.aclose()


async def test_a_loop_that_is_held_up_is_seen_to_lag(redis: RedisStore) -> None:
    told = list[Fact]()
    watch = _watch(redis, told)
    watch.start()
    await asyncio.sleep(0)
    time.sleep(LAG_EVERY_S + _LATE_S)
    deadline = time.monotonic() + 10
    while not any(isinstance(fact, LoopLagged) for fact in told) and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    await watch.stop()
    (first, *_) = (fact for fact in told if isinstance(fact, LoopLagged))
    assert first.seconds >= _LATE_S * 0.9
