"""From one URL to a Redis client that never retries, never waits long, and never opens connections without bound.

redis:// · rediss:// · unix:// · redis+sentinel://host:port,host:port/service[/db] · redis+cluster://host:port,…
(rediss+sentinel:// and rediss+cluster:// with TLS). Options of the connection, such as `ssl_ca_certs`, are the
URL's query.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote, urlsplit

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff

from gateway.edges.redis_tls import share_context

__all__ = ["Client", "client_for", "close"]

POOL_WAIT_S = 0.05  # longer in the queue than a healthy call takes means that Redis is not healthy
IDLE_CHECK_S = 30  # firewalls and load balancers drop silent connections after a minute or more
CLUSTER_PORT, SENTINEL_PORT = 6379, 26379

Client = Redis | RedisCluster


def client_for(url: str, *, connect_s: float, max_connections: int) -> Client:
    """A client for `url`; connects on first use. `connect_s` bounds each connect; replies are the caller's to bound.

    Raises ValueError, which never shows the URL's credentials, where the URL makes no sense or names certificates that
    cannot be read.
    """
    options: dict[str, Any] = {
        # The client's own limit on a reply costs a task a command; RedisStore's deadline covers the whole call.
        "socket_timeout": None,
        "socket_connect_timeout": connect_s,
        "health_check_interval": IDLE_CHECK_S,
        # A retry inside the client would run a command whose reply was lost a second time.
        "retry": Retry(NoBackoff(), 0),
        # RESP2 without the client's self-introduction needs no handshake, and every proxy speaks it.
        "protocol": 2,
        "driver_info": None,
    }
    scheme = urlsplit(url).scheme
    make = _MODES.get(scheme.partition("+")[2]) if scheme in _SCHEMES else None
    if make is None:
        raise ValueError(
            "a Redis address starts with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://"
        )
    try:
        client = make(url, options, max_connections)
    except ValueError:
        raise ValueError(f"not a usable {scheme}:// address") from None
    share_context(client)
    return client


async def close(client: Client) -> None:
    """Close the client and everything that it opened on the way."""
    if isinstance(client, RedisCluster):
        await client.aclose()
        for nodes in ("nodes_cache", "startup_nodes"):  # which it leaves open while it looks for the cluster
            await client.nodes_manager.aclose(nodes)
        return
    pool = client.connection_pool
    await client.aclose()
    if isinstance(pool, SentinelConnectionPool):
        for sentinel in pool.sentinel_manager.sentinels:
            await sentinel.aclose()


def _single(url: str, options: Mapping[str, Any], max_connections: int) -> Redis:
    pool = BlockingConnectionPool.from_url(url, timeout=POOL_WAIT_S, max_connections=max_connections, **options)
    return Redis.from_pool(pool)


def _sentinel(url: str, options: Mapping[str, Any], max_connections: int) -> Redis:
    hosts, wanted = _several(url, SENTINEL_PORT)
    service, _, db = unquote(urlsplit(url).path).strip("/").partition("/")
    if not service:
        raise ValueError("no service")
    password = wanted.pop("sentinel_password", None)
    user = wanted.pop("sentinel_username", None)
    patience_s = options["socket_connect_timeout"] / (len(hosts) + 1)  # a silent sentinel must leave time for the next
    own = {"username": user, "password": password, "socket_timeout": patience_s, "socket_connect_timeout": patience_s}
    encrypted = {name: wanted[name] for name in wanted if name.startswith("ssl")}
    of_sentinels = {**options, **own, **encrypted}
    manager = Sentinel(hosts, sentinel_kwargs=of_sentinels, **options, **wanted)  # type: ignore[no-untyped-call] # theirs
    master: Redis = manager.master_for(service, max_connections=max_connections, db=int(db or 0))
    return master


def _cluster(url: str, options: Mapping[str, Any], max_connections: int) -> RedisCluster:
    hosts, wanted = _several(url, CLUSTER_PORT)
    nodes = [ClusterNode(host, port) for host, port in hosts]
    # All our keys lie in one slot: a MOVED is followed for it alone. The client's other answer, to look at the whole
    # cluster anew after every fifth one, would cut the connections under all calls that are on their way.
    own: dict[str, Any] = {"max_connections": max_connections, "reinitialize_steps": 0}
    return RedisCluster(startup_nodes=nodes, **own, **options, **wanted)


def _several(url: str, default_port: int) -> tuple[list[tuple[str, int]], dict[str, Any]]:
    """The hosts of an address that names several, and the connection options that its other parts hold."""
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    scheme = parts.scheme.partition("+")[0]
    wanted: dict[str, Any] = dict(parse_url(f"{scheme}://{user}{at}localhost?{parts.query}"))
    wanted.pop("host", None)
    wanted["ssl"] = wanted.pop("connection_class", None) is SSLConnection
    return [_host_and_port(one, default_port) for one in hosts.split(",")], wanted


def _host_and_port(text: str, default_port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("no host")
    return parts.hostname, parts.port or default_port


_SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")
_MODES: Mapping[str, Callable[[str, Mapping[str, Any], int], Client]] = MappingProxyType(
    {"": _single, "sentinel": _sentinel, "cluster": _cluster}
)
