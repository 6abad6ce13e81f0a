"""What the journal does when Redis forgets, when a replica was away meanwhile, and when its word may be stale."""

import asyncio
from pathlib import Path

import pytest

from gateway.domain.picture import ImageFormat, Size
from gateway.domain.record import Attempt, AttemptState, OperationState
from gateway.edges.journal import Keeping, UnreadableRecord, op_key
from gateway.edges.journal_spool import Spooled
from gateway.edges.journal_writer import JournalUnavailable
from gateway.edges.redis_store import Script
from tests.edges.journal_house import asked, house, record
from tests.servers import running_server, valkey_binary


async def test_a_key_that_redis_forgot_is_not_taken_for_new_but_told_again_from_the_disk(tmp_path: Path) -> None:
    with running_server(valkey_binary()) as server:
        async with house(server, tmp_path / "a") as one:
            await one.writer.write(record("op_1", state=OperationState.COMPLETED))
            assert await asked(one.journal, "op_2") == "over"
            with server.admin() as admin:
                admin.flushall()
            assert await asked(one.journal, "op_2") == "forgot"
            await one.upkeep.once()
            claim = await one.journal.claim(record("op_2"))
            assert (claim.kind, claim.record and claim.record.id) == ("over", "op_1")


async def test_other_replicas_wait_for_who_has_not_told_redis_again_yet(tmp_path: Path) -> None:
    with running_server(valkey_binary()) as server:
        async with house(server, tmp_path / "a") as one, house(server, tmp_path / "b") as two:
            await one.writer.write(record("op_1", state=OperationState.COMPLETED))
            with server.admin() as admin:
                admin.flushall()
            await two.upkeep.once()
            assert await asked(two.journal, "op_2") == "forgot"
            await one.upkeep.once()
            assert await asked(two.journal, "op_2") == "over"


async def test_what_was_over_is_told_again_by_a_replica_that_was_away_when_redis_forgot(tmp_path: Path) -> None:
    with running_server(valkey_binary()) as server:
        async with house(server, tmp_path / "a") as one:
            await one.writer.write(record("op_1", state=OperationState.COMPLETED))
        with server.admin() as admin:
            admin.flushall()
        async with house(server, tmp_path / "a") as again:
            assert await asked(again.journal, "op_2") == "over"


async def test_a_fresh_deployment_keeps_nobody_waiting(tmp_path: Path) -> None:
    with running_server(valkey_binary()) as server:
        async with house(server, tmp_path / "a") as one:
            assert await asked(one.journal, "op_1") == "new"


async def test_the_disks_word_alone_is_not_enough_for_what_redis_knows_and_others_may_take_over(tmp_path: Path) -> None:
    with running_server(valkey_binary()) as server:
        async with house(server, tmp_path / "a") as one:
            known, never_told = record("op_1"), record("op_2")
            await one.writer.write(known)
            server.kill()
            with pytest.raises(JournalUnavailable):
                await one.writer.write(known)
            await one.writer.write(never_told)


async def test_a_released_operation_that_is_told_again_does_not_hide_a_paid_one_of_the_same_request(
    tmp_path: Path,
) -> None:
    with running_server(valkey_binary()) as server:
        async with house(server, tmp_path / "a") as one:
            for name, began, state in (("a", 1, "released"), ("b", 2, "completed"), ("c", 3, "released")):
                mine = record(f"op_{name}", state=OperationState(state))
                mine.begun_s, mine.idempotency = began, ""
                await one.writer.write(mine)
            with server.admin() as admin:
                admin.flushall()
            await one.upkeep.once()
            again = record("op_d")
            again.idempotency = ""
            claim = await one.journal.claim(again)
            assert claim.record is not None
            assert claim.record.id == "op_b"


async def test_what_another_replica_went_on_with_is_history_on_the_disk_of_the_first(tmp_path: Path) -> None:
    with running_server(valkey_binary()) as server:
        async with house(server, tmp_path / "a") as one:
            await one.writer.write(record("op_1"))
        async with house(server, tmp_path / "b") as two:
            taken = None
            while taken is None:  # as soon as the lease has run out
                taken = await two.journal.take_over("op_1")
                await asyncio.sleep(0.01)
            taken.state = OperationState.COMPLETED
            await two.writer.write(taken)
            async with house(server, tmp_path / "a") as again:
                assert [one.live for one in await again.spool.kept()] == [False]
            final = await two.journal.read("op_1")
            assert final is not None
            assert final.state is OperationState.COMPLETED


async def test_a_replica_that_shares_redis_with_nobody_waits_for_nobody(tmp_path: Path) -> None:
    with running_server(valkey_binary()) as server:
        async with house(server, tmp_path / "a") as one:
            one.journal.keeping = Keeping(lease_s=60, is_shared=False)
            await one.writer.write(record("op_1", state=OperationState.RELEASED))
            with server.admin() as admin:
                admin.flushall()
            await one.upkeep.once()
            assert await asked(one.journal, "op_2") == "new"


