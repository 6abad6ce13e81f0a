from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.policies.buckets import (
    LEASE_WAIT_MS,
    Dimension,
    Granted,
    Impossible,
    Lease,
    Meter,
    Refused,
    give_back,
    meter_of,
    take,
)

NOW_US = 1_763_806_000_123_456  # a moment of 16 digits, as the server's clock gives


def bucket(
    cost: int = 1,
    *,
    per_minute: int = 60,
    burst: int = 60,
    name: Literal["requests", "images"] = "requests",
    key: str = "a",
) -> Dimension:
    return Dimension(name, "key", key, per_minute, burst, cost)


dimensions = st.builds(
    Dimension,
    name=st.sampled_from(["requests", "images"]),
    scope=st.sampled_from(["key", "tenant", "model"]),
    key=st.sampled_from("ab"),
    per_minute=st.integers(1, 1_000_000),
    burst=st.integers(1, 500),
    cost=st.integers(0, 20),
)


def test_a_fresh_bucket_grants_its_whole_burst_at_once_and_not_one_more() -> None:
    full_at: dict[str, int] = {}
    for left in range(59, -1, -1):
        taken = take(full_at, {}, NOW_US, [bucket()])
        assert isinstance(taken.decision, Granted)
        assert taken.decision.meters[0].remaining == left
        full_at |= taken.full_at_us
    refused = take(full_at, {}, NOW_US, [bucket()]).decision
    assert isinstance(refused, Refused)
    assert refused.wait_ms == 1000
    assert refused.by == bucket()


def test_a_refusal_remembers_nothing_and_takes_from_no_dimension() -> None:
    empty, full = bucket(per_minute=1, burst=1), bucket(name="images", cost=3)
    full_at = {empty.bucket: NOW_US + 60_000_000}
    taken = take(full_at, {}, NOW_US, [full, empty])
    assert isinstance(taken.decision, Refused)
    assert taken.decision.by == empty
    assert taken.full_at_us == {}
    assert taken.decision.meters[0].remaining == 60


def test_the_longest_wait_of_all_dimensions_is_told() -> None:
    slow, fast = bucket(per_minute=1, burst=1), bucket(name="images", per_minute=600, burst=1)
    full_at = {slow.bucket: NOW_US + 60_000_000, fast.bucket: NOW_US + 100_000}
    decision = take(full_at, {}, NOW_US, [fast, slow]).decision
    assert isinstance(decision, Refused)
    assert (decision.by, decision.wait_ms) == (slow, 60_000)


def test_more_than_the_burst_is_impossible_however_full_the_bucket() -> None:
    assert take({}, {}, NOW_US, [bucket(), bucket(11, burst=10, name="images")]).decision == Impossible(
        bucket(11, burst=10, name="images")
    )


def test_a_lease_counts_places_only_after_the_buckets_agreed() -> None:
    lease = Lease("key", "a", 2, 1000)
    assert isinstance(take({}, {lease.bucket: 1}, NOW_US, [bucket()], [lease]).decision, Granted)
    refused = take({}, {lease.bucket: 2}, NOW_US, [bucket()], [lease])
    assert isinstance(refused.decision, Refused)
    assert (refused.decision.by, refused.decision.wait_ms) == (lease, LEASE_WAIT_MS)
    assert refused.decision.meters == (meter_of(bucket(), 0),)
    assert refused.full_at_us == {}


def test_a_microsecond_too_few_is_too_few() -> None:
    full_at = {bucket().bucket: NOW_US + 59_000_001}
    decision = take(full_at, {}, NOW_US, [bucket()]).decision
    assert isinstance(decision, Refused)
    assert decision.wait_ms == 1
    assert isinstance(take(full_at, {}, NOW_US + 1, [bucket()]).decision, Granted)


def test_a_clock_that_jumped_back_costs_at_most_one_refill() -> None:
    an_hour_ahead = {bucket().bucket: NOW_US + 3_600_000_000}
    decision = take(an_hour_ahead, {}, NOW_US, [bucket()]).decision
    assert isinstance(decision, Refused)
    assert decision.wait_ms == 1000


def test_a_lowered_limit_binds_at_once_and_for_one_minute_at_most() -> None:
    used_up = take({}, {}, NOW_US, [bucket(600, per_minute=600, burst=600)]).full_at_us
    decision = take(used_up, {}, NOW_US, [bucket(per_minute=60, burst=10)]).decision
    assert isinstance(decision, Refused)
    assert decision.wait_ms == 1000


