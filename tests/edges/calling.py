"""A made-up dialect, and Upstreams that speak it to a server on loopback."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp.abc import AbstractResolver

from gateway.domain.catalogue import Account, Capabilities
from gateway.domain.exchange import Delivered, Dialect, HttpCall, HttpReply
from gateway.edges.credentials import Credential, CredentialUnavailable, FixedSecret
from gateway.edges.transport import Timeouts
from gateway.edges.upstreams import AccountAccess, Upstreams

DIALECT = Dialect(
    name="made_up",
    vendor="acme",
    credential_header=("Authorization", "Bearer {}"),
    download_hosts=("*.acme.example", "cdn.example"),
    capabilities=lambda _: Capabilities(images_per_call=1),
    call_for=lambda _, account: HttpCall("POST", f"{account.base_url}/v1/images"),
    outcome_of=lambda _, __, ___: Delivered((), 0),
    probe_for=lambda account: HttpCall("GET", f"{account.base_url or 'https://api.acme.example'}/v1/models"),
)


@dataclass
class Clock:
    """Time that passes only in sleeps."""

    now: float = 0.0
    sleeps: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


class NoSecret:
    """A credential that is not to be had."""

    def known(self) -> str | None:
        return None

    async def secret(self, *, fresh: bool = False) -> str:
        raise CredentialUnavailable("the endpoint is down")


class Counted:
    """A credential that numbers its secrets."""

    def __init__(self) -> None:
        self.number = 1

    def known(self) -> str | None:
        return None

    async def secret(self, *, fresh: bool = False) -> str:
        self.number += fresh
        return f"secret-{self.number}"


@asynccontextmanager
async def calling(
    base_url: str | None,
    spool: Path,
    *,
    credential: Credential | None = None,
    clock: Clock | None = None,
    resolver: AbstractResolver | None = None,
    **access: Any,
) -> AsyncIterator[Upstreams]:
    account = Account("acme-1", "acme", base_url)
    entry = AccountAccess(account, credential or FixedSecret("canary-key"), **access)
    clocks: dict[str, Any] = {"clock": clock, "sleep": clock.sleep} if clock else {}
    upstreams = Upstreams({"acme-1": entry}, spool, resolver=resolver, **clocks)
    try:
        yield upstreams
    finally:
        await upstreams.aclose()


QUICK = Timeouts(connect_s=2.0, write_s=2.0, first_byte_s=0.4, idle_s=0.2)


def paid(base_url: str, json: Mapping[str, Any] | None = None, limit_bytes: int = 50_000_000) -> HttpCall:
    """A call that costs money."""
    body = json or {"prompt": "a cat"}
    return HttpCall("POST", f"{base_url}/v1/images", json=body, starts_work=True, limit_bytes=limit_bytes)


def free(base_url: str) -> HttpCall:
    """A look at work under way."""
    return HttpCall("GET", f"{base_url}/v1/images/7")


NO_REPLY = HttpReply(200, {})
