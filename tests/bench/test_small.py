import pytest

from bench import crowd, nginx, small
from bench.results import Plan


@pytest.mark.slow
@pytest.mark.skipif(bool(nginx.missing() or crowd.missing()), reason="nginx and wrk are needed")
def test_the_harness_measures_the_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small, "_WARM_S", 0.5)
    outcome = small.run(Plan(rounds=1, seconds=0.5, only=frozenset({"gateway"})))
    closed, opened = outcome.rounds
    assert closed["who"] == opened["who"] == "gateway"
    assert closed["errors"] == opened["errors"] == 0
    assert closed["requests"] > 0
    assert closed["cpu_us"] > 10
    assert closed["redis_cpu_us"] > 0
    assert closed["rss_peak_mb"] > 20
    assert {verdict.goal for verdict in outcome.verdicts} == {1}
    assert [verdict.met for verdict in outcome.verdicts[1:3]] == [None, None]  # no peer was asked
