"""Many calls over small pools, cut by the server and given up by their callers in every state that they can be in.

`python -m tests.edges.test_transport_churn 60 [SEED]` does it for so many seconds, on the gateway's own loop.
"""

import asyncio
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

import httpx2
import uvloop

from gateway.domain.exchange import HttpCall
from gateway.edges.call_faults import fault_of
from gateway.edges.transport import AiohttpTransport
from tests.edges.diced_server import (
    PATIENCE_S,
    STALLED_S,
    DicedServer,
    Fate,
    Plan,
    Quits,
    descriptors,
    diced,
    turns,
    until,
)

SEED = 7
LIMIT = 2
BURST = 50  # calls to each account in one round
PAID = HttpCall("POST", "http://127.0.0.1/", starts_work=True)
CANCELLED = ("cancelled unseen", "cancelled in sending", "cancelled in waiting", "cancelled in reading")
ENDINGS = ("read", "abandoned", "unsent", "lost", *CANCELLED)


@dataclass
class Churn:
    """Two accounts' connections to one server, and how their calls ended."""

    server: DicedServer
    nobody: int
    """A port where nobody listens."""
    descriptors: int
    """Open ones of this process before the first connection."""
    accounts: tuple[AiohttpTransport, AiohttpTransport]
    endings: Counter[str] = field(default_factory=Counter)
    unsent: set[int] = field(default_factory=set)
    """Those of which the caller was told that they surely were not sent."""
    headed: set[int] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)
    numbers: "count[int]" = field(default_factory=count)

    @property
    def open_connections(self) -> int:
        """The callers' own, whatever the server has still open."""
        return descriptors() - self.descriptors - len(self.server.tasks)

    async def round(self, seed: int) -> None:
        """A burst of calls to both accounts; then both pools must be whole, and nothing be open beside them."""
        plans = [Plan.diced(seed, next(self.numbers)) for _ in range(2 * BURST)]
        async with asyncio.timeout(3 * STALLED_S):
            await asyncio.gather(*(self._one(plan) for plan in plans))
        await until(lambda: self.open_connections <= 2 * LIMIT)
        self.server.let_go()
        await until(lambda: self.server.busy == 0)
        await turns(10)  # until the callers' side has heard of the last connection that was closed on it
        for first, second in (self.accounts, self.accounts[::-1]):
            await self._prove_whole(first, second)

    async def close_accounts(self) -> None:
        async with asyncio.timeout(STALLED_S):
            for account in self.accounts:
                await account.aclose()

    async def close(self) -> None:
        """Close both with calls under way in every state: each must end at once, and nothing be left."""
        calls: list[asyncio.Task[str]] = []
        for account in self.accounts:
            plans = [Plan.held(next(self.numbers), fate) for fate in (Fate.HELD, Fate.NOT_TAKEN)]
            calls += [asyncio.create_task(self.call(plan, account)) for plan in plans]
            await self._under_way(plans)
            calls.append(asyncio.create_task(self.call(Plan.held(next(self.numbers)), account)))
        await turns(1000)  # until the kernel has taken all that it does
        await self.close_accounts()
        await asyncio.wait(calls, timeout=STALLED_S)
        ended = Counter("given up" if call.cancelled() else call.result() for call in calls)
        assert ended == {"lost": 2 * LIMIT, "given up": 2}  # those in line are cancelled by aiohttp itself
        await until(lambda: self.open_connections == 0)

    async def call(self, plan: Plan, account: AiohttpTransport) -> str:
        """One call as the gateway makes it; how it ended."""
        self.server.plans[plan.number] = plan
        url = f"http://127.0.0.1:{self.nobody if plan.refused else self.server.port}/{plan.number}"
        reply = None
        try:
            reply = await account.exchange("POST" if plan.sends else "GET", url, {}, plan.body, plan.timeouts)
            self.headed.add(plan.number)
            async for _ in reply.body:
                if plan.quits is Quits.ABANDONS:
                    return "abandoned"
                if plan.quits is Quits.WHILE_READING:
                    _this_task().cancel()
            return "read"
        except httpx2.TransportError as failure:
            if fault_of(failure, PAID, in_body=reply is not None).may_have_billed:
                return "lost"
            self.unsent.add(plan.number)
            forgotten = isinstance(failure, httpx2.TimeoutException) and plan.connect_s == PATIENCE_S
            assert not forgotten, plan
            return "unsent"
        finally:
            if reply is not None:
                reply.body.close()

    async def _one(self, plan: Plan) -> None:
        await turns(plan.begins_after)
        call = asyncio.create_task(self.call(plan, self.accounts[plan.number % 2]))
        if plan.quits is Quits.AFTER_TURNS:
            await turns(plan.quits_after)
            call.cancel()
        self.server.upon[plan.number, plan.quits] = call.cancel
        await asyncio.wait([call])
        self.server.upon.pop((plan.number, plan.quits), None)
        assert not call.cancelled() or plan.quits not in (Quits.NEVER, Quits.ABANDONS)
        self.endings[self._where_cancelled(plan.number) if call.cancelled() else call.result()] += 1

    def _where_cancelled(self, number: int) -> str:
        if number in self.headed:
            return "cancelled in reading"
        if number in self.server.whole:
            return "cancelled in waiting"
        return "cancelled in sending" if number in self.server.seen else "cancelled unseen"

    async def _prove_whole(self, full: AiohttpTransport, other: AiohttpTransport) -> None:
        """All slots of one can be in use at once, and not one more; and all of the other beside it."""
        calls: list[asyncio.Task[str]] = []
        for account in (full, other):
            plans = [Plan.held(next(self.numbers)) for _ in range(LIMIT)]
            calls += [asyncio.create_task(self.call(plan, account)) for plan in plans]
            await self._under_way(plans)
            assert await self.call(Plan.held(next(self.numbers), connect_s=0.01), account) == "unsent"
        self.server.let_go()
        async with asyncio.timeout(STALLED_S):
            assert await asyncio.gather(*calls) == ["read"] * 2 * LIMIT

    async def _under_way(self, plans: list[Plan]) -> None:
        await until(lambda: self.server.under_way.issuperset(plan.number for plan in plans))

    def judge(self) -> None:
        """What must hold of all calls together."""
        assert self.unsent & self.server.seen.keys() == set()
        assert self.server.torn == []
        paid_twice = [
            number for number, times in self.server.seen.items() if times > 1 and self.server.plans[number].sends
        ]
        assert paid_twice == []
        assert self.complaints == [], self.complaints

    def line(self) -> str:
        """The figures."""
        told = ", ".join(f"{self.endings[ending]} {ending}" for ending in ENDINGS)
        return f"{self.endings.total()} calls: {told}; {self.server.connections} connections"


