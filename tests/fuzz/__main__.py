"""`python -m tests.fuzz`: the full run, in batches that can be gone on with; writes docs/fuzz.md when it is through.

Every input follows from `seed/batch/number`, so that a finding is made again by `--again SEED`. What is done is kept in
build/fuzz-<seed>.json; the same command goes on from there.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from tests.fuzz.covered import NO_ATHERIS
from tests.fuzz.inside import BATCH, Finding, Tally, batch, one
from tests.fuzz.sockets import over_sockets

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "fuzz.md"
SOCKET_BATCH = 2_000
GUIDED_RUNS = 300_000
VALID_SHARE = 0.3  # of all inputs must pass validation, or the run says little about what comes after it


def main() -> int:
    """Run, print, write. Ends with 1 for an answer that is not documented, or too small a share of valid inputs."""
    given = _arguments()
    if given.again:
        tally = Tally()
        one(given.again, tally)
        _say(str(tally))
        return int(bool(tally.findings))
    book = ROOT / "build" / f"fuzz-{given.seed}.json"
    book.parent.mkdir(exist_ok=True)
    done: dict[str, Any] = json.loads(book.read_text()) if book.exists() else {"seconds": 0.0, "parts": {}}
    _say(f"seed {given.seed}; {len(done['parts'])} parts were done before")
    _inside(given, done, book)
    for number in range(-(-given.sockets // SOCKET_BATCH)):
        _do(f"{given.seed}/socket/{number}", done, book, lambda name: over_sockets(name, SOCKET_BATCH))
    _guided(given, done, book)
    return _told(given.seed, done, write=not given.no_page)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Throw made-up words at the gateway.")
    parser.add_argument("--inputs", type=int, default=1_000_000, help="inputs inside this process")
    parser.add_argument("--sockets", type=int, default=20_000, help="requests to a running gateway")
    parser.add_argument("--seed", default="2026", help="what everything follows from")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--guided", default=sys.executable, help="a Python that has Atheris, for the guided part")
    parser.add_argument("--again", default="", help="one input, by the seed that a finding names")
    parser.add_argument("--no-page", action="store_true", help="leave docs/fuzz.md as it is")
    return parser.parse_args()


def _inside(given: argparse.Namespace, done: dict[str, Any], book: Path) -> None:
    names = [f"{given.seed}/inside/{number}" for number in range(-(-given.inputs // BATCH))]
    wanted = [name for name in names if name not in done["parts"]]
    began = time.monotonic()
    with ProcessPoolExecutor(given.processes) as pool:
        for name, tally in zip(wanted, pool.map(batch, wanted), strict=True):
            done["parts"][name] = _plain(tally)
            done["seconds"] += time.monotonic() - began
            began = time.monotonic()
            _keep(name, tally, done, book)


def _do(name: str, done: dict[str, Any], book: Path, act: Any) -> None:
    if name in done["parts"]:
        return
    began = time.monotonic()
    tally = act(name)
    done["parts"][name] = _plain(tally)
    done["seconds"] += time.monotonic() - began
    _keep(name, tally, done, book)


def _plain(tally: Tally) -> dict[str, Any]:
    findings = [{"seed": one.seed, "what": one.what} for one in tally.findings]
    return {"inputs": tally.inputs, "valid": tally.valid, "answers": dict(tally.answers), "findings": findings}


def _keep(name: str, tally: Tally, done: dict[str, Any], book: Path) -> None:
    book.write_text(json.dumps(done))
    inputs = sum(part["inputs"] for part in done["parts"].values())
    _say(f"{name}: {tally.valid} of {tally.inputs} valid, {len(tally.findings)} findings; {inputs} in all")
    for finding in tally.findings[:20]:
        _say(f"  {finding.seed}: {finding.what}")


def _guided(given: argparse.Namespace, done: dict[str, Any], book: Path) -> None:
    """The part that Atheris steers, where it is there."""
    name = f"{given.seed}/guided"
    if name in done["parts"]:
        return
    seed = sum(given.seed.encode()) + 1
    command = [given.guided, "-m", "tests.fuzz.covered", str(GUIDED_RUNS), str(seed)]
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:  # Atheris ends its process without tidying up
        own = os.environ | {"TMPDIR": folder}
        ended = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, check=False)
    output = ended.stdout + ended.stderr
    if ended.returncode == NO_ATHERIS:
        _say(ended.stdout.strip())
        return
    tally = Tally(inputs=GUIDED_RUNS)
    if ended.returncode:
        tally.findings.append(Finding(name, output[-3000:]))
    done["parts"][name] = _plain(tally)
    done["seconds"] += time.monotonic() - began
    _keep(name, tally, done, book)


def _told(seed: str, done: dict[str, Any], *, write: bool) -> int:
    kinds = {kind: _summed(kind, done) for kind in ("inside", "socket", "guided")}
    whole = Tally()
    for tally in kinds.values():
        whole.add(tally)
    share = whole.valid / max(1, whole.inputs)
    _say(f"seed {seed}: {whole.inputs} inputs, {share:.0%} valid, {len(whole.findings)} findings")
    if write:
        PAGE.write_text(_page(seed, kinds, whole, done["seconds"]))
    return int(bool(whole.findings) or share < VALID_SHARE)


def _summed(kind: str, done: dict[str, Any]) -> Tally:
    tally = Tally()
    for name, part in done["parts"].items():
        if f"/{kind}" in name:
            findings = [Finding(**finding) for finding in part["findings"]]
            tally.add(Tally(part["inputs"], part["valid"], Counter(part["answers"]), findings))
    return tally


_PARTS = {
    "inside": "requests and vendors' replies out of a grammar, by the real code from a body to its answer",
    "socket": "requests and raw bytes to a running gateway on real sockets, its vendors' answers made up, too",
    "guided": "raw bytes that Atheris steers towards code it has not seen: the reading of requests, each dialect",
}


def _page(seed: str, kinds: dict[str, Tally], whole: Tally, seconds: float) -> str:
    share = whole.valid / max(1, whole.inputs)
    lines = [
        "# Fuzzing",
        "",
        f"`make fuzz` writes this page. Seed {seed}: **{whole.inputs:,} inputs**, {share:.0%} of which passed",
        f"validation, and **{len(whole.findings)} answers that are not documented**, in {seconds / 60:.0f} minutes.",
        "",
        "An answer is documented when its status, code, type, envelope and headers are those of the contract.",
        "`internal_error` never is. `python -m tests.fuzz --again SEED` makes one input once more.",
        "",
        "| part | inputs | valid | undocumented |",
        "|---|---|---|---|",
    ]
    for kind, tally in kinds.items():
        if tally.inputs:
            valid = f"{tally.valid:,} ({tally.valid / tally.inputs:.0%})" if tally.valid else "–"
            lines.append(f"| {_PARTS[kind]} | {tally.inputs:,} | {valid} | {len(tally.findings)} |")
    lines += ["", "How they were answered:", "", "| answer | inside | on sockets |", "|---|---|---|"]
    inside, socket = kinds["inside"].answers, kinds["socket"].answers
    for answer in sorted({*inside, *socket}, key=lambda one: (-inside[one] - socket[one], one)):
        lines.append(f"| {answer} | {inside[answer]:,} | {socket[answer]:,} |")
    return "\n".join([*lines, ""])


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
