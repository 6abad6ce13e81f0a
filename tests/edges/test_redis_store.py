import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest

from gateway.edges.redis_store import Reason, RedisStore, RedisUnavailable, Script
from tests.redis_modes import cluster_nodes
from tests.servers import Server, admin_of, free_port, running_server, valkey_binary, wire_to

COUNT_TEXT = "return redis.call('INCR', KEYS[1])"
COUNT = Script(COUNT_TEXT, sha1(COUNT_TEXT.encode()).hexdigest())
ONCE_S = 0.25 + 0.5  # what an outage may cost, and slack for a machine that has other things to do
BACK_S = 5.0
SLOWLY_S = 1.0  # large beside what a busy machine adds


@asynccontextmanager
async def store_at(url: str, *, call_s: float = 0.25, max_connections: int = 64) -> AsyncIterator[RedisStore]:
    store = RedisStore(url, call_s=call_s, max_connections=max_connections)
    try:
        yield store
    finally:
        await store.aclose()


async def failure_of(store: RedisStore) -> tuple[Reason, float]:
    """Why a call failed, and how long that took, in seconds."""
    started = time.monotonic()
    with pytest.raises(RedisUnavailable) as caught:
        await store.run(COUNT, ["{samurai}:n"], [])
    return caught.value.reason, time.monotonic() - started


async def recovery_of(store: RedisStore) -> None:
    deadline = time.monotonic() + BACK_S
    while store.outage is not None and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    assert store.outage is None
    assert await store.run(COUNT, ["{samurai}:after"], []) == 1


async def test_a_script_is_loaded_when_first_used_and_again_after_a_flush(server: Server) -> None:
    async with store_at(server.url) as store:
        assert [await store.run(COUNT, ["{samurai}:n"], []) for _ in range(2)] == [1, 2]
        with server.admin() as admin:
            calls = admin.info("commandstats")
            assert (calls["cmdstat_evalsha"]["calls"], calls["cmdstat_eval"]["calls"]) == (2, 1)
            admin.script_flush()
        assert await store.run(COUNT, ["{samurai}:n"], []) == 3
        assert store.outage is None


@pytest.mark.parametrize("forbidden", ["unknown", "not permitted"])
async def test_where_evalsha_is_refused_eval_is_used_from_then_on(engine: str, forbidden: str) -> None:
    options = (
        ("--rename-command", "EVALSHA", "")
        if forbidden == "unknown"
        else ("--user", "default", "on", "nopass", "~*", "+@all", "-evalsha")
    )
    with running_server(engine, *options) as server:
        async with store_at(server.url) as store:
            with server.admin() as admin:
                errors = admin.info("stats")["total_error_replies"]
                assert [await store.run(COUNT, ["{samurai}:n"], []) for _ in range(3)] == [1, 2, 3]
                assert admin.info("commandstats")["cmdstat_eval"]["calls"] == 3
                assert admin.info("stats")["total_error_replies"] == errors + 1
            assert store.outage is None


async def test_a_command_that_fails_by_itself_is_no_outage(shared_server: Server) -> None:
    async with store_at(shared_server.url) as store:
        with pytest.raises(RedisUnavailable) as caught:
            await store.call("NOSUCHCOMMAND")
        assert caught.value.reason is Reason.ERROR
        assert "NOSUCHCOMMAND" in caught.value.detail
        assert "NOSUCHCOMMAND" not in str(caught.value)
        assert store.outage is None


async def test_nobody_listening_is_refused_and_noticed_when_it_comes_up(tmp_path: Path) -> None:
    port = free_port()
    async with store_at(f"redis://127.0.0.1:{port}/0") as store, store_at(f"unix://{tmp_path}/none") as other:
        assert (await failure_of(store))[0] is Reason.REFUSED
        assert (await failure_of(other))[0] is Reason.REFUSED
        with running_server(valkey_binary(), port=port):
            await recovery_of(store)


