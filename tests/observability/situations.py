"""Situations, as the metrics show them minute by minute, and the alerts that each must raise: those and no others.

The alerts are evaluated at minute `at`. A situation is the healthy gateway, with some of its series replaced.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["HEALTHY", "JOB", "SITUATIONS", "Alarm", "Situation"]

_LONG = 1600  # minutes, more than a day
JOB = "samurai"
_WHO = f'instance="a",job="{JOB}"'
_LAGS = ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "+Inf")


@dataclass(frozen=True)
class Alarm:
    """An alert that fires: its labels without name, severity and `job`, which is JOB if not given; and its summary."""

    name: str
    severity: str
    summary: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Situation:
    """`series` are in promtool's notation: `0+60x10` counts up by 60 ten times, `_` is a minute without a sample."""

    name: str
    series: Mapping[str, str]
    alarms: tuple[Alarm, ...] = ()
    at: int = 100
    without: tuple[str, ...] = ()


def _requests(status: int, code: str) -> str:
    return f'samurai_requests_total{{{_WHO},model="dall-e-3",status="{status}",code="{code}"}}'


def _calls(code: str) -> str:
    target = 'model="dall-e-3",account="openai",native_model="gpt-image-2"'
    return f'samurai_vendor_calls_total{{{_WHO},{target},code="{code}"}}'


def _lag(*below: int) -> dict[str, str]:
    """The lag's histogram, of 240 looks a minute; `below` are those below each bound, the last for all the rest."""
    counts = [*below, *[below[-1]] * (len(_LAGS) - len(below))]
    return {
        f'samurai_loop_lag_seconds_bucket{{{_WHO},le="{bound}"}}': f"0+{count}x{_LONG}"
        for bound, count in zip(_LAGS, counts, strict=True)
    }


def _gauge(name: str, **labels: str) -> str:
    extra = "".join(f',{label}="{value}"' for label, value in labels.items())
    return f"samurai_{name}{{{_WHO}{extra}}}"


def _always(value: float) -> str:
    return f"{value:g}+0x{_LONG}"


def _from(minute: int, value: float, before: float = 0) -> str:
    """One value until a minute, and another from then on."""
    return f"{before:g}+0x{minute - 1} {value:g}+0x{_LONG - minute}"


def _burst(minute: int, count: int) -> str:
    """A counter that jumps once."""
    return _from(minute, count)


def _other(series: str) -> str:
    """The same series of a second deployment."""
    return series.replace(_WHO, 'instance="c",job="cell-2",namespace="cells"')


UP = f"up{{{_WHO}}}"
BUILD = f'samurai_build_info{{{_WHO},version="1.0.0"}}'
OK, FAILED = _requests(200, "ok"), _requests(500, "upstream_error")
BREAKER = {
    state: _gauge("vendor_breaker_state", account="openai", state=state) for state in ("closed", "open", "half_open")
}
SHED = _gauge("shed_total", reason="memory", priority="low")
RELOADED = _gauge("config_last_reload_successful")
ENDS = _gauge("native_model_retirement_days", account="openai", native_model="gpt-image-2")
UNKNOWN = _gauge("vendor_unknown_outcomes_total", account="openai")
SUSPENSE = _gauge("suspense_operations", kind="unknown")
BUDGET = _gauge("budget_used_ratio", scope="key", period="day")
REDIS, DEGRADED, FORGETS = _gauge("redis_up"), _gauge("limiter_degraded_total"), _gauge("redis_may_forget")
STORE, NO_STORE = _gauge("store_up"), _requests(500, "asset_store_unavailable")

HEALTHY: Mapping[str, str] = {
    UP: _always(1),
    BUILD: _always(1),
    OK: f"0+600x{_LONG}",
    FAILED: f"0+1x{_LONG}",
    NO_STORE: _always(0),
    _requests(400, "invalid_value"): f"0+300x{_LONG}",
    _requests(429, "rate_limit_requests"): f"0+900x{_LONG}",
    _calls("ok"): f"0+600x{_LONG}",
    _calls("upstream_auth_failed"): _always(0),
    _calls("upstream_billing"): _always(0),
    _calls("upstream_model_unavailable"): _always(0),
    _calls("content_policy_violation"): f"0+30x{_LONG}",
    **_lag(200, 230, 240),
    BREAKER["closed"]: _always(1),
    BREAKER["open"]: _always(0),
    BREAKER["half_open"]: _always(0),
    SHED: _always(0),
    RELOADED: _always(1),
    ENDS: _always(113),
    UNKNOWN: _always(0),
    SUSPENSE: _always(0),
    BUDGET: _always(0.5),
    REDIS: _always(1),
    DEGRADED: _always(0),
    FORGETS: _always(0),
    STORE: _always(1),
}

