"""A replica inside the test's process that can die, or stand still, at any place where it touches the world.

Everything is real: the steps, the scripts in Valkey, the spool's SQLite, the vendors' wire formats. Only time is the
test's own, and whoever is dead never gets an answer, nor a chance to tidy up.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import orjson

from gateway.composition import accesses, allowance, end_user_key, paces, resilience
from gateway.domain.exchange import Dialect, Fault, HttpCall, HttpReply, Inline, Remote
from gateway.domain.picture import Blob, ImageFormat
from gateway.domain.reply import Inbound, Reply
from gateway.edges.admission import Admission
from gateway.edges.aside import SureAssets
from gateway.edges.asset_store import open_store
from gateway.edges.assets import Asset, AssetFacts
from gateway.edges.journal import Journal, Keeping
from gateway.edges.journal_spool import JournalSpool, Spooled
from gateway.edges.journal_writer import JournalWriter
from gateway.edges.keys import Keys
from gateway.edges.limits import Limits
from gateway.edges.pacing import Pacing
from gateway.edges.pixels import Pixels
from gateway.edges.redis_store import RedisStore, Script
from gateway.edges.targets import Targets
from gateway.edges.upstreams import Upstreams
from gateway.edges.world import World
from gateway.generation import handle_generation
from gateway.journaling import asset_key
from gateway.operation import Operations
from gateway.policies.link_signing import LinkMaker
from gateway.recovery import Recovery
from gateway.services import Repeats, Services
from gateway.settings.groups import Settings
from gateway.vendors import dialects

T = TypeVar("T")

LEASE_S = 0.001  # whoever is asked about while a test looks elsewhere counts as dead at once
SIGNING_KEY = b"k" * 40


class Gate:
    """Counts every touch of the world, before it and after it. At number `ends_at` the replica ends or stands still."""

    def __init__(self, ends_at: int | None = None) -> None:
        self.touches: list[str] = []
        self.ends_at = ends_at
        self.ended = asyncio.Event()
        self._goes_on = asyncio.Event()
        self._closing = False

    async def through(self, name: str, act: Callable[[], Awaitable[T]]) -> T:
        """Touch the world: the replica may end before it, or after it without learning what came of it."""
        await self._point(f"before {name}")
        result = await act()
        await self._point(f"after {name}")
        return result

    def go_on(self) -> None:
        """It only stood still: let it go on."""
        self.ends_at = None
        self._goes_on.set()

    def close(self) -> None:
        """The test is over: let what hangs be cancelled."""
        self._closing = True

    async def _point(self, name: str) -> None:
        if self._closing:
            raise asyncio.CancelledError
        self.touches.append(name)
        if self.ends_at is not None and len(self.touches) >= self.ends_at:
            self.ended.set()
            await self._goes_on.wait()


class Clock(World):
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        super().__init__()
        self.passed_s = 0.0

    def now(self) -> float:
        return super().now() + self.passed_s

    def monotonic(self) -> float:
        return super().monotonic() + self.passed_s

    async def sleep(self, seconds: float) -> None:
        self.passed_s += seconds
        await asyncio.sleep(0.002)  # the vendors are in another process, and live in real time


class GatedRedis(RedisStore):
    def __init__(self, url: str, gate: Gate) -> None:
        super().__init__(url, call_s=5.0)
        self._gate = gate

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        return await self._gate.through("script", lambda: RedisStore.run(self, script, keys, args))

    async def run_all(
        self,
        calls: Sequence[tuple[Script, Sequence[str], Sequence[str | int]]],
        then: tuple[str | int, ...] | None = None,
    ) -> list[Any]:
        return await self._gate.through("scripts", lambda: RedisStore.run_all(self, calls, then))

    async def call(self, *command: str | bytes | int) -> Any:
        return await self._gate.through("command", lambda: RedisStore.call(self, *command))


class GatedSpool(JournalSpool):
    def __init__(self, directory: Path, gate: Gate) -> None:
        super().__init__(directory)
        self._gate = gate

    async def commit(self, records: Sequence[Spooled]) -> None:
        await self._gate.through("commit", lambda: JournalSpool.commit(self, records))


class GatedUpstreams(Upstreams):
    def __init__(self, settings: Settings, folder: Path, gate: Gate) -> None:
        super().__init__(accesses(settings), folder)
        self._gate = gate

    async def send(
        self, account_id: str, dialect: Dialect, call: HttpCall, *, deadline_s: float, fresh_credential: bool = False
    ) -> HttpReply | Fault:
        def act() -> Awaitable[HttpReply | Fault]:
            return Upstreams.send(
                self, account_id, dialect, call, deadline_s=deadline_s, fresh_credential=fresh_credential
            )

        return await self._gate.through(f"{call.method} to a vendor", act)

    async def collect(
        self, account_id: str, dialect: Dialect, source: Inline | Remote, reply: HttpReply, *, deadline_s: float
    ) -> Blob | Fault:
        def act() -> Awaitable[Blob | Fault]:
            return Upstreams.collect(self, account_id, dialect, source, reply, deadline_s=deadline_s)

        return await self._gate.through("download", act)


class GatedAssets(SureAssets):
    def __init__(self, url: str, aside: Path, gate: Gate) -> None:
        super().__init__(open_store(url, {}), aside)
        self._gate = gate

    async def put(self, asset_id: str, format: ImageFormat, blob: Blob, *, read_soon: bool = False) -> None:  # noqa: A002
        await self._gate.through("store", lambda: SureAssets.put(self, asset_id, format, blob, read_soon=read_soon))

    async def head(self, asset_id: str, format: ImageFormat) -> AssetFacts | None:  # noqa: A002 as in Assets
        return await self._gate.through("look", lambda: SureAssets.head(self, asset_id, format))

    async def read(
        self,
        asset_id: str,
        format: ImageFormat,  # noqa: A002 as in Assets
        start: int | None = None,
        end: int | None = None,
    ) -> Asset | None:
        return await self._gate.through("read", lambda: SureAssets.read(self, asset_id, format, start, end))


@dataclass
class Replica:
    """One gateway without its sockets."""

    gate: Gate
    services: Services
    operations: Operations
    recovery: Recovery
    spool: JournalSpool
    clients: list[asyncio.Task[Reply]] = field(default_factory=list)
    leftovers: list[asyncio.Task[Any]] = field(default_factory=list)

    def ask(self, headers: dict[str, str], **body: Any) -> "asyncio.Task[Reply]":
        """A client's request, whose client waits for as long as it takes."""

        async def content() -> bytes:
            return orjson.dumps(body)

        inbound = Inbound(headers, content, {}, lambda _: None)
        task = asyncio.create_task(handle_generation(inbound, self.operations, self.services))
        self.clients.append(task)
        return task

    async def recover(self) -> None:
        """Take up everything that was left, and bring it to its end."""
        while await self.recovery.once():
            await self.operations.drain(30)
        await self.services.writer.drained()

    async def close(self) -> None:
        """Let go of everything, as an operating system does."""
        self.gate.close()
        self.gate.go_on()
        tasks = [*self.clients, *self.leftovers, *self.operations.tasks]
        for _ in range(3):
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(asyncio.CancelledError):  # what a dead replica was writing is never written
            await self.services.writer.drained()
        await self.services.upstreams.aclose()
        await self.services.journal.redis.aclose()
        await self.spool.aclose()


