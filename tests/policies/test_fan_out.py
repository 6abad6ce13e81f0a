from hypothesis import given
from hypothesis import strategies as st

from gateway.policies.fan_out import split


def test_ten_images_at_four_a_call_are_three_calls() -> None:
    assert split(10, 4) == (4, 4, 2)


@given(images=st.integers(1, 100), per_call=st.integers(1, 20))
def test_the_calls_make_exactly_the_images_and_are_the_fewest_possible(images: int, per_call: int) -> None:
    calls = split(images, per_call)
    assert sum(calls) == images
    assert all(1 <= call <= per_call for call in calls)
    assert len(calls) == -(-images // per_call)
