import asyncio
import json
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha1
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.domain.exchange import Delivered, Fault, Outcome, Pace
from gateway.domain.facts import Fact, LimiterDegraded, PlaceAwaited, VendorThrottled
from gateway.domain.faults import throttled
from gateway.edges import pacing as edge
from gateway.edges import pacing_line as lines
from gateway.edges.limits import Limits, receipt_key
from gateway.edges.pacing import Pacing, Stay
from gateway.edges.redis_store import RedisStore, Script
from gateway.edges.world import World
from gateway.policies import pacing as rules
from gateway.policies.buckets import Dimension
from gateway.policies.pacing import Ending, Ledger, Place
from tests.servers import Server

ROOT = Path(__file__).parents[2]
ONCE_S = 0.25 + 0.5  # what an outage may cost, and slack for a machine that has other things to do
BACK_S = 5.0
SERVED = Delivered((), billed=1)


class Replica:
    """One gateway's pacing of an account named `account`, with all the facts that it told."""

    def __init__(self, store: RedisStore, pace: Pace, account: str, replicas: int) -> None:
        self.store, self.account = store, account
        self.facts: list[Fact] = []
        self.pacing = Pacing(store, {account: pace}, World(), self.facts.append, replicas=replicas)
        self.stays: list[tuple[asyncio.Task[None], asyncio.Event]] = []

    async def call(self, images: int = 1, *, patience_s: float = 0.0, outcome: Outcome | None = SERVED) -> Fault | None:
        """A call that is over at once; why it could not be made."""
        async with self.pacing.place(self.account, images, patience_s=patience_s, hold_s=60) as stay:
            stay.outcome = None if stay.refusal else outcome
            return stay.refusal

    async def begin(self, images: int, *, patience_s: float = 0.0, hold_s: float = 60) -> asyncio.Event | None:
        """A call that goes on until the event is set; None when there was no place for it."""
        begun: asyncio.Future[Stay] = asyncio.get_running_loop().create_future()
        over = asyncio.Event()

        async def stay_in() -> None:
            async with self.pacing.place(self.account, images, patience_s=patience_s, hold_s=hold_s) as stay:
                begun.set_result(stay)
                if stay.refusal is None:
                    await over.wait()

        self.stays.append((asyncio.create_task(stay_in()), over))
        return over if (await begun).refusal is None else None

    async def finish(self) -> None:
        for task, over in self.stays:
            over.set()
            await task
        self.stays.clear()


@asynccontextmanager
async def replica(url: str, pace: Pace, account: str = "", replicas: int = 1) -> AsyncIterator[Replica]:
    store = RedisStore(url, call_s=2.0)  # a busy machine is no outage
    one = Replica(store, pace, account or uuid.uuid4().hex, replicas)
    try:
        yield one
    finally:
        await one.finish()
        await store.aclose()


async def back(store: RedisStore) -> None:
    deadline = time.monotonic() + BACK_S
    while store.outage is not None and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    assert store.outage is None


async def test_images_in_flight_are_counted_over_replicas_and_freed_at_the_end(shared_server: Server) -> None:
    pace = Pace(images_in_flight=10)
    async with replica(shared_server.url, pace) as one, replica(shared_server.url, pace, one.account) as two:
        eight = await one.begin(8)
        assert eight is not None
        assert await two.begin(2)
        refusal = await two.call(1)
        assert refusal is not None
        assert (refusal.may_have_billed, refusal.retry_after_s) == (False, 1.0)
        eight.set()
        assert await two.call(8, patience_s=5) is None
        assert one.pacing.most_images(one.account) == 10


async def test_who_waits_gets_a_place_as_soon_as_there_is_one(shared_server: Server) -> None:
    async with replica(shared_server.url, Pace(images_in_flight=4)) as one:
        first = await one.begin(4)
        assert first is not None
        waiting = asyncio.create_task(one.call(4, patience_s=10))
        await asyncio.wait([waiting], timeout=0.12)
        assert not waiting.done()
        first.set()
        freed = time.monotonic()
        assert await waiting is None
        assert time.monotonic() - freed < 1
        awaited = [fact for fact in one.facts if isinstance(fact, PlaceAwaited)]
        assert [fact.granted for fact in awaited] == [True, True]
        assert awaited[1].seconds > 0.1


