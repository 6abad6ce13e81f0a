from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.exchange import Delivered, Pace
from gateway.domain.faults import failed, no_money, throttled
from gateway.policies.pacing import (
    CEILING_CALLS,
    LONGEST_PAUSE_S,
    START_CALLS,
    WINDOW_US,
    Ending,
    Ledger,
    Place,
    Wait,
    lesson_of,
    patience_s,
)

MINUTE_US = 60_000_000
LIFE_US = 10 * MINUTE_US


def placed(ledger: Ledger, attempt: str, images: int = 1, now_us: int = 0) -> bool:
    return isinstance(ledger.ask(attempt, images, LIFE_US, now_us), Place)


def taught(ledger: Ledger, calls: int, ending: Ending = Ending.SERVED, now_us: int = 1) -> None:
    """Have `calls` calls under way together, then end them all."""
    names = [f"{now_us}-{number}" for number in range(calls)]
    for name in names:
        ledger.hold(name, 1, LIFE_US, now_us)
    for name in names:
        ledger.end(name, ending, 0, now_us + 1)


asks = st.tuples(st.integers(0, 30), st.integers(1, 8), st.integers(0, 20_000_000), st.booleans())


@given(
    st.builds(
        Pace,
        requests_per_minute=st.none() | st.integers(1, 6),
        images_per_minute=st.none() | st.integers(8, 20),
        images_in_flight=st.none() | st.integers(8, 12),
    ),
    st.lists(asks, max_size=60),
)
def test_no_history_exceeds_a_limit_in_any_minute_or_at_any_moment(
    pace: Pace, history: list[tuple[int, int, int, bool]]
) -> None:
    ledger = Ledger(pace)
    images_of: dict[int, int] = {}
    under_way: set[int] = set()
    begun: list[tuple[int, int]] = []
    now_us = 0
    for number, wished, step_us, ends in history:
        now_us += step_us
        images = images_of.setdefault(number, wished)
        if ends:
            under_way.discard(number)
            ledger.end(str(number), Ending.OTHER, 0, now_us)
        elif number not in under_way and placed(ledger, str(number), images, now_us):
            under_way.add(number)
            begun.append((now_us, images))
        assert len(under_way) <= START_CALLS
        assert sum(images_of[one] for one in under_way) <= (pace.images_in_flight or 1000)
        minute = [images for at_us, images in begun if at_us > now_us - MINUTE_US]
        assert len(minute) <= (pace.requests_per_minute or 1000)
        assert sum(minute) <= (pace.images_per_minute or 1000)


@given(st.integers(1, 40), st.integers(1, 6))
def test_whoever_waits_as_told_for_a_limit_of_a_minute_passes_then_and_not_earlier(calls: int, limit: int) -> None:
    ledger, now_us = Ledger(Pace(requests_per_minute=limit)), 0
    for number in range(calls):
        name = str(number)
        while isinstance(answer := ledger.ask(name, 1, LIFE_US, now_us), Wait):
            assert number >= limit
            assert isinstance(ledger.ask(name, 1, LIFE_US, now_us + answer.wait_us - 1), Wait)
            now_us += answer.wait_us
            assert placed(ledger, name, 1, now_us)
        ledger.end(name, Ending.OTHER, 0, now_us)
        now_us += 1


def test_a_large_call_that_waits_is_not_overtaken_by_small_ones() -> None:
    ledger = Ledger(Pace(images_in_flight=10))
    assert placed(ledger, "first", 3)
    assert not placed(ledger, "large", 8, 1)
    assert not placed(ledger, "small", 1, 2)  # seven are free, and reserved
    ledger.end("first", Ending.OTHER, 0, 3)
    assert not placed(ledger, "another", 3, 4)
    assert placed(ledger, "large", 8, 5)
    assert placed(ledger, "small", 1, 6)


def test_small_calls_pass_where_a_large_one_loses_nothing_by_it() -> None:
    ledger = Ledger(Pace(images_in_flight=10))
    assert placed(ledger, "first", 1)
    assert placed(ledger, "large", 8)
    assert not placed(ledger, "second large", 8)
    ledger.end("large", Ending.OTHER, 0, 1)
    assert placed(ledger, "small", 1, 2)  # one runs, eight are reserved, one is over


