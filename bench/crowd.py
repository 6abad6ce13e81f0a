"""wrk, the load generator in C for small replies: closed loop, keep-alive, one thread."""

import json
import re
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.asking import Ask

__all__ = ["Served", "crowd", "missing"]

_LONGEST_S = 8
_DONE = """
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format("FIGURES %d %d %d %d %d %d\\n", summary.requests, summary.duration,
    e.connect + e.read + e.write + e.timeout, e.status, latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True, slots=True)
class Served:
    """How a load was served. `errors` are broken connections and replies that were not as they must be."""

    requests: int
    seconds: float
    errors: int
    p50_ms: float
    p99_ms: float

    @property
    def per_second(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds if self.seconds else 0.0

    def as_json(self) -> dict[str, float]:
        """For the raw results."""
        return {**asdict(self), "per_second": self.per_second}


def missing() -> str | None:
    """What to install; None where wrk is there."""
    return None if shutil.which("wrk") else "wrk is missing: apt install wrk"


def crowd(folder: Path, ask: Ask, *, connections: int, seconds: float) -> Served:
    """Ask again and again over `connections` connections. A turn without a single reply is repeated, twice as long."""
    script = folder / "wrk.lua"
    # Lua's and JSON's strings differ; brackets of level four quote anything.
    given = {"content-type": "application/json", **ask.headers}
    headers = "\n".join(f"wrk.headers[{json.dumps(name)}] = [====[{value}]====]" for name, value in given.items())
    script.write_text(f'wrk.method = "POST"\nwrk.body = [====[{ask.text()}]====]\n{headers}{_DONE}')
    span_s = max(1, round(seconds))
    served = _told(ask, script, connections, span_s)
    while not served.requests and span_s <= _LONGEST_S:
        span_s *= 2
        served = _told(ask, script, connections, span_s)
    return served


def _told(ask: Ask, script: Path, connections: int, seconds: int) -> Served:
    url = f"http://127.0.0.1:{ask.port}{ask.path}"
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s", "-s", str(script), url]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"FIGURES (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)", told)
    if found is None:
        raise RuntimeError(f"wrk said:\n{told}")
    requests, micros, broken, refused, p50, p99 = map(int, found.groups())
    return Served(requests - refused, micros / 1e6, broken + refused, p50 / 1000, p99 / 1000)