async def test_no_wait_is_longer_than_the_patience(shared_server: Server) -> None:
    async with replica(shared_server.url, Pace(images_in_flight=4, requests_per_minute=2)) as one:
        assert await one.begin(4)
        started = time.monotonic()
        assert await one.call(1, patience_s=0.3) is not None
        assert time.monotonic() - started < 0.8
        await one.finish()
        assert await one.call() is None
        started = time.monotonic()
        refusal = await one.call(patience_s=50)  # the window says exactly when: no need to wait for it in vain
        assert time.monotonic() - started < 0.5
        assert refusal is not None
        assert 55 < (refusal.retry_after_s or 0) <= 61


async def test_replicates_six_hundred_a_minute_are_all_used_and_not_one_more(shared_server: Server) -> None:
    pace = Pace(requests_per_minute=600)
    async with replica(shared_server.url, pace) as one, replica(shared_server.url, pace, one.account) as two:
        started = time.monotonic()
        refusals: list[Fault | None] = []
        while not any(refusals):
            refusals += await asyncio.gather(*(each.call(patience_s=5) for each in (one, two) for _ in range(4)))
        assert time.monotonic() - started < 30
        assert refusals.count(None) == 600
        told = min(fault.retry_after_s or 0 for fault in refusals if fault)
        assert told == pytest.approx(61 - (time.monotonic() - started), abs=1)


async def test_a_vendors_429_cuts_the_limit_and_pauses_the_account_everywhere(shared_server: Server) -> None:
    async with replica(shared_server.url, Pace()) as one, replica(shared_server.url, Pace(), one.account) as two:
        assert await one.call(outcome=throttled("slow down", 0.4)) is None
        assert VendorThrottled(one.account, 0.4) in one.facts
        started = time.monotonic()
        assert await two.call() is not None
        assert await two.call(patience_s=5) is None
        assert 0.3 < time.monotonic() - started < 2
        limits = [fact.limit for fact in two.facts if isinstance(fact, PlaceAwaited)]
        assert limits == [5, 5]


async def test_the_limit_comes_back_when_the_vendor_serves_again(shared_server: Server) -> None:
    async with replica(shared_server.url, Pace()) as one:
        for _ in range(8):
            await one.call(outcome=throttled("slow down", None))
        assert await one.begin(1) is not None
        assert await one.begin(1) is None  # all that is left
        await one.finish()
        for _ in range(12):
            await asyncio.gather(*(one.call(patience_s=5) for _ in range(3)))
        limits = [fact.limit for fact in one.facts if isinstance(fact, PlaceAwaited)]
        assert min(limits) == 1
        assert limits[-1] >= 4


async def test_after_a_cut_the_limit_grows_by_one_for_as_many_successes_as_it_has_places(shared_server: Server) -> None:
    async with replica(shared_server.url, Pace()) as one:
        await one.call(outcome=throttled("slow down", None))
        assert await one.begin(1)
        assert await one.begin(1)
        for _ in range(6):
            await one.call()
        limits = [fact.limit for fact in one.facts if isinstance(fact, PlaceAwaited)]
        assert limits == [8, 5, 5, 5, 5, 5, 5, 5, 6]


async def test_places_of_a_dead_replica_fall_free_when_their_time_is_up(
    shared_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge, "LEASE_SLACK_S", 0.2)
    pace = Pace(images_in_flight=10)
    async with replica(shared_server.url, pace) as dead, replica(shared_server.url, pace, dead.account) as other:
        assert await dead.begin(10, hold_s=0.2)  # … and is never heard of again
        assert await other.call(10) is not None
        started = time.monotonic()
        assert await other.call(10, patience_s=5) is None
        assert time.monotonic() - started < 2


async def test_a_waiter_that_was_cancelled_gives_its_turn_up(shared_server: Server) -> None:
    async with replica(shared_server.url, Pace(images_in_flight=10)) as one:
        assert await one.begin(5)
        waiting = asyncio.create_task(one.call(8, patience_s=60))
        with shared_server.admin() as admin:
            deadline = time.monotonic() + BACK_S
            while not admin.zcard(f"{{samurai}}:pace:{one.account}:queue"):
                assert time.monotonic() < deadline
                await asyncio.sleep(0.005)
            waiting.cancel()
            await asyncio.wait([waiting])
            assert not admin.exists(f"{{samurai}}:pace:{one.account}:queue")
        assert await one.call(5) is None


