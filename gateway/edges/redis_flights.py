"""Commands that go to Redis together: what is asked in one pass of the event loop is one write and one read.

A command by itself costs a client more than a server: a connection taken and given back, a write, a read, and a task
woken for each. Under load, whoever comes while all flights are under way joins the next.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from hiredis import pack_command
from redis import exceptions as foreign
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection

__all__ = ["Flights", "Word", "exchange"]

_AT_ONCE = 4  # flights: a slow script holds up the commands of its own only
_MOST = 128  # commands in one, of up to 2 KB each

Word = str | bytes | int
_pack: Callable[[tuple[Word, ...]], bytes] = pack_command  # type: ignore[assignment] # its hint allows one word only


async def exchange(client: Redis, commands: Sequence[tuple[Word, ...]]) -> list[Any]:
    """Send commands over one connection of the client's pool, and read all replies; a refused one's is its error.

    What the client's own pipeline does, packed in C: its packing in Python took a fifth of a request's time. Raises
    what the client raises when the connection fails; it is not used again then.
    """
    connection = await client.connection_pool.get_connection()  # type: ignore[no-untyped-call] # theirs
    try:
        return await _exchanged(connection, commands)
    finally:
        await client.connection_pool.release(connection)


async def _exchanged(connection: AbstractConnection, commands: Sequence[tuple[Word, ...]]) -> list[Any]:
    await connection.send_packed_command(b"".join(map(_pack, commands)))
    replies: list[Any] = []
    for _ in commands:
        try:
            replies.append(await connection.read_response())
        except foreign.ResponseError as refusal:
            replies.append(refusal)
    return replies


class Flights:
    """Sends the commands of one client. Each must tolerate being sent although its caller was cancelled.

    Connections are kept between flights: the pool's own ceremony costs as much as a command.
    """

    def __init__(self, client: Redis, flight_s: float) -> None:
        self._client = client
        self._flight_s = flight_s
        self._waiting: list[tuple[tuple[Word, ...], asyncio.Future[Any]]] = []
        self._flying: set[asyncio.Task[None]] = set()
        self._boarding = False
        self._kept: list[AbstractConnection] = []

    async def send(self, *command: Word) -> Any:
        """The reply to one command. Raises what the client raises, and TimeoutError when none came in time."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((command, future))
        self._board()
        late = loop.call_later(self._flight_s, _time_out, future)  # a tenth of what asyncio.timeout() costs
        try:
            return await future
        finally:
            late.cancel()

    def _board(self) -> None:
        """See to it that whoever waits is on a flight soon: one that boards already, a new one, or the next to land."""
        if self._waiting and not self._boarding and len(self._flying) < _AT_ONCE:
            self._boarding = True
            flight = asyncio.create_task(self._fly(), name="redis-flight")
            self._flying.add(flight)
            flight.add_done_callback(self._landed)

    def _landed(self, flight: "asyncio.Task[None]") -> None:
        self._flying.discard(flight)
        if not flight.cancelled():
            self._board()

    async def aclose(self) -> None:
        """Give up what is under way."""
        for flight in self._flying:
            flight.cancel()
        await asyncio.gather(*self._flying, return_exceptions=True)
        await self.give_back()

    async def give_back(self) -> None:
        """Keep no connection that is not in use now: the pool's are to be looked after."""
        while self._kept:
            await self._client.connection_pool.release(self._kept.pop())

    async def _fly(self) -> None:
        self._boarding = False
        while self._waiting:
            batch, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
            try:
                replies = await self._replies(batch)
            except (foreign.RedisError, OSError) as error:
                replies = [error] * len(batch)
            except BaseException:
                for _, future in batch:
                    future.cancel()
                raise
            for (_, future), reply in zip(batch, replies, strict=True):
                if future.done():
                    continue  # its caller has gone
                if isinstance(reply, Exception):
                    future.set_exception(reply)
                else:
                    future.set_result(reply)

    async def _replies(self, batch: list[tuple[tuple[Word, ...], asyncio.Future[Any]]]) -> list[Any]:
        async with asyncio.timeout(self._flight_s):
            connection = await self._connection()
            try:
                replies = await _exchanged(connection, [command for command, _ in batch])
            except BaseException:
                await self._client.connection_pool.release(connection)
                raise
        self._kept.append(connection)
        return replies

    async def _connection(self) -> AbstractConnection:
        """One that was kept, unless it was closed meanwhile or is to be renewed; or the pool's."""
        while self._kept:
            kept = self._kept.pop()
            with suppress(foreign.ConnectionError):
                if not kept.should_reconnect() and not await kept.can_read():  # type: ignore[no-untyped-call] # theirs
                    return kept
            await self._client.connection_pool.release(kept)
        fresh: AbstractConnection = await self._client.connection_pool.get_connection()  # type: ignore[no-untyped-call] # theirs
        return fresh


def _time_out(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())
