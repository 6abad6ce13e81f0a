"""Goal 2: base64 replies whose images are right already, handed through: 1, 2.7, 10 and 40 MB of JSON."""

from dataclasses import dataclass
from functools import partial

from bench.batches import Batch, batch
from bench.contestants import Contestant, Way
from bench.crowd import Served
from bench.load import load
from bench.results import Outcome, Plan, at_least, at_most, ratio
from bench.stage import Stage, staged

__all__ = ["run"]

WHO = ("nginx", "nginx unbuffered", "gateway", "portkey", "litellm")


@dataclass(frozen=True, slots=True)
class _Weight:
    """One size of reply: its images, how many requests at a time, and how much of a turn it gets."""

    name: str
    sizes: tuple[int, ...]
    connections: int
    share: float


# Three quarters of the JSON is what the images weigh as files. The largest comes as four images: the gateway takes
# up to 24 MB of base64 for one.
_WEIGHTS = (
    _Weight("1", (750_000,), 8, 0.4),
    _Weight("2.7", (2_025_000,), 8, 1.0),
    _Weight("10", (7_500_000,), 4, 0.5),
    _Weight("40", (7_500_000,) * 4, 2, 0.7),
)
_HEADINGS = {
    "cpu_us": "CPU, µs/request",
    "redis_cpu_us": "its Redis, µs/request",
    "per_second": "requests/s",
    "p50_ms": "p50, ms",
    "p99_ms": "p99, ms",
    "rss_peak_mb": "peak RSS, MB",
    "errors": "errors",
}


def run(plan: Plan) -> Outcome:
    """Measure it."""
    outcome = Outcome("b64")
    batches = {_way(weight): batch(weight.sizes) for weight in _WEIGHTS}
    files = {f"{way}/v1/images/generations": one.reply() for way, one in batches.items()}
    with staged(plan, files, [Way(way) for way in batches], WHO) as stage:
        for weight in _WEIGHTS:
            _measure(outcome, stage, (plan, weight, batches[_way(weight)]))
        outcome.missing = stage.missing
    everybody = [name for name in WHO if plan.wants(name)]
    keys = [{"who": name, "MB": weight.name} for weight in _WEIGHTS for name in everybody]
    outcome.tabulate("Base64 handed through, by the size of the reply", _HEADINGS, keys)
    ours = outcome.median("cpu_us", who="gateway", MB="2.7")
    theirs = {name: outcome.median("cpu_us", who=name, MB="2.7") for name in WHO}
    outcome.verdicts += [
        at_most(2, "CPU of 2.7 MB by nginx's", ratio(ours, theirs["nginx"]), 1.0, "×"),
        at_least(2, "Portkey's CPU by ours", ratio(theirs["portkey"], ours), 10, "×"),
        at_least(2, "LiteLLM's CPU by ours", ratio(theirs["litellm"], ours), 6, "×"),
    ]
    return outcome


def _way(weight: _Weight) -> str:
    return f"b64-{weight.name}"


def _measure(outcome: Outcome, stage: Stage, what: tuple[Plan, _Weight, Batch]) -> None:
    plan, weight, images = what
    expected = images.written(stage.folder / _way(weight))

    def served(contestant: Contestant, seconds: float) -> Served:
        ask = contestant.ask(_way(weight), response_format="b64_json", n=len(expected))
        return load(ask, weight.connections, seconds=seconds, images=expected).served

    for contestant in stage.present.values():
        served(contestant, 0.5)
    for number in range(plan.rounds):
        for contestant in stage.present.values():
            act = partial(served, seconds=plan.seconds * weight.share)
            outcome.rounds.append(stage.act(contestant, act, round=number, MB=weight.name))
