import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.edges.redis_policy import EvictionWatch, NotAdmitted, check_admission, eviction_policy, may_forget
from gateway.edges.redis_store import RedisStore
from tests.redis_modes import Mode, acl, cluster, sentinel
from tests.servers import Server, running_server, valkey_binary

PATIENT_S = 3.0
BACK_S = 10.0


@asynccontextmanager
async def store_at(url: str) -> AsyncIterator[RedisStore]:
    store = RedisStore(url, call_s=PATIENT_S)
    try:
        yield store
    finally:
        await store.aclose()


@pytest.mark.parametrize("policy", ["noeviction", "allkeys-lru", "volatile-ttl"])
async def test_a_server_tells_its_policy(server: Server, policy: str) -> None:
    with server.admin() as admin:
        admin.config_set("maxmemory-policy", policy)
    async with store_at(server.url) as store:
        assert await eviction_policy(store) == policy
        assert may_forget(policy) is (policy != "noeviction")


@pytest.mark.parametrize("made", [sentinel, cluster], ids=lambda made: made.__name__)
async def test_of_several_servers_the_one_tells_that_holds_our_keys(
    made: Callable[[str], AbstractContextManager[Mode]],
) -> None:
    with made(valkey_binary()) as mode:
        with mode.admin() as admin:
            admin.config_set("maxmemory-policy", "allkeys-random")
        async with store_at(mode.url) as store:
            assert await eviction_policy(store) == "allkeys-random"


async def test_a_user_who_may_not_ask_is_trusted_and_sees_no_outage() -> None:
    with acl(valkey_binary()) as mode, mode.admin() as admin:
        admin.execute_command("ACL", "SETUSER", "gateway", "-info")
        async with store_at(mode.url) as store:
            assert await eviction_policy(store) is None
            assert not may_forget(None)
            assert store.outage is None


async def test_the_watch_speaks_when_it_changes_and_remembers_during_an_outage(server: Server) -> None:
    async with store_at(server.url) as store:
        watch = EvictionWatch(store)
        with server.admin() as admin, capture_logs() as lines:
            assert await watch.keeps()
            admin.config_set("maxmemory-policy", "allkeys-lru")
            assert [await watch.keeps() for _ in range(3)] == [False] * 3
            assert watch.may_forget
            admin.config_set("maxmemory-policy", "noeviction")
            assert [await watch.keeps() for _ in range(3)] == [True] * 3
            admin.config_set("maxmemory-policy", "volatile-lfu")
            assert not await watch.keeps()
        assert [(line["log_level"], line["maxmemory_policy"]) for line in lines] == [
            ("warning", "allkeys-lru"),
            ("info", "noeviction"),
            ("warning", "volatile-lfu"),
        ]
        server.kill()
        assert not await watch.keeps()


async def test_the_watch_looks_by_itself(server: Server) -> None:
    async with store_at(server.url) as store:
        watch = EvictionWatch(store, every_s=0.01)
        with server.admin() as admin:
            await watch.start()
            admin.config_set("maxmemory-policy", "allkeys-lru")
            deadline = time.monotonic() + BACK_S
            while not watch.may_forget:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)
        await watch.stop()
        await watch.stop()


async def test_a_server_that_is_away_is_forgiven_and_told(tmp_path: Path) -> None:
    async with store_at(f"unix://{tmp_path}/none") as store:
        with capture_logs() as lines:
            await check_admission(store)
    ((event, reason),) = [(line["event"], line["reason"]) for line in lines]
    assert (event.partition(":")[0], reason) == ("redis is away", "refused")


async def test_a_server_that_admits_us_is_not_talked_about(server: Server) -> None:
    async with store_at(server.url) as store:
        with capture_logs() as lines:
            await check_admission(store)
    assert lines == []


async def test_a_server_that_will_not_have_us_is_told_in_its_own_words(engine: str) -> None:
    with running_server(engine, "--requirepass", "hunter2") as server:
        async with store_at(f"unix://:hunter3@{server.path}") as store:
            with pytest.raises(NotAdmitted, match=r"\(auth\): .*invalid username-password") as caught:
                await check_admission(store)
    assert "hunter3" not in str(caught.value)
