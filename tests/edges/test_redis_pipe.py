"""Commands in one line: each gets its own reply, whenever it comes and whoever leaves."""

import asyncio
from dataclasses import dataclass, field

import pytest
from redis.exceptions import ConnectionError as Broken
from redis.exceptions import ResponseError

from gateway.edges.redis_pipe import Pipe

PATIENCE_S = 5.0


@dataclass
class Connection:
    """Answers every command with its last word, once the gate is open; a negative one with an error."""

    gate: asyncio.Event
    replies: list[int] = field(default_factory=list)
    writes: int = 0
    is_closed: bool = False

    async def send_packed_command(self, packed: bytes, *, check_health: bool) -> None:
        assert not check_health
        self.writes += 1
        self.replies += [int(command.split(b"\r\n")[-2]) for command in packed.split(b"*2\r\n")[1:]]

    async def read_response(self) -> int:
        while not (self.replies and self.gate.is_set()):
            if self.is_closed:
                raise Broken
            await asyncio.sleep(0)
        reply = self.replies.pop(0)
        if reply < 0:
            raise ResponseError(str(reply))
        return reply

    async def can_read(self) -> bool:
        return self.is_closed

    def should_reconnect(self) -> bool:
        return False

    async def disconnect(self, *, nowait: bool) -> None:
        assert nowait
        self.is_closed = True


@dataclass
class Client:
    """A client and its pool of connections."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    made: list[Connection] = field(default_factory=list)
    released: list[Connection] = field(default_factory=list)

    @property
    def connection_pool(self) -> "Client":
        return self

    async def get_connection(self) -> Connection:
        self.made.append(Connection(self.gate))
        return self.made[-1]

    async def release(self, connection: Connection) -> None:
        self.released.append(connection)


def pipe_of(client: Client, answer_s: float = PATIENCE_S) -> Pipe:
    return Pipe(client, answer_s, lambda: None)  # type: ignore[arg-type]  # a fake of what is used of it


@pytest.mark.parametrize("at_once", [1, 2, 4, 300])
async def test_everybody_gets_the_reply_to_the_own_command(at_once: int) -> None:
    client = Client()
    pipe = pipe_of(client)

    async def asks_twice(number: int) -> list[int]:
        return [await pipe.send("ECHO", number), await pipe.send("ECHO", number + 1000)]

    askers = [asyncio.create_task(asks_twice(number)) for number in range(at_once)]
    await asyncio.sleep(0)
    client.gate.set()
    async with asyncio.timeout(PATIENCE_S):
        assert await asyncio.gather(*askers) == [[number, number + 1000] for number in range(at_once)]
    await pipe.aclose()
    assert client.released == client.made


async def test_what_is_asked_in_one_pass_of_the_loop_is_one_write_over_one_connection() -> None:
    client = Client()
    client.gate.set()
    pipe = pipe_of(client)
    assert await asyncio.gather(*(pipe.send("ECHO", number) for number in range(50))) == list(range(50))
    (connection,) = client.made
    assert connection.writes == 1
    await pipe.aclose()


async def test_a_refused_command_fails_alone() -> None:
    client = Client()
    client.gate.set()
    pipe = pipe_of(client)
    one, bad, two = await asyncio.gather(*(pipe.send("ECHO", number) for number in (1, -7, 2)), return_exceptions=True)
    assert (one, two) == (1, 2)
    assert isinstance(bad, ResponseError)
    await pipe.aclose()


async def test_the_reply_of_a_caller_who_left_goes_to_nobody_else() -> None:
    client = Client()
    pipe = pipe_of(client)
    leaving = asyncio.create_task(pipe.send("ECHO", 1))
    staying = asyncio.create_task(pipe.send("ECHO", 2))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    client.gate.set()
    assert await staying == 2
    await pipe.aclose()


async def test_a_reply_that_does_not_come_in_time_fails_its_connection_and_the_next_command_gets_another() -> None:
    client = Client()
    pipe = pipe_of(client, 0.05)
    late = await asyncio.gather(*(pipe.send("ECHO", number) for number in range(3)), return_exceptions=True)
    assert [type(one) for one in late] == [TimeoutError] * 3
    client.gate.set()
    assert await pipe.send("ECHO", 4) == 4
    assert len(client.made) == 2
    await pipe.aclose()
    assert client.released == client.made


async def test_a_connection_that_the_server_closed_meanwhile_is_not_written_to() -> None:
    client = Client()
    client.gate.set()
    pipe = pipe_of(client)
    assert await pipe.send("ECHO", 1) == 1
    client.made[0].is_closed = True
    assert await pipe.send("ECHO", 2) == 2
    assert [one.writes for one in client.made] == [1, 1]
    await pipe.aclose()


async def test_what_was_only_posted_is_done_before_the_end() -> None:
    client = Client()
    pipe = pipe_of(client)
    posted = pipe.post("ECHO", 3)
    asyncio.get_running_loop().call_later(0.05, client.gate.set)
    await pipe.aclose()
    assert posted.result() == 3


async def test_what_comes_after_the_end_fails_at_once_and_opens_no_connection() -> None:
    client = Client()
    client.gate.set()
    pipe = pipe_of(client)
    assert await pipe.send("ECHO", 1) == 1
    await pipe.aclose()
    with pytest.raises(Broken):
        await pipe.send("ECHO", 2)
    assert client.released == client.made
