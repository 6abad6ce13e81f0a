"""What facts become, and that nobody can mint a series."""

import typing
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.domain import facts
from gateway.domain.catalogue import Account, Capabilities, Catalogue, Route, Target
from gateway.domain.money import Price
from gateway.edges import metrics_table as table
from gateway.edges.metrics import Metrics
from gateway.edges.metrics_offer import MetricNames, names_of
from gateway.edges.metrics_series import MOST_KEYS

_DAY_S = 86_400.0
_NOON = 1_900_000_000.0


def _catalogue(*accounts: str, ends: str | None = None) -> MetricNames:
    targets = tuple(Target(Account(name, "openai"), "openai_images", "gpt-image-2", Price(1)) for name in accounts)
    catalogue = Catalogue({"dall-e-3": Route("dall-e-3", targets)})
    vendors = dict.fromkeys(accounts, "openai")
    return names_of(catalogue, vendors, lambda _: Capabilities(images_per_call=1, shutdown_date=ends))


def _metrics(**more: Any) -> Metrics:
    return Metrics(_catalogue("east", "west"), now=lambda: _NOON, **more)


def _series(metrics: Metrics) -> Mapping[tuple[str, frozenset[tuple[str, str]]], float]:
    text = metrics.exposition().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _value(metrics: Metrics, metric: table.Metric, **labels: str) -> float:
    return _series(metrics)[metric.name, frozenset(labels.items())]


def _shot(account: str = "east", model: str = "dall-e-3", code: str = "ok") -> facts.ShotEnded:
    return facts.ShotEnded(model, account, "openai", "gpt-image-2", code, 3.0, 0, 1, 1, 40_000)


def _some(kind: type) -> Any:
    """Any fact of a kind, its fields filled by their types."""
    hints = typing.get_type_hints(kind)
    words = {"scope": "key", "period": "day"}
    made: dict[type, Any] = {str: "x", int: 1, float: 2 * _NOON, bool: True, str | None: "x"}  # type: ignore[dict-item]
    values = {
        one.name: typing.get_args(hints[one.name])[0]
        if typing.get_origin(hints[one.name]) is typing.Literal
        else words.get(one.name, made[hints[one.name]])
        for one in fields(kind)
    }
    return kind(**values)


