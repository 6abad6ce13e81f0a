import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest
from starlette.types import ASGIApp

from tests.wire.corpus import CORPUS, Case
from tests.wire.harness import PATIENCE_S, CountingApp, Heard, guarded, hardened, stock, talk

SHORT = [case for case in CORPUS if len(case.payload) < 1000]
MORSELS = (
    b"",
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"0",
    b"5",
    b"ff",
    b":",
    b" ",
    b"\t",
    b"\x00",
    b"\xff",
    b"chunked",
    b"Host: b",
)


def faults_of(case: Case, app: CountingApp, heard: Heard) -> list[str]:
    """What is wrong with an outcome, whoever the server is: nothing hidden ran, all good ran, all was answered."""
    faults = []
    if tuple(app.calls) != case.executed:
        faults.append(f"executed {app.calls}")
    if heard.replies.statuses.count(200) != len(case.executed):
        faults.append(f"answered {heard.replies.statuses}")
    if not heard.closed and not heard.replies.statuses:
        faults.append("left open without an answer")
    return faults


async def run(case: Case, port: int, segments: Sequence[bytes], patience_s: float = PATIENCE_S) -> Heard:
    enough = None
    if case.stays_open:
        enough = len(case.executed) + (b"100-continue" in case.payload)
    return await talk(port, segments, half_close=case.half_close, enough=enough, patience_s=patience_s)


@pytest.mark.asyncio(loop_factories=["uvloop"])  # production's; the tests below run on both loops
@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.name)
async def test_only_what_has_one_meaning_is_executed(case: Case) -> None:
    app = CountingApp()
    async with hardened(guarded(app)) as running:
        heard = await run(case, running.port, [case.payload])

    assert faults_of(case, app, heard) == []
    assert heard.closed is not case.stays_open
    if case.code is not None:
        assert heard.replies.statuses[-1] == case.status
        assert heard.replies.envelope()["code"] == case.code
        assert heard.replies.headers[-1]["connection"] == "close"
        assert heard.replies.headers[-1]["x-request-id"].startswith("req_")


async def test_the_cut_into_segments_changes_nothing() -> None:
    async def faults_byte_by_byte(case: Case) -> list[str]:
        app = CountingApp()
        async with hardened(guarded(app)) as running:
            heard = await run(case, running.port, [bytes([byte]) for byte in case.payload])
        return [f"{case.name}: {fault}" for fault in faults_of(case, app, heard)]

    faults = await asyncio.gather(*(faults_byte_by_byte(case) for case in SHORT))

    assert len(SHORT) > 90
    assert [fault for found in faults for fault in found] == []


def mutated(dice: random.Random) -> bytes:
    """A payload of the corpus with some bytes deleted, doubled, swapped for telling ones, or cut off."""
    payload = bytearray(dice.choice(SHORT).payload)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(payload))
        payload[at : at + dice.randint(0, 3)] = dice.choice(MORSELS)
    return bytes(payload[: dice.randint(len(payload) // 2, len(payload))]) if dice.random() < 0.3 else bytes(payload)


async def test_mutated_payloads_do_no_harm() -> None:
    seed = random.randrange(1 << 32)
    dice = random.Random(seed)
    app = CountingApp()
    async with hardened(guarded(app)) as running:
        for _ in range(20):
            payloads = [mutated(dice) for _ in range(20)]
            heard = await asyncio.gather(*(talk(running.port, [sent], half_close=True) for sent in payloads))
            for payload, one in zip(payloads, heard, strict=True):
                assert set(one.replies.statuses) <= {100, 200, 400, 405}, (seed, payload)
                assert one.closed, (seed, payload)
        served = await talk(running.port, [b"GET /last HTTP/1.1\r\nHost: a\r\n\r\n"], enough=1)

    assert served.replies.statuses == [200], seed
    assert app.calls[-1] == ("GET", "/last", b"")


async def test_the_corpus_is_kept_and_stock_uvicorn_is_not_enough(
    record_testsuite_property: Callable[[str, object], None],
) -> None:
    stock_bare = await passed_by_stock(with_guard=False)
    stock_guarded = await passed_by_stock(with_guard=True)
    ours = await passed_by_ours()

    for name, figure in (("ours", ours), ("stock uvicorn", stock_bare), ("stock and guard", stock_guarded)):
        missed = [case.name for case in CORPUS if case.name not in figure]
        record_testsuite_property(name, f"{len(figure)} of {len(CORPUS)}, missed: {missed}")
    assert len(ours) == len(CORPUS)
    assert len(stock_bare) < len(stock_guarded) < len(ours)


async def passed_by_ours() -> set[str]:
    async def passes(case: Case) -> bool:
        app = CountingApp()
        async with hardened(guarded(app)) as running:
            return not faults_of(case, app, await run(case, running.port, [case.payload]))

    return await passed([passes(case) for case in CORPUS])


async def passed_by_stock(*, with_guard: bool) -> set[str]:
    async def passes(case: Case) -> bool:
        app = CountingApp()
        served: ASGIApp = guarded(app) if with_guard else app
        async with stock(served) as port:
            return not faults_of(case, app, await run(case, port, [case.payload], patience_s=0.5))

    return await passed([passes(case) for case in CORPUS])


async def passed(outcomes: Sequence[Coroutine[Any, Any, bool]]) -> set[str]:
    kept = await asyncio.gather(*outcomes)
    return {case.name for case, kept_it in zip(CORPUS, kept, strict=True) if kept_it}
