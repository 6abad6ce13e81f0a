"""Dashboards and alerts against reality: a real Prometheus, two gateways and the sandbox, and trouble of every kind.

One run of about a minute shows it all; a minute of the rules is a second here.
"""

from collections.abc import Iterator

import pytest

from tests.observability import run as phases
from tests.observability.panels import Expression, expressions
from tests.observability.prometheus import needs_prometheus
from tests.observability.run import Run, drive
from tests.observability.site import site
from tests.observability.test_rules import alerts

pytestmark = [needs_prometheus, pytest.mark.slow]

# What this run has no occasion for: these lines stay at zero. They are drawn all the same.
_STILL = {
    "Recovered operations",
    "Calls back",
}
# Gauges of what passes quickly: whether a look once a second catches it is chance.
_MAY_BE_STILL = {
    ("Image processes", "busy"),
    ("Memory", "{{instance}} images"),
    ("Image processes", "waiting"),
    ("Image processes", "lost"),
    ("Image processes: time", "longest wait"),
}
_MAY_BE_STILL |= {("Retries", "{{account}} denied"), ("Reserved", ""), ("Reserved", "reserved")}
_MAY_COME_EARLY = {"SamuraiLoopLag"}  # on a machine that is busy with other things


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    with site(tmp_path_factory.mktemp("site")) as running:
        yield drive(running)


def test_while_all_is_well_only_the_model_that_retires_is_told(seen: Run) -> None:
    assert seen.at_first - _MAY_COME_EARLY == phases.AT_FIRST


def test_every_alert_fires_in_the_trouble_that_it_is_for(seen: Run) -> None:
    assert seen.in_trouble >= phases.IN_TROUBLE
    assert seen.in_silence >= phases.IN_SILENCE
    assert seen.at_the_end >= phases.AT_THE_END


def test_what_comes_after_the_trouble_does_not_fire_during_it(seen: Run) -> None:
    # A gateway that is held up may well look as if it, or its Redis, were away for a moment.
    assert not seen.in_trouble & {"SamuraiNoTraffic", "SamuraiAbsent"}
    assert not seen.in_silence & phases.AT_THE_END


def test_every_alert_is_shown_live_or_needs_more_patience_than_a_run_has() -> None:
    live = phases.AT_FIRST | phases.IN_TROUBLE | phases.IN_SILENCE | phases.AT_THE_END
    assert live | phases.NOT_LIVE == set(alerts())
    assert not live & phases.NOT_LIVE


@pytest.mark.parametrize("one", list(expressions()), ids=lambda one: f"{one.dashboard}/{one.panel}/{one.legend or '-'}")
def test_every_panel_shows_data_and_the_trouble_moves_it(one: Expression, seen: Run) -> None:
    points = [float(value) for series in seen.shown[one] for _, value in series["values"]]
    assert points
    if one.panel not in _STILL and (one.panel, one.legend) not in _MAY_BE_STILL:
        assert any(points)
