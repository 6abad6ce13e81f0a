"""Grafana dashboards as values, and the JSON that Grafana reads. The datasource is always a variable."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Dashboard", "Panel", "Query", "Row", "Variable"]

Json = dict[str, Any]
Look = Literal["stat", "timeseries", "bargauge", "table"]

_SCHEMA_VERSION = 39  # Grafana 11; newer ones migrate it when they load it
_COLUMNS = 24
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_HEIGHTS: dict[Look, int] = {"stat": 4, "timeseries": 8, "bargauge": 8, "table": 8}


@dataclass(frozen=True, slots=True)
class Query:
    """One line (or set of lines) of a panel. `legend` may name labels: `{{account}}`."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture. `unit` is Grafana's word for it; it is coloured red from `red_from` on, or below `red_below`."""

    title: str
    description: str
    queries: tuple[Query, ...]
    look: Look = "timeseries"
    unit: str = "short"
    width: int = 8
    stacked: bool = False
    red_from: float | None = None
    red_below: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Panels below a heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice above the dashboard: the values of `label` in `metric`; everything is chosen at first."""

    name: str
    metric: str
    label: str


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard. `uid` never changes, so that links to it last."""

    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()

    def panels(self) -> tuple[Panel, ...]:
        """All panels, in order."""
        return tuple(panel for row in self.rows for panel in row.panels)

    def json(self) -> Json:
        """What Grafana imports."""
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": ["samurai"],
            "schemaVersion": _SCHEMA_VERSION,
            "version": 1,
            "editable": True,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": {"from": "now-3h", "to": "now"},
            "timezone": "browser",
            "annotations": {"list": []},
            "links": [_dashboards_link()],
            "templating": {"list": [_datasource(), *map(_choice, self.variables)]},
            "panels": _laid_out(self.rows),
        }


def _dashboards_link() -> Json:
    return {
        "type": "dashboards",
        "title": "Samurai",
        "tags": ["samurai"],
        "asDropdown": False,
        "keepTime": True,
        "includeVars": True,
        "targetBlank": False,
        "icon": "external link",
    }


def _datasource() -> Json:
    return {
        "type": "datasource",
        "name": "datasource",
        "label": "Data source",
        "query": "prometheus",
        "hide": 0,
        "refresh": 1,
        "regex": "",
        "multi": False,
        "includeAll": False,
        "options": [],
        "current": {},
    }


def _choice(variable: Variable) -> Json:
    query = f"label_values({variable.metric}, {variable.label})"
    return {
        "type": "query",
        "name": variable.name,
        "label": variable.name.capitalize(),
        "datasource": _SOURCE,
        "query": {"query": query, "refId": "variable"},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "regex": "",
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "hide": 0,
        "options": [],
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def _laid_out(rows: Sequence[Row]) -> list[Json]:
    """Panels from left to right, rows from top to bottom; ids count up from 1."""
    made: list[Json] = []
    top = 0
    for row in rows:
        made.append(
            {
                "id": len(made) + 1,
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "panels": [],
                "gridPos": {"h": 1, "w": _COLUMNS, "x": 0, "y": top},
            }
        )
        top, left, height = top + 1, 0, 0
        for panel in row.panels:
            if left + panel.width > _COLUMNS:
                top, left, height = top + height, 0, 0
            made.append(_panel(panel, len(made) + 1, left, top))
            left, height = left + panel.width, max(height, _HEIGHTS[panel.look])
        top += height
    return made


def _panel(panel: Panel, number: int, left: int, top: int) -> Json:
    return {
        "id": number,
        "type": panel.look,
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "gridPos": {"h": _HEIGHTS[panel.look], "w": panel.width, "x": left, "y": top},
        "targets": [_target(panel, query, place) for place, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
    }


def _target(panel: Panel, query: Query, place: int) -> Json:
    instant = panel.look in ("bargauge", "table")
    return {
        "refId": chr(ord("A") + place),
        "datasource": _SOURCE,
        "expr": query.expr,
        "legendFormat": query.legend,
        "range": not instant,
        "instant": instant,
        "format": "table" if panel.look == "table" else "time_series",
        "editorMode": "code",
    }


def _defaults(panel: Panel) -> Json:
    steps: list[Json] = [{"color": "green", "value": None}]
    if panel.red_below is not None:
        steps = [{"color": "red", "value": None}, {"color": "green", "value": panel.red_below}]
    if panel.red_from is not None:
        steps.append({"color": "red", "value": panel.red_from})
    coloured = panel.red_from is not None or panel.red_below is not None
    color = {"mode": "thresholds"} if coloured and panel.look != "timeseries" else {"mode": "palette-classic"}
    defaults: Json = {"unit": panel.unit, "min": 0, "color": color, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.red_below is not None and panel.unit == "d":
        del defaults["min"]  # days can be past
    if panel.look == "timeseries":
        defaults["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 25 if panel.stacked else 5,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "line" if coloured else "off"},
        }
    return defaults


def _options(panel: Panel) -> Json:
    reduced = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    match panel.look:
        case "stat":
            return {"reduceOptions": reduced, "graphMode": "area", "colorMode": "value", "textMode": "auto"}
        case "bargauge":
            return {
                "reduceOptions": reduced,
                "orientation": "horizontal",
                "displayMode": "gradient",
                "showUnfilled": True,
            }
        case "table":
            return {"showHeader": True, "cellHeight": "sm"}
        case _:
            return {
                "legend": {"displayMode": "list", "placement": "bottom", "calcs": []},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }
