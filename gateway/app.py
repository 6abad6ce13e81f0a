"""The composition root: from settings to a running gateway, and to its orderly end."""

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog
import uvloop

from gateway.access import Access
from gateway.admin import Readiness, admin_app
from gateway.composition import accesses, allowance, end_user_key, paces, receivers, resilience, secrets_in, signing_key
from gateway.domain.facts import ConnectionRefused, Fact, Listener
from gateway.draining import Draining
from gateway.edges.admission import Admission
from gateway.edges.aside import SureAssets
from gateway.edges.assets import Assets, StoreUnavailable, open_store
from gateway.edges.bells import Bells
from gateway.edges.callbacks import Callbacks
from gateway.edges.drain_socket import DrainSocket
from gateway.edges.embedded_valkey import EmbeddedValkey
from gateway.edges.fact_log import FactLog
from gateway.edges.journal_spool import JournalSpool
from gateway.edges.limits import Limits
from gateway.edges.logs import start_logs
from gateway.edges.machine import give_memory_back, raise_open_files, share_arenas
from gateway.edges.messenger import Messenger
from gateway.edges.metrics import Metrics
from gateway.edges.metrics_table import REDIS_MAY_FORGET
from gateway.edges.pacing import Pacing
from gateway.edges.pixels import Pixels
from gateway.edges.redis_policy import EvictionWatch, check_admission
from gateway.edges.redis_store import RedisStore, RedisUnavailable
from gateway.edges.targets import Targets
from gateway.edges.tracing import open_traces
from gateway.edges.upkeep import Upkeep
from gateway.edges.upstreams import Upstreams
from gateway.edges.world import World
from gateway.editions import Editions, Press, spool_of
from gateway.guard import Guard
from gateway.journaling import asset_key, journal_of, repeats_of, spool_beside
from gateway.key_keeping import KeyKeeping
from gateway.observation import follow, metrics_of, watch
from gateway.operation import Operations
from gateway.policies.link_signing import LinkMaker
from gateway.recovery import Recovery
from gateway.reloading import Reloading
from gateway.server import Address, Server
from gateway.services import Services
from gateway.settings.groups import Settings
from gateway.traced import traced
from gateway.transport import Terms
from gateway.vendors import dialects

__all__ = ["Announce", "Start", "serve"]

Announce = Callable[[Settings, str, str], None]
"""Told when the gateway is ready: the settings as they are in force, the public and the second port's address."""

_SWEEP_EVERY_S = 300.0  # an image may stay an hour longer than promised anyway
_SWEEP_PAUSE_S = 1.0
_BRING_HOME_EVERY_S = 2.0
_REPLICA_BYTES = 8
_COLLECT_AFTER = 5_000, 5, 1_000_000
"""New objects, then rounds, before the collector looks. By itself it never looks at everything, which would stop all
for a second while ten thousand images are being made: admission has it do so when there is time, or after a while."""
_FILES_A_CONNECTION = 2  # its own, and one to a vendor or a file; the second port has few


@dataclass(frozen=True, slots=True)
class Start:
    """How a gateway is started: `config` is the file, `read` loads it (again) as the settings were loaded.

    `state` is where an embedded Valkey keeps its data; None: nowhere. `shared`: others listen on the public port, too.
    """

    config: Path
    read: Callable[[], Settings]
    state: Path | None = None
    shared: bool = False


def serve(settings: Settings, announce: Announce, start: Start) -> None:
    """Run the gateway until SIGINT or SIGTERM; SIGHUP has it read its configuration anew.

    Raises CannotListen, EmbeddedError, NotAdmitted, OSError or ValueError when it cannot start.
    """
    uvloop.run(_serve(settings, announce, start))


