import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policies.byte_ranges import Part, Unsatisfiable, requested_range


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("bytes=0-9", Part(0, 10)),
        ("bytes=90-", Part(90, 100)),
        ("bytes=90-500", Part(90, 100)),
        ("bytes=-10", Part(90, 100)),
        ("bytes=-500", Part(0, 100)),
        (" bytes=5-5 ", Part(5, 6)),
    ],
)
def test_a_single_range_is_served(header: str, part: Part) -> None:
    assert requested_range(header, 100) == part


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=500-600", "bytes=-0"])
def test_a_range_outside_the_file_cannot_be_satisfied(header: str) -> None:
    assert isinstance(requested_range(header, 100), Unsatisfiable)


@pytest.mark.parametrize(
    "header", [None, "", "bytes=-", "bytes=9-1", "items=0-1", "bytes=0-1,3-4", "bytes=a-b", "bytes=" + "0-1," * 9999]
)
def test_what_is_no_single_range_means_the_whole_file(header: str | None) -> None:
    assert requested_range(header, 100) is None


@given(header=st.text() | st.from_regex(r"bytes=\d*-\d*"), length=st.integers(0, 10**9))
def test_a_part_is_never_empty_and_lies_inside_the_file(header: str, length: int) -> None:
    part = requested_range(header, length)
    if isinstance(part, Part):
        assert 0 <= part.start < part.end <= length
