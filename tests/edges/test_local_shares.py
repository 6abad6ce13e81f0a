import pytest

from gateway.edges.local_shares import LocalShares
from gateway.policies.buckets import Dimension, Granted, Lease, Refused

SECOND_US = 1_000_000


def bucket(key: str = "a", cost: int = 1) -> Dimension:
    return Dimension("requests", "key", key, per_minute=60, burst=60, cost=cost)


def remaining(shares: LocalShares, one: Dimension, now_us: int) -> int:
    decision = shares.take("op", [one], [], now_us)
    assert isinstance(decision, Granted)
    return decision.meters[0].remaining


def test_it_begins_with_its_part_of_what_redis_last_said() -> None:
    shares = LocalShares(3)
    shares.observe([bucket()], [30 * SECOND_US], now_us=0)
    assert remaining(shares, bucket(cost=0), 0) == 10
    assert remaining(shares, bucket(cost=0), 3 * SECOND_US) == 11


def test_of_replies_out_of_order_the_emptier_bucket_counts() -> None:
    shares = LocalShares(1)
    shares.observe([bucket()], [20 * SECOND_US], now_us=0)
    shares.observe([bucket()], [10 * SECOND_US], now_us=0)
    assert remaining(shares, bucket(cost=0), 0) == 40


def test_full_buckets_are_forgotten_and_others_kept() -> None:
    shares = LocalShares(1)
    for number in range(3000):
        shares.observe([bucket(str(number))], [SECOND_US], now_us=number * 1000)
    assert len(shares._full_at_us) <= 2 * 1024
    assert remaining(shares, bucket("2999", cost=0), 2999 * 1000) == 59


def test_holders_whose_time_is_up_are_forgotten() -> None:
    shares, lease = LocalShares(1), Lease("key", "a", 2, ttl_ms=1000)
    for number in range(100):
        shares.hold(str(number), [lease], now_us=number * SECOND_US)
    assert len(shares._ends_us[lease.bucket]) == 1
    assert isinstance(shares.take("x", [], [lease], 99 * SECOND_US), Granted)
    assert isinstance(shares.take("y", [], [lease], 99 * SECOND_US), Refused)
    shares.drop("x", [lease])
    assert isinstance(shares.take("y", [], [lease], 99 * SECOND_US), Granted)
    assert isinstance(shares.take("z", [], [lease], 100 * SECOND_US), Granted)


def test_dropping_the_last_holder_leaves_nothing() -> None:
    shares, lease = LocalShares(1), Lease("key", "a", 2, ttl_ms=1000)
    shares.hold("x", [lease], 0)
    shares.drop("x", [lease])
    shares.drop("x", [lease])
    assert shares._ends_us == {}


def test_dropping_one_holder_leaves_the_others() -> None:
    shares, lease = LocalShares(1), Lease("key", "a", 2, ttl_ms=1000)
    for op_id in ("x", "y"):
        shares.hold(op_id, [lease], 0)
    shares.drop("x", [lease])
    assert isinstance(shares.take("z", [], [lease], 0), Granted)
    assert isinstance(shares.take("one more", [], [lease], 0), Refused)


def test_what_was_granted_here_is_owed_once_and_less_what_was_given_back_or_has_grown_back() -> None:
    shares, key = LocalShares(2), bucket().bucket
    shares.take("x", [bucket(cost=5)], [], 0)
    shares.give_back(Granted((), degraded=True), [bucket(cost=2)], 0)
    assert shares.owed(1) == {key: 3 * SECOND_US - 1}
    assert shares.owed(1) == {}
    shares.take("y", [bucket(cost=2)], [], SECOND_US)
    assert shares.owed(3 * SECOND_US) == {}


def test_nobody_shares_with_nobody() -> None:
    with pytest.raises(ValueError, match="0 replicas"):
        LocalShares(0)


def test_a_taking_seen_in_redis_is_given_back_by_the_whole_limits_measure() -> None:
    shares = LocalShares(2)
    shares.observe([bucket()], [40 * SECOND_US], now_us=0)
    shares.give_back(Granted(()), [bucket(cost=20)], 0)
    assert remaining(shares, bucket(cost=0), 0) == 20
    shares.give_back(Granted((), degraded=True), [bucket(cost=5)], 0)
    assert remaining(shares, bucket(cost=0), 0) == 25
