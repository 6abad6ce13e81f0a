"""Writes the three Grafana dashboards to helm/dashboards; `--check` only says whether they are up to date."""

import json
import sys
from pathlib import Path

from tools.dashboard_money import KEYS_AND_MONEY
from tools.dashboard_overview import OVERVIEW
from tools.dashboard_vendors import VENDORS
from tools.grafana import Dashboard

__all__ = ["DASHBOARDS", "rendered"]

FOLDER = Path(__file__).resolve().parent.parent / "helm" / "dashboards"

DASHBOARDS = {"overview": OVERVIEW, "vendors": VENDORS, "keys-and-money": KEYS_AND_MONEY}
"""By the name of their file."""


def rendered(dashboard: Dashboard) -> str:
    """The text of a dashboard's file."""
    return json.dumps(dashboard.json(), indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Write the files, or check them; the exit code."""
    stale = 0
    for name, dashboard in DASHBOARDS.items():
        path, text = FOLDER / f"{name}.json", rendered(dashboard)
        if "--check" not in sys.argv[1:]:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            stale += 1
            print(f"helm/dashboards/{name}.json is out of date: run `make docs`")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