async def test_a_killed_server_costs_one_quarter_of_a_second_at_most_and_then_nothing(server: Server) -> None:
    async with store_at(server.url) as store:
        await store.run(COUNT, ["{samurai}:n"], [])
        server.kill()
        reason, took_s = await failure_of(store)
        assert reason in (Reason.REFUSED, Reason.LOST)
        assert took_s < ONCE_S
        assert sum([(await failure_of(store))[1] for _ in range(100)]) < ONCE_S


async def test_a_silent_server_costs_all_waiting_calls_together_one_quarter_of_a_second(server: Server) -> None:
    async with store_at(server.url) as store:
        await asyncio.gather(*(store.run(COUNT, ["{samurai}:n"], []) for _ in range(10)))
        server.pause()
        started = time.monotonic()
        failures = await asyncio.gather(*(failure_of(store) for _ in range(40)))
        assert time.monotonic() - started < ONCE_S
        assert {reason for reason, _ in failures} == {Reason.TIMEOUT}
        assert sum([(await failure_of(store))[1] for _ in range(100)]) < ONCE_S
        server.resume()
        await recovery_of(store)


async def test_whether_a_silent_server_is_away_is_known_when_the_first_call_fails(server: Server) -> None:
    """Who has to be sure, as the journal has before it takes the disk's word, does not wait for as long again."""
    async with store_at(server.url, call_s=SLOWLY_S) as store:
        await store.run(COUNT, ["{samurai}:n"], [])
        server.pause()
        started = time.monotonic()
        await failure_of(store)
        assert await store.is_surely_away()
        assert time.monotonic() - started < 1.5 * SLOWLY_S
        server.resume()
        await recovery_of(store)


async def test_a_server_that_answers_others_is_not_surely_away_for_one_call_without_a_reply(server: Server) -> None:
    async with store_at(server.url, call_s=SLOWLY_S) as store:
        waiting = asyncio.create_task(store.call("BLPOP", "{samurai}:nothing", 0))
        with pytest.raises(RedisUnavailable):
            await waiting
        assert not await store.is_surely_away()
        await recovery_of(store)


async def test_what_was_seen_during_an_earlier_slow_call_says_nothing_of_a_later_outage(server: Server) -> None:
    async with store_at(server.url, call_s=SLOWLY_S) as store:
        with suppress(RedisUnavailable):
            await store.call("BLPOP", "{samurai}:nothing", str(0.7 * SLOWLY_S))  # a second look is answered
        server.pause()
        assert (await failure_of(store))[0] is Reason.TIMEOUT
        assert await store.is_surely_away()


async def test_a_server_silent_from_the_start_costs_no_more(server: Server) -> None:
    server.pause()
    async with store_at(server.url) as store:
        reason, took_s = await failure_of(store)
        assert reason is Reason.TIMEOUT
        assert took_s < ONCE_S


async def test_a_lost_reply_is_reported_and_the_command_is_not_sent_twice(server: Server) -> None:
    async with wire_to(server) as wire, store_at(wire.url) as store:
        await store.run(COUNT, ["{samurai}:n"], [])
        wire.loses_replies = True
        reason, _ = await failure_of(store)
        assert reason is Reason.LOST
        with server.admin() as admin:
            assert admin.get("{samurai}:n") == b"2"
        wire.loses_replies = False
        await recovery_of(store)


async def test_connections_that_the_server_closed_while_idle_go_unnoticed(server: Server) -> None:
    async with store_at(server.url) as store:
        await asyncio.gather(*(store.run(COUNT, ["{samurai}:n"], []) for _ in range(5)))
        with server.admin() as admin:
            admin.client_kill_filter(_type="normal", skipme=True)
            assert len(admin.client_list(_type="normal")) == 1
        for _ in range(10):
            await asyncio.sleep(0)
        assert await store.run(COUNT, ["{samurai}:n"], []) == 6
        assert store.outage is None


def readonly(admin: Any) -> None:
    admin.replicaof("127.0.0.1", "1")


def full(admin: Any) -> None:
    admin.config_set("maxmemory", 1)


def forbidden(admin: Any) -> None:
    admin.execute_command("ACL", "SETUSER", "default", "-@write", "-@scripting")


