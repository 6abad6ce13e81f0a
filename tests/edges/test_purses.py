"""Money in the limiter: reserved before it is spent, settled after, never overspent, never leaked."""

import asyncio
import calendar
import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.money import Budget
from gateway.edges import limits, upkeep
from gateway.edges.allowances import LIFE_US
from gateway.edges.limits import Limits
from gateway.edges.redis_store import CALL_S, RedisStore
from gateway.edges.upkeep import Upkeep
from gateway.edges.usage_books import read_books, read_suspense
from gateway.policies.buckets import Dimension, Granted, Impossible, Lease, Refused
from gateway.policies.purses import Closed, Purse, Reservation, Settlement, Unaffordable
from gateway.policies.usage_lines import line_name
from tests.servers import Server, wire_to

BACK_S = 5.0
LIFE_MS = 600_000

PATIENT_S = 2.0  # where no outage is meant, a busy machine must not look like one


@asynccontextmanager
async def limits_at(url: str, *, call_s: float = CALL_S, **more: Any) -> AsyncIterator[tuple[Limits, RedisStore]]:
    store = RedisStore(url, call_s=call_s)
    try:
        yield Limits(store, **more), store
    finally:
        await store.aclose()


def op() -> str:
    return uuid.uuid4().hex


def purse(**ceilings: int) -> Purse:
    return Purse("key", op(), Budget(**{f"{name}_microusd": micro for name, micro in ceilings.items()}))


def spent(server: Server, one: Purse) -> int:
    with server.admin() as admin:
        return int(admin.hget(limits._purse_key(one), "t") or 0)


def reserve(microusd: int, *purses: Purse) -> Reservation:
    return Reservation(purses, microusd, LIFE_MS)


async def test_money_is_reserved_in_all_purses_or_in_none_and_settled_by_what_was_billed(shared_server: Server) -> None:
    async with limits_at(shared_server.url, call_s=PATIENT_S) as (limiter, _):
        key, tenant = purse(total=100), purse(total=60)
        first = op()
        assert isinstance(await limiter.take(first, [], [], reserve(50, key, tenant)), Granted)
        refused = await limiter.take(op(), [], [], reserve(50, key, tenant))
        assert isinstance(refused, Unaffordable)
        assert (refused.by, refused.period, refused.wait_ms, refused.microusd) == (tenant, "total", None, 50)
        assert (spent(shared_server, key), spent(shared_server, tenant)) == (50, 50)
        for _ in range(3):
            await limiter.settle(first, (), reserve(50, key, tenant), Settlement(20))
        assert (spent(shared_server, key), spent(shared_server, tenant)) == (20, 20)
        assert isinstance(await limiter.take(op(), [], [], reserve(40, key, tenant)), Granted)


async def test_a_refusal_for_want_of_money_shows_how_the_buckets_stand(shared_server: Server) -> None:
    async with limits_at(shared_server.url, call_s=PATIENT_S) as (limiter, _):
        requests, images = Dimension("requests", "key", op(), 60, 60, 1), Dimension("images", "key", op(), 60, 90, 4)
        money = reserve(6, purse(total=10))
        first = await limiter.take(op(), [requests, images], [], money)
        assert isinstance(first, Granted)
        assert [(one.name, one.remaining) for one in first.meters] == [("requests", 59), ("images", 86)]
        refused = await limiter.take(op(), [requests, images], [], money)
        assert isinstance(refused, Unaffordable)
        assert [(one.name, one.remaining) for one in refused.meters] == [("requests", 59), ("images", 86)]


async def test_a_reservation_lives_as_long_as_it_was_asked_to(shared_server: Server) -> None:
    async with limits_at(shared_server.url, call_s=PATIENT_S) as (limiter, _):
        op_id = op()
        _, _, _, now_us, *_ = await limiter._ask(op_id, (), (), reserve(1, purse(total=10)))
        with shared_server.admin() as admin:
            assert admin.zscore(limits._MONEY[0], op_id) == now_us + LIFE_MS * 1000


