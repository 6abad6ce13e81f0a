import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateway.domain.caller import Caller, Tenant
from gateway.domain.catalogue import Limits
from gateway.domain.errors import ErrorCode, RequestError
from gateway.domain.facts import Fact, KeyRefused
from gateway.edges.key_mirror import AWAY_AFTER_LOOKS, POLL_S, REREAD_S, KeyMirror
from gateway.edges.key_store import Deed, KeyStore
from gateway.edges.keys import Keys
from gateway.edges.redis_store import RedisStore
from gateway.policies.key_format import digest, new_key
from gateway.policies.key_records import KeyRecord, LiveSecret
from tests.servers import Server

HONOUR_S = 900.0
DEED = Deed("test", "ann", "", 0.0)
IN_FILE, IN_REDIS, NOBODYS = (new_key(bytes([number]) * 32) for number in (1, 2, 3))


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
async def redis(server: Server) -> AsyncIterator[RedisStore]:
    store = RedisStore(server.url, call_s=1.0)  # a busy machine is no outage
    yield store
    await store.aclose()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(redis: RedisStore) -> KeyStore:
    return KeyStore(redis)


@pytest.fixture
def mirror(redis: RedisStore, store: KeyStore, clock: Clock) -> KeyMirror:
    return KeyMirror(store, honour_s=HONOUR_S, outage=lambda: redis.outage, clock=clock)


@pytest.fixture
def told() -> list[Fact]:
    return []


@pytest.fixture
def keys(mirror: KeyMirror, told: list[Fact], clock: Clock) -> Keys:
    tenants = {"acme": Tenant(Limits(images_per_minute=7))}
    return Keys({digest(IN_FILE): Caller("file")}, mirror, tenants, tell=told.append, now=clock)


def record(secret: str = IN_REDIS, key_id: str = "web") -> KeyRecord:
    return KeyRecord(key_id, (LiveSecret(digest(secret)),), 0.0, tenant="acme")


def cannot_tell(keys: Keys, secret: str) -> bool:
    with pytest.raises(RequestError) as caught:
        keys.find(secret)
    assert caught.value.code is ErrorCode.INTERNAL_ERROR
    assert caught.value.should_retry is True
    assert secret not in str(caught.value)
    return True


async def test_keys_of_the_file_and_of_redis_live_side_by_side(keys: Keys, store: KeyStore, mirror: KeyMirror) -> None:
    await store.create(record(), DEED)
    assert await mirror.look()
    assert keys.find(IN_FILE) == Caller("file")
    assert keys.find(IN_REDIS) == Caller("web", "acme", tenant_limits=Limits(images_per_minute=7))
    assert keys.find(NOBODYS) is None
    assert len(keys) == 2


async def test_the_file_wins_where_both_know_a_secret(keys: Keys, store: KeyStore, mirror: KeyMirror) -> None:
    await store.create(record(IN_FILE), DEED)
    await mirror.look()
    assert keys.find(IN_FILE) == Caller("file")


async def test_every_kind_of_change_arrives(keys: Keys, store: KeyStore, mirror: KeyMirror) -> None:
    await mirror.look()
    await store.create(record(), DEED)
    await mirror.look()
    assert keys.find(IN_REDIS)
    await store.change("web", DEED, lambda one: replace(one, secrets=(LiveSecret(digest(NOBODYS)), *one.secrets)))
    await mirror.look()
    assert keys.find(IN_REDIS)
    assert keys.find(NOBODYS)
    await store.change("web", DEED, lambda one: replace(one, secrets=one.secrets[:1]))
    await mirror.look()
    assert keys.find(IN_REDIS) is None
    await store.change("web", DEED, lambda _: None)
    await mirror.look()
    assert keys.find(NOBODYS) is None
    assert len(mirror) == 0


async def test_a_key_ends_by_the_clock_without_anybody_saying_so(
    keys: Keys, store: KeyStore, mirror: KeyMirror, clock: Clock, told: list[Fact]
) -> None:
    await store.create(replace(record(), expires_at=1001.0), DEED)
    await mirror.look()
    assert keys.find(IN_REDIS)
    clock.now_s = 1001.0
    assert keys.find(IN_REDIS) is None
    assert told == [KeyRefused("expired")]


async def test_nothing_that_is_asked_of_the_keys_asks_redis(
    keys: Keys, store: KeyStore, mirror: KeyMirror, server: Server
) -> None:
    await store.create(record(), DEED)
    await mirror.look()
    admin = server.admin()
    before = admin.info("stats")["total_commands_processed"]
    for _ in range(1000):
        assert keys.find(IN_REDIS)
        assert keys.find(NOBODYS) is None
        assert keys.find(NOBODYS[:-1] + "_") is None
    assert admin.info("stats")["total_commands_processed"] - before <= 2  # the INFO commands themselves
    admin.close()


