"""Gateways that share one Redis, and the administration of their keys over HTTP."""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from tests.processes import PATIENT, Running, gateway, sandbox_settings

ADMIN_TOKEN = "admin-token-of-the-tests-0001"  # good for these processes alone
NO_VENDORS = "http://127.0.0.1:9"  # the discard port: for tests that never make an image
_SITES = itertools.count(1)  # wrong keys are counted by address, and tests must not run into each other's
EVERYWHERE_S = 2.0  # by then a change must work on every replica


def replica_settings(folder: Path, redis_url: str, sandbox_url: str = NO_VENDORS) -> dict[str, Any]:
    """The sandbox's configuration with a shared Redis, an admin token and a tenant, its state below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    token = folder / "admin.token"
    token.write_text(ADMIN_TOKEN)
    settings = sandbox_settings(folder, sandbox_url)
    settings["redis"] = {"url": redis_url, "timeout": PATIENT}
    settings["server"]["trusted_proxies"] = ["127.0.0.1/32"]
    settings["server"]["admin"]["token"] = {"file": str(token)}
    settings["tenants"] = {"acme": {"limits": {"images_per_minute": 1000}}}
    return settings


@contextmanager
def replica(
    folder: Path, redis_url: str, sandbox_url: str = NO_VENDORS, redis: Mapping[str, Any] | None = None
) -> Iterator[Running]:
    """One gateway; `redis` are more settings of that group."""
    settings = replica_settings(folder, redis_url, sandbox_url)
    settings["redis"] |= redis or {}
    with gateway(folder, settings, sandbox_url) as running:
        yield running


def administer(running: Running, method: str, path: str, body: Any = None, **headers: str) -> httpx2.Response:
    """One request to the admin API, with the right token."""
    return httpx2.request(
        method,
        running.admin_url + path,
        json=body,
        headers={"authorization": f"Bearer {ADMIN_TOKEN}", **headers},
        timeout=10,
    )


def created(running: Running, **members: Any) -> tuple[str, str]:
    """The id and the secret of a new key."""
    reply = administer(running, "POST", "/admin/keys", members)
    assert reply.status_code == 201, reply.text
    return reply.json()["key"]["id"], reply.json()["secret"]


def ask(running: Running, secret: str, address: str | None = None) -> httpx2.Response:
    """The cheapest request that needs a key, from an address of its own unless one is given."""
    headers = {"authorization": f"Bearer {secret}", "x-forwarded-for": address or f"2001:db8:{next(_SITES):x}::1"}
    return httpx2.get(f"{running.base_url}/v1/models", headers=headers, timeout=10)


def status(running: Running, secret: str) -> int:
    return ask(running, secret).status_code


def until(holds: Callable[[], bool], deadline_s: float = EVERYWHERE_S) -> float:
    """Seconds until `holds()` did; fails when it does not within `deadline_s`."""
    began = time.monotonic()
    while True:
        held = holds()
        passed_s = time.monotonic() - began
        if held:
            return passed_s
        assert passed_s < deadline_s, f"not within {deadline_s} s"
        time.sleep(0.02)
