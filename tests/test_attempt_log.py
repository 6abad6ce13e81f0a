"""What a paid call waits for before it is sent, and what its end waits for."""

import asyncio
from pathlib import Path

from gateway.attempt_log import AttemptLog
from gateway.domain.exchange import HttpCall, Pending
from gateway.domain.picture import ImageFormat, Size
from gateway.domain.record import Attempt, AttemptState
from tests.edges.journal_house import House, busy_disk, house, record
from tests.servers import running_server, valkey_binary


def log_of(one: House) -> tuple[AttemptLog, Attempt]:
    attempt = Attempt(1, "a", "d", "m", "v/m", 1, Size(256, 256), ImageFormat.PNG, 40_000)
    return AttemptLog(record("op_1", attempts=[attempt]), one.writer, one.clock, lambda _: None), attempt


async def state_in_redis(one: House) -> AttemptState | None:
    found = await one.journal.read("op_1")
    return None if found is None else found.attempts[0].state


async def test_a_call_may_be_sent_only_once_redis_and_the_disk_have_it(tmp_path: Path) -> None:
    with running_server(valkey_binary()) as server:
        async with house(server, tmp_path) as one:
            log, attempt = log_of(one)
            with busy_disk(tmp_path):
                sending = asyncio.create_task(log.send(attempt))
                while await state_in_redis(one) is not AttemptState.SENT:
                    await asyncio.sleep(0.005)
                assert not sending.done()
            assert await sending is None
            assert len(await one.spool.kept(["op_1"])) == 1


async def test_what_the_vendor_accepted_is_followed_as_soon_as_redis_has_it(tmp_path: Path) -> None:
    with running_server(valkey_binary()) as server:
        async with house(server, tmp_path) as one:
            log, attempt = log_of(one)
            await log.send(attempt)
            with busy_disk(tmp_path):
                await asyncio.wait_for(log.accept(attempt, Pending("p_1", HttpCall("GET", "http://a/p_1"), 1)), 3)
                assert await state_in_redis(one) is AttemptState.ACCEPTED
