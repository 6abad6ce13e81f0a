"""The expressions of the shipped dashboards, with Grafana's variables put in as Grafana would."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.processes import ROOT

__all__ = ["Expression", "dashboards", "expressions"]

FOLDER = ROOT / "helm/dashboards"
VARIABLES = {"$__rate_interval": "5s", "$__range": "60s", "$namespace": ".*", "$job": ".*", "$account": ".*"}


@dataclass(frozen=True)
class Expression:
    """One query of one panel."""

    dashboard: str
    panel: str
    look: str
    legend: str
    unit: str
    expr: str


def dashboards() -> Mapping[str, dict[str, Any]]:
    """The files, by name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def expressions() -> Iterator[Expression]:
    """All queries of all panels."""
    for name, dashboard in dashboards().items():
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                expr = target["expr"]
                for variable, value in VARIABLES.items():
                    expr = expr.replace(variable, value)
                unit = panel["fieldConfig"]["defaults"]["unit"]
                yield Expression(name, panel["title"], panel["type"], target["legendFormat"], unit, expr)
