"""What a running gateway cannot change: what it listens on, where it counts, and where its images are."""

from collections.abc import Callable, Mapping
from typing import Any

from gateway.settings.groups import Settings

__all__ = ["needs_restart"]

_FIXED: Mapping[str, Callable[[Settings], Any]] = {
    "server.public.host": lambda settings: settings.server.public_host,
    "server.public.port": lambda settings: settings.server.public_port,
    "server.admin.host": lambda settings: settings.server.admin_host,
    "server.admin.port": lambda settings: settings.server.admin_port,
    "redis": lambda settings: settings.redis,
    "store.url": lambda settings: settings.store.url,
    "store.signing_key": lambda settings: settings.store.signing_key,
    "idempotency": lambda settings: settings.idempotency,
    "webhooks": lambda settings: settings.webhook_url,
    "metrics": lambda settings: settings.metrics_per_key,
    "tracing": lambda settings: settings.otlp_endpoint,
    "admission.connections": lambda settings: settings.admission.connections,
}


def needs_restart(old: Settings, new: Settings) -> tuple[str, ...]:
    """The names of settings that differ and that only a restart changes. `old` and `new` are as they were loaded."""
    return tuple(name for name, of in _FIXED.items() if of(old) != of(new))
