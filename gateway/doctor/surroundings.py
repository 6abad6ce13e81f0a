"""What the gateway leans on beside its vendors: Redis, the image store, and the key that signs links."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import MappingProxyType

from gateway.composition import signing_key
from gateway.doctor.findings import Finding, Status
from gateway.edges.assets import Assets, StoreUnavailable, open_store
from gateway.edges.embedded_valkey import EmbeddedError, EmbeddedValkey
from gateway.edges.redis_policy import NOEVICTION, eviction_policy, may_forget
from gateway.edges.redis_store import Reason, RedisStore, RedisUnavailable
from gateway.settings.groups import Settings

__all__ = ["redis_findings", "signing_finding", "store_finding"]

_CALL_S = 2.0  # patient: the quarter of a second that requests grant is for requests
_REDIS, _STORE, _SIGNING = "redis", "store", "signing key"
_ADVICE: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.REFUSED: "start it, or correct redis.url",
        Reason.TIMEOUT: "check the network and firewalls between here and there",
        Reason.LOST: "check the network, and whether redis.url should be rediss://",
        Reason.AUTH: "correct the user and password in redis.url, and what that user may do",
        Reason.TLS: "correct ssl_ca_certs, ssl_certfile and ssl_keyfile in redis.url, or the server's certificate",
        Reason.READONLY: "redis.url leads to a replica: give the primary's address, or redis+sentinel://",
        Reason.OOM: "give it more memory",
        Reason.CLUSTER: "heal the cluster, or use redis+cluster:// in redis.url",
        Reason.LOADING: "wait until it has loaded its data",
    }
)


async def redis_findings(settings: Settings) -> list[Finding]:
    """Whether Redis can be reached and written to, and whether it would forget what it was told."""
    async with AsyncExitStack() as stack:
        try:
            redis = RedisStore(await _address(settings, stack), call_s=_CALL_S)
            stack.push_async_callback(redis.aclose)
            await redis.ping()
            policy = await eviction_policy(redis)
        except RedisUnavailable as problem:
            advice = _ADVICE.get(problem.reason, "see its own log")
            return [Finding(Status.FAILED, _REDIS, f"{problem} {problem.detail}".strip(), advice)]
        except (EmbeddedError, ValueError) as problem:
            return [Finding(Status.FAILED, _REDIS, str(problem), "correct redis.url")]
    own = "a server of our own can be started, for one replica" if settings.redis.is_embedded else "answers, writable"
    return [Finding(Status.OK, _REDIS, own), *_eviction(policy)]


async def _address(settings: Settings, stack: AsyncExitStack) -> str:
    """The configured address; for an embedded one, a server in a directory that is gone afterwards."""
    if not settings.redis.is_embedded:
        return settings.redis.url.reveal()
    valkey = EmbeddedValkey()
    stack.push_async_callback(valkey.stop)
    return await valkey.start()


def _eviction(policy: str | None) -> list[Finding]:
    advice = f"set maxmemory-policy to {NOEVICTION}"
    if policy is None:
        return [Finding(Status.NOTE, _REDIS, "does not tell its maxmemory-policy to this user", advice)]
    if not may_forget(policy):
        return []
    seen = f"maxmemory-policy is {policy}: when memory is short it forgets limits and bookings without a word"
    return [Finding(Status.WARNING, _REDIS, seen, advice)]


async def store_finding(settings: Settings) -> Finding:
    """Whether images can be kept: something is written, read and deleted. A directory is made, as at a start."""
    try:
        await Assets(open_store(settings.store.url, {})).check()
    except StoreUnavailable as problem:
        return Finding(Status.FAILED, _STORE, str(problem), "check store.url, the bucket's rights and its credentials")
    except (OSError, ValueError) as problem:
        return Finding(Status.FAILED, _STORE, _reason(problem), "make it writable for this user, or move store.url")
    return Finding(Status.OK, _STORE, "written, read and deleted")


def signing_finding(settings: Settings) -> Finding:
    """Whether there is a key that signs image links."""
    try:
        length = len(signing_key(settings))
    except (OSError, ValueError) as problem:
        return Finding(Status.FAILED, _SIGNING, _reason(problem), "set store.signing_key, or make the store writable")
    where = "beside the images" if settings.store.signing_key is None else "from the configuration"
    return Finding(Status.OK, _SIGNING, f"{length} bytes, {where}")


def _reason(problem: Exception) -> str:
    if isinstance(problem, OSError) and problem.strerror:
        return f"{problem.strerror}: {problem.filename}" if problem.filename else problem.strerror
    return str(problem)
