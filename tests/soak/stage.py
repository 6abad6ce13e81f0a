"""Who takes part: the sandbox's vendors, a Redis, and one gateway before them, all real processes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.policies.key_format import RANDOM_BYTES, digest, new_key
from tests.processes import START_DEADLINE_S, Running, child, gateway, sandbox_settings
from tests.servers import Server, running_server, valkey_binary

__all__ = ["KEEP_S", "NARROW_KEY", "Stage", "stage"]

PACE = "0.05"
KEEP_S = 240
"""How long records are kept here, so that their number has come to rest when the warm-up is over."""

_UNHURRIED = {"requests_per_minute": 60_000, "images_per_minute": 60_000, "images_in_flight": 500}
_NARROW_A_MINUTE = 10
NARROW_KEY = new_key(bytes(range(RANDOM_BYTES)))
"""A key that comes up against its limit."""


@dataclass(frozen=True)
class Stage:
    """What runs."""

    running: Running
    redis: Server
    folder: Path = field(repr=False)

    @property
    def temporary(self) -> Path:
        """Where images lie on their way to the store."""
        return self.folder / "samurai-spool"


@contextmanager
def stage(folder: Path, redis_timeout: str) -> Iterator[Stage]:
    """Everything started. Redis counts as away when it has not answered for `redis_timeout`."""
    with child("sandbox", "--port", "0", "--unlimited", "--pace", PACE) as (_, output):
        vendors = output.wait_for(r"(http://127\.0\.0\.1:\d+)", START_DEADLINE_S)[1]
        with running_server(valkey_binary()) as redis:
            settings = _settings(folder, vendors)
            settings["redis"] = {"url": redis.url, "timeout": redis_timeout}
            with gateway(folder, settings, vendors) as running:
                yield Stage(running, redis, folder)


def _settings(folder: Path, vendors: str) -> dict[str, Any]:
    settings = sandbox_settings(folder, vendors)
    settings["idempotency"] = {"keep": f"{KEEP_S}s", "join_retries": "60s", "wait": "10s"}
    settings["server"]["drain"] = {"delay": "0s", "deadline": "20s"}
    settings["tenants"] = {"soak": {"budget": {"per_month": 1_000_000}}}
    wide = {"requests_per_minute": 60_000, "images_per_minute": 60_000, "concurrent": 200}
    settings["keys"][0] |= {"tenant": "soak", "limits": wide, "budget": {"per_day": 100_000}}
    narrow = {"requests_per_minute": _NARROW_A_MINUTE, "burst": 3, "concurrent": 2}
    settings["keys"].append({"id": "narrow", "sha256": digest(NARROW_KEY), "limits": narrow})
    for account in settings["accounts"].values():
        account |= {"timeout": "6s", "pacing": dict(_UNHURRIED)}
    for route in settings["models"].values():
        route["deadline"] = "15s"
    second = settings["models"]["ideogram-v3"]["targets"][0]
    settings["models"]["dall-e-3"]["targets"].append(dict(second))
    return settings
