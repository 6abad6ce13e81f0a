"""Ten images of a vendor that makes one a call: ten calls for one request. Links handed through, then base64."""

from dataclasses import dataclass
from functools import partial

from bench import small
from bench.batches import batch
from bench.contestants import Contestant, Way
from bench.crowd import Served
from bench.load import load
from bench.results import Outcome, Plan, Table
from bench.stage import staged

__all__ = ["run"]

_IMAGES = 10
_IMAGE_BYTES = 1_500_000


@dataclass(frozen=True, slots=True)
class _Kind:
    way: Way
    wish: str
    connections: int


# A model that the gateway does not know is asked for one image a call.
_KINDS = (
    _Kind(Way("fan-link", passthrough=True, model="of-nobody"), "url", 10),
    _Kind(Way("fan-b64", model="of-nobody"), "b64_json", 4),
)
_HEADINGS = {
    "cpu_ms": "CPU, ms/request",
    "redis_cpu_us": "its Redis, µs/request",
    "per_second": "requests/s",
    "p50_ms": "p50, ms",
    "p99_ms": "p99, ms",
    "rss_peak_mb": "peak RSS, MB",
    "errors": "errors",
}


def run(plan: Plan) -> Outcome:
    """Measure it. The peers hand `n` on, so a vendor that makes one image a call gives them one."""
    outcome = Outcome("fanout")
    images = batch([_IMAGE_BYTES])
    files = small.files("fan-link") | small.files("fan-b64", images.reply())
    with staged(plan, files, [kind.way for kind in _KINDS], ["gateway"]) as stage:
        expected = images.written(stage.folder / "expected") * _IMAGES
        for number in range(plan.rounds):
            for contestant in stage.present.values():
                for kind in _KINDS:
                    checked = expected if kind.wish == "b64_json" else []
                    _turn(contestant, kind, checked, 0.5)
                    act = partial(_turn, kind=kind, expected=checked, seconds=plan.seconds)
                    outcome.rounds.append(stage.act(contestant, act, round=number, asked=kind.wish))
    outcome.tabulate("Fan-out of ten", _HEADINGS, [{"asked": kind.wish} for kind in _KINDS])
    rows: list[tuple[str | float | None, ...]] = [
        (name, "cannot: one image for ten asked") for name in ("portkey", "litellm")
    ]
    outcome.tables.append(Table("The peers", ("who", "fan-out"), rows))
    return outcome


def _turn(contestant: Contestant, kind: _Kind, expected: list[str], seconds: float) -> Served:
    ask = contestant.ask(kind.way.name, n=_IMAGES, response_format=kind.wish)
    return load(ask, kind.connections, seconds=seconds, images=expected, links=_IMAGES).served
