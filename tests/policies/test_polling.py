import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policies.polling import LONGEST_S, Usual, wait_s

seconds = st.floats(0.5, 120)


@pytest.mark.parametrize("look", [1, 5, 50, 500])
def test_polling_slows_down_but_never_beyond_its_bound(look: int) -> None:
    assert 0.45 <= wait_s(0.5, look, jitter=0.0) <= 5.5


def test_the_first_look_comes_at_the_dialects_own_pace_while_nothing_is_known() -> None:
    assert wait_s(0.5, 1, jitter=0.5) == pytest.approx(0.5)


def looks_at(takes_s: float, usual_s: float, asked_s: float = 0.5) -> list[float]:
    """The moments of all looks at work that takes so long."""
    moments: list[float] = []
    at_s = 0.0
    while at_s < takes_s:
        at_s += wait_s(asked_s, len(moments) + 1, 0.5, usual_s=usual_s, elapsed_s=at_s)
        moments.append(at_s)
    return moments


@given(seconds)
def test_work_that_takes_as_long_as_usual_is_looked_at_a_few_times_and_found_soon(takes_s: float) -> None:
    moments = looks_at(takes_s, usual_s=takes_s)
    assert len(moments) <= 4
    assert moments[-1] - takes_s <= max(1.0, 0.1 * takes_s)


@given(seconds, seconds)
def test_work_that_is_quicker_than_usual_is_found_before_the_usual_time(takes_s: float, usual_s: float) -> None:
    found_s = looks_at(takes_s, usual_s)[-1]
    assert found_s <= max(0.9 * usual_s, takes_s + max(LONGEST_S, 0.05 * usual_s) * 1.1)


@given(st.lists(seconds, min_size=1, max_size=50))
def test_what_is_usual_lies_within_what_was_seen_and_falls_at_once_to_what_was_quicker(seen: list[float]) -> None:
    usual = Usual()
    for took_s in seen:
        usual.note(took_s)
    assert min(seen) <= usual.seconds <= max(seen) + 1e-6
    usual.note(min(seen))
    assert usual.seconds == min(seen)


@given(seconds, seconds)
def test_after_a_change_of_pace_the_new_one_is_usual_before_long(before_s: float, after_s: float) -> None:
    usual = Usual()
    usual.note(before_s)
    for _ in range(100):
        usual.note(after_s)
    assert usual.seconds == pytest.approx(after_s, rel=0.01, abs=0.8)


def test_a_clock_that_was_set_back_makes_nobody_wait_longer_than_usual() -> None:
    assert wait_s(0.5, 1, 0.5, usual_s=20, elapsed_s=-3600) == pytest.approx(18)
