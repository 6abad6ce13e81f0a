from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policies.asset_id import RANDOM_BYTES, hour_of, new_asset_id, valid_asset_id

SEVEN_O_CLOCK = datetime(2026, 1, 31, 7, 59, 59, tzinfo=UTC).timestamp()


@given(now=st.floats(0, 4e9), chance=st.binary(min_size=16, max_size=40))
def test_every_new_id_is_valid_and_carries_its_hour(now: float, chance: bytes) -> None:
    made = new_asset_id(now, chance)
    assert valid_asset_id(made)
    hour = hour_of(made[:10])
    assert hour is not None
    assert hour.timestamp() <= now < hour.timestamp() + 3600


def test_an_id_is_its_hour_in_utc_and_its_chance_in_lower_case() -> None:
    assert new_asset_id(SEVEN_O_CLOCK, bytes(RANDOM_BYTES)) == "2026013107-" + "a" * 32


@given(one=st.binary(min_size=20, max_size=20), other=st.binary(min_size=20, max_size=20))
def test_other_chance_makes_another_id_even_where_case_is_ignored(one: bytes, other: bytes) -> None:
    ids = {new_asset_id(SEVEN_O_CLOCK, chance).lower() for chance in (one, other)}
    assert len(ids) == len({one, other})


@pytest.mark.parametrize("length", [0, 15, 41])
def test_too_little_chance_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="random"):
        new_asset_id(SEVEN_O_CLOCK, bytes(length))


GOOD = new_asset_id(SEVEN_O_CLOCK, bytes(range(20)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "../../etc/passwd",
        "2026013107-../../../../etc/passwd00000",
        GOOD + "/..",
        GOOD + "\n",
        GOOD + ".png",
        GOOD + "\0",
        GOOD.upper(),
        GOOD.replace("-", "/"),
        GOOD.replace("2026013107", "2026023007"),
        GOOD.replace("2026013107", "2026013124"),
        GOOD.replace("2026013107", "\u0662026013107"),
        GOOD.replace("2026013107", "20260131"),
        GOOD[:20],
        "2026013107-" + "a" * 65,
        "%2e%2e%2f" + GOOD,
    ],
)
def test_what_is_no_id_is_refused(text: str) -> None:
    assert not valid_asset_id(text)


@given(st.text())
def test_no_text_makes_it_raise_and_what_passes_is_safe_in_a_path(text: str) -> None:
    if valid_asset_id(text):
        assert not set(text) & set("./\\\0%")
