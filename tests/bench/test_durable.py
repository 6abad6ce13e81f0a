import pytest

from bench import crowd, durable, nginx
from bench.results import Plan


@pytest.mark.slow
@pytest.mark.skipif(bool(nginx.missing() or crowd.missing()), reason="nginx and wrk are needed")
def test_the_waits_for_redis_and_the_disk_are_told_apart() -> None:
    outcome = durable.run(Plan(rounds=1, seconds=0.5))
    assert len(outcome.rounds) == len(outcome.tables[0].rows) == 4
    for row in outcome.rounds:
        assert row["errors"] == 0
        assert row["before_ms"] > 0
        assert row["forced_ms"] > 0
        assert row["after_ms"] > 0
        assert row["together"] >= 1
        assert 0 < row["forced_each"] < 2
    crowded = [row["together"] for row in outcome.rounds if row["load"] == "50 at a time"]
    assert min(crowded) > 2  # they share the disk
