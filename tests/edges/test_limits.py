import asyncio
import json
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.domain.money import Budget
from gateway.edges import limits
from gateway.edges.limits import Limits
from gateway.edges.redis_store import CALL_S, Reason, RedisStore
from gateway.policies.buckets import (
    LEASE_WAIT_MS,
    Dimension,
    Granted,
    Impossible,
    Lease,
    Refused,
    give_back,
    take,
)
from gateway.policies.purses import Purse, Reservation, Settlement
from tests.edges.limit_hammer import dimensions as hammered
from tests.servers import Server, wire_to

ROOT = Path(__file__).parents[2]
ONCE_S = 0.25 + 0.5  # what an outage may cost, and slack for a machine that has other things to do
BACK_S = 5.0
PATIENT_S = 2.0  # where no outage is meant, a busy machine must not look like one


@asynccontextmanager
async def limits_at(url: str, replicas: int = 1, call_s: float = CALL_S) -> AsyncIterator[tuple[Limits, RedisStore]]:
    store = RedisStore(url, call_s=call_s)
    try:
        yield Limits(store, replicas=replicas), store
    finally:
        await store.aclose()


def op() -> str:
    return uuid.uuid4().hex


def key_limits(
    images: int = 1, *, per_minute: int = 60, burst: int = 60, key: str | None = None
) -> tuple[Dimension, Dimension]:
    key = key or op()
    return (
        Dimension("requests", "key", key, per_minute, burst, 1),
        Dimension("images", "key", key, per_minute * 4, burst * 4, images),
    )


async def granted(limiter: Limits, asked: Sequence[Dimension], times: int) -> int:
    """How many of `times` calls pass."""
    decisions = [await limiter.take(op(), asked) for _ in range(times)]
    return sum(isinstance(decision, Granted) for decision in decisions)


async def test_all_dimensions_are_taken_or_none(shared_server: Server) -> None:
    async with limits_at(shared_server.url, call_s=PATIENT_S) as (limiter, _):
        requests, images = key_limits(100)
        first = await limiter.take(op(), [requests, images])
        assert isinstance(first, Granted)
        assert [(meter.name, meter.limit, meter.remaining) for meter in first.meters] == [
            ("requests", 60, 59),
            ("images", 240, 140),
        ]
        assert first.degraded is False
        assert isinstance(await limiter.take(op(), [requests, images]), Granted)
        third = await limiter.take(op(), [requests, images])
        assert isinstance(third, Refused)
        assert third.by == images
        assert 14_000 < third.wait_ms <= 15_000
        assert third.meters[0].remaining == 58  # the refused call burnt no request


async def test_without_limits_nobody_is_asked() -> None:
    async with limits_at("unix:///nowhere") as (limiter, store):
        assert await limiter.take(op(), []) == Granted(())
        assert store.outage is None


async def test_more_than_the_burst_is_impossible_and_says_which(shared_server: Server) -> None:
    async with limits_at(shared_server.url, call_s=PATIENT_S) as (limiter, _):
        requests, images = key_limits(10, burst=2)
        assert await limiter.take(op(), [requests, images]) == Impossible(images)


async def test_a_refused_call_writes_nothing_at_all(server: Server) -> None:
    async with limits_at(server.url, call_s=PATIENT_S) as (limiter, _):
        asked, lease = key_limits(per_minute=1, burst=1), Lease("key", "k", 1, 60_000)
        assert isinstance(await limiter.take(op(), asked, [lease]), Granted)
        other, impossible = key_limits(), key_limits(5, burst=1)
        with server.admin() as admin:
            expiries = {key: admin.pexpiretime(key) for key in admin.scan_iter()}
            writes = admin.info("persistence")["rdb_changes_since_last_save"]
            for _ in range(50):
                assert isinstance(await limiter.take(op(), asked), Refused)
                assert isinstance(await limiter.take(op(), other, [lease]), Refused)
                assert isinstance(await limiter.take(op(), impossible), Impossible)
            assert admin.info("persistence")["rdb_changes_since_last_save"] == writes
            assert {key: admin.pexpiretime(key) for key in admin.scan_iter()} == expiries
            await limiter.take(op(), other)
            assert admin.info("persistence")["rdb_changes_since_last_save"] > writes


