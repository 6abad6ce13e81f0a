"""The one way to Redis: scripts and commands that answer within a quarter of a second, or say plainly why not.

While Redis is away every call fails at once; a task in the background asks twice a second whether it is back, so
that no request ever pays for the asking.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha1
from pathlib import Path
from ssl import SSLError
from typing import Any, Self

from redis import exceptions as foreign
from redis.asyncio import Redis

from gateway.edges.redis_clients import Client, client_for, close
from gateway.edges.redis_flights import Flights, Word, exchange

__all__ = ["CALL_S", "Reason", "RedisStore", "RedisUnavailable", "Script"]

CALL_S = 0.25  # the most that an outage may add to one request
PROBE_EVERY_S = 0.5
_DOUBT_S = 0.01
PROBE_KEY = "{samurai}:probe"  # written, since a read would not notice a full or read-only server
MAX_CONNECTIONS = 64


class Reason(StrEnum):
    """Why Redis did not do as asked; also a metric's label."""

    REFUSED = "refused"
    TIMEOUT = "timeout"
    LOST = "lost"
    POOL = "pool"
    AUTH = "auth"
    TLS = "tls"
    READONLY = "readonly"
    OOM = "oom"
    LOADING = "loading"
    BUSY = "busy"
    CLUSTER = "cluster"
    ERROR = "error"


# A full pool and a command that failed by itself say nothing about the server's health.
_NO_OUTAGE = frozenset({Reason.POOL, Reason.ERROR})

# In this order: the library's own classes overlap.
_REASONS: tuple[tuple[type[Exception], Reason], ...] = (
    (foreign.MaxConnectionsError, Reason.POOL),
    (foreign.AuthenticationError, Reason.AUTH),
    (foreign.AuthorizationError, Reason.AUTH),
    (foreign.AuthenticationWrongNumberOfArgsError, Reason.AUTH),
    (foreign.NoPermissionError, Reason.AUTH),
    (foreign.BusyLoadingError, Reason.LOADING),
    (foreign.ReadOnlyError, Reason.READONLY),
    (foreign.OutOfMemoryError, Reason.OOM),
    (foreign.ClusterError, Reason.CLUSTER),  # down, or a slot that is on the move for too long
    (foreign.TryAgainError, Reason.CLUSTER),
    (foreign.AskError, Reason.CLUSTER),  # and MOVED: the address is a cluster's, but does not say so
    (foreign.TimeoutError, Reason.TIMEOUT),
    (TimeoutError, Reason.TIMEOUT),
)

# Error codes that the library has no class for.
_CODES = {"BUSY": Reason.BUSY, "MISCONF": Reason.READONLY, "NOREPLICAS": Reason.READONLY}

_BROKEN = (ConnectionResetError, BrokenPipeError)


