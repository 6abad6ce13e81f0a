"""How a replica ends: it says no to readiness, listens until the balancers have noticed, and finishes what it began."""

import asyncio
import os
import time
from collections.abc import Callable

import structlog

from gateway.admin import Readiness
from gateway.edges.drain_socket import DrainReport
from gateway.operation import Operations
from gateway.server import Server
from gateway.settings.groups import Settings

__all__ = ["Draining"]


class Draining:
    """Begun by `samurai drain` or by a signal, whichever comes first; `finish` is the signal's part.

    `settings` gives those in force. Without `balanced`, nobody has to notice, and there is no delay.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        readiness: Readiness,
        server: Server,
        operations: Operations,
        *,
        balanced: bool,
    ) -> None:
        self._settings = settings
        self._readiness, self._server, self._operations = readiness, server, operations
        self._balanced = balanced
        self._began_at: float | None = None
        self._delay_s = self._deadline_s = 0.0

    def begin(self) -> None:
        """Take no part in balancing from now on, and go on serving whoever still comes."""
        if self._began_at is not None:
            return
        self._began_at = time.monotonic()
        settings = self._settings().server
        self._delay_s = settings.drain_delay_s if self._balanced else 0.0
        self._deadline_s = settings.drain_deadline_s
        self._readiness.draining = True
        self._server.announce_drain()
        structlog.get_logger("gateway").info("draining", in_flight=self._in_flight)

    def report(self) -> DrainReport:
        """How far it has come. Drained: the delay is over and nothing is in flight."""
        passed_s = 0.0 if self._began_at is None else time.monotonic() - self._began_at
        in_flight = self._in_flight
        drained = self._began_at is not None and passed_s >= self._delay_s and in_flight == 0
        late = passed_s >= self._delay_s + self._deadline_s
        return DrainReport(os.getpid(), in_flight, drained, late and not drained)

    async def finish(self) -> None:
        """Take nothing new once the delay is over, and wait for the rest up to the deadline."""
        self.begin()
        await asyncio.sleep(max(0.0, self._delay_s - self._passed_s))
        ends_at = time.monotonic() + self._deadline_s
        finished = await self._server.drain(self._deadline_s)
        left = await self._operations.drain(max(0.1, ends_at - time.monotonic()))
        log = structlog.get_logger("gateway")
        tell = log.error if left else log.info
        tell("drained", operations_left=left, connections_finished=finished)

    @property
    def _passed_s(self) -> float:
        return 0.0 if self._began_at is None else time.monotonic() - self._began_at

    @property
    def _in_flight(self) -> int:
        return max(self._server.requests, len(self._operations))
