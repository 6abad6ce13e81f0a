"""A server on a real socket that does to each request what its plan says, and keeps a ledger of what it saw."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum, auto
from functools import cache
from pathlib import Path
from random import Random

from gateway.edges.transport import Timeouts
from tests.edges.raw_server import Exchange

_SMALL, _LARGE = 30, 100_000
_STUCK = 30_000_000  # more than the kernel's buffers on loopback take
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
PATIENCE_S = 20.0  # far longer than any turn takes; whoever waited so long was forgotten
_ANSWER_S = 0.1
STALLED_S = 10.0  # nothing here takes so long unless it never comes


class Fate(StrEnum):
    """What becomes of a request on the server's side."""

    WHOLE = auto()
    SLOWLY = auto()
    IN_PIECES = auto()
    FAREWELL = auto()  # answered, and closed behind it: the next on that connection may meet the close
    UNANSWERED = auto()
    HALF_A_HEAD = auto()
    HALF_A_BODY = auto()
    RESET = auto()
    RESET_IN_BODY = auto()
    SILENCE = auto()
    UNREAD = auto()  # these three after its first line
    RESET_UNREAD = auto()
    NOT_TAKEN = auto()
    HELD = auto()  # until the server lets go


class Quits(StrEnum):
    """When its caller has had enough."""

    NEVER = auto()
    AFTER_TURNS = auto()  # of the loop: before it begins, in the line for a connection, while connecting, …
    WHEN_SEEN = auto()
    WHEN_WHOLE = auto()
    WHEN_ANSWERED = auto()
    WHILE_READING = auto()
    ABANDONS = auto()  # the body, and is not cancelled


_FATES = {
    **dict.fromkeys(Fate, 2),
    Fate.WHOLE: 10,
    Fate.SLOWLY: 10,
    Fate.IN_PIECES: 8,
    Fate.FAREWELL: 8,
    Fate.SILENCE: 1,
    Fate.NOT_TAKEN: 1,
    Fate.HELD: 0,
}
_QUITS = {**dict.fromkeys(Quits, 2), Quits.NEVER: 12, Quits.AFTER_TURNS: 8}


@dataclass(frozen=True)
class Plan:
    """One request: what it brings, what becomes of it, and when its caller gives up."""

    number: int
    fate: Fate
    sends: int = _SMALL
    gets: int = _SMALL
    quits: Quits = Quits.NEVER
    begins_after: int = 0
    """Turns of the loop."""
    quits_after: int = 0
    connect_s: float = PATIENCE_S
    answer_s: float = _ANSWER_S
    refused: bool = False
    """Whether it goes where nobody listens."""

    @property
    def body(self) -> bytes:
        return _zeros(self.sends)

    @property
    def timeouts(self) -> Timeouts:
        return Timeouts(self.connect_s, self.answer_s, self.answer_s, self.answer_s, None)

    @classmethod
    def diced(cls, seed: int, number: int) -> "Plan":
        """The same for the same seed and number."""
        dice = Random(f"{seed} {number}")
        fate = dice.choices(list(_FATES), list(_FATES.values()))[0]
        return cls(
            number,
            fate,
            sends=_STUCK if fate is Fate.NOT_TAKEN else dice.choice((0, _SMALL, _SMALL, _LARGE)),
            gets=dice.choice((_SMALL, _SMALL, _LARGE, 10 * _LARGE)),
            quits=dice.choices(list(_QUITS), list(_QUITS.values()))[0],
            begins_after=dice.randrange(200),
            quits_after=dice.choice((dice.randrange(8), dice.randrange(200))),
            connect_s=dice.uniform(0.001, 0.02) if dice.random() < 0.1 else PATIENCE_S,
            refused=dice.random() < 0.03,
        )

    @classmethod
    def held(cls, number: int, fate: Fate = Fate.HELD, connect_s: float = 5.0) -> "Plan":
        """One that is under way until the server lets go."""
        sends = _STUCK if fate is Fate.NOT_TAKEN else _SMALL
        return cls(number, fate, sends, connect_s=connect_s, answer_s=PATIENCE_S)