class RedisUnavailable(Exception):  # noqa: N818 - it is a state to be handled, and reads so at every `except`
    """Redis did not do as asked. Whether a command was carried out is unknown: repeat only what may be repeated.

    `detail` is the server's own wording, for the log.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"Redis is unavailable: {reason}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script, known to the server by its digest."""

    text: str = field(repr=False)
    sha: str

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a script from a file."""
        text = path.read_text(encoding="utf-8")
        return cls(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


class RedisStore:
    """A Redis, Valkey, Sentinel or Cluster behind an address (see `redis_clients`); every failure is one exception.

    Must be closed. Raises ValueError for an address that makes no sense. `is_confirmed`: an outage was looked into.
    """

    def __init__(self, url: str, *, call_s: float = CALL_S, max_connections: int = MAX_CONNECTIONS) -> None:
        self._client: Client = client_for(url, connect_s=call_s, max_connections=max_connections)
        self._flights = Flights(self._client, call_s) if isinstance(self._client, Redis) else None
        self._call_s = call_s
        self._outage: Reason | None = None
        self._healer: asyncio.Task[None] | None = None
        self.is_confirmed = False
        self._evalsha_works = True

    @property
    def outage(self) -> Reason | None:
        """Why Redis is away, or None while it answers."""
        return self._outage

    async def is_surely_away(self) -> bool:
        """Whether an outage is more than a call that took too long: the server was asked once more, in vain.

        Waits for that answer, or for the end of what looked like an outage.
        """
        while self._outage is not None and not self.is_confirmed:
            self._watch()
            await asyncio.sleep(_DOUBT_S)
        return self._outage is not None

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        """Run a script, which must tolerate being run again. Raises RedisUnavailable."""
        if self._flights is None or not self._evalsha_works or self._outage is not None:
            return await self._within_limits(self._run, script, (len(keys), *keys, *args))
        try:  # in company; a cluster's client decides for each command where it goes
            return await self._flights.send("EVALSHA", script.sha, len(keys), *keys, *args)
        except (foreign.RedisError, OSError) as error:
            if not isinstance(error, foreign.NoScriptError) and not _no_evalsha(error):
                raise self._unavailable(error) from None
            self._evalsha_works = not _no_evalsha(error)
        return await self._within_limits(self._eval, script, (len(keys), *keys, *args))

    async def run_all(
        self,
        calls: Sequence[tuple[Script, Sequence[str], Sequence[str | int]]],
        then: tuple[str | int, ...] | None = None,
    ) -> list[Any]:
        """Run scripts over one connection, in one round trip, and `then` one more command (not in a cluster).

        Each must tolerate being run again. Raises RedisUnavailable when any of them failed.
        """
        replies: list[Any] = await self._within_limits(self._run_all, calls, then)
        return replies

    async def call(self, *command: str | bytes | int) -> Any:
        """Send one command. Raises RedisUnavailable."""
        return await self._within_limits(self._client.execute_command, *command)

    async def ping(self) -> None:
        """Ask the server, outage or not, whether it can be reached and written to. Raises RedisUnavailable if not."""
        try:
            async with asyncio.timeout(self._call_s):
                await self._client.execute_command("SET", PROBE_KEY, 1, "PX", 1000)
        except (foreign.RedisError, foreign.RedisClusterException, OSError) as error:
            raise _translated(error) from None

    async def aclose(self) -> None:
        """Stop asking, and close all connections."""
        if self._healer is not None:
            self._healer.cancel()
            with suppress(asyncio.CancelledError):
                await self._healer
        if self._flights is not None:
            await self._flights.aclose()
        await close(self._client)

    async def _within_limits(self, act: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        if self._outage is not None:
            self._watch()
            raise RedisUnavailable(self._outage)
        try:
            async with asyncio.timeout(self._call_s):
                return await act(*args)
        except (foreign.RedisError, foreign.RedisClusterException, OSError) as error:
            raise self._unavailable(error) from None

    async def _run(self, script: Script, rest: tuple[str | int, ...]) -> Any:
        if self._evalsha_works:
            try:
                return await self._client.execute_command("EVALSHA", script.sha, *rest)
            except foreign.NoScriptError:
                pass  # EVAL below also loads it
            except foreign.ResponseError as error:
                if not _refuses_evalsha(error):
                    raise
                self._evalsha_works = False
        return await self._eval(script, rest)

    async def _eval(self, script: Script, rest: tuple[str | int, ...]) -> Any:
        return await self._client.execute_command("EVAL", script.text, *rest)

    async def _run_all(
        self, calls: Sequence[tuple[Script, Sequence[str], Sequence[str | int]]], then: tuple[str | int, ...] | None
    ) -> list[Any]:
        if not self._evalsha_works:
            return [await self._run(script, (len(keys), *keys, *args)) for script, keys, args in calls]
        replies = await self._together(
            [("EVALSHA", one.sha, len(keys), *keys, *args) for one, keys, args in calls], then
        )
        for number, (script, keys, args) in enumerate(calls):
            if isinstance(replies[number], foreign.NoScriptError) or _no_evalsha(replies[number]):
                replies[number] = await self._run(script, (len(keys), *keys, *args))
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    async def _together(self, commands: list[tuple[Word, ...]], then: tuple[Word, ...] | None) -> list[Any]:
        if isinstance(self._client, Redis):
            return await exchange(self._client, commands if then is None else [*commands, then])
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        replies: list[Any] = await pipeline.execute(raise_on_error=False)
        return replies

    def _unavailable(self, error: Exception) -> RedisUnavailable:
        """The one exception for this failure, which may be the beginning of an outage."""
        unavailable = _translated(error)
        if unavailable.reason not in _NO_OUTAGE and self._outage is None:
            self._outage = unavailable.reason
            self._watch()
        return unavailable

    def _watch(self) -> None:
        if self._healer is None or self._healer.done():
            self._healer = asyncio.create_task(self._heal(), name="redis-healer")

    async def _heal(self) -> None:
        await self._drop_connections()
        try:
            await self.ping()
        except RedisUnavailable:
            self.is_confirmed = True
        while self._outage is not None:
            await asyncio.sleep(PROBE_EVERY_S)
            try:
                await self.ping()
            except RedisUnavailable as still:
                self._outage, self.is_confirmed = still.reason, True
            else:
                self._outage, self.is_confirmed = None, False

    async def _drop_connections(self) -> None:
        """Let go of connections that may lead to a dead or demoted server; a cluster's client does so by itself."""
        if isinstance(self._client, Redis):
            pool = self._client.connection_pool
            if self._flights is not None:
                await self._flights.give_back()
            with suppress(foreign.RedisError, OSError):
                await pool.update_active_connections_for_reconnect()  # type: ignore[no-untyped-call] # theirs
                await pool.disconnect(inuse_connections=False)


def _no_evalsha(reply: Any) -> bool:
    return isinstance(reply, foreign.ResponseError) and _refuses_evalsha(reply)


def _refuses_evalsha(error: foreign.ResponseError) -> bool:
    text = str(error).lower()
    return any(words in text for words in ("evalsha", "unknown command", "unsupported", "not supported"))


def _translated(error: Exception) -> RedisUnavailable:
    return RedisUnavailable(_reason(error), str(error))


def _reason(error: Exception) -> Reason:
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return reason
    if isinstance(error, foreign.RedisClusterException):
        # Where no node would have us, the last one's reason comes wrapped.
        return _reason(error.__cause__) if isinstance(error.__cause__, foreign.RedisError) else Reason.CLUSTER
    if isinstance(error, foreign.ConnectionError):
        if isinstance(error.__cause__, foreign.RedisError):
            return _reason(error.__cause__)  # what went wrong in the handshake comes wrapped
        if isinstance(error.__context__, SSLError):
            return Reason.TLS
        if isinstance(error.__cause__, TimeoutError):
            return Reason.POOL  # the queue for a connection was too long
        never_connected = isinstance(error.__context__, OSError) and not isinstance(error.__context__, _BROKEN)
        return Reason.REFUSED if never_connected else Reason.LOST
    if isinstance(error, OSError):
        return Reason.LOST
    return _CODES.get(str(error).partition(" ")[0], Reason.ERROR)
