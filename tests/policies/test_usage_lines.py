from hypothesis import given
from hypothesis import strategies as st

from gateway.policies.usage_lines import COLUMNS, Usage, line_name, report

names = st.text(max_size=8)
MEASURES = ("requests", "refused_images", "delivered", "billed", "cost_microusd")


def test_a_report_sums_over_what_it_is_not_grouped_by() -> None:
    books = {
        "2026-11-21": [(line_name("a", None, "flux", "replicate/x", "billed"), 2)],
        "2026-11-22": [
            (line_name("a", None, "flux", "replicate/x", "billed"), 3),
            (line_name("b", "acme", "flux", "", "refused_budget"), 4),
        ],
    }
    rows = report(books, ("key",))
    assert [(row.group, row.usage.billed, row.usage.refused) for row in rows] == [(("a",), 5, 0), (("b",), 0, 4)]
    assert [row.group for row in report(books, ("day", "tenant"))] == [
        ("2026-11-21", ""),
        ("2026-11-22", ""),
        ("2026-11-22", "acme"),
    ]


def test_a_line_of_a_later_version_is_left_out() -> None:
    assert report({"2026-11-22": [(line_name("a", None, "m", "v", "votes"), 2)]}, ("key",)) == ()


@given(st.lists(st.tuples(names, names, names, names, st.sampled_from(MEASURES), st.integers(0, 99))))
def test_nothing_is_lost_whatever_the_names_and_the_grouping(lines: list[tuple[str, str, str, str, str, int]]) -> None:
    books = {"2026-11-22": [(line_name(*line[:5]), line[5]) for line in lines]}
    for by in (COLUMNS, ("key",), ("vendor", "day")):
        rows = report(books, by)
        assert [row.group for row in rows] == sorted({row.group for row in rows})
        total = Usage(*(sum(getattr(row.usage, name) for row in rows) for name in Usage.__slots__))
        for measure in MEASURES:
            assert getattr(total, measure) == sum(line[5] for line in lines if line[4] == measure)
