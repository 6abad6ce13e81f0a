"""Goal 1: a small reply, a link handed through, by a crowd of 50; then what it adds to latency, at half of its load."""

from functools import partial

from bench.contestants import Contestant, Way
from bench.crowd import Served, crowd
from bench.load import load
from bench.results import Outcome, Plan, at_least, at_most, ratio
from bench.stage import Stage, staged

__all__ = ["REPLY", "WAY", "files", "run"]

WHO = ("nginx", "gateway", "portkey", "litellm")
WAY = Way("small", passthrough=True)
REPLY = b'{"created":1763800000,"data":[{"url":"http://127.0.0.1:1/files/image.png"}]}'
_CONNECTIONS = 50
_WARM_S = 1.0
_HEADINGS = {
    "cpu_us": "CPU, µs/request",
    "redis_cpu_us": "its Redis, µs/request",
    "per_second": "requests/s",
    "p50_ms": "p50, ms",
    "p99_ms": "p99, ms",
    "rss_peak_mb": "peak RSS, MB",
    "errors": "errors",
}


def files(way: str = WAY.name, reply: bytes = REPLY) -> dict[str, bytes]:
    """What the mock vendor answers."""
    return {f"{way}/v1/images/generations": reply}


def run(plan: Plan) -> Outcome:
    """Measure it."""
    outcome = Outcome("small")
    with staged(plan, files(), [WAY], WHO) as stage:
        everybody = list(stage.present.values())
        for contestant in everybody:
            _closed(stage, _WARM_S, contestant)
        for number in range(plan.rounds):
            for contestant in everybody:
                act = partial(_closed, stage, plan.seconds)
                outcome.rounds.append(stage.act(contestant, act, round=number, loop="closed"))
        for number in range(plan.rounds):
            for contestant in everybody:
                _added(outcome, stage, contestant, (number, plan.seconds))
        outcome.missing = stage.missing
    keys = [{"who": name} for name in WHO if plan.wants(name)]
    outcome.tabulate(f"Small reply, {_CONNECTIONS} at a time", _HEADINGS, keys, loop="closed")
    added = {"rate": "requests/s", "added_p50_ms": "added p50, ms", "added_p99_ms": "added p99, ms", "errors": "errors"}
    outcome.tabulate("The same at half of what each can serve, beside direct calls", added, keys, loop="open")
    _judge(outcome)
    return outcome


def _closed(stage: Stage, seconds: float, contestant: Contestant) -> Served:
    ask = contestant.ask(WAY.name, response_format="url")
    return crowd(stage.folder, ask, connections=_CONNECTIONS, seconds=seconds)


def _added(outcome: Outcome, stage: Stage, contestant: Contestant, how: tuple[int, float]) -> None:
    """Latency at half load beside the vendor's own at the same rate, one right after the other."""
    number, seconds = how
    served = outcome.median("per_second", who=contestant.name, loop="closed") or 2.0
    rate = max(1.0, served / 2)
    rate = min(rate, 8000.0)  # beyond it the generator, which checks every reply, would be what is measured
    times = []
    for one in (stage.vendor, contestant):
        ask = one.ask(WAY.name, response_format="url")
        times.append(load(ask, _CONNECTIONS, seconds=seconds, per_second=rate).served)
    without, through = times
    outcome.rounds.append(
        {
            "who": contestant.name,
            "round": number,
            "loop": "open",
            "rate": rate,
            "errors": through.errors,
            "added_p50_ms": through.p50_ms - without.p50_ms,
            "added_p99_ms": through.p99_ms - without.p99_ms,
        }
    )


def _judge(outcome: Outcome) -> None:
    ours = outcome.median("cpu_us", who="gateway", loop="closed")
    peer = {name: outcome.median("cpu_us", who=name, loop="closed") for name in ("portkey", "litellm")}
    latency = {which: outcome.median(f"added_{which}_ms", who="gateway", loop="open") for which in ("p50", "p99")}
    outcome.verdicts += [
        at_most(1, "CPU of a small reply", ours, 250, "µs"),
        at_least(1, "Portkey's CPU by ours", ratio(peer["portkey"], ours), 4, "×"),
        at_least(1, "LiteLLM's CPU by ours", ratio(peer["litellm"], ours), 35, "×"),
        at_most(1, "added latency at half load, p50", latency["p50"], 1, "ms"),
        at_most(1, "added latency at half load, p99", latency["p99"], 5, "ms"),
    ]
