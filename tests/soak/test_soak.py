"""The soak's short form, and its measure: a leak is told from noise."""

import asyncio
import random
import secrets
import sys

from tests.soak.run import SHORT, soaked
from tests.soak.slopes import Tolerance, slope, trend

_HOUR = [(float(at), 100.0) for at in range(0, 3600, 5)]


def test_a_steady_figure_with_noise_and_strays_is_flat() -> None:
    dice = random.Random(1)
    noisy = [(at, value + dice.gauss(0, 5) + (500 if at % 600 == 0 else 0)) for at, value in _HOUR]
    seen = trend(noisy, Tolerance(4, 0.05))
    assert seen.is_flat
    assert abs(seen.growth_an_hour) < 4


def test_a_leak_beneath_the_noise_is_not_flat() -> None:
    dice = random.Random(2)
    leaking = [(at, value + dice.gauss(0, 5) + at / 3600 * 15) for at, value in _HOUR]
    seen = trend(leaking, Tolerance(4, 0.05))
    assert not seen.is_flat
    assert abs(seen.growth_an_hour - 15) < 4


def test_a_falling_figure_is_no_leak_and_a_single_point_has_no_slope() -> None:
    assert trend([(at, value - at) for at, value in _HOUR], Tolerance(0)).is_flat
    assert slope(_HOUR[:1]) == 0


def test_a_load_with_faults_leaves_nothing_behind_and_the_books_agree() -> None:
    seed = secrets.token_hex(4)
    sys.stdout.write(f"seed {seed}\n")
    seen = asyncio.run(soaked(seed, SHORT))
    assert seen.undocumented == []
    assert seen.outbursts == []
    assert seen.left_behind == {}
    assert seen.reckoning.is_clean, seen.reckoning
    assert seen.reckoning.delivered > 10
    assert seen.answers["ok"] > 10
    assert sum(seen.troubles.values()) > 3
    assert all(len(seen.series[name]) > 5 for name in seen.trends)