def replica(settings: Settings, folder: Path, redis_url: str, pixels: Pixels, gate: Gate) -> Replica:
    """A replica with a spool of its own below `folder`; the images' directory is everybody's."""
    folder.mkdir(parents=True, exist_ok=True)
    redis, clock, spoken = GatedRedis(redis_url, gate), Clock(), dialects()
    journal = Journal(redis, Keeping(lease_s=LEASE_S))
    spool = GatedSpool(folder / "journal", gate)
    rules, share = resilience(settings)
    services = Services(
        catalogue=settings.catalogue,
        dialects=spoken,
        keys=Keys(settings.callers, tell=_ignore),
        limits=Limits(redis),
        pacing=Pacing(redis, paces(settings, spoken.values()), clock, _ignore),
        targets=Targets(rules, share, clock, _ignore),
        upstreams=GatedUpstreams(settings, folder / "spool", gate),
        pixels=pixels,
        admission=Admission(allowance(settings), clock, _ignore, spool=folder, queue_s=lambda: 0.0),
        assets=GatedAssets(settings.store.url, folder / "aside", gate),
        links=LinkMaker("http://images", (SIGNING_KEY,)),
        world=clock,
        tell=_ignore,
        journal=journal,
        writer=JournalWriter(journal, spool, _ignore),
        end_user_key=end_user_key(SIGNING_KEY),
        asset_key=asset_key(SIGNING_KEY),
        repeats=Repeats(wait_s=1.0),
    )
    operations = Operations()
    return Replica(gate, services, operations, Recovery(lambda: services, operations, spool), spool)


def _ignore(_: object) -> None:
    pass