async def test_every_key_shares_one_hash_slot_and_expires_by_itself(server: Server) -> None:
    pace = Pace(requests_per_minute=5, images_per_minute=20, images_in_flight=10)
    async with replica(server.url, pace, "acme") as one:
        assert await one.begin(10)
        waiting = asyncio.create_task(one.call(10, patience_s=90))
        await one.call(1, outcome=throttled("", 1))
        with server.admin() as admin:
            deadline = time.monotonic() + BACK_S
            while not admin.exists("{samurai}:pace:acme:queue"):
                assert time.monotonic() < deadline
                await asyncio.sleep(0.005)
            left_s = {key.decode(): admin.pttl(key) / 1000 for key in admin.scan_iter(match="*:pace:*")}
        waiting.cancel()
        await asyncio.wait([waiting])
    assert left_s.keys() <= {
        f"{{samurai}}:pace:acme:{name}" for name in ("flight", "recent", "queue", "alive", "state")
    }
    assert all(0 < seconds <= 3600 for seconds in left_s.values())
    assert 89 < left_s["{samurai}:pace:acme:flight"] <= 91


async def test_a_killed_redis_leaves_a_share_and_costs_a_quarter_of_a_second_once(server: Server) -> None:
    async with replica(server.url, Pace(images_in_flight=10), replicas=2) as one:
        first = await one.begin(3)
        assert first is not None
        server.kill()
        started = time.monotonic()
        assert await one.call(3) is not None  # five are this replica's share, three of them are in use
        assert time.monotonic() - started < ONCE_S
        assert one.pacing.most_images(one.account) == 5
        assert await one.call(2) is None
        assert LimiterDegraded() in one.facts
        first.set()
        assert await one.call(5, patience_s=5) is None
        never = await one.call(8, patience_s=60)
        assert never is not None
        assert never.retry_after_s == 1.0


async def test_replicas_without_redis_never_exceed_the_limit_together(tmp_path: Path) -> None:
    begun = 0
    for _ in range(4):
        async with replica(f"unix://{tmp_path}/none", Pace(images_in_flight=10), replicas=4) as one:
            begun += len([over for over in [await one.begin(1) for _ in range(10)] if over])
    assert begun == 8  # two each; rounding down leaves two unused


async def test_what_was_begun_and_ended_without_redis_is_told_when_it_is_back(server: Server) -> None:
    pace = Pace(images_in_flight=10)
    async with replica(server.url, pace) as one, replica(server.url, pace, one.account) as two:
        before = await one.begin(4)
        assert before is not None
        with server.admin() as admin:
            admin.config_set("maxmemory", 1)  # nothing is written, not even late
            assert await one.begin(6) is not None
            assert one.store.outage == "oom"
            before.set()
            await one.stays[0][0]
            admin.config_set("maxmemory", 0)
        await back(one.store)
        assert await one.call(4) is None  # what had ended was given back: there is room
        await back(two.store)
        assert await two.call(5) is not None  # and what runs is known to everybody
        assert await two.call(4) is None


