"""Goal 6: from the start of the command to the first 200 of its readiness, its Valkey included; and what is shipped."""

import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from bench.contestants import Way, gateway, settings
from bench.kernel import cpu_of, resident_bytes
from bench.results import Outcome, Plan, Row, Table, at_most
from bench.stage import workshop
from tests.image.building import SIZES
from tests.processes import ROOT

__all__ = ["run", "shipped"]

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
    sizes = [_wheel(), *_image(SIZES)]
    outcome.tables.append(shipped(sizes))
    outcome.rounds += sizes
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


def shipped(sizes: Sequence[Row]) -> Table:
    """The table of what there is, and what to do for an image that is not there."""
    table = Table("What is shipped", ("what", "to fetch, MB", "unpacked, MB"))
    table.rows = [(row["who"], row["packed"] / 1e6, row["unpacked"] / 1e6) for row in sizes]
    if len(sizes) == 1:
        table.rows.append(("the container image", "not built: `make image`"))
    return table


def _wheel() -> Row:
    with workshop() as folder:
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        (path,) = folder.glob("*.whl")
        with zipfile.ZipFile(path) as wheel:
            unpacked = sum(each.file_size for each in wheel.infolist())
        return {"who": "the wheel", "packed": path.stat().st_size, "unpacked": unpacked}


def _image(kept: Path) -> list[Row]:
    """What `make image` measured, if it ever ran here."""
    if not kept.exists():
        return []
    sizes = json.loads(kept.read_text())
    return [
        {"who": "the container image, above its base", **sizes["own"]},
        {"who": "a base for it: Debian with Python, as `make image` makes it", **sizes["base"]},
    ]
