"""Faults 66, 70, 72 and 73 of the catalogue, where it takes several servers, a cluster, TLS or a start to see them."""

import asyncio
import json
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from gateway.domain.money import Budget
from gateway.edges import limits
from gateway.edges.limits import Limits
from gateway.edges.redis_store import Reason, RedisStore
from gateway.edges.upkeep import Upkeep
from gateway.policies.buckets import Dimension, Granted
from gateway.policies.purses import Purse, Reservation, Settlement
from tests.certificates import Authority
from tests.processes import START_DEADLINE_S, child, gateway, sandbox_settings
from tests.redis_modes import (
    acl,
    cluster_nodes,
    cluster_url,
    guarded,
    mutual_tls,
    owner_of_our_slot,
    tls,
)
from tests.replicas import NO_VENDORS
from tests.servers import Server, free_port, redis_binary, running_server, valkey_binary

BACK_S = 20.0  # a failover takes a second or two, on a machine that has nothing else to do
PATIENT_S = 3.0
BURST = 10


@asynccontextmanager
async def limits_at(url: str, call_s: float = PATIENT_S) -> AsyncIterator[tuple[Limits, RedisStore]]:
    store = RedisStore(url, call_s=call_s)
    try:
        yield Limits(store), store
    finally:
        await store.aclose()


def op() -> str:
    return uuid.uuid4().hex


def images(key: str = "k") -> Dimension:
    return Dimension("images", "key", key, 1, BURST, 1)


def money(microusd: int, key: str = "k") -> Reservation:
    return Reservation((Purse("key", key, Budget(total_microusd=1_000)),), microusd, 600_000)


def booked(server: Server, reservation: Reservation) -> int:
    with server.admin() as admin:
        return int(admin.hget(limits._purse_key(reservation.purses[0]), "t") or 0)


async def granted(limiter: Limits, dimension: Dimension, times: int, reservation: Reservation | None = None) -> int:
    """How many of `times` calls pass."""
    decisions = [await limiter.take(op(), [dimension], (), reservation) for _ in range(times)]
    return sum(isinstance(one, Granted) for one in decisions)


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + BACK_S
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def settings_at(folder: Path, url: str) -> dict[str, Any]:
    """A gateway's settings with this Redis, whose address may hold a password."""
    (folder / "redis.url").write_text(url)
    settings = sandbox_settings(folder, NO_VENDORS)
    settings["redis"] |= {"url": {"file": str(folder / "redis.url")}}
    settings["server"]["drain"] = {"delay": "0s"}
    return settings


@pytest.fixture
def encrypted() -> str:
    """A server that is built with TLS, which the embedded one is not."""
    binary = redis_binary()
    if binary is None:
        pytest.skip("no redis-server on the PATH (apt-get install redis-server)")
    return binary


@pytest.mark.slow
async def test_f066_a_failover_that_loses_writes_overshoots_by_what_was_lost_and_books_nothing_twice() -> None:
    with guarded(valkey_binary(), down_after_ms=500) as found:
        async with limits_at(found.url) as (limiter, store):
            kept, lost, one = [op() for _ in range(4)], [op() for _ in range(3)], money(10)
            for op_id in kept:
                assert isinstance(await limiter.take(op_id, [images()], (), one), Granted)
            await limiter.settle(kept[0], (), one, Settlement(7, usage=(("line", 1),)))
            found.caught_up()
            found.cut()
            for op_id in lost:
                assert isinstance(await limiter.take(op_id, [images()], (), one), Granted)
            await limiter.settle(kept[1], (), one, Settlement(7, usage=(("line", 1),)))  # acknowledged, and lost
            found.primary.kill()
            alone = await granted(limiter, images(), 2 * BURST)
            assert alone == BURST - len(kept) - len(lost)  # what was left when Redis was last seen
            await until(lambda: store.outage is None)
            assert booked(found.replica, one) == 7 + 3 * 10
            care = Upkeep(limiter, store, "r")
            await care.once()
            after = await granted(limiter, images(), 2 * BURST)
            assert len(kept) + len(lost) + alone + after == BURST + len(lost)
            for op_id in (*kept, *lost) * 2:
                await limiter.settle(op_id, (), one, Settlement(7, usage=(("line", 1),)))
            await care.leave()
            assert booked(found.replica, one) == 7 * 7
            with found.replica.admin() as admin:
                (books,) = (key for key in admin.keys(f"{limits.BOOKS}*"))
                assert admin.hget(books, "line") == b"7"
                assert admin.hlen(limits.RECORDS) == 0