def writable(admin: Any) -> None:
    admin.replicaof("NO", "ONE")


def roomy(admin: Any) -> None:
    admin.config_set("maxmemory", 0)


def permitted(admin: Any) -> None:
    admin.execute_command("ACL", "SETUSER", "default", "+@all")


@pytest.mark.parametrize(
    ("break_it", "mend_it", "reason"),
    [(readonly, writable, Reason.READONLY), (full, roomy, Reason.OOM), (forbidden, permitted, Reason.AUTH)],
)
async def test_a_server_that_may_not_be_written_to_counts_as_away_until_it_may(
    server: Server,
    break_it: Callable[[Any], None],
    mend_it: Callable[[Any], None],
    reason: Reason,
) -> None:
    async with store_at(server.url) as store:
        with server.admin() as admin:
            await store.call("SET", "{samurai}:n", 1)
            before = {client["id"] for client in admin.client_list(_type="normal")} - {str(admin.client_id())}
            break_it(admin)
            assert (await failure_of(store))[0] is reason
            with pytest.raises(RedisUnavailable) as caught:
                await store.ping()
            assert caught.value.reason is reason
            assert admin.get("{samurai}:n") == b"1"
            mend_it(admin)
            await recovery_of(store)
            # A connection to a server that was demoted must not be trusted again.
            assert before.isdisjoint(client["id"] for client in admin.client_list(_type="normal"))


async def test_a_watcher_that_died_is_replaced(server: Server) -> None:
    async with store_at(server.url) as store:
        server.pause()
        await failure_of(store)
        assert store._healer is not None
        store._healer.cancel()
        server.resume()
        await asyncio.gather(store._healer, return_exceptions=True)
        with pytest.raises(RedisUnavailable):
            await store.call("PING")
        await recovery_of(store)


async def test_a_server_busy_with_somebody_elses_script_counts_as_away(server: Server) -> None:
    async with store_at(server.url) as store, store_at(server.url, call_s=10) as culprit:
        with server.admin() as admin:
            admin.config_set("busy-reply-threshold", 5)
            await store.ping()
            hog = asyncio.create_task(culprit.call("EVAL", "while true do end", 0))
            deadline = time.monotonic() + BACK_S
            while store.outage is None and time.monotonic() < deadline:
                with suppress(RedisUnavailable):
                    await store.call("SET", "{samurai}:n", 1)
            assert store.outage in (Reason.BUSY, Reason.TIMEOUT)
            admin.script_kill()
            with pytest.raises(RedisUnavailable):
                await hog
        await recovery_of(store)


async def test_an_exhausted_pool_is_told_within_a_twentieth_of_a_second_and_is_no_outage(shared_server: Server) -> None:
    async with store_at(shared_server.url, call_s=5, max_connections=1) as store:
        await store.ping()
        holder = asyncio.create_task(store.call("BLPOP", "{samurai}:never", "0.3"))
        await asyncio.sleep(0)
        reason, took_s = await failure_of(store)
        assert reason is Reason.POOL
        assert took_s < 0.15
        assert store.outage is None
        assert await holder is None


async def test_calls_cancelled_at_any_moment_never_mix_up_replies(shared_server: Server) -> None:
    async with store_at(shared_server.url, max_connections=4) as store:
        wrong, done = 0, 0

        async def echo(number: int) -> None:
            nonlocal wrong, done
            try:
                reply = await store.call("ECHO", str(number))
            except RedisUnavailable:
                return
            done += 1
            wrong += reply != str(number).encode()

        for batch in range(100):
            tasks = [asyncio.create_task(echo(batch * 10 + one)) for one in range(10)]
            for _ in range(batch % 8):
                await asyncio.sleep(0)
            for task in tasks[::3]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        assert (wrong, done > 300) == (0, True)


