"""Coverage-guided fuzzing with Atheris, which is asked for by nobody: where it is installed, it is used.

`python -m tests.fuzz.covered RUNS SEED` feeds raw bytes to the reading of requests and raw JSON to every dialect, and
lets Atheris look for bytes that lead to lines it has not seen. Ends with 3 where there is no Atheris.
"""

import importlib
import importlib.util
import json
import sys
import tempfile
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.grammar import SAMPLES, request_of

__all__ = ["NO_ATHERIS", "main"]

NO_ATHERIS = 3
_WATCHED = ("gateway.policies", "gateway.steps", "gateway.vendors", "gateway.domain")


def main(runs: int, seed: int) -> int:
    """Fuzz until `runs` inputs were tried; an input without a documented answer ends the process with its traceback."""
    if importlib.util.find_spec("atheris") is None:
        sys.stdout.write("Atheris is not installed (pip install atheris): no coverage-guided part\n")
        return NO_ATHERIS
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=list(_WATCHED)):
        inside = importlib.import_module("tests.fuzz.inside")
        exchange = importlib.import_module("gateway.domain.exchange")
    with tempfile.TemporaryDirectory() as corpus:
        _plant(Path(corpus), seed)
        options = [f"-runs={runs}", f"-seed={seed}", "-max_len=4096", "-verbosity=0", "-print_final_stats=1"]
        atheris.Setup([sys.argv[0], *options, corpus], lambda data: _try(data or b"\0", inside, exchange))
        atheris.Fuzz()
    return 0


def _plant(corpus: Path, seed: int) -> None:
    """What the search begins with: requests out of the grammar, and replies as vendors give them."""
    dice = Random(seed)
    words = [bytes([0]) + request_of(dice, ("dall-e-3", "ideogram-v3")).body for _ in range(100)]
    for number, name in enumerate(sorted(SAMPLES)):
        words += [bytes([8 + number]) + json.dumps(body).encode() for _, _, body in SAMPLES[name]]
    for number, text in enumerate(words):
        (corpus / str(number)).write_bytes(text)


def _try(data: bytes, inside: Any, exchange: Any) -> None:
    """The first byte says whose words these are: a client's, or a vendor's."""
    which, text = data[0] % 16, data[1:]
    if which < 8:
        inside.read(text)
        return
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        body = None
    statuses = (200, 200, 200, 201, 400, 422, 429, 503)
    inside.hear(which % 8, exchange.HttpReply(statuses[which % 8], {}, body, text.decode("latin-1")[:2048]))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