@pytest.mark.slow
def test_f070_a_redis_that_may_forget_is_told_at_the_start_and_for_as_long_as_it_may(tmp_path: Path) -> None:
    with running_server(valkey_binary(), "--maxmemory-policy", "volatile-lru") as server:
        settings = settings_at(tmp_path, server.url)
        with gateway(tmp_path, settings) as running:
            (line,) = [line for line in running.output.lines if "redis forgets" in line]
            told = json.loads(line)
            assert (told["level"], told["maxmemory_policy"]) == ("warning", "volatile-lru")
            assert "noeviction" in told["advice"]
            ready = httpx2.get(f"{running.admin_url}/readyz")
            assert (ready.status_code, ready.json()["checks"]["redis_policy"]) == (200, "failing")
            assert "samurai_redis_may_forget 1.0" in httpx2.get(f"{running.admin_url}/metrics").text.splitlines()
            with server.admin() as admin:
                admin.config_set("maxmemory-policy", "noeviction")
            assert httpx2.get(f"{running.admin_url}/readyz").json()["checks"]["redis_policy"] == "ok"
            assert "samurai_redis_may_forget 0.0" in httpx2.get(f"{running.admin_url}/metrics").text.splitlines()


@contextmanager
def loading(folder: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """A server that reads its data back for as long as the test likes."""
    with running_server(valkey_binary()) as first, first.admin() as admin:
        admin.mset({f"k{number}": "x" * 1_000 for number in range(1_000)})
        admin.save()
        shutil.copy(first.directory / "dump.rdb", folder)
    slowly = ("--dir", str(folder), "--key-load-delay", "10000", "--loading-process-events-interval-bytes", "1024")
    with running_server(valkey_binary(), *slowly) as server:
        yield server.url, lambda: None


@contextmanager
def without_its_primary(_: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """A replica that has lost its primary, and says so rather than answer from what it knows."""
    with running_server(valkey_binary(), "--replica-serve-stale-data", "no", "--replica-read-only", "no") as server:
        with server.admin() as admin:
            admin.replicaof("127.0.0.1", str(free_port()))
        yield server.url, lambda: server.admin().replicaof("NO", "ONE")


@contextmanager
def without_slots(_: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """A node of a cluster in which nobody has our slot."""
    options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    with running_server(valkey_binary(), *options, port=(port := free_port())) as server:
        all_slots = ("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        yield f"redis://127.0.0.1:{port}", lambda: server.admin().execute_command(*all_slots)


@contextmanager
def of_another_node(_: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """A node of a cluster, spoken to as if it were no cluster: MOVED."""
    with cluster_nodes(valkey_binary()) as nodes:
        other = next(node for node in nodes if node is not owner_of_our_slot(nodes))
        yield f"redis://127.0.0.1:{other.port}", lambda: None


@contextmanager
def without_replicas(_: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """A primary that is told to take no writes unless a replica hears them."""
    with running_server(valkey_binary(), "--min-replicas-to-write", "1") as server:
        yield server.url, lambda: server.admin().config_set("min-replicas-to-write", 0)


@pytest.mark.parametrize(
    ("trouble", "reason", "mendable"),
    [
        (loading, Reason.LOADING, False),
        (without_its_primary, Reason.CLUSTER, True),
        (without_slots, Reason.CLUSTER, True),
        (of_another_node, Reason.CLUSTER, False),
        (without_replicas, Reason.READONLY, True),
    ],
    ids=["loading", "masterdown", "clusterdown", "moved", "noreplicas"],
)
async def test_f072_a_server_that_answers_but_does_not_serve_counts_as_away_until_it_does(
    tmp_path: Path, trouble: Any, reason: Reason, *, mendable: bool
) -> None:
    with trouble(tmp_path) as (url, mend):
        async with limits_at(url) as (limiter, store):
            decision = await limiter.take(op(), [images()])
            assert isinstance(decision, Granted)
            assert decision.degraded
            assert store.outage is reason
            if mendable:
                mend()
                await until(lambda: store.outage is None)
                after = await limiter.take(op(), [images()])
                assert isinstance(after, Granted)
                assert not after.degraded


async def test_f072_a_slot_that_moves_is_away_meanwhile_and_followed_after_it() -> None:
    with cluster_nodes(valkey_binary()) as nodes:
        source = owner_of_our_slot(nodes)
        target = next(node for node in nodes if node is not source)
        with source.admin() as old, target.admin() as new:
            slot = old.execute_command("CLUSTER", "KEYSLOT", "{samurai}")
            ids = {admin: admin.execute_command("CLUSTER", "MYID").decode() for admin in (old, new)}
            async with limits_at(cluster_url(nodes), call_s=1.0) as (limiter, store):
                one, first = money(10), op()
                assert isinstance(await limiter.take(first, [images()], (), one), Granted)
                new.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[old])
                old.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[new])
                keys = old.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100)
                old.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5_000, "KEYS", *keys[:2])
                meanwhile = await limiter.take(op(), [images()])  # ASK leads to keys that are on both sides: TRYAGAIN
                assert isinstance(meanwhile, Granted)
                assert meanwhile.degraded
                assert (store.outage,) == (Reason.CLUSTER,)
                old.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5_000, "KEYS", *keys[2:])
                for admin in (new, old):
                    admin.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[new])
                await until(lambda: store.outage is None)
                await Upkeep(limiter, store, "r").once()
                # Twenty at once, so that several connections learn of the move; nobody's is cut meanwhile.
                decisions = await asyncio.gather(*(limiter.take(op(), [images()], (), one) for _ in range(20)))
                assert sum(isinstance(decision, Granted) for decision in decisions) == BURST - 2
                assert not any(isinstance(one, Granted) and one.degraded for one in decisions)
                for _ in range(2):
                    await limiter.settle(first, (), one, Settlement(3))
                assert store.outage is None
                assert booked(target, one) == 10 * (BURST - 2) + 3


