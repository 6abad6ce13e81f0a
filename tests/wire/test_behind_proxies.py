"""The corpus behind Debian's nginx and HAProxy, and against granian: no request that nobody sent is executed."""

from collections.abc import Callable

import pytest

from tests.wire.fronts import FRONTS, version_of
from tests.wire.matrix import CORPUS, figures, outcomes

pytestmark = [pytest.mark.asyncio(loop_factories=["uvloop"]), pytest.mark.slow]


@pytest.mark.parametrize("front", FRONTS)
async def test_no_hidden_request_gets_through_a_proxy(
    front: str, record_testsuite_property: Callable[[str, object], None]
) -> None:
    if version_of(front) is None:
        pytest.skip(f"{front} is not installed (apt-get install --no-install-recommends {front})")
    found = await outcomes("ours", front, lanes=8)
    measured = figures("ours", front, found)
    record_testsuite_property(f"ours behind {front}", measured.row())
    assert measured.cases == len(CORPUS)
    assert measured.past == ()
    assert measured.poisoned == ()
    for outcome in found:
        if outcome.case.must_work and outcome.case.stays_open:
            assert 200 in outcome.statuses or 400 in outcome.statuses, outcome
        assert outcome.calls or not outcome.case.executed or set(outcome.statuses) <= {400, 405, 501}, outcome


async def test_bare_our_server_keeps_every_case_and_granian_and_uvicorn_do_not(
    record_testsuite_property: Callable[[str, object], None],
) -> None:
    measured = {}
    for server in ("ours", "uvicorn, httptools", "granian"):
        measured[server] = figures(server, None, await outcomes(server, None, lanes=8 if server == "ours" else 4))
        record_testsuite_property(server, measured[server].row())
    assert (measured["ours"].kept, measured["ours"].hidden) == (len(CORPUS), ())
    assert measured["ours"].poisoned == ()
    for other in ("uvicorn, httptools", "granian"):
        assert measured[other].kept < len(CORPUS)


@pytest.mark.parametrize(("front", "past"), [(None, 1), *((front, 0) for front in FRONTS)])
async def test_a_request_that_came_past_a_proxy_is_told_by_its_missing_mark(front: str | None, past: int) -> None:
    if front is not None and version_of(front) is None:
        pytest.skip(f"{front} is not installed (apt-get install --no-install-recommends {front})")
    (plain,) = (case for case in CORPUS if case.name == "GET")
    (outcome,) = await outcomes("ours", front, lanes=1, cases=[plain])
    assert (outcome.calls, outcome.past, outcome.statuses) == (plain.executed, past, (200,))
    assert outcome.canary