@dataclass
class DicedServer:
    """The ledger: by number, how often a request's first bytes were seen, and which were seen whole."""

    port: int = 0
    plans: dict[int, Plan] = field(default_factory=dict)
    seen: Counter[int] = field(default_factory=Counter)
    whole: set[int] = field(default_factory=set)
    torn: list[bytes] = field(default_factory=list)
    """First bytes that were too few to tell whose they are."""
    connections: int = 0
    busy: int = 0
    """Requests that it is not done with."""
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    under_way: set[int] = field(default_factory=set)
    upon: dict[tuple[int, Quits], Callable[[], object]] = field(default_factory=dict)
    """Called once, when the request with this number has come that far."""
    _gate: asyncio.Event = field(default_factory=asyncio.Event)

    def let_go(self) -> None:
        """Answer what is held, and drop what is not taken."""
        self._gate.set()
        self._gate = asyncio.Event()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, request by request."""
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        self.connections += 1
        try:
            writer.transport.set_write_buffer_limits(0)  # what was written has left when it hangs up
            while not writer.is_closing():
                await self._serve_one(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError, RuntimeError):
            pass  # the last is uvloop's word for a connection that is gone
        finally:
            self.tasks.discard(task)
            writer.transport.abort()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readuntil(b" HTTP/1.1\r\n")
        except asyncio.IncompleteReadError as end:
            self.torn += [end.partial] if end.partial else []
            raise
        plan = self.plans[int(line.split(b" ")[1][1:])]
        self.seen[plan.number] += 1
        self.busy += 1
        try:
            await self._treat(plan, Exchange(b"", b"", writer, plan.number), reader)
        finally:
            self.busy -= 1

    async def _treat(self, plan: Plan, exchange: Exchange, reader: asyncio.StreamReader) -> None:
        self._tell(plan, Quits.WHEN_SEEN)
        match plan.fate:
            case Fate.UNREAD:
                return exchange.hang_up()
            case Fate.RESET_UNREAD:
                return exchange.reset()
            case Fate.NOT_TAKEN:
                await self._hold(plan)
                return exchange.reset()
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(plan.sends)
        self.whole.add(plan.number)
        self._tell(plan, Quits.WHEN_WHOLE)
        await self._answer(plan, exchange, reader)
        self._tell(plan, Quits.WHEN_ANSWERED)
        return None

    async def _answer(self, plan: Plan, exchange: Exchange, reader: asyncio.StreamReader) -> None:
        match plan.fate:
            case Fate.SLOWLY:
                await turns(30)
            case Fate.HELD:
                await self._hold(plan)
            case Fate.IN_PIECES:
                await exchange.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                for _ in range(5):
                    await exchange.raw(b"%x\r\n%b\r\n" % (plan.gets, b"x" * plan.gets))
                    self._tell(plan, Quits.WHEN_ANSWERED)
                    await turns(3)
                return await exchange.raw(b"0\r\n\r\n")
            case Fate.HALF_A_HEAD:
                await exchange.raw(_HEAD[:30])
            case Fate.HALF_A_BODY | Fate.RESET_IN_BODY:
                await exchange.raw(_HEAD + b"x" * 500)
            case Fate.SILENCE:
                await reader.read()
        if plan.fate in (Fate.WHOLE, Fate.SLOWLY, Fate.HELD, Fate.FAREWELL):
            await exchange.reply(b"x" * plan.gets)
        if plan.fate in (Fate.RESET, Fate.RESET_IN_BODY):
            exchange.reset()
        elif plan.fate in (Fate.FAREWELL, Fate.UNANSWERED, Fate.HALF_A_HEAD, Fate.HALF_A_BODY):
            exchange.hang_up()
        return None

    async def _hold(self, plan: Plan) -> None:
        self.under_way.add(plan.number)
        await self._gate.wait()

    def _tell(self, plan: Plan, moment: Quits) -> None:
        self.upon.pop((plan.number, moment), lambda: None)()


@cache
def _zeros(size: int) -> bytes:
    """Made once: the largest take as long as their call."""
    return bytes(size)


@asynccontextmanager
async def diced() -> AsyncIterator[DicedServer]:
    """It runs until the block ends, and leaves nothing behind."""
    seen = DicedServer()
    server = await asyncio.start_server(seen.handle, "127.0.0.1", 0)
    seen.port = server.sockets[0].getsockname()[1]
    try:
        yield seen
    finally:
        server.close()
        tasks = list(seen.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def turns(count: int) -> None:
    """Let everybody else have so many turns of the loop."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """Go round the loop until it is so; fails when it never is."""
    async with asyncio.timeout(STALLED_S):
        while not condition():
            await asyncio.sleep(0)


def descriptors() -> int:
    """How many this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