async def test_what_nobody_reserved_is_booked_to_today_and_this_month(shared_server: Server) -> None:
    async with limits_at(shared_server.url, call_s=PATIENT_S) as (limiter, _):
        one = purse(per_day=10)
        today = datetime.now(UTC).date()
        await limiter.settle(op(), (), reserve(7, one), Settlement(5))
        with shared_server.admin() as admin:
            booked = {name.decode(): int(value) for name, value in admin.hgetall(limits._purse_key(one)).items()}
        day, month = today.toordinal() - limits._EPOCH, today.year * 12 + today.month - 1
        assert booked == {f"d{day}": 5, f"m{month}": 5, "t": 5}


async def test_what_a_lost_reply_reserved_is_given_back_when_it_went_to_nobody(server: Server) -> None:
    async with wire_to(server) as wire, limits_at(wire.url) as (limiter, store):
        one, lease = purse(total=1_000), Lease("key", op(), 1, 60_000)
        assert isinstance(await limiter.take(op(), [], [], reserve(0, one)), Granted)  # the server knows the script
        wire.loses_replies = True
        refused = await limiter.take(op(), [], [lease], reserve(40, one))
        assert isinstance(refused, Unaffordable)
        assert (refused.by, refused.microusd, refused.degraded) == (one, 40, True)
        assert spent(server, one) == 40
        assert isinstance(await limiter.take(op(), [], [lease], reserve(40, one)), Unaffordable)
        assert len(limiter.backlog) == 1  # the second was never asked for
        wire.loses_replies = False
        await until_back(store)
        wire.loses_replies = True
        assert await limiter.set_aside(op(), reserve(50, one)) is False
        wire.loses_replies = False
        assert spent(server, one) == 90
        await until_back(store)
        await Upkeep(limiter, store, op()).leave()
        assert spent(server, one) == 0
        assert isinstance(await limiter.take(op(), [], [lease], reserve(1_000, one)), Granted)


async def test_settlements_wait_for_redis_but_not_without_bound(tmp_path: Path) -> None:
    async with limits_at(f"unix://{tmp_path}/none") as (limiter, _):
        await limiter.settle(op(), (), None, Settlement(1))
        (waiting,) = limiter.backlog
        assert await limiter.run_or_keep(waiting) is False
        assert (len(limiter.backlog), limiter.backlog.maxlen) == (2, limits.BACKLOG)


async def test_a_call_without_money_takes_no_tokens_and_no_place(shared_server: Server) -> None:
    async with limits_at(shared_server.url, call_s=PATIENT_S) as (limiter, _):
        bucket, lease, empty = (
            Dimension("requests", "key", op(), 60, 60, 1),
            Lease("key", op(), 1, 60_000),
            purse(total=1),
        )
        assert isinstance(await limiter.take(op(), [bucket], [lease], reserve(2, empty)), Unaffordable)
        after = await limiter.take(op(), [bucket], [lease])
        assert isinstance(after, Granted)
        assert after.meters[0].remaining == 59


async def test_a_call_without_tokens_takes_no_money(shared_server: Server) -> None:
    async with limits_at(shared_server.url, call_s=PATIENT_S) as (limiter, _):
        bucket, rich = Dimension("requests", "key", op(), 1, 1, 1), purse(total=100)
        assert isinstance(await limiter.take(op(), [bucket], [], reserve(30, rich)), Granted)
        refused = await limiter.take(op(), [bucket], [], reserve(30, rich))
        assert isinstance(refused, Refused)
        assert refused.by == bucket
        assert spent(shared_server, rich) == 30


async def test_of_two_limits_the_one_that_binds_longer_is_named(shared_server: Server) -> None:
    async with limits_at(shared_server.url, call_s=PATIENT_S) as (limiter, _):
        bucket, poor = Dimension("requests", "key", op(), 1, 1, 1), purse(per_month=10)
        assert isinstance(await limiter.take(op(), [bucket], [], reserve(10, poor)), Granted)
        assert isinstance(await limiter.take(op(), [bucket], [], reserve(10, poor)), Unaffordable)


async def test_what_no_bucket_can_hold_is_impossible_whether_it_can_be_paid_or_not(shared_server: Server) -> None:
    async with limits_at(shared_server.url, call_s=PATIENT_S) as (limiter, _):
        small = Dimension("images", "key", op(), 60, 2, 3)
        assert await limiter.take(op(), [small], [], reserve(2, purse(total=1))) == Impossible(small)