async def test_a_call_that_only_a_dead_replicas_disk_knows_of_is_looked_at_once_more(tmp_path: Path) -> None:
    """Redis lost it in a failover, so that who took the operation over believed that nothing had been sent."""
    sent = Attempt(1, "a", "d", "m", "v/m", 1, Size(256, 256), ImageFormat.PNG, 40_000, state=AttemptState.SENT)
    with running_server(valkey_binary()) as server:
        async with house(server, tmp_path / "a") as one:
            mine = record("op_1")
            await one.writer.write(mine)
            with server.admin() as admin:
                before = admin.hgetall(op_key("op_1"))
            mine.attempts = [sent]
            await one.writer.write(mine)
            with server.admin() as admin:
                admin.hset(op_key("op_1"), mapping=before)
        async with house(server, tmp_path / "b") as two:
            released = None
            while released is None:  # as soon as the lease has run out
                released = await two.journal.take_over("op_1")
                await asyncio.sleep(0.01)
            released.state = OperationState.RELEASED
            await two.writer.write(released)
            async with house(server, tmp_path / "a"):
                found = await two.journal.read("op_1")
                assert found is not None
                assert [attempt.state for attempt in found.attempts] == [AttemptState.SENT]
                assert await two.journal.abandoned(9) == ["op_1"]


async def test_what_redis_says_of_an_operation_is_of_one_moment_however_fast_its_owner_goes_on(tmp_path: Path) -> None:
    """A replica that dies between two writes must not leave a state that its record knows nothing of."""
    with running_server(valkey_binary()) as server:
        async with house(server, tmp_path / "a") as one:
            written = record("op_1")
            one.writer.write_soon(written)
            while written.version == 0:
                await asyncio.sleep(0)
            written.state = OperationState.COMPLETED
            await one.writer.drained()
            with server.admin() as admin:
                state = admin.hget(op_key("op_1"), "state")
            kept = await one.journal.read("op_1")
            assert kept is not None
            assert (state, kept.state) == (b"running", OperationState.RUNNING)
            assert [row.live for row in await one.spool.kept(["op_1"])] == [True]
            assert await one.journal.renew([("op_1", 1)]) == frozenset()


async def test_a_key_that_leads_to_several_operations_leads_to_the_paid_one_once_the_others_are_released(
    tmp_path: Path,
) -> None:
    """Redis had forgotten the key when the second one asked for it, and was then told of all."""
    with running_server(valkey_binary()) as server:
        async with house(server, tmp_path / "a") as one:
            first, paid, last = (record(f"op_{number}") for number in (1, 2, 3))
            for each in (first, paid, last):
                await one.writer.write(each)
            for over, state in ((paid, "unknown"), (first, "released"), (last, "released")):
                over.state = OperationState(state)
                await one.writer.write(over)
            claim = await one.journal.claim(record("op_4"))
            assert (claim.kind, claim.record and claim.record.id) == ("over", "op_2")


async def test_a_record_that_only_another_version_can_read_stays_on_the_disk_and_holds_up_nothing(
    tmp_path: Path,
) -> None:
    with running_server(valkey_binary()) as server:
        async with house(server, tmp_path / "a") as one:
            strange = Spooled("op_strange", 1, live=True, at=one.clock.now(), record=b'{"state": "dreaming"}')
            await one.spool.commit([strange])
            await one.writer.write(record("op_theirs", state=OperationState.KEPT))
            with server.admin() as admin:
                admin.hset(op_key("op_theirs"), mapping={"doc": '{"state": "dreaming"}', "token": 9})
            one.writer.unsynced.update(("op_strange", "op_theirs"))
            await one.upkeep.once()
            assert await one.spool.kept(["op_strange"]) == [strange]
            await one.writer.write(record("op_mine"))
            with pytest.raises(UnreadableRecord):
                await one.journal.take_over("op_theirs", (OperationState.KEPT,))
            with server.admin() as admin:
                assert admin.hget(op_key("op_theirs"), "token") == b"9"
                assert admin.exists(op_key("op_mine")) == 1


async def test_what_goes_in_company_is_done_before_the_record_is_written_and_is_told_when_it_was_lost(
    tmp_path: Path,
) -> None:
    def say(word: str) -> Script:
        text = f"return redis.call('RPUSH', KEYS[1], '{word} ' .. (redis.call('HGET', KEYS[2], 'version') or '-'))"
        return Script.load(_file(tmp_path / f"{word}.lua", text))

    lost: list[str] = []
    keys = ["{samurai}:said", op_key("op_1")]
    key = keys[0]
    with running_server(valkey_binary()) as server:
        async with house(server, tmp_path / "a") as one:
            written = record("op_1")
            one.writer.write_soon_after((say("one"), keys, []), written, lambda: lost.append("one"))
            await one.writer.write(written)
            assert await one.redis.call("LRANGE", key, 0, -1) == [b"one -"]  # of the record, nothing was there yet
            one.writer.write_soon_after((say("soon"), keys, []), written, lambda: lost.append("soon"))
            await one.writer.drained()
            assert (await one.redis.call("LRANGE", key, 0, -1))[-1] == b"soon 1"
            broken = Script.load(_file(tmp_path / "broken.lua", "return redis.call('RPUSH', KEYS[1])"))
            one.writer.write_soon_after((broken, [key], []), written, lambda: lost.append("broken"))
            await one.writer.write(written)  # which a script that Redis refuses does not keep from being written
            assert lost == ["broken"]
            seen = await one.journal.read("op_1")
            assert seen is not None
            assert seen.version == written.version


def _file(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