async def test_a_clock_that_was_set_back_closes_no_account(server: Server) -> None:
    pace = Pace(requests_per_minute=1)
    async with replica(server.url, pace, "acme") as one:
        hour_ahead = int((time.time() + 3600) * 1e6)
        with server.admin() as admin:
            admin.zadd("{samurai}:pace:acme:recent", {"1:future": hour_ahead})
            admin.zadd("{samurai}:pace:acme:queue", {"1:future": 1})
            admin.zadd("{samurai}:pace:acme:alive", {"1:future": hour_ahead})
        assert await one.call() is None
        with server.admin() as admin:
            admin.hset("{samurai}:pace:acme:state", "paused_until", hour_ahead)
        refusal = await one.call()
        assert refusal is not None
        assert (refusal.retry_after_s or 0) <= 120


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures so small that a history of some milliseconds meets them all."""
    figures = {"WINDOW_US": 3_000, "LOOK_AGAIN_US": 50, "LOOK_AGAIN_EACH_US": 20, "LOOK_AGAIN_LATEST_US": 100}
    for name, figure in (figures | {"TICKET_GRACE_US": 1_500, "START_CALLS": 3, "CEILING_CALLS": 5}).items():
        monkeypatch.setattr(rules, name, figure)


steps = st.tuples(
    st.sampled_from(["ask", "ask", "ask", "ask", "accepted", "served", "throttled", "other"]),
    st.integers(0, 7),
    st.integers(1, 5),
    st.sampled_from([400, 2_000, 1_000_000]),
)
paces = st.builds(
    Pace,
    requests_per_minute=st.none() | st.integers(1, 5),
    images_per_minute=st.none() | st.integers(5, 12),
    images_in_flight=st.none() | st.integers(5, 9),
    initial_calls_in_flight=st.none() | st.integers(1, 7),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(paces, st.lists(steps, min_size=1, max_size=60))
def test_the_scripts_and_the_reference_agree_on_every_history(
    hasty: None, shared_server: Server, pace: Pace, history: list[tuple[str, int, int, int]]
) -> None:
    """The reference is told the moment at which the server decided; all else it must know by itself."""
    line = lines.Line(uuid.uuid4().hex, pace, Ledger(pace))
    ledger = Ledger(pace)
    attempts: dict[int, lines.Attempt] = {}
    granted_us: dict[int, int] = {}
    with shared_server.admin() as admin:
        for act, number, images, life_us in history:
            attempt = attempts.setdefault(number, lines.Attempt(str(number), images, life_us))
            if act == "ask":
                keys = line.keys(*lines.TAKE_KEYS)
                reply = admin.eval(edge._TAKE.text, len(keys), *keys, *lines.take_args(pace, attempt))
                granted, figure, limit, now_us, images_in_flight = map(int, reply.split())
                answer = ledger.ask(attempt.id, attempt.images, attempt.life_us, now_us)
                assert figure == (answer.at_us if isinstance(answer, Place) else answer.wait_us)
                assert bool(granted) is isinstance(answer, Place)
                assert images_in_flight == ledger._images
                if granted:
                    granted_us[number] = figure
            else:
                keys = line.keys("flight", "queue", "alive", "state")
                args = lines.end_args(line, attempt.member, Ending(act), granted_us.get(number, 0), 300)
                limit, now_us = map(int, admin.eval(edge._END.text, len(keys), *keys, *args).split())
                if act == "accepted":
                    ledger.accept(attempt.id, now_us)
                else:
                    ledger.end(attempt.id, Ending(act), 300, now_us)
            assert limit == ledger.limit


async def test_a_crowd_gets_in_as_fast_as_the_vendor_takes_its_work_and_not_only_as_it_ends(server: Server) -> None:
    over = asyncio.Event()
    async with replica(server.url, Pace()) as one:

        async def call() -> bool:
            async with one.pacing.place(one.account, 1, patience_s=20, hold_s=60) as stay:
                stay.accepted()
                await over.wait()
                stay.outcome = SERVED
                return stay.refusal is None

        started = time.monotonic()
        calls = [asyncio.create_task(call()) for _ in range(200)]
        with server.admin() as admin:
            while admin.zcard(f"{{samurai}}:pace:{one.account}:flight") < 200:
                assert time.monotonic() - started < 20
                await asyncio.sleep(0.01)
            over.set()
            assert all(await asyncio.gather(*calls))
            state = f"{{samurai}}:pace:{one.account}:state"
            while int(admin.hget(state, "flying")) > 0:  # nobody waits for the end of a place
                assert time.monotonic() - started < 25
                await asyncio.sleep(0.01)
            assert 200 <= int(admin.hget(state, "limit")) <= 400  # learnt from each of them once


async def test_a_place_is_left_by_its_name_also_at_an_account_that_is_configured_no_more(server: Server) -> None:
    async with replica(server.url, Pace(images_in_flight=4), "gone") as one, replica(server.url, Pace(), "kept") as two:
        begun: asyncio.Future[Stay] = asyncio.get_running_loop().create_future()

        async def die() -> None:
            async with one.pacing.place("gone", 4, patience_s=0, hold_s=60) as stay:
                begun.set_result(stay)
                await asyncio.Event().wait()

        dying = asyncio.create_task(die())
        place = (await begun).place
        assert await one.call() is not None
        await two.pacing.leave("gone", place)
        assert await one.call(4) is None
        dying.cancel()
        await asyncio.wait([dying])


async def test_an_account_whose_strength_is_known_begins_with_it(server: Server) -> None:
    async with replica(server.url, Pace(initial_calls_in_flight=50)) as one:
        assert all([await one.begin(1) for _ in range(50)])
        assert await one.begin(1) is None


@pytest.mark.slow
def test_four_replicas_never_exceed_ten_images_in_flight_and_starve_nobody(shared_server: Server) -> None:
    tag, each = uuid.uuid4().hex, 50
    command = [sys.executable, "-m", "tests.edges.pacing_hammer", shared_server.url, tag, str(each)]
    processes = [
        subprocess.Popen([*command, str(seed)], stdout=subprocess.PIPE, cwd=ROOT, text=True) for seed in range(4)
    ]
    results = []
    for process in processes:
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        results.append(json.loads(out))
    sys.stdout.write(f"{results}\n")
    assert sum(result["served"] for result in results) >= 4 * each
    assert sum(result["refused"] for result in results) == 0
    assert 8 <= max(result["peak"] for result in results) <= 10
    longest = {size: max(result["longest_wait_s"][size] for result in results) for size in ("1", "2", "3", "8")}
    assert longest["8"] < 4 * max(longest["1"], longest["2"], longest["3"])  # large calls wait like all others
    with shared_server.admin() as admin:
        assert admin.zcard(f"{{samurai}}:pace:{tag}:flight") == 0


async def test_a_place_asked_for_ahead_is_given_only_beside_a_receipt_and_taken_over_once(server: Server) -> None:
    async with replica(server.url, Pace(images_in_flight=1)) as one:
        for _ in range(2):  # from the second on, the server knows both scripts
            assert await one.call(patience_s=BACK_S) is None
        await one.store.call("SET", "{samurai}:receipt", 1)
        for receipt, is_granted in (("{samurai}:receipt", True), ("{samurai}:none", False)):
            ahead = one.pacing.ahead(one.account, 1, hold_s=60, receipt=receipt)
            one.pacing.ask_soon(ahead)
            await one.store.call("PING")
            assert ahead.begun is not None
            granted = int((await one.store.reply_of(ahead.begun)).split()[0])
            assert granted == (1 if is_granted else -1)
            taken = one.pacing.place(one.account, 1, patience_s=0, hold_s=60, ahead=ahead)
            async with taken as stay:  # without a receipt it is asked for once more, as any other
                assert stay.refusal is None
                assert (await one.begin(1)) is None
                assert stay.place == ahead.attempt.member
            one.pacing.give_back(ahead)  # which is over: nothing is left twice
            assert await one.call() is None


async def test_a_place_asked_for_ahead_costs_no_round_trip_of_its_own(server: Server) -> None:
    async with replica(server.url, Pace()) as one:
        for _ in range(2):
            assert await one.call(patience_s=BACK_S) is None
        limits, say = Limits(one.store), Script("return 1", sha1(b"return 1").hexdigest())
        with server.admin() as admin:
            for op_id in ("op_1", "op_2"):  # for the first one, the server does not know the limits' script yet
                ahead = one.pacing.ahead(one.account, 1, hold_s=60, receipt=receipt_key(op_id))
                await one.store.run(say, [], [])  # behind all that was posted
                before = admin.info("stats")["total_reads_processed"]
                one.pacing.ask_soon(ahead)
                await limits.take(op_id, [Dimension("requests", "key", uuid.uuid4().hex, 60, 60, 1)])
                assert ahead.begun is not None
                granted = int((await one.store.reply_of(ahead.begun)).split()[0])
                reads = admin.info("stats")["total_reads_processed"] - before
                one.pacing.give_back(ahead)
            assert (granted, reads) == (1, 2)  # what was sent, and this question


async def test_a_place_asked_for_ahead_is_no_place_for_a_larger_call(server: Server) -> None:
    async with replica(server.url, Pace(images_in_flight=3)) as one:
        for _ in range(2):  # from the second on, the server knows both scripts
            assert await one.call(3, patience_s=BACK_S) is None
        await one.store.call("SET", "{samurai}:receipt", 1)
        ahead = one.pacing.ahead(one.account, 1, hold_s=60, receipt="{samurai}:receipt")
        one.pacing.ask_soon(ahead)
        await one.store.call("PING")
        async with one.pacing.place(one.account, 2, patience_s=0, hold_s=60, ahead=ahead) as stay:
            assert stay.place.startswith("2:")
            assert await one.begin(1) is None
            one.pacing.give_back(ahead)
            assert await one.begin(1) is not None


async def test_a_place_asked_for_ahead_and_not_needed_is_free_again(server: Server) -> None:
    async with replica(server.url, Pace(images_in_flight=1)) as one:
        for _ in range(2):  # from the second on, the server knows both scripts
            assert await one.call(patience_s=BACK_S) is None
        await one.store.call("SET", "{samurai}:receipt", 1)
        ahead = one.pacing.ahead(one.account, 1, hold_s=60, receipt="{samurai}:receipt")
        one.pacing.ask_soon(ahead)
        await one.store.call("PING")
        assert ahead.begun is not None
        await one.store.reply_of(ahead.begun)
        assert await one.begin(1) is None
        one.pacing.give_back(ahead)
        assert await one.call() is None
        never_asked = one.pacing.ahead(one.account, 1, hold_s=60, receipt="{samurai}:receipt")
        one.pacing.give_back(never_asked)
        one.pacing.ask_soon(never_asked)
        await asyncio.sleep(0)
        assert never_asked.begun is None