async def test_while_redis_is_away_known_keys_work_and_unknown_ones_cannot_be_judged(
    keys: Keys, store: KeyStore, mirror: KeyMirror, server: Server, clock: Clock
) -> None:
    await store.create(record(), DEED)
    await mirror.look()
    server.kill()
    assert not await mirror.look()
    clock.now_s += HONOUR_S - 1
    assert keys.find(IN_FILE)
    assert keys.find(IN_REDIS)
    assert cannot_tell(keys, NOBODYS)
    assert keys.find("an opaque string that no key in Redis can be") is None
    assert keys.find(NOBODYS[:-1] + "_") is None
    clock.now_s += 1
    assert keys.find(IN_FILE)
    assert cannot_tell(keys, IN_REDIS)


async def test_before_redis_was_ever_read_only_the_file_counts(keys: Keys, mirror: KeyMirror, server: Server) -> None:
    server.kill()
    await mirror.look()
    assert keys.find(IN_FILE)
    assert cannot_tell(keys, IN_REDIS)


async def test_one_look_that_fails_is_no_outage(store: KeyStore, clock: Clock, server: Server) -> None:
    mirror = KeyMirror(store, honour_s=HONOUR_S, clock=clock)
    await mirror.look()
    server.kill()
    for _ in range(AWAY_AFTER_LOOKS - 1):
        await mirror.look()
        assert not mirror.is_away
    await mirror.look()
    assert mirror.is_away


async def test_an_emptied_redis_is_taken_for_an_accident_until_the_grace_is_over(
    keys: Keys, store: KeyStore, mirror: KeyMirror, server: Server, clock: Clock
) -> None:
    await store.create(record(), DEED)
    await mirror.look()
    admin = server.admin()
    admin.flushall()
    admin.close()
    for _ in range(AWAY_AFTER_LOOKS):
        assert not await mirror.look()
    assert keys.find(IN_REDIS)
    assert cannot_tell(keys, NOBODYS)
    clock.now_s += HONOUR_S
    assert await mirror.look()
    assert keys.find(IN_REDIS) is None
    assert keys.find(NOBODYS) is None


async def test_after_a_failover_that_lost_writes_the_copy_is_as_redis_is(
    keys: Keys, store: KeyStore, mirror: KeyMirror, server: Server
) -> None:
    await store.create(record(NOBODYS, "old"), DEED)
    await store.create(record(), DEED)
    await mirror.look()
    admin = server.admin()
    admin.delete("{samurai}:key:web")
    admin.zrem("{samurai}:keys:changes", "web")
    admin.set("{samurai}:keys:version", 1)
    admin.close()
    assert await mirror.look()
    assert keys.find(IN_REDIS) is None
    assert keys.find(NOBODYS)


async def test_after_an_outage_everything_is_read_anew(
    keys: Keys, store: KeyStore, mirror: KeyMirror, server: Server
) -> None:
    await store.create(record(), DEED)
    await mirror.look()
    server.pause()
    assert not await mirror.look()
    server.resume()
    admin = server.admin()
    admin.delete("{samurai}:key:web")
    admin.close()
    async with asyncio.timeout(5):
        while not await mirror.look():
            await asyncio.sleep(0.02)
    assert keys.find(IN_REDIS) is None


async def test_what_no_version_shows_is_found_in_the_end(
    keys: Keys, store: KeyStore, mirror: KeyMirror, server: Server, clock: Clock
) -> None:
    await store.create(record(), DEED)
    await mirror.look()
    admin = server.admin()
    admin.delete("{samurai}:key:web")
    admin.close()
    await mirror.look()
    assert keys.find(IN_REDIS)
    clock.now_s += REREAD_S
    await mirror.look()
    assert keys.find(IN_REDIS) is None


async def test_a_thousand_keys_are_read_at_once(store: KeyStore, mirror: KeyMirror) -> None:
    secrets = [new_key(number.to_bytes(32)) for number in range(1100)]
    for number, secret in enumerate(secrets):
        await store.create(record(secret, f"k{number}"), DEED)
    await mirror.look()
    assert len(mirror) == 1100
    assert all(mirror.record_of(digest(secret)) for secret in secrets)


async def test_a_key_of_a_tenant_that_the_file_has_not_is_refused(
    keys: Keys, store: KeyStore, mirror: KeyMirror, told: list[Fact]
) -> None:
    await store.create(replace(record(), tenant="stranger"), DEED)
    await mirror.look()
    assert keys.find(IN_REDIS) is None
    assert told == [KeyRefused("foreign_tenant")]


async def test_it_follows_by_itself_and_stops_when_told(store: KeyStore, mirror: KeyMirror) -> None:
    await mirror.start()
    assert not mirror.is_away
    await store.create(record(), DEED)
    async with asyncio.timeout(2):
        while not len(mirror):
            await asyncio.sleep(0.01)
    await mirror.stop()
    await store.change("web", DEED, lambda _: None)
    await asyncio.sleep(1.5 * POLL_S)  # there is nothing to wait for: it must not happen
    assert len(mirror) == 1