async def test_every_key_shares_one_hash_slot_and_expires_by_itself(server: Server) -> None:
    async with limits_at(server.url) as (limiter, _):
        asked, lease = key_limits(), Lease("model", "flux", 4, 30_000)
        decision = await limiter.take("op1", asked, [lease])
        assert isinstance(decision, Granted)
        await limiter.refund("op1", decision, asked[1:])
        with server.admin() as admin:
            left_s = {key.decode(): admin.pttl(key) / 1000 for key in admin.scan_iter()}
        name = asked[0].key
        assert left_s.keys() == {
            f"{{samurai}}:limit:key:requests:{name}",
            "{samurai}:lease:model:flux",
            "{samurai}:taken:op1",
            "{samurai}:returned:op1",
        }
        assert 1 < left_s[f"{{samurai}}:limit:key:requests:{name}"] <= 2
        assert 30 < left_s["{samurai}:lease:model:flux"] <= 31


async def test_the_same_operation_takes_once_however_often_it_asks(shared_server: Server) -> None:
    async with limits_at(shared_server.url, call_s=PATIENT_S) as (limiter, _):
        asked, lease = key_limits(10), Lease("key", op(), 1, 60_000)
        decisions = await asyncio.gather(*(limiter.take("the-same" + asked[0].key, asked, [lease]) for _ in range(20)))
        assert set(decisions) == {decisions[0]}
        after = await limiter.take(op(), asked)
        assert isinstance(after, Granted)
        assert after.meters[0].remaining == 58


async def test_a_receipt_of_fewer_limits_than_there_are_by_now_is_honoured(shared_server: Server) -> None:
    async with limits_at(shared_server.url, call_s=PATIENT_S) as (limiter, _):
        requests, images = key_limits()
        money = Reservation((Purse("key", op(), Budget(total_microusd=5)),), 1, 60_000)
        first = await limiter.take("before" + images.key, [requests])
        assert isinstance(first, Granted)
        assert await limiter.take("before" + images.key, [requests, images], (), money) == first


async def test_the_place_that_lacks_is_named_among_several(shared_server: Server) -> None:
    async with limits_at(shared_server.url, call_s=PATIENT_S) as (limiter, _):
        asked, roomy, narrow = key_limits(), Lease("tenant", op(), 9, 60_000), Lease("key", op(), 1, 60_000)
        assert isinstance(await limiter.take(op(), asked, [roomy, narrow]), Granted)
        refused = await limiter.take(op(), asked, [roomy, narrow])
        assert isinstance(refused, Refused)
        assert (refused.by, refused.wait_ms) == (narrow, LEASE_WAIT_MS)
        assert [meter.remaining for meter in refused.meters] == [59, 239]


async def test_a_place_that_was_left_is_free_during_an_outage_too(server: Server) -> None:
    async with limits_at(server.url) as (limiter, _):
        lease = Lease("key", op(), 1, 60_000)
        for leave in ("settle", "release"):
            assert isinstance(await limiter.take(leave, [], [lease]), Granted)
            if leave == "settle":
                await limiter.settle(leave, [lease], None, Settlement())
            else:
                await limiter.release(leave, [lease])
        server.kill()
        assert isinstance(await limiter.take("next", [], [lease]), Granted)
        assert isinstance(await limiter.take("too many", [], [lease]), Refused)


async def test_the_clock_counts_whole_microseconds() -> None:
    store = RedisStore("unix:///nowhere")
    limiter = Limits(store, clock_ns=lambda: 2_002_999)
    assert (limiter.now_us(), type(limiter.now_us())) == (2_002, int)
    await store.aclose()


async def test_a_gateway_that_knows_of_no_other_has_the_whole_limit_during_an_outage() -> None:
    store = RedisStore("unix:///nowhere")
    limiter, asked = Limits(store), key_limits(burst=10, per_minute=1)
    assert await granted(limiter, asked, 20) == 10
    await store.aclose()


