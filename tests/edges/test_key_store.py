import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateway.edges.key_store import AUDIT_LINES, Deed, KeyStore, TooManyWritersError
from gateway.edges.redis_store import RedisStore
from gateway.policies.key_fields import UnreadableRecordError, view_of
from gateway.policies.key_records import KeyRecord, LiveSecret
from tests.servers import Server

NOW = 1_800_000_000.0


def record(key_id: str = "web", sha256: str = "a" * 64) -> KeyRecord:
    return KeyRecord(key_id, (LiveSecret(sha256),), NOW, metadata={"team": "ünï"})


def deed(action: str = "test") -> Deed:
    return Deed(action, "ann", "127.0.0.1", NOW)


@pytest.fixture
async def redis(server: Server) -> AsyncIterator[RedisStore]:
    store = RedisStore(server.url, call_s=1.0)  # a busy machine is no outage
    yield store
    await store.aclose()


@pytest.fixture
def keys(redis: RedisStore) -> KeyStore:
    return KeyStore(redis)


async def test_a_created_key_is_there_as_it_was_given(keys: KeyStore) -> None:
    assert await keys.create(record(), deed())
    assert await keys.get("web") == replace(record(), revision=1)
    assert await keys.get("nobody") is None


async def test_an_id_is_given_once(keys: KeyStore) -> None:
    assert await keys.create(record(), deed())
    assert not await keys.create(record(sha256="b" * 64), deed())
    found = await keys.get("web")
    assert found is not None
    assert found.secrets[0].sha256 == "a" * 64
    assert len(await keys.audit("0", 10)) == 1


async def test_of_sixteen_changes_at_once_none_is_lost(keys: KeyStore) -> None:
    await keys.create(record(), deed())

    def note(number: int, before: KeyRecord) -> KeyRecord:
        return replace(before, metadata={**before.metadata, f"n{number}": "x"})

    async def change(number: int) -> None:
        while True:
            try:
                await keys.change("web", deed(), lambda before: note(number, before))
            except TooManyWritersError:
                continue
            return

    await asyncio.gather(*map(change, range(16)))
    found = await keys.get("web")
    assert found is not None
    assert len(found.metadata) == 17
    assert found.revision == 17
    assert len(await keys.audit("0", 100)) == 17


async def test_a_key_that_others_keep_changing_is_given_up(keys: KeyStore, server: Server) -> None:
    await keys.create(record(), deed())
    admin, asked = server.admin(), 0

    def edit(before: KeyRecord) -> KeyRecord:
        nonlocal asked
        asked += 1
        admin.hset("{samurai}:key:web", "revision", 100 + asked)
        return before

    with pytest.raises(TooManyWritersError):
        await keys.change("web", deed(), edit)
    assert asked > 1
    assert len(await keys.audit("0", 10)) == 1
    admin.close()


async def test_what_is_not_there_is_neither_changed_nor_written_down(keys: KeyStore) -> None:
    assert await keys.change("web", deed(), lambda before: before) is None
    assert await keys.audit("0", 10) == []


async def test_a_deleted_key_is_gone_and_its_id_free(keys: KeyStore) -> None:
    await keys.create(record(), deed())
    outcome = await keys.change("web", deed("delete"), lambda _: None)
    assert outcome == (replace(record(), revision=1), None)
    assert await keys.get("web") is None
    assert await keys.all() == []
    assert await keys.create(record(sha256="b" * 64), deed())


async def test_changes_are_told_from_any_version_in_pages(keys: KeyStore) -> None:
    for number in range(5):
        await keys.create(record(f"k{number}", f"{number:064x}"), deed())
    await keys.change("k0", deed(), lambda before: replace(before, disabled=True))
    await keys.change("k1", deed(), lambda _: None)
    first = await keys.changes(0, limit=3)
    assert (first.version, first.seen, list(first.records)) == (7, 5, ["k2", "k3", "k4"])
    second = await keys.changes(first.seen, limit=3)
    assert (second.version, second.seen, list(second.records)) == (7, 7, ["k0", "k1"])
    assert second.records["k0"] is not None
    assert second.records["k0"].disabled
    assert second.records["k1"] is None
    assert (await keys.changes(7)).records == {}


async def test_all_are_listed_by_id_however_many_there_are(keys: KeyStore) -> None:
    names = [f"k{number:04}" for number in range(1100)]
    for name in reversed(names):
        await keys.create(record(name, f"{hash(name) & (1 << 60):064x}"), deed())
    assert [one.id for one in await keys.all()] == names


async def test_the_audit_log_tells_who_did_what_and_no_hash(keys: KeyStore, server: Server) -> None:
    await keys.create(record(), deed("create"))
    await keys.change("web", deed("disable"), lambda before: replace(before, disabled=True))
    await keys.change("web", deed("delete"), lambda _: None)
    created, disabled, deleted = [line.content for line in await keys.audit("0", 10)]
    assert created == {
        "at": "2027-01-15T08:00:00.000Z",
        "who": "ann",
        "address": "127.0.0.1",
        "action": "create",
        "key_id": "web",
        "before": None,
        "after": view_of(record()),
    }
    assert (disabled["before"]["disabled"], disabled["after"]["disabled"]) == (False, True)
    assert (deleted["action"], deleted["after"]) == ("delete", None)
    assert "a" * 64 not in json.dumps([created, disabled, deleted])
    admin = server.admin()
    assert "a" * 64 not in str(admin.xrange("{samurai}:audit"))
    admin.close()


async def test_the_audit_log_is_read_on_from_any_line(keys: KeyStore) -> None:
    for number in range(7):
        await keys.create(record(f"k{number}", f"{number:064x}"), deed())
    seen: list[str] = []
    place = "0"
    while lines := await keys.audit(place, 3):
        seen += [line.content["key_id"] for line in lines]
        place = lines[-1].id
    assert seen == [f"k{number}" for number in range(7)]


async def test_the_audit_log_is_bounded(keys: KeyStore, server: Server) -> None:
    admin = server.admin()
    filling = admin.pipeline(transaction=False)
    for number in range(AUDIT_LINES + 5000):
        filling.xadd("{samurai}:audit", {"line": "{}"}, id=f"1-{number + 1}")
    filling.execute()
    await keys.create(record(), deed("create"))
    assert AUDIT_LINES <= admin.xlen("{samurai}:audit") < AUDIT_LINES + 1000
    assert json.loads(admin.xrevrange("{samurai}:audit", count=1)[0][1][b"line"])["action"] == "create"
    admin.close()


async def test_a_record_that_cannot_be_read_hides_no_other(keys: KeyStore, server: Server) -> None:
    await keys.create(record("bad"), deed())
    await keys.create(record("good", "b" * 64), deed())
    admin = server.admin()
    admin.hset("{samurai}:key:bad", "secrets", "nonsense")
    admin.close()
    with pytest.raises(UnreadableRecordError):
        await keys.get("bad")
    assert [one.id for one in await keys.all()] == ["good"]


async def test_every_name_in_redis_is_in_one_hash_slot(keys: KeyStore, server: Server) -> None:
    await keys.create(record(), deed())
    admin = server.admin()
    assert all(name.startswith(b"{samurai}:") for name in admin.scan_iter())
    admin.close()
