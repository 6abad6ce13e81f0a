from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.picture import Size
from gateway.policies.admission import Budgets, Load, Need, class_of, judge, need_of, share_of

MB = 1_000_000
SQUARE = Size(1024, 1024)
BUDGETS = Budgets(memory_bytes=1000 * MB, spool_bytes=100 * MB, loop_lag_s=0.25, queue_s=5)
PRIORITIES = st.integers(0, 9)
LOADS = st.builds(
    Load,
    running=st.integers(1, 1000),
    promised=st.builds(Need, st.integers(0, 2000 * MB), st.integers(0, 200 * MB)),
    resident_bytes=st.integers(0, 2000 * MB),
    idle_bytes=st.integers(0, 500 * MB),
    loop_lag_s=st.floats(0, 2),
    queue_s=st.floats(0, 60),
    freed_bytes_per_s=st.floats(0, 100 * MB),
    ended_per_s=st.floats(0, 100),
)
NEEDS = st.builds(Need, st.integers(0, 20 * MB), st.integers(0, 40 * MB))


@given(LOADS, NEEDS, PRIORITIES, PRIORITIES, st.floats(0, 0.999))
def test_nobody_is_refused_while_somebody_less_important_is_let_in(
    load: Load, need: Need, one: int, other: int, dice: float
) -> None:
    lower, higher = sorted((one, other))
    if judge(load, BUDGETS, need, lower, dice) is None:
        assert judge(load, BUDGETS, need, higher, dice) is None


@given(LOADS, NEEDS, PRIORITIES, st.floats(0, 0.999))
def test_whoever_is_refused_is_told_a_wait_from_a_second_to_a_minute(
    load: Load, need: Need, priority: int, dice: float
) -> None:
    shed = judge(load, BUDGETS, need, priority, dice)
    if shed is not None:
        assert 1 <= shed.wait_s <= 60


@given(LOADS, NEEDS, PRIORITIES)
def test_what_is_let_in_fits(load: Load, need: Need, priority: int) -> None:
    if judge(load, BUDGETS, need, priority, 0) is None:
        assert load.resident_bytes + need.memory_bytes <= BUDGETS.memory_bytes
        assert load.promised.spool_bytes + need.spool_bytes <= BUDGETS.spool_bytes


@given(LOADS, NEEDS, PRIORITIES)
def test_the_first_request_is_let_in_whatever_the_figures_say(load: Load, need: Need, priority: int) -> None:
    empty = Load(0, Need(), load.resident_bytes, load.idle_bytes, load.loop_lag_s, load.queue_s)
    assert judge(empty, BUDGETS, need, priority, 0) is None


@given(LOADS, NEEDS, PRIORITIES)
def test_without_budgets_there_is_always_room(load: Load, need: Need, priority: int) -> None:
    assert judge(load, Budgets(), need, priority, 0) is None


@pytest.mark.parametrize(("priority", "refused_from_s"), [(0, 0.126), (5, 0.251), (9, 0.351)])
def test_the_default_priority_is_refused_at_the_lag_that_was_set_and_others_before_or_after(
    priority: int, refused_from_s: float
) -> None:
    late, not_yet = Load(1, loop_lag_s=refused_from_s), Load(1, loop_lag_s=refused_from_s - 0.002)
    shed = judge(late, BUDGETS, Need(), priority, 0)
    assert shed is not None
    assert shed.reason == "cpu"
    assert judge(not_yet, BUDGETS, Need(), priority, 0) is None


def test_a_long_queue_for_the_image_processes_is_waited_out() -> None:
    shed = judge(Load(1, queue_s=12), BUDGETS, Need(), 5, 0)
    assert shed is not None
    assert (shed.reason, shed.wait_s) == ("queue", 12)


def test_memory_is_promised_before_it_is_taken() -> None:
    load = Load(50, Need(memory_bytes=700 * MB), resident_bytes=120 * MB, idle_bytes=100 * MB)
    shed = judge(load, BUDGETS, Need(memory_bytes=100 * MB), 5, 0)
    assert shed is not None
    assert shed.reason == "memory"


def test_the_wait_is_how_long_what_runs_takes_to_make_room() -> None:
    load = Load(5, Need(0, 90 * MB), freed_bytes_per_s=5 * MB)
    need = Need(0, 35 * MB)
    shed = judge(load, BUDGETS, need, 9, 0)
    assert shed is not None
    assert shed.wait_s == pytest.approx(25 / 5)
    jittered = judge(load, BUDGETS, need, 9, 0.8)
    assert jittered is not None
    assert jittered.wait_s == pytest.approx(5 * 1.2)


def test_ten_images_take_ten_times_the_disk_and_small_ones_what_large_ones_do() -> None:
    assert need_of(10, SQUARE).spool_bytes == 10 * need_of(1, SQUARE).spool_bytes
    assert need_of(1, Size(256, 256)) == need_of(1, SQUARE)
    assert need_of(1, Size(2048, 2048)).spool_bytes == 4 * need_of(1, SQUARE).spool_bytes


def test_priorities_have_three_classes_and_ever_larger_shares() -> None:
    assert [class_of(priority) for priority in range(10)] == ["low"] * 4 + ["normal"] * 3 + ["high"] * 3
    shares = [share_of(priority) for priority in range(10)]
    assert shares == sorted(set(shares))
    assert shares[0] == pytest.approx(0.7)
    assert shares[9] == 1.0
    assert inf not in shares