@asynccontextmanager
async def churning() -> AsyncIterator[Churn]:
    """A churn; at the end everything is closed and judged, and nothing may be left of it."""
    loop, before = asyncio.get_running_loop(), asyncio.all_tasks()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        async with diced() as server:
            first, second = (AiohttpTransport(loopback_allowed=True, max_connections=LIMIT) for _ in range(2))
            churn = Churn(server, nobody.getsockname()[1], descriptors(), (first, second))
            loop.set_exception_handler(lambda _, context: churn.complaints.append(str(context)))
            try:
                yield churn
                await churn.close()
            finally:
                await churn.close_accounts()
            assert asyncio.all_tasks() - server.tasks == before
        churn.judge()


async def test_after_any_churn_the_pools_are_whole_nothing_is_left_and_nothing_sent_is_called_unsent() -> None:
    async with churning() as churn:
        for _ in range(8):
            await churn.round(SEED)
    assert all(churn.endings[ending] for ending in ENDINGS), churn.line()


def _this_task() -> "asyncio.Task[object]":
    task = asyncio.current_task()
    assert task is not None
    return task


async def _for_so_long(seconds: float, seed: int) -> str:
    began = time.monotonic()
    async with churning() as churn:
        while time.monotonic() - began < seconds:
            await churn.round(seed)
    return f"{time.monotonic() - began:.0f} s, seed {seed}: {churn.line()}; left over: nothing"


if __name__ == "__main__":
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else SEED
    sys.stdout.write(uvloop.run(_for_so_long(float(sys.argv[1]), seed)) + "\n")