async def test_a_password_and_a_user_are_taken_from_the_address(engine: str) -> None:
    user = ("--user", "gateway", "on", ">p@ss:w/rd", "~{samurai}:*", "+@all")
    with running_server(engine, *user, "--requirepass", "other") as server:
        address = f"{server.path}"
        async with store_at(f"unix://gateway:p%40ss%3Aw%2Frd@{address}") as store:
            assert await store.run(COUNT, ["{samurai}:n"], []) == 1
        for url in (f"unix://{address}", f"unix://gateway:wrong@{address}"):
            async with store_at(url) as store:
                assert (await failure_of(store))[0] is Reason.AUTH


async def test_tcp_and_a_database_number_work(engine: str) -> None:
    port = free_port()
    with running_server(engine, port=port) as server:
        async with store_at(f"redis://127.0.0.1:{port}/3") as store:
            await store.run(COUNT, ["{samurai}:n"], [])
        with server.admin() as admin:
            assert admin.info("keyspace").keys() == {"db3"}


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1",
        "redis://h:notaport",
        "redis+sentinel://user:hunter2@h:26379",
        "redis+sentinel://h:x/service",
        "redis+cluster://user:hunter2@",
        "",
    ],
)
async def test_an_address_without_sense_is_an_error_that_hides_its_password(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        RedisStore(url)
    assert "hunter2" not in str(caught.value)


async def test_certificates_that_cannot_be_read_are_an_error_at_once(tmp_path: Path) -> None:
    missing = tmp_path / "none.pem"
    for scheme, rest in (("rediss", ""), ("rediss+sentinel", "/images"), ("rediss+cluster", "")):
        with pytest.raises(ValueError, match="No such file or directory") as caught:
            RedisStore(f"{scheme}://user:hunter2@127.0.0.1:1{rest}?ssl_ca_certs={missing}")
        assert str(missing) in str(caught.value)
        assert "hunter2" not in str(caught.value)


async def test_the_address_and_its_password_are_in_no_repr() -> None:
    async with store_at("redis://user:hunter2@127.0.0.1:1") as store:
        reason = (await failure_of(store))[0]
        assert reason is Reason.REFUSED
        assert "hunter2" not in repr(store) + repr(RedisUnavailable(reason))


@pytest.fixture
def cluster() -> Iterator[list[Server]]:
    with cluster_nodes(valkey_binary()) as nodes:
        yield nodes


async def test_a_cluster_is_found_from_any_node_and_scripts_reach_the_slots_owner(cluster: list[Server]) -> None:
    for port in (node.port for node in cluster):
        async with store_at(f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{port}", call_s=2) as store:
            await store.ping()
            for slot in ("{samurai}", "{other}", "{third}", "{fourth}"):
                assert await store.run(COUNT, [f"{slot}:{port}"], []) == 1
            assert store.outage is None


async def test_a_cluster_that_loses_a_node_is_away_for_its_slots_and_says_so(cluster: list[Server]) -> None:
    hosts = ",".join(f"127.0.0.1:{node.port}" for node in cluster)
    async with store_at(f"redis+cluster://{hosts}", call_s=2) as store:
        await store.run(COUNT, ["{samurai}:n"], [])
        for node in cluster:
            node.kill()
        reason, _ = await failure_of(store)
        assert reason in (Reason.REFUSED, Reason.LOST)
        assert store.outage is not None
        with pytest.raises(RedisUnavailable):
            await store.ping()


async def test_the_master_is_found_through_sentinel(tmp_path: Path) -> None:
    master_port, sentinel_port = free_port(), free_port()
    config = f"sentinel monitor images 127.0.0.1 {master_port} 1\n"
    with (
        running_server(valkey_binary(), port=master_port),
        running_server(valkey_binary(), "--sentinel", port=sentinel_port, config=config),
    ):
        hosts = f"127.0.0.1:{free_port()},127.0.0.1:{sentinel_port}"
        async with store_at(f"redis+sentinel://{hosts}/images/2", call_s=2) as store:
            assert await store.run(COUNT, ["{samurai}:n"], []) == 1
        async with store_at(f"redis+sentinel://{hosts}/unknown", call_s=2) as store:
            assert (await failure_of(store))[0] is Reason.LOST
        with admin_of(port=master_port, db=2) as admin:
            assert admin.get("{samurai}:n") == b"1"
