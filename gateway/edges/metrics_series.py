"""The table of metrics come alive: a registry, in which no label takes a value that was not known beforehand."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain, product
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from gateway.edges.metrics_table import Metric
from gateway.edges.metrics_words import OTHER, Labels

__all__ = ["MOST_KEYS", "Series"]

MOST_KEYS = 1_000
"""Series that one metric of keys has at most; later keys are `other`."""

_MOST_COUNTED = 2_000  # kinds of events; those of callers' own making are `other` only once they are settled

_Built = TypeVar("_Built", Counter, Gauge, Histogram)

disable_created_metrics()  # type: ignore[no-untyped-call] # theirs; a second series for every one, of no use to Prometheus before version 3


class Series:
    """Writes metrics of a `table`. A value of a label that is not known becomes `other`."""

    def __init__(self, table: Sequence[Metric]) -> None:
        self._registry = CollectorRegistry()
        self._table = tuple(table)
        self._named = {metric.name: metric for metric in table}
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        self._offered: dict[str, set[tuple[str, ...]]] = {"key": set()}
        # Finding a series by its labels costs more than counting; what a caller says is bounded before it gets here.
        self._found: dict[tuple[str, tuple[str, ...]], Any] = {}
        # Counting takes a lock a series; a request counts a dozen times, and somebody looks twice a minute.
        self._counted: dict[tuple[str, tuple[str, ...]], float] = {}
        for metric in table:
            self._build(metric)

    def offer(self, values: Mapping[str, Collection[tuple[str, ...]]]) -> None:
        """Learn values of labels, by source, and show zeroes for them; those learnt before stay known."""
        self._settle()
        self._found.clear()
        for source, words in values.items():
            self._offered.setdefault(source, set()).update(words)
        for metric in self._table:
            if all(labels.words or labels.source in self._offered for labels in metric.labels):
                self._show_zeroes(metric)

    @property
    def registry(self) -> CollectorRegistry:
        """All series as they are now."""
        self._settle()
        return self._registry

    def add(self, metric: Metric, *values: str, by: float = 1.0) -> None:
        """Count up."""
        what = metric.name, values
        self._counted[what] = self._counted.get(what, 0.0) + by
        if len(self._counted) > _MOST_COUNTED:
            self._settle()

    def _settle(self) -> None:
        counted, self._counted = self._counted, {}
        for (name, values), by in counted.items():
            if name in self._named:
                self._child(self._counters, self._named[name], values).inc(by)

    def put(self, metric: Metric, value: float, *values: str) -> None:
        """Set a gauge."""
        if self.has(metric):
            self._child(self._gauges, metric, values).set(value)

    def observe(self, metric: Metric, seconds: float, *values: str) -> None:
        """Enter a time into a histogram."""
        self._child(self._histograms, metric, values).observe(seconds)

    def follow(self, metric: Metric, figure: Callable[[], float], *values: str) -> None:
        """Ask `figure` for a gauge's value whenever somebody looks."""
        self._child(self._gauges, metric, values).set_function(figure)

    def forget(self, metric: Metric) -> None:
        """Drop all series of a gauge, and the values of its labels that were learnt."""
        self._gauges[metric.name].clear()
        self._found.clear()
        for labels in metric.labels:
            self._offered.pop(labels.source, None)

    def has(self, metric: Metric) -> bool:
        """Whether this deployment has it: those of keys must be asked for."""
        return metric.name in self._named

    def _build(self, metric: Metric) -> None:
        name, names = metric.name, metric.label_names
        if metric.kind == "histogram":
            self._histograms[name] = Histogram(
                name, metric.meaning, names, buckets=metric.buckets, registry=self._registry
            )
        elif metric.kind == "counter":
            self._counters[name] = Counter(name, metric.meaning, names, registry=self._registry)
        else:
            self._gauges[name] = Gauge(name, metric.meaning, names, registry=self._registry)

    def _child(self, kind: Mapping[str, _Built], metric: Metric, values: tuple[str, ...]) -> _Built:
        if not metric.labels:
            return kind[metric.name]
        child: _Built | None = self._found.get((metric.name, values))
        if child is None:
            bounded = tuple(self._bounded(metric, values))
            child = kind[metric.name].labels(*bounded)
            if bounded == values:
                self._found[metric.name, values] = child
        return child

    def _bounded(self, metric: Metric, values: tuple[str, ...]) -> Iterable[str]:
        rest = iter(values)
        for labels in metric.labels:
            group = tuple(next(rest) for _ in labels.names)
            known = self._words(labels)
            if group in known or (labels.source == "key" and self._admits(group)):
                yield from group
            elif (unknown := (OTHER,) * len(group)) in known:
                yield from unknown
            else:
                columns = [{word[place] for word in known} for place in range(len(group))]
                yield from (word if word in column else OTHER for word, column in zip(group, columns, strict=True))

    def _admits(self, key: tuple[str, ...]) -> bool:
        """Keys come and go while the gateway runs, so their names are learnt from what they do."""
        keys = self._offered["key"]
        if len(keys) < MOST_KEYS and key[0]:
            keys.add(key)
        return key in keys

    def _words(self, labels: Labels) -> Collection[tuple[str, ...]]:
        return labels.words or self._offered.get(labels.source, ())

    def _show_zeroes(self, metric: Metric) -> None:
        """A rate over a series that appears with its first event misses that event."""
        if not metric.labels:
            return
        kinds = (self._counters, self._gauges, self._histograms)
        (built,) = (kind[metric.name] for kind in kinds if metric.name in kind)
        for values in product(*map(self._words, metric.labels)):
            built.labels(*chain.from_iterable(values))
