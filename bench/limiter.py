"""What the limiter costs beside the least that any script costs: a trivial EVALSHA through the same client.

Run as `python -m bench.limiter [CALLS]`, on a machine that has nothing else to do. It starts a server of its own on a
unix socket, and prints the table of docs/limits-measured.md. All rows of a table come from one run.
"""

import asyncio
import csv
import resource
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha1

import uvloop

from gateway.domain.money import Budget
from gateway.edges.limits import Limits
from gateway.edges.redis_store import RedisStore, Script
from gateway.policies.buckets import Dimension, Granted, Lease
from gateway.policies.purses import Purse, Reservation, Settlement
from tests.servers import Server, running_server, valkey_binary

CALLS = 20_000
TOGETHER = (1, 16)
TRIVIAL_TEXT = "return 1"
TRIVIAL = Script(TRIVIAL_TEXT, sha1(TRIVIAL_TEXT.encode(), usedforsecurity=False).hexdigest())
WIDE = 60_000_000
HEAD = """\
| calls at once | what | p50, ms | p99, ms | gateway CPU, µs a call | server CPU, µs a call |
|---:|---|---:|---:|---:|---:|
"""

Act = Callable[[str], Awaitable[object]]


@dataclass(frozen=True)
class Cost:
    """One row; None where nobody measured."""

    p50_ms: float
    p99_ms: float
    client_us: float | None
    server_us: float | None


def own_cpu_s() -> float:
    """User and system time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def server_cpu_s(server: Server) -> float:
    """The same of the server."""
    with server.admin() as admin:
        told = admin.info("cpu")
        return float(told["used_cpu_user"] + told["used_cpu_sys"])


async def cost_of(server: Server, act: Act, calls: int, together: int) -> Cost:
    """The cost of `calls` calls, of which `together` are under way at any time."""
    left, spans = calls, []

    async def work() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            op_id = uuid.uuid4().hex
            began = time.perf_counter_ns()
            await act(op_id)
            spans.append(time.perf_counter_ns() - began)

    server_s, own_s = server_cpu_s(server), own_cpu_s()
    await asyncio.gather(*(work() for _ in range(together)))
    own_s, server_s = own_cpu_s() - own_s, server_cpu_s(server) - server_s
    spans.sort()
    per_call = 1e6 / len(spans)
    return Cost(
        spans[len(spans) // 2] / 1e6, spans[len(spans) * 99 // 100] / 1e6, own_s * per_call, server_s * per_call
    )


def acts(store: RedisStore, limiter: Limits) -> dict[str, Act]:
    """What is measured, from the least to the most."""

    def bucket(name: str, scope: str) -> Dimension:
        return Dimension(name, scope, "bench", WIDE, 1_000_000_000, 1)  # type: ignore[arg-type]

    few = [bucket("requests", "key"), bucket("images", "key")]
    many = [*few, bucket("images", "tenant"), bucket("images", "model")]
    purses = tuple(Purse(scope, "bench", Budget(total_microusd=1 << 50)) for scope in ("key", "tenant"))
    money, place = Reservation(purses, 1, 600_000), Lease("key", "bench", 1_000_000, 60_000)
    exhausted = Dimension("images", "key", "exhausted", 1, 1, 1)

    async def granted(op_id: str, *asked: object) -> None:
        decision = await limiter.take(op_id, *asked)  # type: ignore[arg-type]
        assert isinstance(decision, Granted), decision
        assert not decision.degraded

    async def everything(op_id: str) -> None:
        await granted(op_id, many, [place], money)
        await limiter.settle(op_id, [place], money, Settlement(1, usage=(("bench", 1),)))

    return {
        "a trivial script": lambda _: store.run(TRIVIAL, ["{samurai}:bench"], []),
        "take two buckets": lambda op_id: granted(op_id, few),
        "be refused by one of two buckets": lambda op_id: limiter.take(op_id, [few[0], exhausted]),
        "take four buckets, a place, money of two purses": lambda op_id: granted(op_id, many, [place], money),
        "the same, and settle it": everything,
    }


def yardstick(server: Server, calls: int, together: int) -> Cost | None:
    """The trivial script from redis-benchmark, which is written in C; None where it is not installed."""
    program = shutil.which("redis-benchmark") or shutil.which("valkey-benchmark")
    if program is None:
        return None
    where = [program, "-s", str(server.path), "-c", str(together), "-n", str(calls), "--csv"]
    before = server_cpu_s(server)
    done = subprocess.run(
        [*where, "EVALSHA", TRIVIAL.sha, "1", "{samurai}:bench"], capture_output=True, text=True, check=True
    )
    used_s = server_cpu_s(server) - before
    told = next(iter(csv.DictReader(done.stdout[done.stdout.index('"test"') :].splitlines())))
    return Cost(float(told["p50_latency_ms"]), float(told["p99_latency_ms"]), None, used_s * 1e6 / calls)


def row(together: int, what: str, cost: Cost) -> str:
    """One line of the table."""
    client, server = ("" if one is None else f"{one:.0f}" for one in (cost.client_us, cost.server_us))
    return f"| {together} | {what} | {cost.p50_ms:.3f} | {cost.p99_ms:.3f} | {client} | {server} |\n"


async def measure(server: Server, calls: int) -> None:
    """Print the table."""
    store = RedisStore(server.url, call_s=5.0)
    for together in TOGETHER:
        limiter = Limits(store)
        for what, act in acts(store, limiter).items():
            await cost_of(server, act, max(100, calls // 20), together)  # scripts, connections, caches
            sys.stdout.write(row(together, what, await cost_of(server, act, calls, together)))
        cost = await asyncio.to_thread(yardstick, server, calls, together)
        if cost is not None:
            sys.stdout.write(row(together, "a trivial script, from redis-benchmark", cost))
    await store.aclose()


if __name__ == "__main__":
    sys.stdout.write(HEAD)
    with running_server(valkey_binary()) as fresh:
        uvloop.run(measure(fresh, int(sys.argv[1]) if len(sys.argv) > 1 else CALLS))