_FAST = "SamuraiErrorBudgetBurnFast"
_SLOW = "SamuraiErrorBudgetBurnSlow"
_OF_OPENAI = {"account": "openai"}
_OF_A = {"instance": "a"}
_IN_CELL_2 = {"job": "cell-2", "namespace": "cells"}

SITUATIONS = (
    Situation("a healthy gateway, with callers' mistakes, limits that bind and refusals for safety", {}),
    Situation(
        "a quarter of the requests fails, for an hour",
        {FAILED: f"0+1x339 340+200x{_LONG - 340}"},
        (Alarm(_FAST, "page", "25% of the requests fail"),),
        at=400,
    ),
    Situation(
        "a tenth of the requests has been failing for hours: no page, a ticket",
        {FAILED: f"0+67x{_LONG}"},
        (Alarm(_SLOW, "ticket", "10.04% of the requests have been failing for hours"),),
    ),
    Situation("requests failed until an hour ago", {FAILED: f"0+200x30 6000+0x{_LONG - 30}"}),
    Situation(
        "a quiet night: four requests an hour, and all of them fail",
        {OK: _always(7), FAILED: "0+0x60 1+0x10 2+0x10 3+0x10 4+0x1000", NO_STORE: _always(0)},
    ),
    Situation(
        "one of two replicas is gone",
        {
            UP: _from(95, 0, before=1),
            UP.replace('"a"', '"b"'): _always(1),
            BUILD.replace('"a"', '"b"'): _always(1),
            BUILD: "1+0x94 _x1000",
        },
        (Alarm("SamuraiInstanceDown", "page", "The gateway a cannot be scraped", {"instance": "a"}),),
    ),
    Situation("somebody else's job is down", {'up{instance="db",job="postgres"}': _always(0)}),
    Situation(
        "all replicas have vanished from Prometheus",
        {BUILD: "1+0x60 _x1000"},
        (Alarm("SamuraiAbsent", "page", "No gateway of samurai is to be seen"),),
        without=(UP,),
    ),
    Situation(
        "all replicas vanished hours ago",
        {BUILD: "1+0x60 _x1000"},
        (Alarm("SamuraiAbsent", "page", "No gateway is to be seen", {"job": ""}),),
        at=300,
        without=(UP,),
    ),
    Situation(
        "one of two deployments has vanished from Prometheus",
        {_other(BUILD): "1+0x60 _x1000"},
        (Alarm("SamuraiAbsent", "page", "No gateway of cell-2 is to be seen", _IN_CELL_2),),
    ),
    Situation(
        "a small deployment fails beside a large one that is well",
        {_other(OK): f"0+3x{_LONG}", _other(FAILED): f"0+1x{_LONG}"},
        (
            Alarm(_FAST, "page", "25% of the requests fail", _IN_CELL_2),
            Alarm(_SLOW, "ticket", "25% of the requests have been failing for hours", _IN_CELL_2),
        ),
    ),
    Situation(
        "a small deployment falls silent beside a large one that is busy",
        {_other(OK): f"0+60x87 {60 * 87}+0x1000", _other(FAILED): _always(0)},
        (Alarm("SamuraiNoTraffic", "page", "No request was served for ten minutes, and many were before", _IN_CELL_2),),
    ),
    Situation(
        "traffic ends at once",
        {OK: f"0+600x87 {600 * 87}+0x1000"},
        (Alarm("SamuraiNoTraffic", "page", "No request was served for ten minutes, and many were before"),),
    ),
    Situation(
        "a site with a request every hour, and none at the moment",
        {OK: "0+0x60 1+0x60 2+0x60 3+0x1000", FAILED: _always(0)},
    ),
    Situation(
        "the loop comes half a second late, one time in twenty",
        _lag(100, 150, 180, 200, 220, 228, 240),
        (Alarm("SamuraiLoopLag", "ticket", "The gateway a comes 450ms late to everything", _OF_A),),
    ),
    Situation("the loop comes a tenth of a second late, one time in twenty", _lag(100, 150, 180, 228, 240)),
    Situation(
        "requests are shed",
        {SHED: f"0+3x{_LONG}"},
        (Alarm("SamuraiShedding", "ticket", "Requests are refused for want of room (memory)", {"reason": "memory"}),),
    ),
    Situation("requests were shed ten minutes ago", {SHED: _burst(90, 20)}),
    Situation(
        "a configuration is refused",
        {RELOADED: _from(97, 0, before=1)},
        (
            Alarm(
                "SamuraiConfigRefused",
                "ticket",
                "The gateway a refused its new configuration and goes on with the old one",
                {"instance": "a"},
            ),
        ),
    ),
    Situation("a configuration was refused, and the next one taken", {RELOADED: "1+0x50 0+0x20 1+0x1000"}),
    Situation(
        "a vendor does not accept the credential",
        {_calls("upstream_auth_failed"): _burst(98, 2)},
        (
            Alarm(
                "SamuraiVendorCredentials",
                "page",
                "The vendor does not accept the credential of account openai",
                _OF_OPENAI,
            ),
        ),
    ),
    Situation("a credential was mended ten minutes ago", {_calls("upstream_auth_failed"): _burst(90, 7)}),
    Situation(
        "a vendor's account cannot pay",
        {_calls("upstream_billing"): _burst(98, 2)},
        (Alarm("SamuraiVendorBilling", "page", "The vendor's account openai cannot pay", _OF_OPENAI),),
    ),
    Situation(
        "a native model is gone",
        {_calls("upstream_model_unavailable"): _burst(98, 2)},
        (
            Alarm(
                "SamuraiNativeModelGone",
                "page",
                "Account openai has no model gpt-image-2 (any more)",
                {"account": "openai", "native_model": "gpt-image-2"},
            ),
        ),
    ),
    Situation(
        "a native model ends in a week",
        {ENDS: _always(7)},
        (
            Alarm(
                "SamuraiNativeModelRetires",
                "ticket",
                "gpt-image-2 is in use and ends in 7 days",
                {"account": "openai", "native_model": "gpt-image-2"},
            ),
        ),
    ),
    Situation("a native model ends in a month and a day", {ENDS: _always(31)}),
    Situation(
        "a breaker has been open, or half open, for ten minutes",
        {
            BREAKER["closed"]: _from(90, 0, before=1),
            BREAKER["open"]: "0+0x89 1+0x3 0 1+0x3 0 1+0x1000",
            BREAKER["half_open"]: "0+0x89 0+0x3 1 0+0x3 1 0+0x1000",
        },
        (
            Alarm(
                "SamuraiBreakerOpen",
                "ticket",
                "Account openai has been getting no calls for minutes, since they fail",
                {"instance": "a", "account": "openai"},
            ),
        ),
    ),
    Situation(
        "a breaker was open for three minutes",
        {BREAKER["closed"]: "1+0x89 0+0x2 1+0x1000", BREAKER["open"]: "0+0x89 1+0x2 0+0x1000"},
    ),
    Situation(
        "nobody knows whether a call was paid for",
        {UNKNOWN: _burst(95, 2), SUSPENSE: _from(95, 2)},
        (
            Alarm(
                "SamuraiUnknownOutcomes",
                "ticket",
                "Nobody knows whether calls to account openai were paid for",
                _OF_OPENAI,
            ),
        ),
    ),
    Situation(
        "suspense has not been settled for more than a day",
        {SUSPENSE: _from(20, 3)},
        (
            Alarm(
                "SamuraiSuspenseUnresolved",
                "ticket",
                "3 operations have been in suspense for a day (unknown)",
                {"kind": "unknown"},
            ),
        ),
        at=1500,
    ),
    Situation("suspense was settled within the day", {SUSPENSE: "0+0x20 3+0x1000 0+0x500"}, at=1500),
    Situation(
        "a budget is nearly used",
        {BUDGET: _from(97, 0.95, before=0.5)},
        (
            Alarm(
                "SamuraiBudgetNearlyUsed",
                "ticket",
                "A key has used 95% of its budget (day)",
                {"scope": "key", "period": "day"},
            ),
        ),
    ),
    Situation("a budget is used by nine tenths, and no more", {BUDGET: _always(0.9)}),
    Situation(
        "Redis is away",
        {REDIS: _from(98, 0, before=1)},
        (
            Alarm(
                "SamuraiRedisDegraded",
                "page",
                "The gateway a decides over limits without Redis",
                {"instance": "a"},
            ),
        ),
    ),
    Situation(
        "Redis comes and goes between two looks",
        {DEGRADED: f"0+30x{_LONG}"},
        (
            Alarm(
                "SamuraiRedisDegraded",
                "page",
                "The gateway a decides over limits without Redis",
                {"instance": "a"},
            ),
        ),
    ),
    Situation("Redis was away for a moment", {REDIS: "1+0x98 0 1+0x1000", DEGRADED: _burst(99, 4)}),
    Situation(
        "Redis may forget",
        {FORGETS: _from(90, 1)},
        (
            Alarm(
                "SamuraiRedisMayForget",
                "ticket",
                "Redis would throw away limits and journals where memory is short",
                {"instance": "a"},
            ),
        ),
    ),
    Situation(
        "the store takes nothing",
        {STORE: _from(98, 0, before=1)},
        (Alarm("SamuraiStoreTrouble", "page", "The gateway a cannot use its image store", _OF_A),),
    ),
    Situation(
        "the store takes its probe, and requests fail at it all the same",
        {NO_STORE: _burst(97, 3)},
        (Alarm("SamuraiStoreTrouble", "page", "The gateway a cannot use its image store", _OF_A),),
    ),
)
