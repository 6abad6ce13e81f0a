"""`python -m tests.soak`: the long form. Writes docs/soak.md and its plot, and fails for what is not flat."""

import argparse
import asyncio
import secrets
import sys
from dataclasses import replace

import msgspec

from tests.processes import ROOT
from tests.soak.page import write_page
from tests.soak.run import LONG, Soak, soaked

RESULT = ROOT / "build" / "soak.json"


def main() -> int:
    """Run, write, and say what is wrong; the exit code."""
    wishes = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    wishes.add_argument("--minutes", type=float, default=LONG.measured_s / 60, help="that count, after the warm-up")
    wishes.add_argument("--warm-up", type=float, default=LONG.warm_up_s / 60, help="minutes that do not count")
    wishes.add_argument("--rate", type=float, default=LONG.rate_s, help="requests a second")
    wishes.add_argument("--seed", default=secrets.token_hex(4))
    wishes.add_argument("--page", action="store_true", help="judge the run that was made last anew, by that warm-up")
    given = wishes.parse_args()
    if given.page:
        seen = msgspec.json.decode(RESULT.read_bytes(), type=Soak)
        whole_s, warm_up_s = seen.plan.warm_up_s + seen.plan.measured_s, given.warm_up * 60
        return _judged(replace(seen, plan=replace(seen.plan, warm_up_s=warm_up_s, measured_s=whole_s - warm_up_s)))
    plan = replace(LONG, measured_s=given.minutes * 60, warm_up_s=given.warm_up * 60, rate_s=given.rate)
    _say(f"seed {given.seed}")
    seen = asyncio.run(soaked(given.seed, plan, _say))
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_bytes(msgspec.json.encode(seen))
    return _judged(seen)


def _judged(seen: Soak) -> int:
    write_page(seen)
    wrong = {
        "not flat": seen.growing,
        "left behind": seen.left_behind,
        "undocumented": seen.undocumented,
        "exceptions": seen.outbursts,
        "books": [] if seen.reckoning.is_clean else [seen.reckoning],
    }
    for what, found in wrong.items():
        _say(f"{what}: {found or 'nothing'}")
    return int(any(wrong.values()))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
