"""The only file that writes metrics. It listens to facts; nobody calls it to count something.

What metrics there are says `metrics_table`.
"""

import time
from collections.abc import Callable
from functools import partial, singledispatchmethod
from typing import Any, get_args

from prometheus_client import ProcessCollector, generate_latest

from gateway import __version__
from gateway.domain import facts
from gateway.edges import metrics_table as table
from gateway.edges.metrics_offer import MetricNames
from gateway.edges.metrics_series import Series
from gateway.edges.metrics_table import Metric
from gateway.edges.metrics_words import OTHER

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The figures of one gateway process. `per_key` adds one series for every key that is used.

    `now` is Unix seconds.
    """

    def __init__(self, names: MetricNames, *, per_key: bool = False, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._series = Series([metric for metric in table.TABLE if per_key or not metric.is_of_keys])
        self._budgets: dict[tuple[str, str, str], facts.BudgetSeen] = {}
        self._breakers: set[str] = set()
        self._ears: dict[type, Callable[[Metrics, Any], None]] = {}
        ProcessCollector(registry=self._series.registry)
        self.offer(names)
        self._series.offer({"build": [(__version__,)]})
        self._series.put(table.BUILD_INFO, 1, __version__)
        self._series.put(table.RELOADED_AT, now())
        self._series.put(table.RELOAD_WORKED, 1)
        self._series.put(table.STORE_UP, 1)
        for scope, period in table.BUDGET.labels[0].words:
            self.follow(table.BUDGET, partial(self._highest_budget, scope, period), scope, period)

    def offer(self, names: MetricNames) -> None:
        """Have series for these names, too: at the start, and after the configuration was read anew."""
        self._series.forget(table.RETIREMENT)
        self._series.offer(names.values)
        for native, ends_at in names.retirements.items():
            self.follow(table.RETIREMENT, partial(self._days_until, ends_at), *native)
        for (account,) in names.values.get("account", ()):
            if account not in self._breakers and account != OTHER:
                self(facts.BreakerMoved(account, "closed"))

    def follow(self, metric: Metric, figure: Callable[[], float], *labels: str) -> None:
        """Ask `figure` for a gauge's value whenever somebody looks."""
        self._series.follow(metric, figure, *labels)

    def exposition(self) -> bytes:
        """All metrics in Prometheus's text form."""
        self._end_budgets()
        return generate_latest(self._series.registry)

    def __call__(self, fact: facts.Fact) -> None:
        """Hear a fact."""
        kind = type(fact)
        hear = self._ears.get(kind)
        if hear is None:
            hear = self._ears[kind] = _ear_for(kind)
        hear(self, fact)

    @singledispatchmethod
    def _hear(self, fact: facts.Fact) -> None:
        raise TypeError(f"no metric listens to {type(fact).__name__}")

    @_hear.register
    def _(self, fact: facts.RequestEnded) -> None:
        model = fact.model or ""
        self._series.add(table.REQUESTS, model, str(fact.status), fact.code)
        self._series.observe(table.REQUEST_SECONDS, fact.seconds, model)
        self._series.add(table.IMAGES, model, by=fact.images)
        if fact.key_id:
            self._series.add(table.KEY_REQUESTS, fact.key_id)

    @_hear.register
    def _(self, fact: facts.RequestTurnedAway) -> None:
        self._series.add(table.REQUESTS, "", str(fact.status), fact.code)

    @_hear.register
    def _(self, fact: facts.ClientLeft) -> None:
        self._series.add(table.CLIENTS_LEFT, fact.phase)

    @_hear.register
    def _(self, fact: facts.ConnectionRefused) -> None:
        self._series.add(table.CONNECTIONS, fact.reason)

    @_hear.register
    def _(self, fact: facts.KeyRefused) -> None:
        self._series.add(table.KEY_REFUSALS, fact.reason)

    @_hear.register
    def _(self, fact: facts.IdempotencyUsed) -> None:
        self._series.add(table.IDEMPOTENCY, fact.kind)

    @_hear.register
    def _(self, fact: facts.LoadShed) -> None:
        self._series.add(table.SHED, fact.reason, fact.priority)

    @_hear.register
    def _(self, fact: facts.RequestRefused) -> None:
        self._series.add(table.LIMIT_REFUSALS, fact.dimension, fact.scope)
        if fact.key_id:
            self._series.add(table.KEY_REFUSED, fact.key_id, fact.dimension)

    @_hear.register
    def _(self, fact: facts.TokensTaken) -> None:
        self._series.add(table.LIMIT_TOKENS, fact.dimension, fact.scope, by=fact.tokens)

    @_hear.register
    def _(self, _: facts.LimiterDegraded) -> None:
        self._series.add(table.LIMITER_DEGRADED)

    @_hear.register
    def _(self, fact: facts.BudgetSeen) -> None:
        self._budgets[fact.scope, fact.period, fact.holder] = fact
        if fact.scope == "key":
            self._series.put(table.KEY_BUDGET, fact.used_ratio, fact.holder, fact.period)

    @_hear.register
    def _(self, fact: facts.MoneySettled) -> None:
        self._series.add(table.KEY_IMAGES, fact.key_id, by=fact.images)
        self._series.add(table.KEY_COST, fact.key_id, by=fact.cost_microusd / 1e6)

    @_hear.register
    def _(self, fact: facts.ReservedSeen) -> None:
        self._series.put(table.RESERVED, fact.microusd / 1e6)

    @_hear.register
    def _(self, fact: facts.SuspenseSeen) -> None:
        self._series.put(table.SUSPENSE, fact.operations, fact.kind)
        self._series.put(table.SUSPENSE_USD, fact.microusd / 1e6, fact.kind)

    @_hear.register
    def _(self, fact: facts.ShotEnded) -> None:
        target = (fact.model, fact.account, fact.native_model)
        self._series.add(table.CALLS, *target, fact.code)
        self._series.observe(table.CALL_SECONDS, fact.seconds, *target)
        self._series.add(table.POLLS, *target, by=fact.polls)
        self._series.add(table.BILLED, *target, by=fact.billed)
        self._series.add(table.COST, *target, by=fact.cost_microusd / 1e6)

    @_hear.register
    def _(self, fact: facts.CallRetried) -> None:
        self._series.add(table.RETRIES, fact.account)

    @_hear.register
    def _(self, fact: facts.RetryDenied) -> None:
        self._series.add(table.RETRIES_DENIED, fact.account)

    @_hear.register
    def _(self, fact: facts.FailedOver) -> None:
        self._series.add(table.FAILOVERS, fact.model, fact.from_account, fact.to_account)

    @_hear.register
    def _(self, fact: facts.BreakerMoved) -> None:
        self._breakers.add(fact.target)
        for state in get_args(facts.BreakerState):
            self._series.put(table.BREAKER, state == fact.state, fact.target, state)

    @_hear.register
    def _(self, fact: facts.OutcomeUnknown) -> None:
        self._series.add(table.UNKNOWN, fact.account)

    @_hear.register
    def _(self, fact: facts.LateSuccess) -> None:
        self._series.add(table.LATE, fact.account)

    @_hear.register
    def _(self, fact: facts.WebhookTaken) -> None:
        self._series.add(table.WEBHOOKS, fact.vendor)

    @_hear.register
    def _(self, fact: facts.WebhookRefused) -> None:
        self._series.add(table.WEBHOOKS_REFUSED, fact.reason)

    @_hear.register
    def _(self, fact: facts.WebhookSent) -> None:
        self._series.add(table.WEBHOOKS_SENT, "ok" if fact.ok else "failed")

    @_hear.register
    def _(self, fact: facts.PlaceAwaited) -> None:
        self._series.observe(table.PLACE_SECONDS, fact.seconds, fact.account, "yes" if fact.granted else "no")
        self._series.put(table.PACING_LIMIT, fact.limit, fact.account)

    @_hear.register
    def _(self, fact: facts.VendorThrottled) -> None:
        self._series.add(table.THROTTLED, fact.account)
        self._series.add(table.PAUSES, fact.account, by=1 if fact.pause_s > 0 else 0)

    @_hear.register
    def _(self, fact: facts.ImageFinished) -> None:
        self._series.observe(table.FINISH_SECONDS, fact.seconds, "yes" if fact.fitted else "no")
        self._series.add(table.IMAGE_BYTES, fact.model, by=fact.length_bytes)
        self._series.add(table.IMAGE_PIXELS, fact.model, by=fact.pixels)

    @_hear.register
    def _(self, fact: facts.AttemptMoved) -> None:
        self._series.add(table.ATTEMPTS, fact.state)

    @_hear.register
    def _(self, fact: facts.JournalWritten) -> None:
        self._series.observe(table.JOURNAL_SECONDS, fact.seconds, fact.waited_for)

    @_hear.register
    def _(self, fact: facts.JournalForced) -> None:
        self._series.observe(table.FORCED_SECONDS, fact.seconds)
        self._series.add(table.FORCED_RECORDS, by=fact.records)

    @_hear.register
    def _(self, _: facts.JournalFenced) -> None:
        self._series.add(table.FENCED)

    @_hear.register
    def _(self, fact: facts.OperationRecovered) -> None:
        self._series.add(table.RECOVERED, fact.outcome)

    @_hear.register
    def _(self, fact: facts.LoopLagged) -> None:
        self._series.observe(table.LOOP_LAG, fact.seconds)

    @_hear.register
    def _(self, fact: facts.StoreSeen) -> None:
        self._series.put(table.STORE_UP, fact.works)

    @_hear.register
    def _(self, fact: facts.ConfigReloaded) -> None:
        self._series.add(table.RELOADS, "ok" if fact.ok else "refused")
        self._series.put(table.RELOAD_WORKED, fact.ok)
        if fact.ok:
            self._series.put(table.RELOADED_AT, self._now())
            self.configured(fact.version)

    def configured(self, version: str) -> None:
        """Say which version of the configuration is in force."""
        self._series.forget(table.CONFIG_INFO)
        self._series.offer({"config": [(version,)]})
        self._series.put(table.CONFIG_INFO, 1, version)

    def _days_until(self, ends_at: float) -> float:
        return (ends_at - self._now()) / 86_400

    def _highest_budget(self, scope: str, period: str) -> float:
        return max((seen.used_ratio for name, seen in self._budgets.items() if name[:2] == (scope, period)), default=0)

    def _end_budgets(self) -> None:
        """What was seen in a period that is over means nothing any more."""
        for name, seen in list(self._budgets.items()):
            if seen.ends_at <= self._now():
                del self._budgets[name]
                if seen.scope == "key":
                    self._series.put(table.KEY_BUDGET, 0, seen.holder, seen.period)


def _ear_for(kind: type) -> Callable[[Metrics, Any], None]:
    """What hears facts of this kind; looked up once, since the lookup costs more than the counting."""
    return Metrics.__dict__["_hear"].dispatcher.dispatch(kind)  # type: ignore[no-any-return] # a descriptor's own
