"""One run through all the trouble there is: which alerts fired when, and what every panel showed."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.observability import site as at
from tests.observability.panels import Expression, expressions

__all__ = ["Run", "drive"]

AT_FIRST = frozenset({"SamuraiNativeModelRetires"})
IN_TROUBLE = frozenset(
    {
        "SamuraiErrorBudgetBurnFast",
        "SamuraiVendorCredentials",
        "SamuraiVendorBilling",
        "SamuraiNativeModelGone",
        "SamuraiBreakerOpen",
        "SamuraiUnknownOutcomes",
        "SamuraiBudgetNearlyUsed",
        "SamuraiShedding",
        "SamuraiConfigRefused",
        "SamuraiLoopLag",
        "SamuraiStoreTrouble",
        "SamuraiRedisMayForget",
    }
)
IN_SILENCE = frozenset({"SamuraiRedisDegraded", "SamuraiInstanceDown", "SamuraiNoTraffic"})
AT_THE_END = frozenset({"SamuraiAbsent"})
# A day's and six hours' patience is not for a run of a minute: the unit tests of the rules show these.
NOT_LIVE = frozenset({"SamuraiSuspenseUnresolved", "SamuraiErrorBudgetBurnSlow"})

_WATCHED_DEADLINE_S = 30.0
_HEALTHY_S = 8.0
_TROUBLE_DEADLINE_S = 120.0
_SILENCE_DEADLINE_S = 60.0
_END_DEADLINE_S = 30.0


@dataclass(frozen=True)
class Run:
    """The alerts of each phase; the series of every expression, one value a second; and when each phase began.

    `replicas` names the gateways by what Prometheus calls them.
    """

    at_first: frozenset[str]
    in_trouble: frozenset[str]
    in_silence: frozenset[str]
    at_the_end: frozenset[str]
    shown: Mapping[Expression, list[dict[str, Any]]]
    started: float
    moments: Mapping[str, float]
    replicas: Mapping[str, str]


def drive(site: at.Site) -> Run:
    """Be healthy, get into trouble, fall silent, vanish. Fails when an alert does not come in its phase."""
    site.until_watched(_WATCHED_DEADLINE_S)
    started = time.time()
    moments = {}
    at_first: set[str] = set()
    with at.healthy(site):
        end = time.monotonic() + _HEALTHY_S
        while time.monotonic() < end:
            at_first |= site.prometheus.firing()
            time.sleep(0.2)
        moments["trouble"] = time.time()
        at.script_trouble(site)
        at.break_the_configuration(site)
        at.break_the_store(site)
        at.let_redis_forget(site)
        with at.troubled(site), at.hold_up_the_loop(site):
            in_trouble = site.until_firing(set(IN_TROUBLE), _TROUBLE_DEADLINE_S)
    moments["silence"] = time.time()
    site.redis.pause()
    site.two.process.kill()
    in_silence = site.until_firing(set(IN_SILENCE), _SILENCE_DEADLINE_S)
    at.ask_without_redis(site)
    shown = {
        one: site.prometheus.query_range(one.expr, started, time.time(), 1.0) for one in dict.fromkeys(expressions())
    }
    site.one.process.kill()
    at_the_end = site.until_firing(set(AT_THE_END), _END_DEADLINE_S)
    return Run(
        frozenset(at_first),
        frozenset(in_trouble),
        frozenset(in_silence),
        frozenset(at_the_end),
        shown,
        started,
        moments,
        {one.admin_url.removeprefix("http://"): name for one, name in ((site.one, "one"), (site.two, "two"))},
    )
