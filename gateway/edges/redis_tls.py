"""TLS to Redis with one context a client.

The library makes one for every connection, which reads all the certificates of the machine: 40 ms and more in which
nothing else runs, so that a burst of new connections would look like an outage.
"""

from typing import Any

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.connection import SSLConnection
from redis.asyncio.sentinel import SentinelConnectionPool

__all__ = ["share_context"]


def share_context(client: Redis | RedisCluster) -> None:
    """Read the certificates now, for all connections that `client` will ever make; nothing to do without TLS.

    Raises ValueError where they cannot be read.
    """
    for holder in _makers(client):
        if issubclass(holder.connection_class, SSLConnection):
            holder.connection_class = _sharing(holder.connection_class, holder.connection_kwargs)
    if isinstance(client, RedisCluster):
        # What nodes that are found later are made of.
        first = next(iter(client.nodes_manager.startup_nodes.values()))
        client.nodes_manager.connection_kwargs["connection_class"] = first.connection_class


def _makers(client: Redis | RedisCluster) -> list[Any]:
    """All that makes connections: pools, or nodes of a cluster."""
    if isinstance(client, RedisCluster):
        return list(client.nodes_manager.startup_nodes.values())
    pool = client.connection_pool
    if isinstance(pool, SentinelConnectionPool):
        return [pool, *(sentinel.connection_pool for sentinel in pool.sentinel_manager.sentinels)]
    return [pool]


def _sharing(kind: type[SSLConnection], options: dict[str, Any]) -> type[SSLConnection]:
    """The same kind of connection, all of them with one context."""
    shared = kind(**options).ssl_context
    try:
        shared.get()
    except OSError as problem:
        named = options.get("ssl_ca_certs"), options.get("ssl_certfile"), options.get("ssl_keyfile")
        files = ", ".join(str(one) for one in named if one)
        raise ValueError(f"the certificates for Redis cannot be read ({problem.strerror}): {files}") from None

    class Sharing(kind):  # type: ignore[misc,valid-type]  # a class that is only known here
        def __init__(self, **given: Any) -> None:
            super().__init__(**given)
            self.ssl_context = shared

    return Sharing
