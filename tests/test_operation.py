import asyncio
import gc
import weakref
from collections.abc import Callable
from contextlib import suppress

import pytest

from gateway.domain.caller import Caller
from gateway.domain.errors import ErrorCode, RequestError
from gateway.domain.harvest import Finished, Harvest
from gateway.domain.job import Job
from gateway.domain.picture import ImageFormat, Size
from gateway.domain.record import Record
from gateway.operation import Operation, Operations

IMAGE = Finished(ImageFormat.PNG, length=1, asset_id="a")


def operation() -> Operation:
    job = Job("m", "p", 1, Size(1, 1), wants_url=True)
    return Operation(Record("op_1", "k", job, fingerprint="f", prompt_hash="", begun_s=0, due_s=1), job, Caller("k"))


async def test_work_goes_on_when_the_one_who_waits_is_cancelled() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def work(op: Operation) -> None:
        begun.set()
        await go_on.wait()
        op.succeed(Harvest())

    op, operations = operation(), Operations()
    operations.start(op, work)
    waiting = asyncio.create_task(op.result())
    await begun.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert len(operations) == 1
    go_on.set()
    assert await operations.drain(5) == 0
    assert await op.result() == Harvest()


async def test_an_error_ends_the_wait_and_is_told_once_more_to_whoever_asks_again() -> None:
    async def work(_: Operation) -> None:
        raise RequestError(ErrorCode.UPSTREAM_ERROR, "no")

    op, operations = operation(), Operations()
    operations.start(op, work)
    for _ in range(2):
        with pytest.raises(RequestError) as caught:
            await op.result()
        assert caught.value.code is ErrorCode.UPSTREAM_ERROR


async def test_what_was_refused_is_gone_without_the_collector_once_its_client_knows() -> None:
    async def work(_: Operation) -> None:
        raise RequestError(ErrorCode.UPSTREAM_ERROR, "no")

    op, operations = operation(), Operations()
    gc.disable()
    try:
        operations.start(op, work)
        with suppress(RequestError):
            await op.result()
        await operations.drain(5)
        seen = weakref.ref(op)
        del op
        assert seen() is None
    finally:
        gc.enable()


async def test_a_fault_of_ours_ends_the_wait_too() -> None:
    async def work(_: Operation) -> None:
        raise ZeroDivisionError

    op, operations = operation(), Operations()
    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context["exception"]))
    operations.start(op, work)
    with pytest.raises(RequestError) as caught:
        await op.result()
    assert caught.value.code is ErrorCode.INTERNAL_ERROR
    assert await operations.drain(5) == 0


async def test_images_come_as_they_get_ready_and_end_with_the_work() -> None:
    async def work(op: Operation) -> None:
        op.add(IMAGE)
        op.add(IMAGE)
        raise RequestError(ErrorCode.UPSTREAM_ERROR, "no")

    op, operations = operation(), Operations()
    operations.start(op, work)
    assert [image async for image in op.images()] == [IMAGE, IMAGE]


async def test_draining_waits_no_longer_than_told() -> None:
    forever = asyncio.Event()

    async def work(_: Operation) -> None:
        await forever.wait()

    op, operations = operation(), Operations()
    operations.start(op, work)
    assert await operations.drain(0.01) == 1
    forever.set()
    assert await operations.drain(5) == 0


async def test_of_two_calls_with_one_body_the_refused_one_is_counted_off_once() -> None:
    async def work(_: Operation) -> None:
        raise RequestError(ErrorCode.RATE_LIMIT_IMAGES, "no")

    operations = Operations()
    operations.start(operation(), work)
    await operations.drain(5)
    assert [operations.was_refused(name) for name in ("f", "f", "another")] == [True, False, False]


async def test_refusals_are_forgotten_once_their_time_is_over_and_one_body_has_few() -> None:
    async def work(_: Operation) -> None:
        raise RequestError(ErrorCode.RATE_LIMIT_IMAGES, "no")

    now = [1000.0]
    operations = Operations(lambda: now[0])

    async def refuse(fingerprint: str) -> None:
        op = operation()
        op.record.fingerprint = fingerprint
        operations.start(op, work)
        await operations.drain(5)

    for number in range(50):
        await refuse(f"f{number}")
    assert operations.refusals == 50
    now[0] += 180.0
    for _ in range(1_010):
        await refuse("another")
    assert operations.refusals == 1_000
    assert [operations.was_refused(name) for name in ("f49", "another")] == [False, True]
    assert operations.refusals == 999


async def test_what_a_client_left_is_abandoned_until_another_one_comes() -> None:
    go_on, leave = asyncio.Event(), list[Callable[[], None]]()

    async def work(op: Operation) -> None:
        await go_on.wait()
        op.succeed(Harvest())

    op, operations = operation(), Operations()
    operations.start(op, work)
    op.attend(leave.append, lambda: 5.0)
    assert op.is_attended
    assert op.abandoned_for_s(9.0) == 0.0
    leave.pop()()
    assert op.abandoned_for_s(9.0) == 4.0
    op.attend(leave.append, lambda: 6.0)
    assert op.abandoned_for_s(9.0) == 0.0
    go_on.set()
    assert await operations.drain(5) == 0
    leave.pop()()
    assert not op.is_left  # it had its answer


async def test_what_is_handed_over_tells_its_clients_to_come_back() -> None:
    async def work(_: Operation) -> None:
        await asyncio.Event().wait()

    op, operations = operation(), Operations()
    operations.start(op, work)
    op.open()
    assert operations.writers() == [("op_1", 1)]
    await asyncio.sleep(0)
    assert await operations.hand_over() == ["op_1"]
    with pytest.raises(RequestError) as caught:
        await op.result()
    assert (caught.value.code, caught.value.should_retry) == (ErrorCode.GATEWAY_DRAINING, True)
    assert len(operations) == 0
