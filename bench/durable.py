"""What being safe takes: how long the journal's writes wait for Redis, its replica and the disk, and who shares them.

Told apart from the round trips, for the records before a call and those after it. The disk is that of the temporary
files here, and Redis's replica a process on the same machine.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from bench import nginx
from bench.contestants import Contestant, direct, gateway, settings
from bench.crowd import Served, crowd
from bench.load import load
from bench.nginx import StartError
from bench.results import Outcome, Plan, Row, ratio
from bench.small import WAY, files
from bench.stage import Stage, workshop
from tests.servers import Server, free_port, running_server, valkey_binary

__all__ = ["run"]

_DISK, _BOTH = "Redis and the disk", "Redis, its replica and the disk"
_CONNECTIONS = 50
_PER_SECOND = 200.0  # a fifth of what it can serve: records have little company then
_REPLICA_S = 10.0
_WRITE, _FORCED = "samurai_journal_write_duration_seconds", "samurai_journal_disk_duration_seconds"
_RECORDS = "samurai_journal_disk_records_total"
_HEADINGS = {
    "before_ms": "waited for Redis and the disk, ms",
    "after_ms": "waited for Redis alone, ms",
    "forced_ms": "forced write, ms",
    "together": "records in each",
    "forced_each": "forced writes a request",
    "p50_ms": "p50, ms",
    "errors": "errors",
}


def run(plan: Plan) -> Outcome:
    """Measure it with the small reply, with as much company as there can be, and with little."""
    outcome = Outcome("durable")
    if not plan.wants("gateway"):
        return outcome
    with workshop() as folder, ExitStack() as stack:
        mock = stack.enter_context(nginx.vendor(folder / "vendor", files()))
        stage = Stage(folder, direct(mock.port))
        for number, (name, redis) in enumerate({_DISK: {}, _BOTH: stack.enter_context(_replicated())}.items()):
            home = folder / f"gateway-{number}"
            home.mkdir()
            document = {**settings(home, mock.port, [WAY]), **redis}
            stage.present[name] = stack.enter_context(gateway(home, document))
        loads = {"50 at a time": _closed(stage, plan.seconds), f"{_PER_SECOND:.0f} a second": _opened(plan.seconds)}
        for number in range(plan.rounds):
            for name, contestant in stage.present.items():
                for how, act in loads.items():
                    before = _read(contestant)
                    row = stage.act(contestant, act, round=number)
                    waited = _waits(before, _read(contestant), row["requests"])
                    outcome.rounds.append({**row, **waited, "waits for": name, "load": how})
    keys = [{"waits for": name, "load": how} for name in (_DISK, _BOTH) for how in loads]
    outcome.tabulate("Waiting for what must not be lost", _HEADINGS, keys)
    return outcome


def _closed(stage: Stage, seconds: float) -> Callable[[Contestant], Served]:
    def act(contestant: Contestant) -> Served:
        ask = contestant.ask(WAY.name, response_format="url")
        return crowd(stage.folder, ask, connections=_CONNECTIONS, seconds=seconds)

    return act


def _opened(seconds: float) -> Callable[[Contestant], Served]:
    def act(contestant: Contestant) -> Served:
        ask = contestant.ask(WAY.name, response_format="url")
        return load(ask, _CONNECTIONS, seconds=seconds, per_second=_PER_SECOND).served

    return act


@contextmanager
def _replicated() -> Iterator[Mapping[str, object]]:
    """Settings for a Valkey of its own with a replica, which must acknowledge each record."""
    with running_server(valkey_binary()) as replica, running_server(valkey_binary(), port=free_port()) as primary:
        with replica.admin() as admin:
            admin.replicaof("127.0.0.1", primary.port)
        _await_replica(primary)
        yield {
            "redis": {"url": primary.url, "timeout": "2s"},
            "idempotency": {"acknowledged_by": 1},
        }


def _await_replica(primary: Server) -> None:
    end = time.monotonic() + _REPLICA_S
    with primary.admin() as admin:
        while time.monotonic() < end:
            if admin.info("replication").get("slave0", {}).get("state") == "online":
                return
            time.sleep(0.01)
    raise StartError("the replica did not follow")


def _read(contestant: Contestant) -> dict[tuple[str, str], float]:
    with urlopen(f"{contestant.admin_url}/metrics") as reply:
        families = text_string_to_metric_families(reply.read().decode())
        return {
            (sample.name, sample.labels.get("waited_for", "")): sample.value
            for family in families
            for sample in family.samples
            if sample.name.startswith("samurai_journal_") and not sample.name.endswith("_bucket")
        }


def _waits(before: Mapping[tuple[str, str], float], after: Mapping[tuple[str, str], float], requests: int) -> Row:
    def grown(name: str, waited_for: str = "") -> float:
        return after.get((name, waited_for), 0.0) - before.get((name, waited_for), 0.0)

    def mean_ms(name: str, waited_for: str = "") -> float | None:
        seconds = ratio(grown(f"{name}_sum", waited_for), grown(f"{name}_count", waited_for))
        return None if seconds is None else seconds * 1000

    forced = grown(f"{_FORCED}_count")
    return {
        "before_ms": mean_ms(_WRITE, "both"),
        "after_ms": mean_ms(_WRITE, "redis"),
        "forced_ms": mean_ms(_FORCED),
        "together": ratio(grown(_RECORDS), forced),
        "forced_each": ratio(forced, requests),
    }