async def _serve(loaded: Settings, announce: Announce, start: Start) -> None:
    told_to_end = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told_to_end.set)
    metrics = metrics_of(loaded)
    server = _bind(loaded, metrics, start)
    in_force = partial(Settings.listening, public_port=server.public_address[1])
    settings = in_force(loaded)
    async with AsyncExitStack() as stack:
        sink = start_logs(settings.logging.level, prompts=settings.logging.prompts, secrets=secrets_in(settings))
        stack.callback(sink.close)
        stack.push_async_callback(server.stop)
        redis = await _redis(settings, start.state, stack)
        eviction = await _eviction(redis, metrics, stack)
        keeping = KeyKeeping(settings, redis)
        stack.push_async_callback(keeping.stop)
        await keeping.start()
        services, spool = await _services(settings, redis, metrics, stack, keeping)
        operations = Operations()
        follow(metrics, services, operations, keeping.mirror)
        watch(metrics, redis, services, stack)
        readiness = _readiness(redis, eviction, services.assets)
        press = Press(operations, keeping, metrics, int(services.world.now()))
        editions = Editions(press.first(settings, services), operations)
        stack.push_async_callback(editions.aclose)
        recovery = Recovery(lambda: editions.current.services, operations, spool)
        stack.push_async_callback(recovery.stop)
        await recovery.start()
        reloading = Reloading(editions, press, start.read, loaded, in_force)
        readiness.configuration = reloading.state
        second = admin_app(readiness, metrics, editions.administration)
        await server.start(traced(Access(Guard(editions.public), tell=metrics), services.traces), second)
        for duty in (_sweep(editions), _bring_home(editions)):
            stack.callback(asyncio.create_task(duty).cancel)
        balanced = not settings.redis.is_embedded  # with a Valkey of its own it is the only replica
        draining = Draining(lambda: editions.current.settings, readiness, server, operations, balanced=balanced)
        door = DrainSocket(start.config, draining.begin, draining.report)
        stack.push_async_callback(door.stop)
        await door.start()
        stack.push_async_callback(reloading.stop)
        reloading.start()
        loop.add_signal_handler(signal.SIGHUP, reloading.tell)
        _settle_memory()
        announce(settings, _url(server.public_address), _url(server.admin_address))
        await told_to_end.wait()
        await draining.finish()