def test_a_waiter_that_is_gone_holds_nobody_up_for_long() -> None:
    ledger = Ledger(Pace(images_in_flight=10))
    assert placed(ledger, "first", 5)
    assert not placed(ledger, "gone", 8)
    assert not placed(ledger, "next", 5, 100)
    assert placed(ledger, "next", 5, 4_000_000)


def test_an_ended_waiter_gives_its_turn_up() -> None:
    ledger = Ledger(Pace(images_in_flight=10))
    assert placed(ledger, "first", 5)
    assert not placed(ledger, "impatient", 8)
    ledger.end("impatient", Ending.OTHER, 0, 1)
    assert placed(ledger, "next", 5, 2)


def test_a_call_larger_than_the_limit_is_told_so_and_blocks_nobody() -> None:
    ledger = Ledger(Pace(images_in_flight=10), replicas=2)
    answer = ledger.ask("large", 8, LIFE_US, 0)
    assert isinstance(answer, Wait)
    assert answer.never
    assert ledger.most_images == 5
    assert placed(ledger, "small", 5)
    assert not placed(ledger, "too much", 1)


def test_a_place_that_nobody_ends_falls_free() -> None:
    ledger = Ledger(Pace(images_in_flight=4))
    assert isinstance(ledger.ask("dead", 4, 1_000, 0), Place)
    assert not placed(ledger, "next", 4, 999)
    assert placed(ledger, "next", 4, 1_000)


def test_the_same_attempt_takes_one_place_however_often_it_asks() -> None:
    ledger = Ledger(Pace(images_in_flight=4, requests_per_minute=2))
    assert [ledger.ask("same", 2, LIFE_US, at_us) for at_us in (5, 6, 7)] == [Place(5)] * 3
    assert placed(ledger, "other", 2, 8)


def test_the_limit_grows_with_every_call_until_the_first_refusal() -> None:
    ledger = Ledger(Pace())
    taught(ledger, START_CALLS)
    # Only while at least half of the limit is in use does success say anything about it.
    assert START_CALLS < ledger.limit < 2 * START_CALLS
    before = ledger.limit
    taught(ledger, 1, now_us=10)
    assert ledger.limit == before


