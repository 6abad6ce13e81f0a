from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.catalogue import Account, Strategy, Target
from gateway.domain.money import Price
from gateway.policies.routing import Standing, answers_to, order

standings = st.builds(
    Standing,
    wait_s=st.sampled_from([0.0, 0.0, 0.0, 2.0, 1.0]),
    weight=st.integers(1, 100),
    in_flight=st.integers(0, 50),
    price_microusd=st.integers(1, 100_000),
)
chances = st.floats(0, 1, exclude_max=True)
READY = Standing(0.0, 1, 0, 1000)


@given(st.lists(standings, max_size=8), st.sampled_from(Strategy), chances)
def test_every_target_comes_once_and_the_healthy_come_first(
    given_standings: list[Standing], strategy: Strategy, chance: float
) -> None:
    ranked = order(given_standings, strategy, chance)
    assert sorted(ranked) == list(range(len(given_standings)))
    waits = [given_standings[place].wait_s for place in ranked]
    assert waits == sorted(waits)


@given(st.lists(standings, min_size=1, max_size=8), chances)
def test_the_strategies_keep_their_word_among_the_healthy(given_standings: list[Standing], chance: float) -> None:
    healthy = [place for place, one in enumerate(given_standings) if one.wait_s == 0]

    def ranked(strategy: Strategy) -> list[int]:
        return [place for place in order(given_standings, strategy, chance) if place in healthy]

    assert ranked(Strategy.ORDERED) == healthy
    assert ranked(Strategy.CHEAPEST) == sorted(healthy, key=lambda at: (given_standings[at].price_microusd, at))
    assert ranked(Strategy.LEAST_BUSY) == sorted(healthy, key=lambda at: (given_standings[at].in_flight, at))


def test_weighted_targets_get_their_shares_also_as_second_choice() -> None:
    weights = (6, 3, 1)
    targets = [Standing(0.0, weight, 0, 1000) for weight in weights]
    draws = 100_000
    orders = Counter(order(targets, Strategy.WEIGHTED, (draw + 0.5) / draws) for draw in range(draws))
    first, second = Counter[int](), Counter[int]()
    for ranked, times in orders.items():
        first[ranked[0]] += times
        second[ranked[:2] == (0, 1)] += times
    assert [first[place] / draws for place in range(3)] == pytest.approx([0.6, 0.3, 0.1], abs=0.001)
    assert second[True] / draws == pytest.approx(0.6 * 3 / 4, abs=0.001)


def test_a_target_to_be_left_alone_gets_nothing_however_heavy_or_cheap() -> None:
    shut = Standing(wait_s=5.0, weight=1000, in_flight=0, price_microusd=1)
    for strategy in Strategy:
        assert order([shut, READY], strategy, 0.0) == (1, 0)


def test_a_caller_names_an_account_or_what_replies_show() -> None:
    target = Target(Account("openai-eu", "openai"), "openai_images", "gpt-image-2", Price(flat=1))
    assert answers_to(target, "openai-eu")
    assert answers_to(target, "openai/gpt-image-2")
    assert not answers_to(target, "openai")
    assert not answers_to(target, "gpt-image-2")