async def test_a_refund_gives_back_once_and_only_what_was_taken(shared_server: Server) -> None:
    async with limits_at(shared_server.url, call_s=PATIENT_S) as (limiter, _):
        requests, images = key_limits(100)
        op_id = op()
        decision = await limiter.take(op_id, [requests, images])
        assert isinstance(decision, Granted)
        for _ in range(3):
            await limiter.refund(op_id, decision, [replace(images, cost=60)])
        await limiter.refund(op(), decision, [images])
        after = await limiter.take(op(), [requests, replace(images, cost=0)])
        assert isinstance(after, Granted)
        assert [meter.remaining for meter in after.meters] == [58, 200]


async def test_a_bucket_is_remembered_for_as_long_as_it_lacks_something(shared_server: Server) -> None:
    async with limits_at(shared_server.url, call_s=PATIENT_S) as (limiter, _):
        requests, _ = key_limits(per_minute=1, burst=10)
        op_id = op()
        decision = await limiter.take(op_id, [replace(requests, cost=5)])
        assert isinstance(decision, Granted)
        with shared_server.admin() as admin:
            assert 299_000 < admin.pttl(limits._bucket_key(requests)) <= 301_000
            await limiter.refund(op_id, decision, [replace(requests, cost=3)])
            assert 119_000 < admin.pttl(limits._bucket_key(requests)) <= 121_000


async def test_a_refund_never_fills_above_full(shared_server: Server) -> None:
    async with limits_at(shared_server.url, call_s=PATIENT_S) as (limiter, _):
        asked, op_id = key_limits(5), op()
        decision = await limiter.take(op_id, asked)
        assert isinstance(decision, Granted)
        await limiter.refund(op_id, decision, [replace(one, cost=50) for one in asked])
        after = await limiter.take(op(), asked)
        assert isinstance(after, Granted)
        assert [meter.remaining for meter in after.meters] == [59, 235]


async def test_places_are_leased_released_and_fall_free_when_their_holder_is_gone(shared_server: Server) -> None:
    async with limits_at(shared_server.url, call_s=PATIENT_S) as (limiter, _):
        short, long = Lease("key", op(), 2, 1), Lease("key", op(), 2, 60_000)
        assert isinstance(await limiter.take("a", [], [long]), Granted)
        assert isinstance(await limiter.take("b", [], [long]), Granted)
        refused = await limiter.take("c", [], [long])
        assert isinstance(refused, Refused)
        assert refused.by == long
        await limiter.release("a", [long])
        await limiter.release("a", [long])
        assert isinstance(await limiter.take("d", [], [long]), Granted)
        assert isinstance(await limiter.take("e", [], [long]), Refused)
        for one in range(20):  # each holds its place for a millisecond and never says goodbye
            deadline = time.monotonic() + BACK_S
            while isinstance(await limiter.take(f"{short.key}{one}", [], [short]), Refused):
                assert time.monotonic() < deadline
        with shared_server.admin() as admin:
            assert admin.zcard(f"{{samurai}}:lease:{short.bucket}") <= short.limit


async def test_a_short_lease_does_not_cut_a_long_one(shared_server: Server) -> None:
    async with limits_at(shared_server.url, call_s=PATIENT_S) as (limiter, _):
        long = Lease("key", op(), 9, 60_000)
        await limiter.take(op(), [], [long])
        await limiter.take(op(), [], [replace(long, ttl_ms=10)])
        with shared_server.admin() as admin:
            assert admin.pttl(f"{{samurai}}:lease:{long.bucket}") > 50_000