@settings(deadline=None)
@given(st.lists(dimensions, min_size=1, max_size=4, unique_by=lambda one: one.bucket), st.data())
def test_waiting_as_long_as_told_succeeds_and_a_millisecond_less_fails(
    asked: list[Dimension], data: st.DataObject
) -> None:
    full_at = {one.bucket: NOW_US + data.draw(st.integers(0, one.interval_us * one.burst)) for one in asked}
    decision = take(full_at, {}, NOW_US, asked).decision
    if isinstance(decision, Refused):
        assert isinstance(take(full_at, {}, NOW_US + decision.wait_ms * 1000, asked).decision, Granted)
        assert isinstance(take(full_at, {}, NOW_US + (decision.wait_ms - 1) * 1000, asked).decision, Refused)
    elif isinstance(decision, Impossible):
        assert decision.dimension.cost > decision.dimension.burst
    else:
        assert all(meter.remaining >= 0 for meter in decision.meters)


@settings(deadline=None)
@given(
    st.integers(1, 100_000),
    st.integers(1, 50),
    st.integers(1, 4),
    st.lists(st.tuples(st.integers(0, 5_000_000), st.integers(1, 10)), max_size=60),
)
def test_no_sequence_of_calls_gets_more_than_burst_plus_refill(
    per_minute: int, burst: int, replicas: int, calls: list[tuple[int, int]]
) -> None:
    """Over all replicas' shares together, too; where there are more replicas than units, each still has one."""
    units, elapsed_us = 0, 0
    states: list[dict[str, int]] = [{} for _ in range(replicas)]
    interval_us = bucket(per_minute=per_minute).interval_us
    for step_us, cost in calls:
        elapsed_us += step_us
        for state in states:
            one = bucket(min(cost, burst), per_minute=per_minute, burst=burst)
            taken = take(state, {}, NOW_US + elapsed_us, [one], replicas=replicas)
            state.update(taken.full_at_us)
            units += one.cost if isinstance(taken.decision, Granted) else 0
        assert units * interval_us <= max(burst, replicas) * interval_us + elapsed_us


@settings(deadline=None)
@given(dimensions, st.integers(0, 10**9))
def test_giving_back_undoes_taking_and_never_overfills(one: Dimension, later_us: int) -> None:
    taken = take({}, {}, NOW_US, [one])
    back = give_back(taken.full_at_us, NOW_US + later_us, [one])
    assert back[one.bucket] == NOW_US + later_us


def test_a_part_given_back_is_that_part() -> None:
    taken = take({}, {}, NOW_US, [bucket(20)])
    assert give_back(taken.full_at_us, NOW_US, [bucket(5)]) == {bucket().bucket: NOW_US + 15_000_000}


def test_a_meter_tells_whose_bucket_it_is_and_how_it_stands() -> None:
    one = Dimension("images", "tenant", "acme", 60, 10, 1)
    assert meter_of(one, 2_500_001) == Meter("images", "tenant", 10, 60, 7, 2_501)


def test_a_share_is_a_replicas_part_of_rate_and_burst_but_at_least_one_unit() -> None:
    assert meter_of(bucket(burst=10), 0, 3).remaining == 3
    assert meter_of(bucket(burst=2), 0, 3).remaining == 1
    full_at = dict(take({}, {}, NOW_US, [bucket(3, burst=10)], replicas=3).full_at_us)
    refused = take(full_at, {}, NOW_US, [bucket(burst=10)], replicas=3).decision
    assert isinstance(refused, Refused)
    assert refused.wait_ms == 3000


def test_places_are_shared_out_too() -> None:
    lease = Lease("key", "a", 7, 1000)
    assert isinstance(take({}, {lease.bucket: 1}, NOW_US, [], [lease], replicas=3).decision, Granted)
    assert isinstance(take({}, {lease.bucket: 2}, NOW_US, [], [lease], replicas=3).decision, Refused)
    assert isinstance(take({}, {}, NOW_US, [], [lease], replicas=8).decision, Granted)


def test_the_interval_is_rounded_so_that_it_can_only_admit_less() -> None:
    assert bucket(per_minute=7).interval_us == 8_571_429
    assert bucket(per_minute=60).interval_us == 1_000_000


@pytest.mark.parametrize(("per_minute", "burst", "cost"), [(0, 1, 1), (1, 0, 1), (1, 1, -1)])
def test_a_bucket_without_sense_is_rejected(per_minute: int, burst: int, cost: int) -> None:
    with pytest.raises(ValueError, match="impossible bucket"):
        bucket(cost, per_minute=per_minute, burst=burst)


@pytest.mark.parametrize(("limit", "ttl_ms"), [(0, 1), (1, 0)])
def test_a_lease_without_sense_is_rejected(limit: int, ttl_ms: int) -> None:
    with pytest.raises(ValueError, match="impossible lease"):
        Lease("key", "a", limit, ttl_ms)
