"""Names become addresses here, and every address is judged before anything connects to it."""

import asyncio
import socket
import time
from collections.abc import Callable

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from gateway.policies.addresses import Reason, judge_address

__all__ = ["AddressRefused", "GuardedResolver", "guarded_socket"]

_LAST_GOOD_S = 60.0  # how long a name that stopped resolving keeps its last addresses
_LOOKUP_S = 2.5  # below the connect timeout, so that the last good answer still gets its chance
_NAMES_KEPT = 256  # vendors may hand out a subdomain per image
_KEEPALIVE_IDLE_S = 30  # an image takes minutes without a byte; load balancers forget silent connections


class AddressRefused(OSError):  # noqa: N818  (a verdict, like its namesake in the policy)
    """A name led to an address that must not be connected to."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"address refused: {reason}")
        self.reason = reason


class GuardedResolver(AbstractResolver):
    """Looks names up and judges every address found: one bad address refuses the whole name.

    What it returns is what is connected to, so a second lookup cannot swap the address (DNS rebinding). While
    lookups fail, the last good answer serves for a minute.
    """

    def __init__(
        self,
        *,
        loopback_allowed: bool,
        inner: AbstractResolver | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loopback_allowed = loopback_allowed
        self._inner = inner
        self._clock = clock
        self._last_good: dict[tuple[str, int], tuple[float, list[ResolveResult]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of `host`. Raises AddressRefused, or OSError when there are none."""
        if self._inner is None:
            self._inner = aiohttp.ThreadedResolver()
        try:
            async with asyncio.timeout(_LOOKUP_S):
                found = await self._inner.resolve(host, port, family)
        except OSError:
            then, known = self._last_good.get((host, port), (0.0, []))
            if not known or self._clock() - then > _LAST_GOOD_S:
                raise
            return known
        for result in found:
            _check(result["host"], loopback_allowed=self._loopback_allowed)
        if len(self._last_good) >= _NAMES_KEPT:
            self._last_good.clear()
        self._last_good[host, port] = (self._clock(), found)
        return found

    async def close(self) -> None:
        """Let go of the resolver below."""
        if self._inner is not None:
            await self._inner.close()


def guarded_socket(*, loopback_allowed: bool) -> Callable[[aiohttp.AddrInfoType], socket.socket]:
    """A maker of sockets that judges the very address each is about to be connected to, literals included."""

    def make(address: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, target = address
        _check(str(target[0]), loopback_allowed=loopback_allowed)
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        idle = getattr(socket, "TCP_KEEPIDLE", None)  # macOS has another name for it, and sane enough defaults
        if idle is not None:
            made.setsockopt(socket.IPPROTO_TCP, idle, _KEEPALIVE_IDLE_S)
        return made

    return make


def _check(address: str, *, loopback_allowed: bool) -> None:
    refused = judge_address(address, loopback_allowed=loopback_allowed)
    if refused is not None:
        raise AddressRefused(refused.reason)
