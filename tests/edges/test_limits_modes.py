"""The whole limiter, money included, in every way in which Redis is deployed."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gateway.domain.money import Budget
from gateway.edges import limits
from gateway.edges.limits import Limits
from gateway.edges.redis_store import CALL_S, RedisStore
from gateway.edges.upkeep import Upkeep
from gateway.edges.usage_books import read_books, read_suspense
from gateway.policies.buckets import Dimension, Granted, Lease, Refused
from gateway.policies.purses import Purse, Reservation, Settlement, Unaffordable
from gateway.policies.usage_lines import line_name
from tests.redis_modes import ENCRYPTED, MODES, Mode
from tests.servers import redis_binary, valkey_binary

ONCE_S = 0.25 + 0.5  # what an outage may cost, and slack for a machine that has other things to do
BACK_S = 10.0
PATIENT_S = 3.0  # where no outage is meant, a busy machine must not look like one


# The embedded Valkey is built without TLS.
EVERYWHERE = [("valkey", made) for made in MODES if made not in ENCRYPTED] + [("redis", made) for made in MODES]


@pytest.fixture(scope="module", params=EVERYWHERE, ids=lambda one: f"{one[0]}-{one[1].__name__}")
def mode(request: pytest.FixtureRequest) -> Iterator[Mode]:
    engine, made = request.param
    binary = valkey_binary() if engine == "valkey" else redis_binary()
    if binary is None:
        pytest.skip("no redis-server on the PATH (apt-get install redis-server)")
    with made(binary) as mode:
        yield mode


@asynccontextmanager
async def limits_at(mode: Mode, call_s: float = PATIENT_S) -> AsyncIterator[tuple[Limits, RedisStore]]:
    store = RedisStore(mode.url, call_s=call_s)
    try:
        yield Limits(store), store
    finally:
        await store.aclose()


def op() -> str:
    return uuid.uuid4().hex


def asked(key: str) -> tuple[list[Dimension], list[Lease], Reservation]:
    """Ten images, four places and a thousand micro-dollars, of which a call takes 1, 1 and 30."""
    bucket, lease = Dimension("images", "key", key, 1, 10, 1), Lease("key", key, 4, 60_000)
    purses = Purse("key", key, Budget(total_microusd=1_000)), Purse("tenant", key, Budget(per_day_microusd=5_000))
    return [bucket], [lease], Reservation(purses, 30, 600_000)


def spent(mode: Mode, reservation: Reservation) -> list[int]:
    with mode.admin() as admin:
        return [int(admin.hget(limits._purse_key(purse), "t") or 0) for purse in reservation.purses]


async def test_all_limits_are_taken_or_none_given_back_once_and_settled_to_the_microdollar(mode: Mode) -> None:
    async with limits_at(mode) as (limiter, store), limits_at(mode) as (other, _):
        dimensions, leases, money = asked(op())
        ids = [op() for _ in range(20)]
        # Twenty at once, each of them asked twice, by two gateways; there are places for four.
        both = [limiter.take(op_id, dimensions, leases, money) for op_id in ids]
        both += [other.take(op_id, dimensions, leases, money) for op_id in ids]
        decisions = await asyncio.gather(*both)
        granted = [op_id for op_id, one in zip(2 * ids, decisions, strict=True) if isinstance(one, Granted)]
        assert len(set(granted)) == 4
        assert {one.by for one in decisions if isinstance(one, Refused)} == {leases[0]}
        assert spent(mode, money) == [120, 120]
        first, second, *rest = dict.fromkeys(granted)
        line = line_name(money.purses[0].key, None, "m", "v", "billed")
        for _ in range(2):
            await limiter.settle(first, leases, money, Settlement(25, usage=((line, 1),)))
            await other.settle(second, leases, money, Settlement(0, 11, note="k m"))
            for op_id in rest:
                await other.settle(op_id, leases, money, Settlement(0))
        assert spent(mode, money) == [36, 36]
        for _ in range(2):
            await other.refund(second, Granted(()), dimensions)
        after = await limiter.take(op(), dimensions, leases)
        assert isinstance(after, Granted)
        assert (after.degraded, after.meters[0].remaining) == (False, 10 - 4 + 1 - 1)
        today = datetime.now(UTC).date()
        assert (line, 1) in (await read_books(store, today, today))[today.isoformat()]
        assert {one.op_id: (one.kind, one.microusd) for one in await read_suspense(store)}[second] == ("unknown", 11)
        assert isinstance(await other.take(op(), [], [], replace(money, microusd=1_000)), Unaffordable)


async def test_what_is_granted_during_an_outage_is_told_after_it(mode: Mode) -> None:
    async with limits_at(mode, CALL_S) as (limiter, store):
        dimensions, _, money = asked(op())
        money = replace(money, purses=money.purses[:1], microusd=5)
        await settled_in(store, limiter, dimensions, money)
        care = Upkeep(limiter, store, op())
        await care.once()  # sets 9 micro-dollars aside
        before = spent(mode, money)
        assert before == [5 + 9]
        mode.pause()
        started = time.monotonic()
        offline = [op() for _ in range(3)]
        decisions = [await limiter.take(op_id, dimensions, (), money) for op_id in offline]
        assert time.monotonic() - started < ONCE_S
        assert [type(one) for one in decisions] == [Granted, Unaffordable, Unaffordable]
        await limiter.settle(offline[0], (), money, Settlement(4))
        mode.resume()
        deadline = time.monotonic() + BACK_S
        while store.outage is not None or limiter.backlog:
            assert time.monotonic() < deadline
            await care.once()
            await asyncio.sleep(0.02)
        await care.leave()
        assert spent(mode, money) == [5 + 4]
        async with limits_at(mode) as (other, _):
            after = await other.take(op(), dimensions)
        assert isinstance(after, Granted)
        # One before, one alone, this one; the asking that timed out may have been carried out, and taken one more.
        assert after.meters[0].remaining in (7, 6)


async def settled_in(store: RedisStore, limiter: Limits, dimensions: list[Dimension], money: Reservation) -> None:
    """A first call that costs all it reserved; asked until a busy machine finds the time to answer it."""
    deadline, op_id = time.monotonic() + BACK_S, op()
    while True:
        decision = await limiter.take(op_id, dimensions, (), money)
        if isinstance(decision, Granted) and not decision.degraded:
            break
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    await limiter.settle(op_id, (), money, Settlement(money.microusd))
    assert store.outage is None
