"""Writes docs/metrics.md from the table of metrics; `--check` only says whether the page is up to date."""

import sys
from pathlib import Path

from prometheus_client import ProcessCollector
from prometheus_client.registry import CollectorRegistry

from gateway.edges.metrics_table import TABLE, Metric

PAGE = Path(__file__).resolve().parent.parent / "docs" / "metrics.md"

_HEAD = """\
# Metrics

<!-- Made by `make docs` from gateway/edges/metrics_table.py. Do not edit. -->

Every replica shows these at `/metrics` on its second port, in Prometheus's text form. The
[dashboards](../helm/dashboards) and [alerts](../helm/rules/samurai.yaml) use nothing else; every alert has a
[runbook](runbooks).

## What you can rely on

* A metric of this page keeps its name, type, unit and labels for all releases of a major version. One that is to go is
  marked here for at least one minor release before it goes. New metrics and new values of a label may come at any time,
  new labels of a metric here may not.
* The values of every label are a closed set: those below, and the models, accounts and native models that the
  configuration names. Whatever else comes up is counted as `other`. No value ever comes from a request.
* Every series is there from the start, at zero. Exceptions: codes of a stream that ends in an error after its status
  was sent (`status="200"`), and the series of keys.
* Keys show up by their id, and only where `metrics.per_key: true` asks for it: at most 1,000 of them a replica, the
  rest as `other`. Prompts, secrets, end users and addresses never do.
* Figures "in the whole deployment" are read from Redis, alike by every replica: take their maximum, never their sum.
"""

_PROCESS = """\

## Of the process

From the Prometheus client library, on Linux.

| name | meaning |
|---|---|
"""


def main() -> int:
    """Write the page, or check it; the exit code."""
    text = page()
    if "--check" in sys.argv[1:]:
        current = PAGE.exists() and PAGE.read_text(encoding="utf-8") == text
        print("docs/metrics.md is up to date" if current else "docs/metrics.md is out of date: run `make docs`")
        return 0 if current else 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


def page() -> str:
    """The whole page."""
    common = [metric for metric in TABLE if not metric.is_of_keys]
    of_keys = [metric for metric in TABLE if metric.is_of_keys]
    parts = [_HEAD, "\n## Of the gateway\n\n", _rows(common), "\n## Of keys, with `metrics.per_key: true`\n\n"]
    return "".join([*parts, _rows(of_keys), "\n## Values of labels\n\n", _values(), _PROCESS, _of_process()])


def _rows(metrics: list[Metric]) -> str:
    lines = ["| name | type | labels | unit | meaning |", "|---|---|---|---|---|"]
    for metric in metrics:
        labels = ", ".join(f"`{name}`" for name in metric.label_names) or "–"
        lines.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.unit} | {metric.meaning} |")
    return "\n".join(lines) + "\n"


def _values() -> str:
    """The values of every closed label; of labels whose values go together, those that occur."""
    lines = ["| metric | label | values |", "|---|---|---|"]
    for metric in TABLE:
        for labels in metric.labels:
            if labels.words:
                names = ", ".join(f"`{name}`" for name in labels.names)
                words = ", ".join(f"`{' '.join(word)}`" for word in labels.words)
                lines.append(f"| `{metric.name}` | {names} | {words} |")
    return "\n".join(lines) + "\n"


def _of_process() -> str:
    registry = CollectorRegistry()
    families = sorted(ProcessCollector(registry=registry).collect(), key=lambda family: family.name)
    rows = [(f"{one.name}_total" if one.type == "counter" else one.name, one.documentation) for one in families]
    return "".join(f"| `{name}` | {meaning} |\n" for name, meaning in rows)


if __name__ == "__main__":
    sys.exit(main())