def refused_start(folder: Path, url: str) -> str:
    """What a gateway says that ends at once."""
    settings = settings_at(folder, url)
    path = folder / "gateway.yaml"
    path.write_text(yaml.safe_dump(settings))
    with child("serve", "--config", str(path)) as (process, output):
        assert process.wait(START_DEADLINE_S) != 0
        return output.join()


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["password", "rights", "scripts"])
def test_f073_a_gateway_that_redis_does_not_admit_says_so_and_does_not_start(tmp_path: Path, fault: str) -> None:
    with acl(valkey_binary()) as mode:
        url = mode.url
        with mode.admin() as admin:
            if fault == "password":
                url = url.replace("Frd@", "Frd-but-wrong@")
            elif fault == "rights":
                admin.execute_command("ACL", "SETUSER", "gateway", "resetkeys", "~other:*")
            else:
                admin.execute_command("ACL", "SETUSER", "gateway", "-@scripting")
        said = refused_start(tmp_path, url)
    assert "Redis does not admit this gateway (auth)" in said
    assert "Traceback" not in said
    assert "p@ss" not in said
    assert "p%40ss" not in said


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["a stranger's certificate", "no certificate of our own"])
def test_f073_a_redis_whose_certificates_do_not_fit_keeps_the_gateway_from_starting(
    tmp_path: Path, encrypted: str, fault: str
) -> None:
    if fault == "a stranger's certificate":
        with tls(encrypted) as mode:
            stranger = Authority(tmp_path, "stranger")
            said = refused_start(tmp_path, f"{mode.url.partition('?')[0]}?ssl_ca_certs={stranger.file}")
        assert "Redis does not admit this gateway (tls)" in said
        assert "certificate verify failed" in said
    else:
        with mutual_tls(encrypted) as mode:
            said = refused_start(tmp_path, mode.url.partition("&")[0])
        assert "Redis does not admit this gateway (tls)" in said


async def test_f073_a_certificate_that_changes_for_the_worse_is_an_outage_and_ends_with_it(
    tmp_path: Path, encrypted: str
) -> None:
    with tls(encrypted) as mode, mode.admin() as admin:
        good = admin.config_get("tls-*-file")
        other = Authority(tmp_path, "stranger").issue("impostor")
        async with limits_at(mode.url) as (limiter, store):
            assert await granted(limiter, images(), 1) == 1
            bad = {"tls-cert-file": other.certificate, "tls-key-file": other.key}
            admin.execute_command("CONFIG", "SET", *(str(word) for pair in bad.items() for word in pair))
            admin.client_kill_filter(_type="normal", skipme=True)
            decision = await limiter.take(op(), [images()])
            assert isinstance(decision, Granted)
            assert decision.degraded
            await until(lambda: store.outage is Reason.TLS)
            back = {name: good[name] for name in bad}
            admin.execute_command("CONFIG", "SET", *(word for pair in back.items() for word in pair))
            await until(lambda: store.outage is None)
            after = await limiter.take(op(), [images()])
            assert isinstance(after, Granted)
            assert not after.degraded


@pytest.mark.slow
def test_f073_a_user_with_the_documented_rights_is_all_that_a_gateway_needs(tmp_path: Path) -> None:
    with acl(valkey_binary()) as mode:
        settings = settings_at(tmp_path, mode.url)
        with gateway(tmp_path, settings) as running:
            checks = httpx2.get(f"{running.admin_url}/readyz").json()["checks"]
            assert (checks["redis"], checks["redis_policy"]) == ("ok", "ok")
        assert "NOPERM" not in running.output.join()
        with mode.admin() as admin:
            assert admin.acl_log() == []
            assert {key.partition(b"}")[0] for key in admin.keys("*")} == {b"{samurai"}