def _settle_memory() -> None:
    """What is here by now stays: the collector need not look at it again, nor after every few hundred objects."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
    give_memory_back()


def _bind(settings: Settings, metrics: Metrics, start: Start) -> Server:
    """Take both ports, for as many connections as there may be open files for."""
    share_arenas()
    files, wanted = raise_open_files(), settings.admission.connections
    connections = wanted if files is None else min(wanted, files // _FILES_A_CONNECTION)
    return Server.bind(
        Address(settings.server.public_host, settings.server.public_port, "--public-port", shared=start.shared),
        Address(settings.server.admin_host, settings.server.admin_port, "--admin-port"),
        Terms(connections=connections),
        refused=lambda reason: metrics(ConnectionRefused(reason)),
    )


async def _redis(settings: Settings, state: Path | None, stack: AsyncExitStack) -> RedisStore:
    url = settings.redis.url.reveal()
    if settings.redis.is_embedded:
        valkey = EmbeddedValkey(state, durable=state is not None)
        stack.push_async_callback(valkey.stop)
        url = await valkey.start()
    redis = RedisStore(url, call_s=settings.redis.timeout_s)
    stack.push_async_callback(redis.aclose)
    await check_admission(redis)
    return redis


async def _eviction(redis: RedisStore, metrics: Metrics, stack: AsyncExitStack) -> EvictionWatch:
    eviction = EvictionWatch(redis)
    stack.push_async_callback(eviction.stop)
    await eviction.start()
    metrics.follow(REDIS_MAY_FORGET, lambda: float(eviction.may_forget))
    return eviction


async def _services(
    settings: Settings, redis: RedisStore, metrics: Metrics, stack: AsyncExitStack, keeping: KeyKeeping
) -> tuple[Services, JournalSpool | None]:
    pixels = Pixels()
    stack.push_async_callback(pixels.stop)
    await pixels.start()
    spoken = dialects()
    traces = open_traces(settings.otlp_endpoint)
    stack.push_async_callback(asyncio.to_thread, traces.stop)
    upstreams = Upstreams(accesses(settings), spool_of(settings), trace_headers=traces.headers)
    log = FactLog()

    def tell(fact: Fact) -> None:
        metrics(fact)
        log(fact)

    key, world = signing_key(settings), World()
    journal, writer, spool = journal_of(settings, redis, tell)
    admission = Admission(
        allowance(settings), world, tell, spool=spool_of(settings), queue_s=lambda: pixels.load().longest_wait_s
    )
    stack.push_async_callback(admission.stop)
    await admission.start()
    services = Services(
        catalogue=settings.catalogue,
        dialects=spoken,
        keys=keeping.keys(tell),
        limits=await _limits(settings, redis, stack),
        pacing=Pacing(redis, paces(settings, spoken.values()), world, tell, replicas=settings.redis.replicas_max or 1),
        targets=Targets(*resilience(settings), world, tell),
        upstreams=upstreams,
        pixels=pixels,
        admission=admission,
        assets=SureAssets(open_store(settings.store.url, {}), spool_beside(settings) / "aside", upstreams.room),
        links=LinkMaker(settings.server.base_url, (key,)),
        world=world,
        tell=tell,
        journal=journal,
        writer=writer,
        repeats=repeats_of(settings),
        asset_key=asset_key(key),
        end_user_key=end_user_key(key),
        blocked_users=keeping.blocked_users,
        presigned_links=settings.store.presigned,
        tenant_budgets=settings.tenant_budgets,
        traces=traces,
        callbacks=Callbacks(settings.webhook_url, Bells(redis)),
        messenger=_messenger(settings, world, tell, stack),
    )
    return services, spool


def _messenger(settings: Settings, world: World, tell: Listener, stack: AsyncExitStack) -> Messenger:
    messenger = Messenger(receivers(settings), world, tell)
    stack.push_async_callback(messenger.aclose)
    return messenger


async def _limits(settings: Settings, redis: RedisStore, stack: AsyncExitStack) -> Limits:
    limits = Limits(redis, on_failure=settings.redis.on_failure)
    upkeep = Upkeep(limits, redis, World().token(_REPLICA_BYTES).hex(), settings.redis.replicas_max or 1)
    stack.push_async_callback(upkeep.stop)
    await upkeep.start()
    return limits


def _readiness(redis: RedisStore, eviction: EvictionWatch, assets: Assets) -> Readiness:
    """Without Redis the gateway serves on a local share; without its store it cannot deliver an image."""
    checks: dict[str, Callable[[], Awaitable[bool]]] = {
        "redis": partial(_works, redis.ping, RedisUnavailable),
        "redis_policy": eviction.keeps,
        "store": partial(_works, assets.check, StoreUnavailable),
    }
    return Readiness(checks, frozenset({"store"}))


async def _works(check: Callable[[], Awaitable[None]], trouble: type[Exception]) -> bool:
    try:
        await check()
    except trouble:
        return False
    return True


async def _bring_home(editions: Editions) -> None:
    """Put into the store what it did not take when it was made."""
    log = structlog.get_logger("janitor")
    while True:
        await asyncio.sleep(_BRING_HOME_EVERY_S)
        brought = await editions.current.services.assets.bring_home()
        if brought:
            log.info("images that had been kept aside are in the store", images=brought)


async def _sweep(editions: Editions) -> None:
    """Delete expired images: a bounded number at a time, more soon when there were any."""
    log = structlog.get_logger("janitor")
    while True:
        deleted, services, keep_s = 0, editions.current.services, editions.current.settings.store.keep_s
        try:
            deleted = await services.assets.sweep(services.world.now(), keep_s)
        except StoreUnavailable as problem:
            log.warning("expired images could not be deleted", reason=str(problem))
        if deleted:
            log.info("expired images deleted", images=deleted)
        await asyncio.sleep(_SWEEP_PAUSE_S if deleted else _SWEEP_EVERY_S)


def _url(address: tuple[str, int]) -> str:
    host, port = address
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104  only to be shown
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