async def test_waiting_exactly_as_told_succeeds_and_not_a_microsecond_earlier(shared_server: Server) -> None:
    """By the server's own clock, which each reply carries: there is nothing to allow for."""
    store = RedisStore(shared_server.url, call_s=PATIENT_S)
    one = Dimension("images", "key", op(), per_minute=2400, burst=3, cost=2)

    async def ask() -> tuple[int, int, int]:
        op_id = op()
        keys = [limits.receipt_key(op_id), limits._bucket_key(one)]
        reply = await store.run(limits._TAKE, keys, limits._take_args(op_id, [one], []))
        verdict, _, wait_us, now_us, *_ = map(int, reply.split())
        return verdict, wait_us, now_us

    refusals = 0
    for _ in range(8):
        promised_us = 0
        while True:
            verdict, wait_us, now_us = await ask()
            if verdict == 1:
                assert now_us >= promised_us
                break
            refusals += 1
            assert promised_us in (0, now_us + wait_us)
            promised_us = now_us + wait_us
    assert refusals > 8
    await store.aclose()


async def test_a_clock_that_jumped_back_an_hour_costs_one_refill_and_no_more(server: Server) -> None:
    async with limits_at(server.url) as (limiter, _):
        requests, _ = key_limits(per_minute=7, burst=5)
        with server.admin() as admin:
            admin.set(limits._bucket_key(requests), int((time.time() + 3600) * 1e6))
        decision = await limiter.take(op(), [requests])
        assert isinstance(decision, Refused)
        assert (decision.wait_ms, decision.meters[0].reset_ms) == (8572, 42_858)


