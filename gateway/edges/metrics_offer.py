"""The names of a deployment that metrics have series for: its models, its accounts, and who serves what."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import permutations

from gateway.domain.catalogue import Capabilities, Catalogue, Target
from gateway.edges.metrics_words import OTHER

__all__ = ["MetricNames", "names_of"]


@dataclass(frozen=True, slots=True)
class MetricNames:
    """`values` are the values of labels (see `metrics_words.Labels.source`), by source.

    `retirements` says when (Unix seconds) a native model ends, by account and native model.
    """

    values: Mapping[str, Collection[tuple[str, ...]]] = field(default_factory=dict)
    retirements: Mapping[tuple[str, str], float] = field(default_factory=dict)


def names_of(
    catalogue: Catalogue, accounts: Mapping[str, str], capabilities_of: Callable[[Target], Capabilities]
) -> MetricNames:
    """The names of a catalogue; `accounts` are all that are configured, with their vendors."""
    routes = catalogue.routes.values()
    targets = [(route.id, target) for route in routes for target in route.targets]
    handovers = [
        (route.id, *pair) for route in routes for pair in permutations({one.account.id for one in route.targets}, 2)
    ]
    values: dict[str, Collection[tuple[str, ...]]] = {
        "model": [(name,) for name in (*catalogue.routes, OTHER)],
        "account": [(name,) for name in (*accounts, OTHER)],
        "vendor": [(vendor,) for vendor in sorted({*accounts.values(), OTHER})],
        "target": [(model, target.account.id, target.model) for model, target in targets] + [(OTHER,) * 3],
        "handover": handovers,
    }
    ends = {(one.account.id, one.model): capabilities_of(one).shutdown_date for _, one in targets}
    retirements = {native: _moment(day) for native, day in ends.items() if day is not None}
    return MetricNames(values | {"native": list(retirements)}, retirements)


def _moment(day: str) -> float:
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()
