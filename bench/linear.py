"""Goal 7: a request costs the same whatever came before it, beside it, and however many replicas there are."""

from collections.abc import Callable
from contextlib import ExitStack

from bench import nginx, small
from bench.contestants import Contestant, direct, gateway, settings
from bench.crowd import Served, crowd
from bench.load import load
from bench.results import Outcome, Plan, at_most, ratio
from bench.stage import Stage, workshop

__all__ = ["run"]

_CROWDS = (1, 10, 100)
_AMOUNTS = (100, 1_000, 10_000)
_CONNECTIONS = 50
_HEADINGS = {
    "cpu_us": "CPU, µs/request",
    "redis_cpu_us": "its Redis, µs/request",
    "per_second": "requests/s",
    "p99_ms": "p99, ms",
    "rss_peak_mb": "peak RSS, MB",
    "errors": "errors",
}


def run(plan: Plan) -> Outcome:
    """Measure it with the small reply."""
    outcome = Outcome("linear")
    if not plan.wants("gateway"):
        return outcome
    with workshop() as folder, ExitStack() as stack:
        mock = stack.enter_context(nginx.vendor(folder / "vendor", small.files()))
        stage = Stage(folder, direct(mock.port))
        for replicas in (1, 2):
            home = folder / f"gateway-{replicas}"
            home.mkdir()
            document = settings(home, mock.port, [small.WAY])
            arguments = ("--replicas", str(replicas)) if replicas > 1 else ()
            name = f"gateway, {replicas} replica{'s' if replicas > 1 else ''}"
            stage.present[name] = stack.enter_context(gateway(home, document, *arguments))
        for contestant in stage.present.values():
            _clocked(stage, _CROWDS[-1], 1.5)(contestant)
        _measure(outcome, stage, plan)
    outcome.tabulate("So many connections", _HEADINGS, [{"connections": each} for each in _CROWDS])
    outcome.tabulate(
        "So many requests in all, one after the other by 50 connections",
        _HEADINGS,
        [{"in all": each} for each in _AMOUNTS],
    )
    outcome.tabulate("Replicas, 100 connections", _HEADINGS, [{"replicas": each} for each in (1, 2)])
    _judge(outcome)
    return outcome


def _measure(outcome: Outcome, stage: Stage, plan: Plan) -> None:
    one, two = stage.present.values()
    for number in range(plan.rounds):
        for connections in _CROWDS:
            row = stage.act(one, _clocked(stage, connections, plan.seconds), round=number)
            outcome.rounds.append({**row, "connections": connections})
        for replicas, contestant in ((1, one), (2, two)):
            row = stage.act(contestant, _clocked(stage, _CROWDS[-1], plan.seconds), round=number)
            outcome.rounds.append({**row, "replicas": replicas})
    for amount in _AMOUNTS:  # once: the largest is long enough
        row = stage.act(one, _counted(amount))
        outcome.rounds.append({**row, "in all": amount})


def _clocked(stage: Stage, connections: int, seconds: float) -> Callable[[Contestant], Served]:
    def act(contestant: Contestant) -> Served:
        ask = contestant.ask(small.WAY.name, response_format="url")
        return crowd(stage.folder, ask, connections=connections, seconds=seconds)

    return act


def _counted(amount: int) -> Callable[[Contestant], Served]:
    def act(contestant: Contestant) -> Served:
        return load(contestant.ask(small.WAY.name, response_format="url"), _CONNECTIONS, requests=amount).served

    return act


def _judge(outcome: Outcome) -> None:
    def cost(**where: object) -> float | None:
        return outcome.median("cpu_us", **where)

    in_all = {"in all": _AMOUNTS[-1]}, {"in all": _AMOUNTS[0]}
    outcome.verdicts += [
        at_most(
            7,
            "CPU a request at 100 connections by that at 1",
            ratio(cost(connections=100), cost(connections=1)),
            1.1,
            "×",
        ),
        at_most(7, "CPU a request of 10,000 by that of 100", ratio(cost(**in_all[0]), cost(**in_all[1])), 1.1, "×"),
        at_most(
            7, "CPU a request with two replicas by that with one", ratio(cost(replicas=2), cost(replicas=1)), 1.1, "×"
        ),
    ]