def test_the_limit_never_passes_its_ceiling() -> None:
    ledger = Ledger(Pace())
    ledger.limit = CEILING_CALLS - 1
    taught(ledger, CEILING_CALLS // 2 + 3)
    assert ledger.limit == CEILING_CALLS


def test_calls_refused_together_cut_once_and_the_floor_is_one() -> None:
    ledger = Ledger(Pace())
    taught(ledger, 8, Ending.THROTTLED)
    assert ledger.limit == 5
    for now_us in range(10, 100, 10):
        taught(ledger, 1, Ending.THROTTLED, now_us)
    assert ledger.limit == 1
    assert placed(ledger, "one", 1, 200)
    assert not placed(ledger, "two", 1, 200)


def test_after_a_cut_the_limit_grows_by_one_for_a_window_of_successes() -> None:
    ledger = Ledger(Pace())
    taught(ledger, 8, Ending.THROTTLED)
    for now_us in range(10, 60, 10):
        assert ledger.limit == 5
        ledger.hold("busy", 1, LIFE_US, now_us)
        ledger.hold("busy too", 1, LIFE_US, now_us)
        taught(ledger, 1, now_us=now_us)
    assert ledger.limit == 6


def test_a_vendors_wish_stops_every_call_of_the_account_for_so_long() -> None:
    ledger = Ledger(Pace())
    assert placed(ledger, "refused")
    ledger.end("refused", Ending.THROTTLED, 3_000_000, 10)
    assert ledger.ask("next", 1, LIFE_US, 11) == Wait(2_999_999)
    assert placed(ledger, "next", 1, 3_000_010)


def test_replicas_shares_together_are_no_more_than_the_limits() -> None:
    got: Counter[str] = Counter()
    for _ in range(3):
        ledger = Ledger(Pace(requests_per_minute=7, images_in_flight=10), replicas=3)
        for number in range(20):
            if placed(ledger, str(number), 1):
                got["calls"] += 1
    assert got["calls"] == 6
    with pytest.raises(ValueError):
        Ledger(Pace(), replicas=0)


def test_a_share_does_not_come_on_top_of_what_the_others_were_seen_to_have_begun() -> None:
    ledger = Ledger(Pace(images_in_flight=10), replicas=2)
    assert placed(ledger, "before", 2)
    ledger.observe(START_CALLS, 9, 0)
    assert not placed(ledger, "too much", 2, 1)
    assert not placed(ledger, "too much", 2, 29_999_999)
    assert placed(ledger, "too much", 2, 30_000_000)


@pytest.mark.parametrize(
    ("wish_s", "pause_s"), [(3.0, 3.0), (None, 0.0), (-5.0, 0.0), (86_400.0, LONGEST_PAUSE_S), (0.0, 0.0)]
)
def test_a_429_is_a_lesson_and_its_wish_is_kept_within_bounds(wish_s: float | None, pause_s: float) -> None:
    assert lesson_of(throttled("slow down", wish_s)) == (Ending.THROTTLED, pause_s)


def test_other_outcomes_say_nothing_or_good_about_the_pace() -> None:
    assert lesson_of(Delivered((), billed=0)) == (Ending.SERVED, 0.0)
    assert lesson_of(failed("500", may_have_billed=True)) == (Ending.OTHER, 0.0)
    assert lesson_of(no_money("402")) == (Ending.OTHER, 0.0)
    assert lesson_of(None) == (Ending.OTHER, 0.0)


@given(st.floats(-10, 200), st.floats(1, 180), st.booleans())
def test_patience_leaves_time_for_the_work(left_s: float, deadline_s: float, others: bool) -> None:
    waits_s = patience_s(left_s, deadline_s, others=others)
    assert waits_s >= 0
    assert waits_s == 0 or left_s - waits_s >= deadline_s / 4 - 1e-9
    assert waits_s <= 8 or not others


def test_who_has_nobody_else_waits_as_long_as_there_is_time() -> None:
    assert patience_s(150.0, 180.0, others=False) == 105.0
    assert patience_s(150.0, 180.0, others=True) == 8.0


def test_the_only_replica_knows_best_what_is_under_way() -> None:
    alone, together = Ledger(Pace(images_in_flight=4)), Ledger(Pace(images_in_flight=4), 2)
    for ledger in (alone, together):
        ledger.observe(8, 4, 0)  # what Redis still counts may have ended
    assert placed(alone, "a", 4)
    assert not placed(together, "a", 1)


def test_nobody_paces_with_nobody() -> None:
    with pytest.raises(ValueError, match="0 replicas"):
        Ledger(Pace(images_in_flight=4), 0)


def test_a_minute_is_forgotten_when_it_has_passed() -> None:
    ledger = Ledger(Pace(images_per_minute=4))
    assert placed(ledger, "a", 4)
    assert ledger.ask("b", 2, LIFE_US, 1) == Wait(WINDOW_US - 1)
    assert placed(ledger, "b", 2, WINDOW_US)


def test_a_pace_that_changes_counts_what_is_under_way_and_what_was_begun_in_the_last_minute() -> None:
    ledger = Ledger(Pace(requests_per_minute=10, images_in_flight=10))
    assert all(placed(ledger, f"early-{number}") for number in range(4))
    ledger.adopt(Pace(requests_per_minute=10, images_in_flight=4))
    assert not placed(ledger, "one more")
    ledger.adopt(Pace(requests_per_minute=4, images_in_flight=10))
    assert ledger.ask("another", 1, LIFE_US, 0) == Wait(WINDOW_US)
    ledger.adopt(Pace(requests_per_minute=7, images_in_flight=7))  # two wait before it
    assert placed(ledger, "fits now")