buckets = st.builds(
    Dimension,
    name=st.sampled_from(["requests", "images"]),
    scope=st.just("key"),
    key=st.sampled_from("ab"),
    per_minute=st.sampled_from([1, 7, 60, 6_000, 600_000, 60_000_000]),
    burst=st.integers(1, 30),
    cost=st.integers(0, 31),
)
places = st.builds(
    Lease,
    scope=st.just("key"),
    key=st.sampled_from("ab"),
    limit=st.integers(1, 4),
    ttl_ms=st.sampled_from([1, 3, 60_000]),
)
steps = st.tuples(
    st.sampled_from(["take", "take", "take", "refund", "release"]),
    st.integers(0, 9),
    st.lists(buckets, max_size=4, unique_by=lambda one: one.bucket),
    st.lists(places, max_size=2, unique_by=lambda one: one.bucket),
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(steps, min_size=1, max_size=40))
def test_the_script_and_the_reference_agree_on_every_history(
    shared_server: Server, history: list[tuple[str, int, list[Dimension], list[Lease]]]
) -> None:
    """The reference is told the moment at which the server decided; all else it must know by itself."""
    run = op()
    full_at: dict[str, int] = {}
    ends: dict[str, dict[str, int]] = {}
    receipts: dict[str, bytes] = {}
    returned: set[str] = set()
    with shared_server.admin() as admin:
        for act, number, plain_dimensions, plain_leases in history:
            op_id = f"{run}-{number}"
            dimensions = [replace(one, key=run + one.key) for one in plain_dimensions]
            leases = [replace(one, key=run + one.key) for one in plain_leases]
            if act == "release":
                for lease in leases:
                    admin.zrem(limits._lease_key(lease), op_id)
                    ends.get(lease.bucket, {}).pop(op_id, None)
                continue
            if act == "refund":
                keys = [
                    limits.receipt_key(op_id),
                    f"{{samurai}}:returned:{op_id}",
                    *map(limits._bucket_key, dimensions),
                ]
                give_us = [one.cost * one.interval_us for one in dimensions]
                reply = admin.eval(limits._REFUND.text, len(keys), *keys, 60_000, *give_us)
                assert reply == (op_id in receipts and op_id not in returned)
                if reply:
                    returned.add(op_id)
                    full_at |= give_back(full_at, 0, dimensions)
                continue
            keys = [limits.receipt_key(op_id), *map(limits._lease_key, leases), *map(limits._bucket_key, dimensions)]
            reply = admin.eval(limits._TAKE.text, len(keys), *keys, *limits._take_args(op_id, dimensions, leases))
            if op_id in receipts:
                assert reply == receipts[op_id]
                continue
            verdict, which, wait_us, now_us, *debts = map(int, reply.split())
            held = {lease.bucket: sum(end > now_us for end in ends.get(lease.bucket, {}).values()) for lease in leases}
            taken = take(full_at, held, now_us, dimensions, leases)
            decision = taken.decision
            if isinstance(decision, Granted):
                assert verdict == 1
                assert debts == [taken.full_at_us[one.bucket] - now_us for one in dimensions]
                receipts[op_id] = reply
                full_at |= taken.full_at_us
                for lease in leases:
                    ends.setdefault(lease.bucket, {})[op_id] = now_us + lease.ttl_ms * 1000
            elif isinstance(decision, Impossible):
                assert (verdict, dimensions[which - 1]) == (-1, decision.dimension)
            elif isinstance(decision.by, Lease):
                assert (verdict, leases[which - 1]) == (-2, decision.by)
            else:
                assert (verdict, dimensions[which - 1], -(-wait_us // 1000)) == (0, decision.by, decision.wait_ms)


@pytest.mark.slow
def test_four_processes_get_exactly_the_limit_and_all_of_it(shared_server: Server) -> None:
    """Overshoot 0, at least 99.9 % of the binding limit used: 20,000 decisions, 30 % of the operations asked twice."""
    tag, each = op(), 4_000
    command = [sys.executable, "-m", "tests.edges.limit_hammer", shared_server.url, tag, str(each)]
    processes = [
        subprocess.Popen([*command, str(seed)], stdout=subprocess.PIPE, cwd=ROOT, text=True) for seed in range(4)
    ]
    results = []
    for process in processes:
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        results.append(json.loads(out))

    units = sum((Counter(result["units"]) for result in results), Counter[str]())
    elapsed_us = max(result["span"][1] for result in results) - min(result["span"][0] for result in results)
    used = {}
    for one in hammered(tag, 1):
        bound_us = one.burst * one.interval_us + elapsed_us
        assert units[one.bucket] * one.interval_us <= bound_us, f"overshoot of {one.bucket}"
        used[one.scope, one.name] = units[one.bucket] * one.interval_us / bound_us
    grants = sum(result["granted"] for result in results)
    decisions = sum(result["decided"] for result in results)
    sys.stdout.write(f"{decisions} decisions, {grants} granted in {elapsed_us / 1e6:.2f} s, use {used}\n")
    assert decisions >= 20_000
    assert sum(result["contradictions"] for result in results) == 0
    assert used["key", "images"] >= 0.999


async def test_a_killed_redis_costs_a_quarter_of_a_second_once_and_limits_still_hold(server: Server) -> None:
    async with limits_at(server.url, replicas=3) as (limiter, store):
        asked = key_limits(per_minute=1, burst=30)
        assert await granted(limiter, asked, 15) == 15
        server.kill()
        started = time.monotonic()
        decision = await limiter.take(op(), asked)
        assert time.monotonic() - started < ONCE_S
        assert isinstance(decision, Granted)
        assert decision.degraded is True
        started = time.monotonic()
        # Half of 30 was used: this replica's third of the rest is 5, of which one is gone.
        assert await granted(limiter, asked, 100) == 4
        assert time.monotonic() - started < ONCE_S
        refused = await limiter.take(op(), asked)
        assert isinstance(refused, Refused)
        assert refused.degraded is True
        assert refused.by == asked[0]
        assert store.outage is not None


async def test_a_silent_redis_costs_no_more_and_is_used_again_when_it_speaks(server: Server) -> None:
    async with limits_at(server.url) as (limiter, store):
        asked = key_limits()
        await limiter.take(op(), asked)
        server.pause()
        started = time.monotonic()
        decisions = await asyncio.gather(*(limiter.take(op(), asked) for _ in range(20)))
        assert time.monotonic() - started < ONCE_S
        assert all(isinstance(one, Granted) and one.degraded for one in decisions)
        server.resume()
        deadline = time.monotonic() + BACK_S
        while store.outage is not None and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        after = await limiter.take(op(), asked)
        assert isinstance(after, Granted)
        assert after.degraded is False


async def test_replicas_without_redis_grant_no_more_than_the_limit_together(tmp_path: Path) -> None:
    asked = key_limits(3, per_minute=1, burst=10)
    total = 0
    for _ in range(4):
        async with limits_at(f"unix://{tmp_path}/none", replicas=4) as (limiter, _):
            total += await granted(limiter, asked, 50)
    assert total == 8  # two each; rounding down leaves two unused


async def test_places_are_shared_out_too_and_known_from_before_the_outage(server: Server) -> None:
    async with limits_at(server.url, replicas=2) as (limiter, _):
        lease = Lease("key", op(), 4, 60_000)
        assert isinstance(await limiter.take("before", [], [lease]), Granted)
        server.kill()
        assert isinstance(await limiter.take("during", [], [lease]), Granted)
        refused = await limiter.take("too-many", [], [lease])
        assert isinstance(refused, Refused)
        assert (refused.by, refused.degraded) == (lease, True)
        await limiter.release("before", [lease])
        assert isinstance(await limiter.take("next", [], [lease]), Granted)


async def test_what_was_granted_during_an_outage_can_be_given_back_during_it(tmp_path: Path) -> None:
    async with limits_at(f"unix://{tmp_path}/none", replicas=2) as (limiter, _):
        asked = key_limits(80, per_minute=1, burst=40)
        decision = await limiter.take("op", asked)
        assert isinstance(decision, Granted)
        assert isinstance(await limiter.take(op(), asked), Refused)
        await limiter.refund("op", decision, asked[1:])
        assert isinstance(await limiter.take(op(), asked), Granted)


async def test_a_lost_reply_takes_once_in_redis_and_the_retry_learns_of_it(server: Server) -> None:
    async with wire_to(server) as wire, limits_at(wire.url) as (limiter, store), limits_at(server.url) as (direct, _):
        asked = key_limits()
        assert isinstance(await direct.take(op(), asked), Granted)
        wire.loses_replies = True
        lost = await limiter.take("the-operation", asked)
        assert isinstance(lost, Granted)
        assert lost.degraded is True
        assert store.outage is Reason.LOST
        again = await direct.take("the-operation", asked)
        assert isinstance(again, Granted)
        assert again.meters[0].remaining == 58
        after = await direct.take(op(), asked)
        assert isinstance(after, Granted)
        assert after.meters[0].remaining == 57


@pytest.mark.parametrize("trouble", ["oom", "readonly"])
async def test_a_server_that_cannot_write_is_left_unwritten_and_counts_as_away(server: Server, trouble: str) -> None:
    async with limits_at(server.url) as (limiter, store):
        asked, lease, exhausted = key_limits(), Lease("key", "k", 5, 60_000), key_limits(burst=1)
        await limiter.take(op(), asked)
        await limiter.take(op(), exhausted)
        with server.admin() as admin:
            if trouble == "oom":
                admin.config_set("maxmemory", 1)
            else:
                admin.replicaof("127.0.0.1", "1")
            before = {key: admin.dump(key) for key in admin.scan_iter()}
            refused = await limiter.take(op(), exhausted)  # what a stale replica says about it is not believed either
            assert isinstance(refused, Refused)
            assert refused.degraded is True
            assert store.outage == trouble
            decision = await limiter.take(op(), asked, [lease])
            assert isinstance(decision, Granted)
            assert decision.degraded is True
            assert {key: admin.dump(key) for key in admin.scan_iter()} == before


async def test_a_script_flush_is_not_noticed(server: Server) -> None:
    async with limits_at(server.url) as (limiter, _):
        asked = key_limits()
        for left in (59, 58, 57):
            decision = await limiter.take(op(), asked)
            assert isinstance(decision, Granted)
            assert (decision.degraded, decision.meters[0].remaining) == (False, left)
            with server.admin() as admin:
                admin.script_flush()


async def test_a_flush_of_everything_costs_one_more_burst_at_most(server: Server) -> None:
    async with limits_at(server.url) as (limiter, _):
        asked = key_limits(per_minute=1, burst=20)
        assert await granted(limiter, asked, 50) == 20
        with server.admin() as admin:
            admin.flushall()
        assert await granted(limiter, asked, 50) == 20