@pytest.mark.parametrize("period", ["day", "month"])
async def test_a_refusal_tells_the_true_time_to_the_end_of_the_period(shared_server: Server, period: str) -> None:
    async with limits_at(shared_server.url, call_s=PATIENT_S) as (limiter, _):
        one = purse(**{f"per_{period}": 10})
        assert isinstance(await limiter.take(op(), [], [], reserve(10, one)), Granted)
        refused = await limiter.take(op(), [], [], reserve(1, one))
        now = datetime.now(UTC)
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        days = 1 if period == "day" else calendar.monthrange(now.year, now.month)[1] - now.day + 1
        assert isinstance(refused, Unaffordable)
        assert refused.wait_ms is not None
        assert abs(refused.wait_ms - (today + timedelta(days=days) - now).total_seconds() * 1000) < 2_000
        assert refused.period == period
        assert isinstance(refused.wait_ms, int)


async def test_what_no_period_can_ever_hold_has_no_waiting_time(shared_server: Server) -> None:
    async with limits_at(shared_server.url, call_s=PATIENT_S) as (limiter, _):
        refused = await limiter.take(op(), [], [], reserve(11, purse(per_day=10)))
        assert isinstance(refused, Unaffordable)
        assert (refused.period, refused.wait_ms) == ("day", None)


async def test_what_exactly_fills_a_period_passes_in_the_next_one(shared_server: Server) -> None:
    async with limits_at(shared_server.url, call_s=PATIENT_S) as (limiter, _):
        one = purse(per_day=10)
        assert isinstance(await limiter.take(op(), [], [], reserve(1, one)), Granted)
        refused = await limiter.take(op(), [], [], reserve(10, one))
        assert isinstance(refused, Unaffordable)
        assert refused.wait_ms is not None
        assert 0 < refused.wait_ms <= 86_400_000


