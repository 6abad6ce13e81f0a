"""What a running gateway serves by. A configuration that is read anew replaces it as a whole, between two requests.

An edition is everything that follows from one configuration. A request is served to its end by the edition that was
in force when it came; what costs time to build or knows the past (connections, breakers, the store) goes over from
one edition to the next wherever its settings did not change.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.composition import accesses, allowance, paces, receivers, resilience
from gateway.documents.models import find_model, models_list
from gateway.documents.shelf import shelf
from gateway.edges.metrics import Metrics
from gateway.edges.metrics_table import IN_FLIGHT_BYTES
from gateway.edges.upstreams import Upstreams
from gateway.endpoints import Documents, Door, public_app
from gateway.journaling import repeats_of
from gateway.key_keeping import KeyKeeping
from gateway.observation import metric_names
from gateway.operation import Operations
from gateway.operation_administration import OperationDesk
from gateway.policies.attempts import FailedAttempts
from gateway.policies.link_signing import LinkMaker
from gateway.services import Services
from gateway.settings.groups import Settings

__all__ = ["Edition", "Editions", "Press", "spool_of"]

_LONGEST_S = 86_400.0  # no operation takes a day


@dataclass(slots=True)
class Edition:
    """One configuration in force. `requests` counts those that are being served by it."""

    settings: Settings
    services: Services
    public: ASGIApp
    administration: ASGIApp
    requests: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class Press:
    """Makes editions out of settings. What it holds outlives all of them. `created` is Unix seconds."""

    operations: Operations
    keeping: KeyKeeping
    metrics: Metrics
    created: int
    attempts: FailedAttempts = field(default_factory=FailedAttempts)

    def first(self, settings: Settings, services: Services) -> Edition:
        """The edition that a gateway starts with."""
        documents = _documents(settings, services, self.created)
        door = Door(self.attempts, settings.server.trusted_proxies, services.tell)
        desk = OperationDesk(services.journal, services.writer, services.world)
        return Edition(
            settings,
            services,
            public_app(self.operations, services, documents, door),
            self.keeping.administration(services.world, services.end_user_key, desk),
        )

    def next(self, last: Edition, settings: Settings) -> Edition:
        """The edition after `last`. Raises ValueError or OSError, with nothing changed, for settings of no use."""
        services = last.services
        upstreams = services.upstreams
        if settings.accounts != last.settings.accounts:
            upstreams = Upstreams(accesses(settings), spool_of(settings), trace_headers=services.traces.headers)
        hearing = receivers(settings)
        links = LinkMaker(settings.server.base_url, services.links.keys, services.links.life_s)
        # From here on nothing can fail.
        self.keeping.adopt(settings)
        services.pacing.adopt(paces(settings, services.dialects.values()))
        services.targets.adopt(*resilience(settings), afresh=upstreams is not services.upstreams)
        services.admission.adopt(allowance(settings))
        services.assets.adopt(upstreams.room)
        services.messenger.adopt(hearing)
        self.metrics.offer(metric_names(settings))
        self.metrics.follow(IN_FLIGHT_BYTES, lambda: upstreams.buffered_bytes)
        renewed = replace(
            services,
            catalogue=settings.catalogue,
            keys=self.keeping.keys(services.tell),
            upstreams=upstreams,
            links=links,
            repeats=repeats_of(settings),
            presigned_links=settings.store.presigned,
            tenant_budgets=settings.tenant_budgets,
        )
        return self.first(settings, renewed)


class Editions:
    """The edition in force, and the applications of both ports, which ask it."""

    def __init__(self, first: Edition, operations: Operations) -> None:
        self._current = first
        self._operations = operations
        self._leaving: dict[asyncio.Task[None], Upstreams] = {}
        self._closing: set[Upstreams] = set()
        self.count = 1

    @property
    def current(self) -> Edition:
        """What new requests are served by."""
        return self._current

    def adopt(self, edition: Edition) -> None:
        """Serve new requests by `edition`. The connections of the last one are closed once nobody uses them."""
        last, self._current = self._current, edition
        self.count += 1
        if last.services.upstreams is not edition.services.upstreams:
            task = asyncio.create_task(self._retire(last), name="edition-retire")
            self._leaving[task] = last.services.upstreams
            task.add_done_callback(self._leaving.pop)

    async def public(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The public port's application."""
        edition = self._current
        edition.requests += 1
        edition.idle.clear()
        try:
            await edition.public(scope, receive, send)
        finally:
            edition.requests -= 1
            if edition.requests == 0:
                edition.idle.set()

    async def administration(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application below /admin on the second port."""
        await self._current.administration(scope, receive, send)

    async def aclose(self) -> None:
        """Close the connections of all editions."""
        for task, upstreams in list(self._leaving.items()):
            if upstreams not in self._closing:
                task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            if upstreams not in self._closing:
                await upstreams.aclose()
        await self._current.services.upstreams.aclose()

    async def _retire(self, edition: Edition) -> None:
        """A request that was being read may yet begin an operation; after the last request, none can."""
        if edition.requests:
            await edition.idle.wait()
        await self._operations.drain(_LONGEST_S)
        upstreams = edition.services.upstreams
        self._closing.add(upstreams)
        await upstreams.aclose()


def spool_of(settings: Settings) -> Path:
    """Where images lie on their way: beside the store where that is local, so that nothing is copied between disks."""
    directory = settings.store.directory
    return (directory.parent if directory else Path("/tmp")) / "samurai-spool"  # noqa: S108  0700, checked by Spool


def _documents(settings: Settings, services: Services, created: int) -> Documents:
    catalogue, capabilities_of = services.catalogue, services.capabilities_of
    return Documents(
        static=shelf(catalogue, settings.server.base_url, capabilities_of),
        list_models=lambda caller: models_list(caller, catalogue, capabilities_of, created),
        find_model=lambda caller, name: find_model(name, caller, catalogue, capabilities_of, created),
    )