@pytest.mark.parametrize("kind", typing.get_args(facts.Fact), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("per_key", [True, False], ids=["keys", "no_keys"])
def test_every_fact_is_heard_and_changes_something(kind: type, per_key: bool) -> None:
    metrics = _metrics(per_key=per_key)
    metrics(facts.StoreSeen(works=False))
    before = _series(metrics)
    metrics(_some(kind))
    changed = {name for (name, _), value in _series(metrics).items() if before.get((name, _)) != value}
    of_keys_alone = kind is facts.MoneySettled and not per_key
    assert bool({name for name in changed if name.startswith("samurai_")}) is not of_keys_alone


def test_a_name_that_was_not_configured_is_counted_as_other() -> None:
    metrics = _metrics(per_key=True)
    series = len(_series(metrics))
    for number in range(2_000):
        metrics(facts.RequestEnded(f"junk-{number}", "ok", 200, 0.1))
        metrics(_shot(account=f"junk-{number}", model=f"junk-{number}", code=f"junk-{number}"))
        metrics(facts.BreakerMoved(f"junk-{number}", "open"))
        metrics(facts.ConnectionRefused(f"junk-{number}"))
    assert len(_series(metrics)) - series <= 1  # a known target with an unknown code, at most
    assert _value(metrics, table.REQUESTS, model="other", status="200", code="ok") == 2_000
    assert _value(metrics, table.CONNECTIONS, reason="other") == 2_000


def test_a_code_after_a_streams_200_is_told_by_its_own_name() -> None:
    metrics = _metrics()
    metrics(facts.RequestEnded("dall-e-3", "upstream_error", 200, 0.1))
    assert _value(metrics, table.REQUESTS, model="dall-e-3", status="200", code="upstream_error") == 1


def test_keys_have_no_series_unless_they_were_asked_for() -> None:
    metrics = _metrics()
    metrics(facts.RequestEnded("dall-e-3", "ok", 200, 0.1, key_id="web-team"))
    metrics(facts.MoneySettled("web-team", "dall-e-3", 1, 40_000, 0))
    metrics(facts.BudgetSeen("key", "web-team", "day", 0.5, _NOON + _DAY_S))
    assert b"web-team" not in metrics.exposition()


def test_so_many_keys_have_series_and_the_rest_are_other() -> None:
    metrics = _metrics(per_key=True)
    for number in range(MOST_KEYS + 5):
        metrics(facts.RequestEnded("dall-e-3", "ok", 200, 0.1, key_id=f"key-{number}"))
    assert _value(metrics, table.KEY_REQUESTS, key="key-0") == 1
    assert _value(metrics, table.KEY_REQUESTS, key="other") == 5
    assert ("samurai_key_requests_total", frozenset({("key", f"key-{MOST_KEYS}")})) not in _series(metrics)


def test_every_closed_label_has_its_zeroes_from_the_start() -> None:
    metrics = _metrics(per_key=True)
    metrics.configured("one")
    samples = _series(metrics)
    names = {name for name, _ in samples}
    for metric in table.TABLE:
        base = f"{metric.name}_count" if metric.kind == "histogram" else metric.name
        fixed = not metric.labels or all(labels.words or labels.source != "key" for labels in metric.labels)
        assert (base in names) is (fixed and metric is not table.RETIREMENT), metric.name
    handover = {("model", "dall-e-3"), ("from_account", "west"), ("to_account", "east")}
    assert samples["samurai_vendor_failovers_total", frozenset(handover)] == 0
    assert samples["samurai_limit_refusals_total", frozenset({("dimension", "budget"), ("scope", "tenant")})] == 0


def test_an_accounts_breaker_is_closed_until_it_moves() -> None:
    metrics = _metrics()
    states = {state: _value(metrics, table.BREAKER, account="east", state=state) for state in ("closed", "open")}
    assert states == {"closed": 1, "open": 0}
    metrics(facts.BreakerMoved("east", "open"))
    states = {state: _value(metrics, table.BREAKER, account="east", state=state) for state in ("closed", "open")}
    assert states == {"closed": 0, "open": 1}
    metrics.offer(_catalogue("east", "west"))  # a reload does not close it
    assert _value(metrics, table.BREAKER, account="east", state="open") == 1


def test_a_budget_means_nothing_once_its_period_is_over() -> None:
    moment = _NOON
    metrics = Metrics(_catalogue("east"), per_key=True, now=lambda: moment)
    metrics(facts.BudgetSeen("key", "a", "day", 0.4, _NOON + 60))
    metrics(facts.BudgetSeen("key", "b", "day", 0.9, _NOON + 60))
    assert _value(metrics, table.BUDGET, scope="key", period="day") == 0.9
    assert _value(metrics, table.KEY_BUDGET, key="a", period="day") == 0.4
    moment += 61
    assert _value(metrics, table.BUDGET, scope="key", period="day") == 0
    assert _value(metrics, table.KEY_BUDGET, key="b", period="day") == 0


def test_the_days_of_a_native_model_count_down_and_go_with_it() -> None:
    moment = datetime(2030, 3, 17, tzinfo=UTC).timestamp()
    metrics = Metrics(_catalogue("east", ends="2030-04-01"), now=lambda: moment)
    labels = {"account": "east", "native_model": "gpt-image-2"}
    assert _value(metrics, table.RETIREMENT, **labels) == pytest.approx(15)
    moment += 20 * _DAY_S
    assert _value(metrics, table.RETIREMENT, **labels) == pytest.approx(-5)
    metrics.offer(_catalogue("east"))
    assert (table.RETIREMENT.name, frozenset(labels.items())) not in _series(metrics)


def test_a_reload_tells_its_version_and_one_that_was_refused_keeps_the_old_one() -> None:
    metrics = _metrics()
    metrics.configured("one")
    metrics(facts.ConfigReloaded(ok=True, version="two"))
    metrics(facts.ConfigReloaded(ok=False, version="two"))
    versions = [dict(labels)["version"] for name, labels in _series(metrics) if name == table.CONFIG_INFO.name]
    assert versions == ["two"]
    assert _value(metrics, table.RELOAD_WORKED) == 0
    assert _value(metrics, table.RELOADS, result="refused") == 1


def test_models_that_a_reload_brings_have_zeroes_and_those_it_takes_keep_their_counts() -> None:
    metrics = _metrics()
    metrics(facts.RequestEnded("dall-e-3", "ok", 200, 0.1))
    route = Route("fresh", (Target(Account("north", "openai"), "openai_images", "gpt-image-2", Price(1)),))
    metrics.offer(names_of(Catalogue({"fresh": route}), {"north": "openai"}, lambda _: Capabilities(images_per_call=1)))
    assert _value(metrics, table.REQUESTS, model="fresh", status="200", code="ok") == 0
    assert _value(metrics, table.REQUESTS, model="dall-e-3", status="200", code="ok") == 1
    assert _value(metrics, table.CALLS, model="fresh", account="north", native_model="gpt-image-2", code="ok") == 0