def test_the_servers_calendar_is_the_calendar(shared_server: Server) -> None:
    text = limits._TAKE.text
    function = text[text.index("local function calendar") : text.index("local function add")]
    with shared_server.admin() as admin:
        days = [date(1970, 1, 1), date(1999, 12, 31), date(2000, 2, 29), date(2100, 2, 28), date(2100, 3, 1)]
        days += [date(2023, 12, 25) + timedelta(days=one) for one in range(800)]
        ask = "local all = {} for i, day in ipairs(ARGV) do all[i] = {calendar(tonumber(day))} end return all"
        told = admin.eval(f"{function}\n{ask}", 0, *(one.toordinal() - limits._EPOCH for one in days))
    for day, (month, next_first) in zip(days, told, strict=True):
        assert divmod(month, 12) == (day.year, day.month - 1)
        following = date(day.year + day.month // 12, day.month % 12 + 1, 1)
        assert next_first == following.toordinal() - limits._EPOCH


async def test_money_of_a_dead_replica_falls_free_and_is_listed(server: Server) -> None:
    async with limits_at(server.url) as (limiter, store):
        one, dead = purse(total=100), op()
        await limiter.take(dead, [], [], replace(reserve(80, one), life_ms=1))
        deadline = time.monotonic() + BACK_S
        while isinstance(await limiter.take(op(), [], [], reserve(40, one)), Unaffordable):
            assert time.monotonic() < deadline
        assert spent(server, one) == 40
        (listed,) = await read_suspense(store)
        assert (listed.op_id, listed.kind, listed.microusd, listed.purses) == (dead, "lapsed", 80, (one.name,))
        await limiter.settle(dead, (), reserve(80, one), Settlement(30))  # it was not dead after all
        assert spent(server, one) == 70
        assert await read_suspense(store) == ()


async def test_what_may_have_been_billed_stays_taken_and_is_listed(server: Server) -> None:
    async with limits_at(server.url) as (limiter, store):
        one, op_id = purse(total=100), op()
        await limiter.take(op_id, [], [], reserve(90, one))
        await limiter.settle(op_id, (), reserve(90, one), Settlement(10, 40, (), "web-team flux"))
        assert spent(server, one) == 50
        (listed,) = await read_suspense(store)
        assert (listed.kind, listed.microusd, listed.note) == ("unknown", 40, "web-team flux")
        assert listed.day == datetime.now(UTC).date().isoformat()


async def test_the_books_are_written_once_and_kept_400_days(server: Server) -> None:
    async with limits_at(server.url) as (limiter, store):
        line, op_id = line_name("web", "acme", "flux", "replicate/x", "billed"), op()
        for _ in range(2):
            await limiter.settle(op_id, (), None, Settlement(usage=((line, 3),)))
        await limiter.settle(op(), (), None, Settlement(usage=((line, 4),)))
        today = datetime.now(UTC).date()
        assert await read_books(store, today, today) == {today.isoformat(): [(line, 7)]}
        with server.admin() as admin:
            (name,) = admin.keys("{samurai}:usage:*")
            assert 400 <= admin.ttl(name) / 86_400 <= 401


async def test_refused_prompts_are_counted_by_end_user_and_kept_for_thirty_days(server: Server) -> None:
    async with limits_at(server.url) as (limiter, _):
        for _ in range(2):
            await limiter.settle(op(), (), None, Settlement(usage=(("@somebody", 3), ("@another", 1))))
        today = datetime.now(UTC).date().toordinal() - limits._EPOCH
        with server.admin() as admin:
            name = f"{limits.BOOKS}refused:{today}"
            assert admin.hgetall(name) == {b"somebody": b"6", b"another": b"2"}
            assert admin.expiretime(name) == (today + 31) * 86_400


async def test_a_purse_forgets_days_that_are_more_than_a_year_old_and_nothing_else(shared_server: Server) -> None:
    async with limits_at(shared_server.url, call_s=PATIENT_S) as (limiter, _):
        one = purse(per_day=10)
        today = datetime.now(UTC).date().toordinal() - limits._EPOCH
        with shared_server.admin() as admin:
            name = limits._purse_key(one)
            admin.hset(name, mapping={f"d{today - ago}": 1 for ago in range(1, 399)} | {"m1": 1})
            await limiter.settle(op(), (), reserve(1, one), Settlement(1))
            left = {field.decode() for field in admin.hkeys(name)}
        month = datetime.now(UTC).year * 12 + datetime.now(UTC).month - 1
        assert left == {f"d{today - ago}" for ago in range(367)} | {"m1", f"m{month}", "t"}


async def test_a_settlement_leaves_the_places(shared_server: Server) -> None:
    async with limits_at(shared_server.url, call_s=PATIENT_S) as (limiter, _):
        lease, op_id = Lease("key", op(), 1, 60_000), op()
        await limiter.take(op_id, [], [lease])
        await limiter.settle(op_id, [lease], None, Settlement())
        assert isinstance(await limiter.take(op(), [], [lease]), Granted)


@pytest.fixture
def kept_server(server: Server) -> Server:
    """A server that does not lose what it said when it is killed."""
    with server.admin() as admin:
        admin.config_set("appendfsync", "always")
        admin.config_set("appendonly", "yes")
        deadline = time.monotonic() + BACK_S
        while admin.info("persistence")["aof_rewrite_in_progress"]:
            assert time.monotonic() < deadline
    return server


async def until_back(store: RedisStore) -> None:
    deadline = time.monotonic() + BACK_S
    while store.outage is not None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_a_budget_without_redis_is_the_allowance_and_comes_back_to_the_cent(server: Server) -> None:
    async with limits_at(server.url) as (limiter, store):
        care = Upkeep(limiter, store, op())
        one = purse(total=10_000)
        first = op()
        await limiter.take(first, [], [], reserve(40, one))
        await limiter.settle(first, (), reserve(40, one), Settlement(40))
        await care.once()
        assert spent(server, one) == 40 + 99  # a hundredth of what was left
        server.pause()
        offline = [op() for _ in range(4)]
        decisions = [await limiter.take(one_op, [], [], reserve(40, one)) for one_op in offline]
        assert [type(decision) for decision in decisions] == [Granted, Granted, Unaffordable, Unaffordable]
        refused = decisions[2]
        assert isinstance(refused, Unaffordable)
        assert (refused.by, refused.period, refused.wait_ms, refused.degraded) == (one, None, None, True)
        await limiter.settle(offline[0], (), reserve(40, one), Settlement(30))
        await limiter.settle(offline[1], (), reserve(40, one), Settlement(0))
        last = op()
        assert isinstance(await limiter.take(last, [], [], reserve(60, one)), Granted)
        server.resume()
        await until_back(store)
        await care.once()
        assert spent(server, one) == 40 + 99 + 99  # one operation still runs on the old one; there is a new one
        await limiter.settle(last, (), reserve(60, one), Settlement(10))
        await care.leave()
        assert spent(server, one) == 40 + 30 + 10


async def test_what_was_spent_without_redis_is_booked_when_it_is_back(kept_server: Server) -> None:
    server = kept_server
    async with limits_at(server.url) as (limiter, store):
        care, one, line = Upkeep(limiter, store, op()), purse(per_day=10_000), line_name("k", None, "m", "v", "billed")
        await limiter.take(started := op(), [], [], reserve(50, one))
        await care.once()
        server.pause()
        await limiter.take(offline := op(), [], [], reserve(40, one))
        await limiter.settle(offline, (), reserve(40, one), Settlement(30, usage=((line, 1),)))
        await limiter.settle(started, (), reserve(50, one), Settlement(20, usage=((line, 1),)))
        server.resume()
        await until_back(store)
        await care.once()
        await care.leave()
        assert spent(server, one) == 50
        today = datetime.now(UTC).date()
        assert await read_books(store, today, today) == {today.isoformat(): [(line, 2)]}
        with server.admin() as admin:
            assert admin.hlen(limits._MONEY[1]) == 0


async def test_an_allowance_goes_back_when_its_purse_is_nearly_empty(shared_server: Server) -> None:
    async with limits_at(shared_server.url, call_s=PATIENT_S) as (limiter, store):
        care, one = Upkeep(limiter, store, op()), purse(total=10_000)
        await limiter.take(op(), [], [], reserve(40, one))
        await care.once()
        assert spent(shared_server, one) > 40
        await limiter.take(op(), [], [], reserve(9_000, one))
        await care.once()
        assert spent(shared_server, one) == 9_040


async def test_an_allowance_ends_before_redis_frees_it(shared_server: Server) -> None:
    now_us = 0
    async with limits_at(shared_server.url, call_s=PATIENT_S, clock_ns=lambda: now_us * 1000) as (limiter, store):
        one = purse(total=10_000)
        await limiter.take(op(), [], [], reserve(10, one))
        await Upkeep(limiter, store, op()).once()
        assert limiter.allowances.lacking(reserve(10, one), LIFE_US - 1) is None
        assert limiter.allowances.lacking(reserve(10, one), LIFE_US) == one


async def test_the_policy_for_an_outage_holds_for_each_limit() -> None:
    bucket, lease, one = Dimension("requests", "key", "k", 1, 1, 1), Lease("key", "k", 1, 60_000), purse(total=1)
    closed = {"requests": "open", "images": "open", "concurrent": "open", "budget": "closed"}
    async with limits_at("unix:///nowhere", on_failure=dict.fromkeys(closed, "open")) as (limiter, _):
        for _ in range(5):
            decision = await limiter.take(op(), [bucket], [lease], reserve(2, one))
            assert isinstance(decision, Granted)
            assert decision.degraded
    async with limits_at("unix:///nowhere", on_failure=closed) as (limiter, _):
        assert isinstance(await limiter.take(op(), [bucket], [lease]), Granted)
        assert await limiter.take(op(), [bucket], [lease], reserve(2, one)) == Closed("budget")
    for name in ("requests", "concurrent"):
        async with limits_at("unix:///nowhere", on_failure={"budget": "open", name: "closed"}) as (limiter, _):
            assert await limiter.take(op(), [bucket], [lease], reserve(2, one)) == Closed(name)


async def test_places_are_counted_one_by_one_during_an_outage() -> None:
    lease = Lease("key", "k", 2, 60_000)
    async with limits_at("unix:///nowhere") as (limiter, _):
        decisions = [await limiter.take(op(), [], [lease]) for _ in range(3)]
    assert [type(decision) for decision in decisions] == [Granted, Granted, Refused]


async def test_money_that_an_open_policy_let_pass_is_booked_later(server: Server) -> None:
    async with limits_at(server.url, on_failure={"budget": "open"}) as (limiter, store):
        one = purse(total=10)
        server.pause()
        op_id = op()
        assert isinstance(await limiter.take(op_id, [], [], reserve(40, one)), Granted)
        await limiter.settle(op_id, (), reserve(40, one), Settlement(40))
        server.resume()
        await until_back(store)
        await Upkeep(limiter, store, op()).once()
        assert spent(server, one) == 40


async def test_living_replicas_are_counted_and_share_the_limits(server: Server) -> None:
    async with limits_at(server.url) as (one, store), limits_at(server.url) as (other, other_store):
        first, second = Upkeep(one, store, "a"), Upkeep(other, other_store, "b", 3)
        await first.once()
        assert one.shares.replicas == 1
        await second.once()
        await first.once()
        assert (one.shares.replicas, other.shares.replicas) == (2, 3)
        await second.leave()
        await first.once()
        assert one.shares.replicas == 1
        with server.admin() as admin:
            assert 9_000 < admin.pttl(upkeep.REPLICAS) <= 10_000


async def test_what_was_granted_alone_is_pushed_back_once(server: Server) -> None:
    async with limits_at(server.url) as (limiter, store):
        care, bucket = Upkeep(limiter, store, op()), Dimension("images", "key", op(), 1, 10, 1)
        await limiter.take(op(), [bucket])
        server.pause()
        for _ in range(3):
            assert isinstance(await limiter.take(op(), [bucket]), Granted)
        server.resume()
        await until_back(store)
        for _ in range(3):
            await care.once()
        after = await limiter.take(op(), [bucket])
        assert isinstance(after, Granted)
        # One before, three alone, this one; a reply that was lost on the way may have taken one more.
        assert after.meters[0].remaining in (5, 4)


async def test_a_push_that_is_told_twice_counts_once(shared_server: Server, tmp_path: Path) -> None:
    bucket = Dimension("images", "key", op(), 1, 10, 1)
    async with (
        limits_at(f"unix://{tmp_path}/none") as (cut_off, _),
        limits_at(shared_server.url, call_s=PATIENT_S) as (limiter, _),
    ):
        for _ in range(3):
            assert isinstance(await cut_off.take(op(), [bucket]), Granted)
        cut_off.push_shares(op())
        (push,) = cut_off.backlog
        assert [await limiter.run_or_keep(push) for _ in range(2)] == [True, True]
        with shared_server.admin() as admin:
            assert 179_000 < admin.pttl(limits._bucket_key(bucket)) <= 181_000  # a second longer than the debt
        after = await limiter.take(op(), [bucket])
        assert isinstance(after, Granted)
        assert after.meters[0].remaining == 6


async def test_the_push_after_the_next_outage_is_another_one(shared_server: Server, tmp_path: Path) -> None:
    bucket, replica = Dimension("images", "key", op(), 1, 10, 1), op()
    async with (
        limits_at(f"unix://{tmp_path}/none") as (cut_off, _),
        limits_at(shared_server.url, call_s=PATIENT_S) as (limiter, _),
    ):
        for _ in range(3):
            assert isinstance(await cut_off.take(op(), [bucket]), Granted)
            cut_off.push_shares(replica)
        assert [await limiter.run_or_keep(push) for push in cut_off.backlog] == [True] * 3
        after = await limiter.take(op(), [bucket])
        assert isinstance(after, Granted)
        assert after.meters[0].remaining == 6


async def test_refusals_are_counted_in_the_books(server: Server) -> None:
    async with limits_at(server.url) as (limiter, store):
        line = line_name("k", None, "m", "", "refused_budget")
        limiter.refusals[line] += 2
        care = Upkeep(limiter, store, op())
        await care.once()
        await care.once()
        today = datetime.now(UTC).date()
        assert await read_books(store, today, today) == {today.isoformat(): [(line, 2)]}
        assert json.loads(line) == ["k", "", "m", "", "refused_budget"]
