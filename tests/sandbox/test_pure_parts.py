"""The sandbox's own parts that need no socket."""

import asyncio

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import Response

from gateway.sandbox.clock import Clock, iso
from gateway.sandbox.fields import Field, problems
from gateway.sandbox.limits import InFlight, Rate
from gateway.sandbox.mangling import mangled
from gateway.sandbox.scripts import Then

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
FIELDS = {
    "prompt": Field("string", 1, 10),
    "n": Field("integer", 1, 4),
    "speed": Field("string", choices=("FAST", "SLOW"), any_case=True),
    "stream": Field("boolean", nullable=True),
}


@given(st.dictionaries(st.sampled_from([*FIELDS, "more"]), JSON))
def test_a_body_without_problems_is_in_order(body: dict[str, object]) -> None:
    if not problems(body, FIELDS, ("prompt",)):
        prompt, n = body["prompt"], body.get("n", 1)
        assert isinstance(prompt, str)
        assert 1 <= len(prompt) <= 10
        assert type(n) is int
        assert 1 <= n <= 4
        assert "more" not in body


def test_problems_are_named_by_kind() -> None:
    body = {"n": 9, "speed": "fast", "stream": None, "more": 1}
    assert [(one.name, one.kind) for one in problems(body, FIELDS, ("prompt",))] == [
        ("prompt", "required"),
        ("n", "maximum"),
        ("more", "unknown"),
    ]


@given(JSON.filter(lambda value: isinstance(value, dict)))
def test_paths_that_lead_nowhere_change_nothing(document: dict[str, object]) -> None:
    reply = Response(orjson.dumps(document), media_type="application/json") if _plain(document) else None
    if reply is not None:
        changed = mangled(reply, Then(remove=["\x00.a", "\x00"], rename={"\x00.*.b": "c"}))
        assert orjson.loads(changed.body) == document


def _plain(document: object) -> bool:
    """Whether orjson can write it: integers of 64 bits and no lone surrogates, and not the path under test."""
    try:
        return b"\\u0000" not in orjson.dumps(document)
    except orjson.JSONEncodeError:
        return False


@given(st.lists(st.floats(0, 5), max_size=300))
def test_a_rate_never_lets_through_more_than_its_bucket_and_what_has_filled_since(waits: list[float]) -> None:
    rate, now, taken = Rate(60), 0.0, 0
    for wait in waits:
        now += wait
        taken += rate.take(now)
    assert taken <= 60 + now
    assert 0 <= rate.remaining <= 60


def test_a_rate_refuses_beyond_its_bucket_and_recovers() -> None:
    rate = Rate(60)
    assert sum(rate.take(0.0) for _ in range(80)) == 60
    assert not rate.take(0.5)
    assert rate.take(2.0)


def test_places_are_given_back_also_when_the_work_fails() -> None:
    places = InFlight(10)

    def work() -> None:
        with places.hold(8):
            assert not places.has_room(3)
            raise OSError

    with pytest.raises(OSError, match=r"^$"):
        work()
    assert places.has_room(10)


async def test_time_that_is_pushed_ahead_wakes_who_waits_for_it() -> None:
    clock = Clock()
    waiting = asyncio.create_task(clock.wait(3600))
    await asyncio.sleep(0)
    clock.advance(1800)
    await asyncio.sleep(0)
    assert not waiting.done()
    clock.advance(1801)
    await asyncio.wait_for(waiting, 5)


async def test_nobody_waits_on_a_stopped_clock() -> None:
    clock = Clock()
    waiting = asyncio.create_task(clock.wait(3600))
    await asyncio.sleep(0)
    clock.stop()
    await asyncio.wait_for(waiting, 5)


def test_moments_are_written_with_milliseconds_and_a_z() -> None:
    assert iso(0.1234) == "1970-01-01T00:00:00.123Z"
