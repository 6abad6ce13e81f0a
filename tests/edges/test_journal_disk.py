"""When the journal's copy on the disk is waited for, and when it may come a moment later."""

import asyncio
import sqlite3
from pathlib import Path

from gateway.domain.facts import JournalForced, JournalWritten
from gateway.domain.record import OperationState
from tests.edges.journal_house import asked, busy_disk, house, record
from tests.servers import running_server, valkey_binary

DONE = OperationState.COMPLETED


def on_disk(directory: Path) -> set[str]:
    """What a reader after a crash of this very moment would find."""
    reader = sqlite3.connect(f"file:{directory / 'replica-0.journal'}?mode=ro", uri=True)
    try:
        return {op_id for (op_id,) in reader.execute("SELECT id FROM operations")}
    finally:
        reader.close()


async def test_the_end_of_an_operation_waits_for_redis_and_the_disk_has_it_a_moment_later(tmp_path: Path) -> None:
    with running_server(valkey_binary()) as server:
        async with house(server, tmp_path) as one:
            with busy_disk(tmp_path):
                await one.writer.write(record("op_1", state=DONE), disk_soon=True)
                assert await asked(one.journal, "op_2") == "over"
                assert on_disk(tmp_path) == set()
            assert [fact.waited_for for fact in one.facts if isinstance(fact, JournalWritten)] == ["redis"]
            async with asyncio.timeout(10):
                while on_disk(tmp_path) != {"op_1"}:
                    await asyncio.sleep(0.005)


async def test_what_must_be_known_before_money_moves_waits_for_the_disk_also_in_company_of_what_does_not(
    tmp_path: Path,
) -> None:
    with running_server(valkey_binary()) as server:
        async with house(server, tmp_path) as one:
            with busy_disk(tmp_path):
                begun = asyncio.create_task(one.writer.write(record("op_1")))
                ended = asyncio.create_task(one.writer.write(record("op_2", state=DONE), disk_soon=True))
                await ended
                assert not begun.done()
            await begun
            assert on_disk(tmp_path) == {"op_1", "op_2"}


async def test_while_redis_is_away_the_disk_is_waited_for_in_any_case(tmp_path: Path) -> None:
    with running_server(valkey_binary()) as server:
        async with house(server, tmp_path) as one:
            server.kill()
            await one.writer.write(record("op_1", state=DONE), disk_soon=True)
            assert on_disk(tmp_path) == {"op_1"}
            assert one.writer.unsynced == {"op_1"}


async def test_what_the_disk_was_to_have_soon_is_told_again_when_redis_forgets_it_at_once(tmp_path: Path) -> None:
    with running_server(valkey_binary()) as server:
        async with house(server, tmp_path) as one:
            with server.admin() as admin:
                await one.writer.write(record("op_1", state=DONE), disk_soon=True)
                admin.flushall()
            assert on_disk(tmp_path) == set()
            await one.upkeep.once()
            assert await asked(one.journal, "op_2") == "over"


async def test_whatever_was_entered_is_on_the_disk_when_the_writer_is_drained(tmp_path: Path) -> None:
    with running_server(valkey_binary()) as server:
        async with house(server, tmp_path) as one:
            await one.writer.write(record("op_1", state=DONE), disk_soon=True)
            one.writer.write_soon(record("op_2"))
            await one.writer.drained()
            assert on_disk(tmp_path) == {"op_1", "op_2"}


async def test_what_comes_while_the_disk_is_forced_shares_the_next_time_and_is_told_apart_from_redis(
    tmp_path: Path,
) -> None:
    with running_server(valkey_binary()) as server:
        async with house(server, tmp_path) as one:
            one.facts.clear()
            with busy_disk(tmp_path):
                first = asyncio.create_task(one.writer.write(record("op_0")))
                while await one.journal.read("op_0") is None:
                    await asyncio.sleep(0.005)
                rest = [asyncio.create_task(one.writer.write(record(f"op_{n}"))) for n in range(1, 40)]
                while await one.journal.read("op_39") is None:
                    await asyncio.sleep(0.005)
            await asyncio.gather(first, *rest)
            assert [fact.records for fact in one.facts if isinstance(fact, JournalForced)] == [1, 39]
            assert {fact.waited_for for fact in one.facts if isinstance(fact, JournalWritten)} == {"both"}
