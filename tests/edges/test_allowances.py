"""The bookkeeping of what a replica may spend by itself; the talking to Redis is tested with the purses."""

from gateway.domain.money import Budget
from gateway.edges.allowances import IDLE_US, LARGEST_MICROUSD, LIFE_US, RENEW_US, Allowance, Allowances
from gateway.policies.purses import Purse, Reservation

NOW_US = 10**12
PURSE = Purse("key", "k", Budget(total_microusd=10**9))
OTHER = Purse("tenant", "t", Budget(total_microusd=10**9))


def call(microusd: int, *purses: Purse) -> Reservation:
    return Reservation(purses or (PURSE,), microusd, 60_000)


def seen(left: int, microusd: int = 10, at_us: int = NOW_US) -> Allowances:
    """One call was granted, and `left` was left in the purse after it."""
    allowances = Allowances()
    allowances.observe(call(microusd), [left], at_us)
    return allowances


def held(left: int, microusd: int, ends_us: int = NOW_US + LIFE_US) -> Allowances:
    """As above, and an allowance of `microusd` was set aside."""
    allowances = seen(left)
    allowances.add(Allowance("set aside", PURSE, microusd, ends_us))
    return allowances


def retired(allowances: Allowances, now_us: int = NOW_US) -> list[int]:
    """What each allowance that goes back had been spent of."""
    allowances.retire(now_us)
    return [one.spent_microusd for one in allowances.returned().values()]


def test_a_hundredth_of_what_is_left_is_wanted_a_dollar_at_most() -> None:
    assert list(seen(4_000).wanted(NOW_US)) == [(PURSE, 40)]
    assert list(seen(10**9).wanted(NOW_US)) == [(PURSE, LARGEST_MICROUSD)]
    assert list(held(4_000, 40).wanted(NOW_US)) == []


def test_what_would_not_pay_for_one_call_is_not_wanted() -> None:
    assert list(seen(1_000, 10).wanted(NOW_US)) == [(PURSE, 10)]
    assert list(seen(999, 10).wanted(NOW_US)) == []
    assert list(seen(-50, 10).wanted(NOW_US)) == []


def test_an_idle_purse_wants_nothing() -> None:
    assert list(seen(4_000).wanted(NOW_US + IDLE_US - 1)) == [(PURSE, 40)]
    assert list(seen(4_000).wanted(NOW_US + IDLE_US)) == []


def test_exactly_enough_is_enough_and_every_purse_must_have_it() -> None:
    allowances = held(4_000, 40)
    assert allowances.lacking(call(40), NOW_US) is None
    assert allowances.lacking(call(41), NOW_US) == PURSE
    assert allowances.lacking(call(40, PURSE, OTHER), NOW_US) == OTHER
    allowances.spend("op", call(15))
    assert allowances.lacking(call(25), NOW_US) is None
    assert allowances.lacking(call(26), NOW_US) == PURSE


def test_an_unused_allowance_stays() -> None:
    assert retired(held(4_000, 40)) == []


def test_whatever_was_spent_of_it_sends_it_back() -> None:
    allowances = held(4_000, 40)
    allowances.spend("op", call(30))
    assert allowances.settle("op", 1)
    assert retired(allowances) == [1]


def test_it_goes_back_a_while_before_its_end() -> None:
    assert retired(held(4_000, 40, NOW_US + RENEW_US)) == []
    assert retired(held(4_000, 40, NOW_US + RENEW_US - 1)) == [0]


def test_it_goes_back_when_it_is_more_than_twice_what_the_purse_deserves() -> None:
    assert retired(held(2_000, 40)) == []
    assert retired(held(1_900, 40)) == [0]


def test_it_goes_back_when_its_purse_is_idle_or_unknown() -> None:
    assert retired(held(4_000, 40), NOW_US + IDLE_US) == [0]
    unknown = Allowances()
    unknown.add(Allowance("set aside", PURSE, 40, NOW_US + LIFE_US))
    assert retired(unknown) == [0]


def test_it_goes_back_only_when_nobody_draws_on_it_and_with_what_was_spent_last() -> None:
    allowances = held(4_000, 40)
    allowances.spend("op", call(30))
    assert retired(allowances) == []
    assert allowances.settle("op", 12)
    assert not allowances.settle("op", 12)
    assert retired(allowances) == [12]
