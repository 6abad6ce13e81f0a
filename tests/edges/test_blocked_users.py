"""Refused and blocked end users: counted for 30 days, known by hashes, blocked everywhere."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest

from gateway.edges.blocked_users import BlockedUsers
from gateway.edges.key_store import Deed, KeyStore
from gateway.edges.limits import Limits
from gateway.edges.redis_store import RedisStore, RedisUnavailable
from gateway.policies.end_users import EndUser, refusal_line, user_hash
from gateway.policies.purses import Settlement
from tests.servers import Server

DEED = Deed("block-user", "ann@ops", "203.0.113.7", 1_900_000_000.0)
EVE, BOB = (EndUser("web", user_hash("web", name, b"secret")) for name in ("eve", "bob"))
SOON_S = 2.0


async def test_refused_prompts_are_counted_once_for_each_operation_and_kept_30_days(server: Server) -> None:
    redis = RedisStore(server.url, call_s=1.0)
    try:
        limiter, users, today = Limits(redis), BlockedUsers(redis), datetime.now(UTC).date()
        for op_id, user in (("a", EVE), ("a", EVE), ("b", EVE), ("c", BOB)):
            await limiter.settle(op_id, (), None, Settlement(usage=((refusal_line(user.name), 1),)))
        assert [(one.user_hash, one.content_refusals) for one in await users.records(today)] == [
            (EVE.user_hash, 2),
            (BOB.user_hash, 1),
        ]
        assert len(await users.records(today + timedelta(days=29))) == 2
        assert await users.records(today + timedelta(days=30)) == ()
        with server.admin() as admin:
            (name,) = admin.keys("{samurai}:usage:refused:*")
            assert 30 <= admin.ttl(name) / 86_400 <= 31
    finally:
        await redis.aclose()


async def test_a_block_reaches_every_replica_and_is_audited_once(server: Server) -> None:
    redis = RedisStore(server.url, call_s=1.0)
    here, there = BlockedUsers(redis), BlockedUsers(redis)
    await there.start()
    try:
        assert await here.switch(EVE, DEED, blocked=True)
        assert not await here.switch(EVE, DEED, blocked=True)
        assert EVE.name in here
        assert BOB.name not in here
        await until(there, EVE, blocked=True)
        (record,) = await here.records(datetime.now(UTC).date())
        assert record.blocked_since is not None
        assert await here.switch(EVE, DEED, blocked=False)
        await until(there, EVE, blocked=False)
        lines = await KeyStore(redis).audit("0", 10)
        assert [line.content["after"]["blocked"] for line in lines] == [True, False]
    finally:
        await there.stop()
        await redis.aclose()


async def test_while_redis_is_away_the_blocked_stay_blocked(server: Server) -> None:
    redis = RedisStore(server.url, call_s=1.0)
    users = BlockedUsers(redis)
    try:
        await users.switch(EVE, DEED, blocked=True)
        server.kill()
        for _ in range(2):
            with pytest.raises(RedisUnavailable):
                await users.look()
        assert EVE.name in users
    finally:
        await redis.aclose()


async def until(users: BlockedUsers, user: EndUser, *, blocked: bool) -> None:
    deadline = time.monotonic() + SOON_S
    while (user.name in users) is not blocked:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
