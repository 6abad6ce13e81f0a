"""The one way to Redis: scripts and commands that answer within a quarter of a second, or say plainly why not.

While Redis is away every call fails at once; a task in the background asks twice a second whether it is back, so
that no request ever pays for the asking.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha1
from pathlib import Path
from typing import Any, Self

from redis import exceptions as foreign
from redis.asyncio import Redis

from gateway.edges.redis_clients import Client, client_for, close
from gateway.edges.redis_faults import NO_OUTAGE, Reason, RedisUnavailable, no_evalsha, refuses_evalsha, unavailable
from gateway.edges.redis_pipe import Pipe, Word, exchange

__all__ = ["CALL_S", "Reason", "RedisStore", "RedisUnavailable", "Script"]

CALL_S = 0.25  # the most that an outage may add to one request
PROBE_EVERY_S = 0.5
_DOUBT_S = 0.01
PROBE_KEY = "{samurai}:probe"  # written, since a read would not notice a full or read-only server
MAX_CONNECTIONS = 64


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
        self._pipe = Pipe(self._client, call_s, self._suspect) if isinstance(self._client, Redis) else None
        self._call_s = call_s
        self._outage: Reason | None = None
        self._healer: asyncio.Task[None] | None = None
        self._second_look: asyncio.Task[bool] | None = None
        self._looked_at = 0.0
        self.is_confirmed = False
        self._evalsha_works = True
        self._seen: set[str] = set()  # scripts that went as text since the last outage
        self._posted: set[asyncio.Task[None]] = set()
        self._is_closed = False

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
        if self._pipe is None or not self._evalsha_works or self._outage is not None:
            return await self._within_limits(self._run, script, (len(keys), *keys, *args))
        try:  # in company; a cluster's client decides for each command where it goes
            return await self._pipe.send("EVALSHA", script.sha, len(keys), *keys, *args)
        except (foreign.RedisError, OSError) as error:
            if not isinstance(error, foreign.NoScriptError) and not no_evalsha(error):
                raise self._unavailable(error) from None
            self._evalsha_works = not no_evalsha(error)
        return await self._within_limits(self._eval, script, (len(keys), *keys, *args))

    def begin(self, script: Script, keys: Sequence[str], args: Sequence[str | int]) -> "asyncio.Future[Any] | None":
        """Send a script off, in one write with what else is sent in this pass of the event loop, and in that order.

        None where commands do not go in one line: run it.
        """
        if self._pipe is None or not self._evalsha_works or self._outage is not None:
            return None
        return self._pipe.post("EVALSHA", script.sha, len(keys), *keys, *args)

    async def reply_of(self, begun: "asyncio.Future[Any]") -> Any:
        """The reply to a script that was begun; None where the server did not know it. Raises RedisUnavailable."""
        assert self._pipe is not None  # noqa: S101 it was begun there
        try:
            return await self._pipe.reply_to(begun)
        except (foreign.RedisError, OSError) as error:
            if isinstance(error, foreign.NoScriptError) or no_evalsha(error):
                return None
            raise self._unavailable(error) from None

    def post(self, script: Script, keys: Sequence[str], args: Sequence[str | int], lost: Callable[[], None]) -> None:
        """Run a script without waiting for it; `lost` is called when Redis did not do it."""
        if self._pipe is None or not self._evalsha_works or self._outage is not None:
            self._post_slowly(script, keys, args, lost)
            return

        def look(future: "asyncio.Future[Any]") -> None:
            error = None if future.cancelled() else future.exception()
            if isinstance(error, foreign.NoScriptError) or no_evalsha(error):
                self._post_slowly(script, keys, args, lost)
                return
            if isinstance(error, Exception):
                self._unavailable(error)
            if future.cancelled() or error is not None:
                lost()

        self._pipe.post("EVALSHA", script.sha, len(keys), *keys, *args).add_done_callback(look)

    def _post_slowly(
        self, script: Script, keys: Sequence[str], args: Sequence[str | int], lost: Callable[[], None]
    ) -> None:
        async def run() -> None:
            try:
                await self.run(script, keys, args)
            except RedisUnavailable:
                lost()

        posted = asyncio.create_task(run(), name="redis-post")
        self._posted.add(posted)
        posted.add_done_callback(self._posted.discard)

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

    async def ping(self, patience_s: float | None = None) -> None:
        """Ask the server, outage or not, whether it can be reached and written to. Raises RedisUnavailable if not."""
        try:
            async with asyncio.timeout(self._call_s if patience_s is None else patience_s):
                await self._client.execute_command("SET", PROBE_KEY, 1, "PX", 1000)
        except (foreign.RedisError, foreign.RedisClusterException, OSError) as error:
            raise unavailable(error) from None

    async def aclose(self) -> None:
        """Stop asking, and close all connections. What comes later fails as if Redis were away."""
        self._is_closed = True
        for task in (self._healer, self._second_look):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        if self._posted:
            await asyncio.wait(self._posted, timeout=self._call_s)
        if self._pipe is not None:
            await self._pipe.aclose()
        await close(self._client)

    async def _within_limits(self, act: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        if self._outage is not None:
            self._watch()
            raise RedisUnavailable(self._outage)
        late = asyncio.get_running_loop().call_later(self._call_s / 2, self._suspect)
        try:
            async with asyncio.timeout(self._call_s):
                return await act(*args)
        except (foreign.RedisError, foreign.RedisClusterException, OSError) as error:
            raise self._unavailable(error) from None
        finally:
            late.cancel()

    async def _run(self, script: Script, rest: tuple[str | int, ...]) -> Any:
        if self._evalsha_works:
            try:
                return await self._client.execute_command("EVALSHA", script.sha, *rest)
            except foreign.NoScriptError:
                pass  # EVAL below also loads it
            except foreign.ResponseError as error:
                if not refuses_evalsha(error):
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
        # One that the server may not know goes as text: run by itself afterwards, it would come behind the others.
        replies = await self._together(
            [
                (*(("EVALSHA", one.sha) if one.sha in self._seen else ("EVAL", one.text)), len(keys), *keys, *args)
                for one, keys, args in calls
            ],
            then,
        )
        self._seen.update(one.sha for one, _, _ in calls)
        for number, (script, keys, args) in enumerate(calls):
            if isinstance(replies[number], foreign.NoScriptError) or no_evalsha(replies[number]):
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
        away = unavailable(error)
        if away.reason not in NO_OUTAGE and self._outage is None:
            self._outage = away.reason
            self._seen.clear()
            self._watch()
        return away

    def _watch(self) -> None:
        if not self._is_closed and (self._healer is None or self._healer.done()):
            self._healer = asyncio.create_task(self._heal(), name="redis-healer")

    def _suspect(self) -> None:
        """A call takes long: ask once more beside it, so that its end already knows whether the server is away."""
        if not self._is_closed and self._outage is None and (self._second_look is None or self._second_look.done()):
            self._looked_at = asyncio.get_running_loop().time()
            self._second_look = asyncio.create_task(self._answers(self._call_s / 2), name="redis-second-look")

    async def _answers(self, patience_s: float) -> bool:
        try:
            await self.ping(patience_s)
        except RedisUnavailable:
            return False
        return True

    async def _heal(self) -> None:
        is_recent = asyncio.get_running_loop().time() - self._looked_at < self._call_s
        if self._second_look is not None and is_recent:
            self.is_confirmed = not await self._second_look
            await self._drop_connections()
        else:
            await self._drop_connections()
            self.is_confirmed = not await self._answers(self._call_s)
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
            if self._pipe is not None:
                self._pipe.renew()
            with suppress(foreign.RedisError, OSError):
                await pool.update_active_connections_for_reconnect()  # type: ignore[no-untyped-call] # theirs
                await pool.disconnect(inuse_connections=False)
