"""The gateway with a wall clock of its own: `python -m tests.faults.skewed FILE serve …`.

FILE says how many seconds it is off the true one, and is read whenever the clock is, so that it can jump.
"""

import runpy
import sys
import time
from pathlib import Path

OFFSET = Path(sys.argv.pop(1))
true_time = time.time


def skewed_time() -> float:
    """The time by this replica's clock."""
    return true_time() + float(OFFSET.read_text())


if __name__ == "__main__":
    time.time = skewed_time
    runpy.run_module("gateway", run_name="__main__", alter_sys=True)
