"""`python -m bench [NAME…]`: measure all workloads or some; figures go to build/bench and docs/performance.md.

A run of everything (no names, nobody left out) also writes the pages; a part prints its tables, and keeps its figures.
"""

import argparse
import json
import signal
import sys
import time
from dataclasses import asdict

from bench import crowd, machine, nginx, peers, report
from bench.results import Outcome, Plan
from bench.tables import of_outcome, of_verdicts
from bench.workloads import WORKLOADS
from tests.processes import ROOT

_RESULTS = ROOT / "build" / "bench"


def main() -> int:
    """Run what was asked for; 1 where something is not installed."""
    chosen = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that whatever was started is ended
    lacking = [words for words in (nginx.missing(), crowd.missing()) if words]
    if lacking:
        sys.stderr.write("\n".join(lacking) + "\n")
        return 1
    _RESULTS.mkdir(parents=True, exist_ok=True)
    plan = Plan(chosen.rounds, chosen.seconds, frozenset(filter(None, chosen.only.split(","))))
    if any(map(plan.wants, peers.NAMES)):
        for name, why in peers.install().items():
            sys.stderr.write(f"{name} could not be installed: {why}\n")
    told = machine.described()
    for name in chosen.names or WORKLOADS:
        sys.stderr.write(f"{name} …\n")
        began = time.monotonic()
        outcome = WORKLOADS[name](plan)
        _keep(outcome, told, plan)
        print(of_outcome(outcome))
        print(of_verdicts(outcome.verdicts))
        print(f"({name}: {time.monotonic() - began:.0f} s)\n", flush=True)
    if chosen.write or not (chosen.names or chosen.only):
        report.write(_RESULTS, list(WORKLOADS))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {' '.join(WORKLOADS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of one contestant's turn in a round")
    parser.add_argument("--only", default="", help="contestants, with commas: gateway,nginx")
    parser.add_argument("--write", action="store_true", help="write the pages from what was last measured")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(WORKLOADS):
        parser.error(f"no workload is called {', '.join(sorted(unknown))}")
    return chosen


def _keep(outcome: Outcome, told: dict[str, str | int], plan: Plan) -> None:
    raw = {"machine": told, "plan": {"rounds": plan.rounds, "seconds": plan.seconds}, **asdict(outcome)}
    (_RESULTS / f"{outcome.name}.json").write_text(json.dumps(raw, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
