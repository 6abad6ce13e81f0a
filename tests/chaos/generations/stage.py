"""Everything on one machine: vendors, Redis and its replica, the gateway's replicas, and what leads between them."""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos.generations.redis_pair import RedisPair, redis_pair
from tests.chaos.generations.replicas import Fleet, running_fleet
from tests.chaos.generations.wires import Relay, Streams, relay_to
from tests.processes import START_DEADLINE_S, child, demo_key, sandbox_settings
from tests.servers import free_port

__all__ = ["LEASE_S", "Stage", "stage"]

LEASE_S = 3.0
_DEADLINE = "20s"
_SETTLED_S = 120.0
_REDIS_TIMEOUT = "5s"  # a busy machine must not look like an outage
_ACCOUNTS = 8  # of each vendor: a dead replica's calls keep their places until they must be over
_SLOW_A_MINUTE = 12  # paid calls of one account, so that some operations wait before anything was sent


@dataclass
class Stage:
    """What runs; `front` is where clients come."""

    sandbox_url: str
    redis: RedisPair
    fleet: Fleet
    front: Relay
    store: Path
    key: str

    async def at_rest(self) -> None:
        """Wait until nobody works on anything any more: what was left behind has been taken up and ended."""
        deadline = time.monotonic() + _SETTLED_S
        while True:
            with self.redis.admin() as admin:
                left = admin.zcard("{samurai}:ops:leases")
            if not left:
                return
            assert time.monotonic() < deadline, f"{left} operations never end"
            await asyncio.sleep(0.2)

    def records(self) -> dict[str, list[dict[str, Any]]]:
        """All records of the journal, by the hash of their prompt."""
        found: dict[str, list[dict[str, Any]]] = {}
        with self.redis.admin() as admin:
            for key in admin.scan_iter("{samurai}:op:*", count=1000):
                text, delivered = admin.hmget(key, "doc", "delivered")
                if text is not None:
                    record = json.loads(text) | {"delivered": delivered is not None}
                    found.setdefault(record["prompt_hash"], []).append(record)
            listed = {op_id.decode() for op_id in admin.zrange("{samurai}:ops:unknown", 0, -1)}
        unlisted = [
            r["id"] for some in found.values() for r in some if r["state"] == "unknown" and r["id"] not in listed
        ]
        assert not unlisted, unlisted
        return found


@asynccontextmanager
async def stage(folder: Path, binary: str, *, replicas: int, pace: float) -> AsyncIterator[Stage]:
    """Everything started, with empty books."""
    async with AsyncExitStack() as stack:
        words = ("sandbox", "--port", "0", "--unlimited", "--pace", str(pace))
        _, output = stack.enter_context(child(*words))
        vendors = output.wait_for(r"(http://127\.0\.0\.1:\d+)", START_DEADLINE_S)[1]
        port = int(vendors.rpartition(":")[2])

        async def to_vendors() -> Streams:
            return await asyncio.open_connection("127.0.0.1", port)

        curt = await stack.enter_async_context(relay_to(to_vendors, hides_prefer=True))
        redis = await stack.enter_async_context(redis_pair(binary))
        fleet: list[Fleet] = []

        async def to_gateway() -> Streams | None:
            return await fleet[0].connect()

        front = await stack.enter_async_context(relay_to(to_gateway))
        settings = _settings(folder, vendors, curt.url, redis.url, front.url)
        ports = [free_port() for _ in range(replicas)]
        fleet.append(await stack.enter_async_context(running_fleet(folder, ports, settings)))
        yield Stage(vendors, redis, fleet[0], front, folder / "images", demo_key())


def _settings(folder: Path, vendors: str, curt: str, redis: str, front: str) -> dict[str, Any]:
    settings = sandbox_settings(folder, vendors)
    signing = folder / "signing.key"
    signing.write_text(hashlib.sha256(str(folder).encode()).hexdigest())
    settings["store"]["signing_key"] = {"file": str(signing)}
    settings["redis"] = {"url": redis, "timeout": _REDIS_TIMEOUT, "replicas_max": 4}
    settings["server"]["public"]["base_url"] = front
    settings["server"]["drain"] = {"delay": "300ms", "deadline": "10s"}
    settings["idempotency"] = {
        "lease": f"{round(LEASE_S * 1000)}ms",
        "join_retries": "2h",
        "wait": "15s",
        "acknowledged_by": 1,
    }
    settings["keys"][0]["limits"] = {}
    _spread(settings, curt)
    return settings


def _spread(settings: dict[str, Any], curt: str) -> None:
    """Several accounts at each vendor; one model's Replicate calls are answered with an id alone."""
    unpaced = {"requests_per_minute": 1_000_000, "images_per_minute": 1_000_000, "images_in_flight": 100_000}
    accounts: dict[str, Any] = settings["accounts"]
    spread: dict[str, Any] = {}
    for name, route in settings["models"].items():
        (target,) = route["targets"]
        account = accounts[target["account"]] | {"pacing": dict(unpaced)}
        if name == "flux-1.1-pro":
            account["base_url"] = f"{curt}/replicate/v1"
        if name == "dall-e-3":
            account["pacing"]["requests_per_minute"] = _SLOW_A_MINUTE
        copies = [f"{name}-{number}".replace(".", "-") for number in range(_ACCOUNTS)]
        spread |= dict.fromkeys(copies, account)
        targets = [target | {"account": copy} for copy in copies]
        settings["models"][name] = route | {"deadline": _DEADLINE, "strategy": "weighted", "targets": targets}
    settings["accounts"] = json.loads(json.dumps(spread))
