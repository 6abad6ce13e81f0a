"""Goal 6: from the start of the command to the first 200 of its readiness, its Valkey included; and what is shipped."""

import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from bench.contestants import Way, gateway, settings
from bench.figures import shown
from bench.kernel import cpu_of, resident_bytes
from bench.results import Outcome, Plan, Table, at_most
from bench.stage import workshop
from tests.processes import ROOT

__all__ = ["run"]

_STARTS = 5
_READY_WITHIN_S = 30.0


def run(plan: Plan) -> Outcome:
    """Measure it: cold states, warm file cache."""
    outcome = Outcome("start")
    for number in range(max(plan.rounds, _STARTS)):
        with workshop() as folder:
            document = settings(folder, 9, [Way("nobody")])  # port 9 discards; nothing is asked of it
            began = time.monotonic()
            with gateway(folder / "gateway", document) as ours:
                _await_ready(ours.admin_url)
                seconds = time.monotonic() - began
                row = {"cpu_s": cpu_of(ours.pid)[0], "rss_mb": resident_bytes(ours.pid) / 1e6}
        outcome.rounds.append({"who": "gateway", "round": number, "ready_s": seconds, **row})
    headings = {"ready_s": "ready after, s", "cpu_s": "CPU, s", "rss_mb": "RSS then, MB"}
    outcome.tabulate("From start to ready, embedded Valkey included", headings, [{"who": "gateway"}])
    size_mb = _wheel_mb()
    outcome.tables.append(Table("What is shipped", ("what", "MB"), [("the wheel", shown(size_mb))]))
    outcome.rounds.append({"who": "wheel", "wheel_mb": size_mb})
    outcome.verdicts.append(at_most(6, "start to ready", outcome.median("ready_s", who="gateway"), 1.5, "s"))
    return outcome


def _await_ready(admin_url: str) -> None:
    end = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < end:
        with suppress(URLError), urlopen(f"{admin_url}/readyz") as reply:
            if reply.status == 200:
                return
        time.sleep(0.005)
    raise RuntimeError("it did not become ready")


def _wheel_mb() -> float:
    with workshop() as folder:
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        return sum(path.stat().st_size for path in Path(folder).glob("*.whl")) / 1e6
