"""Measures what one request costs Redis and the gateway: `python -m tools.redis_cost [requests]`.

A real gateway with the sandbox's vendors and a Valkey of its own, on this machine. Both figures of time are CPU time,
Redis' that of its one thread that serves commands, so they tell capacity whatever else the machine does. The key has
every limit that there is: requests, images, places, budgets, and the same for its tenant. Each request makes one image
of 1024 × 1024, which comes as base64, is stored as a file and answered by a link.
"""

import asyncio
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from tests.processes import Running, gateway, sandbox, sandbox_settings
from tests.servers import running_server, valkey_binary

AT_ONCE = 16
WARM_UP = 32
_SCRIPTS = ("cmdstat_evalsha", "cmdstat_eval")
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
PLENTY = {"requests_per_minute": 1_000_000, "images_per_minute": 1_000_000}
BUDGET = {"per_day": 100_000, "per_month": 100_000}


@dataclass(frozen=True)
class Reading:
    """How things stand: scripts and CPU seconds of Redis, its memory, and the gateway's own CPU seconds."""

    scripts: int
    redis_s: float
    memory_bytes: int
    gateway_s: float

    @classmethod
    def of(cls, admin: Any, running: Running) -> "Reading":
        stats, cpu = admin.info("commandstats"), admin.info("cpu")
        return cls(
            sum(seen["calls"] for name, seen in stats.items() if name in _SCRIPTS),
            cpu["used_cpu_user_main_thread"] + cpu["used_cpu_sys_main_thread"],
            admin.info("memory")["used_memory"],
            _cpu_s(running.process.pid),
        )


def main(requests: int) -> None:
    """Run, and print a table."""
    with tempfile.TemporaryDirectory() as folder, running_server(valkey_binary()) as server, sandbox() as sandbox_url:
        settings = _settings(Path(folder), sandbox_url, server.url)
        with gateway(Path(folder), settings, sandbox_url) as running:
            asyncio.run(_ask(running, WARM_UP))
            before = Reading.of(server.admin(), running)
            asyncio.run(_ask(running, requests))
            after = Reading.of(server.admin(), running)
            images = [path.stat().st_size for path in Path(folder).rglob("images/**/*.png")]
    print(f"requests                          {requests}")
    print(f"bytes of an image                 {sum(images) / len(images):.0f}")
    print(f"scripts a request                 {(after.scripts - before.scripts) / requests:.1f}")
    print(f"Redis' CPU a request, µs          {(after.redis_s - before.redis_s) * 1e6 / requests:.0f}")
    print(f"Redis' memory a request, bytes    {(after.memory_bytes - before.memory_bytes) / requests:.0f}")
    print(f"gateway's CPU a request, ms       {(after.gateway_s - before.gateway_s) * 1000 / requests:.2f}")


def _settings(folder: Path, sandbox_url: str, redis_url: str) -> dict[str, Any]:
    settings = sandbox_settings(folder, sandbox_url)
    settings["redis"] |= {"url": redis_url}
    settings["tenants"] = {"acme": {"limits": PLENTY, "budget": BUDGET}}
    settings["keys"][0] |= {"tenant": "acme", "budget": BUDGET, "limits": {**PLENTY, "concurrent": 10_000}}
    for account in settings["accounts"].values():
        account["pacing"] = {"requests_per_minute": 1_000_000, "images_in_flight": 10_000}
    return settings


async def _ask(running: Running, requests: int) -> None:
    places = asyncio.Semaphore(AT_ONCE)
    headers = {"authorization": f"Bearer {running.key}"}
    async with httpx2.AsyncClient(base_url=running.base_url, headers=headers, timeout=120) as client:

        async def one(number: int) -> None:
            body = {"model": "imagen-3", "prompt": f"gate {number}", "size": "1024x1024"}
            async with places:
                (await client.post("/v1/images/generations", json=body)).raise_for_status()

        await asyncio.gather(*map(one, range(requests)))


def _cpu_s(pid: int) -> float:
    """Of one process, user and system together, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
