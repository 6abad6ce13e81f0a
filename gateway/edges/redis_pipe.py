"""Commands to Redis in one line: each is written at once, behind those whose replies are still on their way.

A command by itself costs a client more than a server: a connection taken and given back, a write, a read, and a task
woken for each. Here what is asked in one pass of the event loop is one write, and what has come back is one read. The
server takes one command after the other anyway, so that a second line would gain nothing; and in one line nothing
overtakes.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from hiredis import pack_command
from redis import exceptions as foreign
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection

__all__ = ["Pipe", "Word", "exchange"]

_MOST = 128  # commands in one write, of up to 2 KB each

Word = str | bytes | int
_pack: Callable[[tuple[Word, ...]], bytes] = pack_command  # type: ignore[assignment] # its hint allows one word only
_Future = asyncio.Future[Any]


async def exchange(client: Redis, commands: Sequence[tuple[Word, ...]]) -> list[Any]:
    """Send commands over a connection of their own, and read all replies; a refused one's is its error.

    What the client's own pipeline does, packed in C: its packing in Python took a fifth of a request's time. Raises
    what the client raises when the connection fails; it is not used again then.
    """
    connection = await client.connection_pool.get_connection()  # type: ignore[no-untyped-call] # theirs
    try:
        await connection.send_packed_command(b"".join(map(_pack, commands)))
        replies: list[Any] = []
        for _ in commands:
            try:
                replies.append(await connection.read_response())
            except foreign.ResponseError as refusal:
                replies.append(refusal)
        return replies
    finally:
        await client.connection_pool.release(connection)


class Pipe:
    """The line of one client, over one connection of its pool, which is taken when first needed.

    Each command must tolerate being sent although its caller was cancelled. A connection that breaks, or on which one
    reply does not come within `answer_s`, fails all commands that are on it; `on_late` hears of one that takes half of
    that. Must be closed.
    """

    def __init__(self, client: Redis, answer_s: float, on_late: Callable[[], None]) -> None:
        self._client = client
        self._answer_s = answer_s
        self._on_late = on_late
        self._unsent: list[tuple[tuple[Word, ...], _Future]] = []
        self._unanswered: deque[_Future] = deque()
        self._connection: AbstractConnection | None = None
        self._to_write, self._to_read = asyncio.Event(), asyncio.Event()
        self._work: tuple[asyncio.Task[None], ...] = ()
        self._ending: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def post(self, *command: Word) -> _Future:
        """Send a command without waiting; what comes back is the future's: a reply, or what the client raises."""
        future: _Future = asyncio.get_running_loop().create_future()
        if self._is_closed:
            _set_exception(future, foreign.ConnectionError("closed"))
            return future
        self._unsent.append((command, future))
        self._to_write.set()
        if not self._work:
            self._work = tuple(
                asyncio.create_task(act(), name=f"redis-pipe-{act.__name__}") for act in (self._write, self._read)
            )
        return future

    async def send(self, *command: Word) -> Any:
        """The reply to one command. Raises what the client raises, and TimeoutError when none came in time."""
        return await self.reply_to(self.post(*command))

    async def reply_to(self, future: _Future) -> Any:
        """The reply to a command that was posted; raises as `send` does."""
        # A tenth of what asyncio.timeout() costs.
        late = asyncio.get_running_loop().call_later(self._answer_s / 2, self._be_late, future)
        try:
            return await future
        finally:
            late.cancel()

    def renew(self) -> None:
        """Take another connection from now on; what is on its way is lost."""
        self._break(foreign.ConnectionError("the connection is to be renewed"))

    async def aclose(self) -> None:
        """Wait for the replies that are still due, for as long as one may take, and give the connection back."""
        self._is_closed = True
        due = [*(future for _, future in self._unsent), *self._unanswered]
        if due:
            await asyncio.wait(due, timeout=self._answer_s)
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        self._break(foreign.ConnectionError("closed"))
        await asyncio.gather(*self._ending)

    async def _write(self) -> None:
        while True:
            await self._to_write.wait()
            connection = None
            try:
                connection = await self._connected()
                batch, self._unsent = self._unsent[:_MOST], self._unsent[_MOST:]
                self._unanswered.extend(future for _, future in batch)
                self._to_read.set()
                packed = b"".join(_pack(command) for command, _ in batch)
                # No health check of the client's: it would read a reply of its own in between.
                await connection.send_packed_command(packed, check_health=False)
            except (foreign.RedisError, OSError) as error:
                if connection is None or connection is self._connection:
                    self._break(error)
            if not self._unsent:
                self._to_write.clear()

    async def _read(self) -> None:
        while True:
            await self._to_read.wait()
            connection = self._connection
            if connection is None or not self._unanswered:
                self._to_read.clear()
                continue
            try:
                reply = await connection.read_response()
            except foreign.ResponseError as refusal:
                if connection is self._connection and self._unanswered:
                    _set_exception(self._unanswered.popleft(), refusal)
            except (foreign.RedisError, OSError) as error:
                if connection is self._connection:
                    self._break(error)
            else:
                if connection is self._connection and self._unanswered:
                    _set_result(self._unanswered.popleft(), reply)

    async def _connected(self) -> AbstractConnection:
        """The connection; another one where it was closed by the server, or is marked by the pool, meanwhile."""
        kept = self._connection
        if kept is not None and not self._unanswered:
            with suppress(foreign.ConnectionError):
                if not kept.should_reconnect() and not await kept.can_read():  # type: ignore[no-untyped-call] # theirs
                    return kept
            self._let_go()
        if self._connection is None:
            self._connection = await self._client.connection_pool.get_connection()  # type: ignore[no-untyped-call]
        connection: AbstractConnection = self._connection
        return connection

    def _be_late(self, future: _Future) -> None:
        if not future.done():
            self._on_late()
            asyncio.get_running_loop().call_later(self._answer_s / 2, self._time_out, future)

    def _time_out(self, future: _Future) -> None:
        if not future.done():
            self._break(TimeoutError())

    def _break(self, error: Exception) -> None:
        """All that is on the way, or was to go, has failed."""
        failed = [*self._unanswered, *(future for _, future in self._unsent)]
        self._unanswered.clear()
        self._unsent = []
        self._let_go()
        for future in failed:
            _set_exception(future, error)

    def _let_go(self) -> None:
        if self._connection is not None:
            ending = asyncio.create_task(self._end(self._connection), name="redis-pipe-end")
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
            self._connection = None

    async def _end(self, connection: AbstractConnection) -> None:
        await connection.disconnect(nowait=True)
        await self._client.connection_pool.release(connection)


def _set_result(future: _Future, reply: Any) -> None:
    if not future.done():  # else its caller has gone
        future.set_result(reply)


def _set_exception(future: _Future, error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # heard, even if nobody waits
