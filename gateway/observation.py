"""The composition of all that is looked at: metrics by the settings' names, and the gauges that follow the edges."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial

from gateway.edges import metrics_table as table
from gateway.edges.key_mirror import KeyMirror
from gateway.edges.metrics import Metrics
from gateway.edges.metrics_offer import MetricNames, names_of
from gateway.edges.redis_store import Reason, RedisStore
from gateway.edges.watch import Watch
from gateway.operation import Operations
from gateway.services import Services
from gateway.settings.groups import Settings
from gateway.vendors import dialects

__all__ = ["follow", "metric_names", "metrics_of", "watch"]


def metric_names(settings: Settings) -> MetricNames:
    """The names of a configuration that metrics have series for."""
    spoken = dialects()
    accounts = {name: account.account.vendor for name, account in settings.accounts.items()}
    return names_of(settings.catalogue, accounts, lambda target: spoken[target.dialect].capabilities(target.model))


def metrics_of(settings: Settings) -> Metrics:
    """The metrics of a gateway with these settings, all at zero."""
    metrics = Metrics(metric_names(settings), per_key=settings.metrics_per_key)
    metrics.configured(settings.version)
    return metrics


def follow(metrics: Metrics, services: Services, operations: Operations, mirror: KeyMirror) -> None:
    """Let the gauges show what the parts of a running gateway know of themselves."""
    pixels, limits = services.pixels, services.limits
    metrics.follow(table.IN_FLIGHT, lambda: len(operations))
    metrics.follow(table.TASKS, lambda: len(asyncio.all_tasks()))
    metrics.follow(table.IN_FLIGHT_BYTES, lambda: services.upstreams.buffered_bytes)
    metrics.follow(table.KEYS_AGE, lambda: mirror.age_s)
    metrics.follow(table.SETTLEMENTS, lambda: len(limits.backlog))
    metrics.follow(table.REPLICAS, lambda: limits.shares.replicas)
    metrics.follow(table.PIXEL_WORKERS_BUSY, lambda: pixels.load().busy)
    metrics.follow(table.PIXEL_JOBS_WAITING, lambda: pixels.load().waiting)
    metrics.follow(table.PIXEL_WAIT_SECONDS, lambda: pixels.load().longest_wait_s)
    metrics.follow(table.PIXEL_WORKERS_LOST, lambda: pixels.load().lost)


def watch(metrics: Metrics, redis: RedisStore, services: Services, stack: AsyncExitStack) -> None:
    """Look at Redis, money and the store from now until the stack ends."""
    metrics.follow(table.REDIS_UP, lambda: float(redis.outage is None))
    for reason in Reason:
        metrics.follow(table.REDIS_OUTAGE, partial(_is_away, redis, reason), reason.value)
    looking = Watch(services.tell, redis, services.limits.allowances, services.assets.check)
    stack.push_async_callback(looking.stop)
    looking.start()


def _is_away(redis: RedisStore, reason: Reason) -> float:
    return float(redis.outage is reason)
