"""What goes wrong on the stage, drawn from a seed: kills in every state of the journal, pauses, losses, failovers."""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.chaos.generations.redis_pair import RedisPair
from tests.chaos.generations.replicas import STATES, Fleet, Replica
from tests.chaos.generations.wires import Relay

__all__ = ["Troubles"]

_WEIGHTS = {"kill": 84, "stop": 5, "term": 4, "lose": 5, "flush": 1, "failover": 1}
_AMBUSH_S = 0.6  # how long a kill waits for the state that it wants
_PEEK_S = 0.003
_PAUSE_S = (0.2, 1.2)


@dataclass
class Troubles:
    """Makes trouble until told to end, whenever `pressing()`.

    `calm_s` passes after Redis lost something before anything else does.

    What Redis lost is on the disks of those who wrote it. That they are all there then is what the journal's promise
    rests on: two losses at once are one more than it survives.
    """

    fleet: Fleet
    redis: RedisPair
    front: Relay
    dice: random.Random
    calm_s: float
    most_kills: int
    pressing: Callable[[], bool]
    made: Counter[str] = field(default_factory=Counter)
    killed_in: Counter[str] = field(default_factory=Counter)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def work(self, enough: Callable[[], bool]) -> None:
        """One trouble after another; each of the rare ones comes early, too."""
        while not enough():
            await asyncio.sleep(self.dice.uniform(*_PAUSE_S))
            if self.made["kill"] >= self.most_kills or not self.pressing():
                continue
            what = self.dice.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
            owed = [name for name in _WEIGHTS if not self.made[name]]
            if owed and self.made["kill"] % 3 == 2:
                what = owed[0]
            await getattr(self, f"_{what}")()
            self.made[what] += 1

    async def _kill(self) -> None:
        """Kill whoever first has an attempt in the state that was met least so far, or anybody after a while."""
        state = min(STATES, key=lambda one: (self.killed_in[one], self.dice.random()))
        deadline = time.monotonic() + _AMBUSH_S
        victim: Replica | None = None
        while victim is None:
            for one in self.fleet.serving:
                if state in one.states():
                    victim = one
                    break
            else:
                if time.monotonic() > deadline:
                    victim = self._busy()
                await asyncio.sleep(_PEEK_S)
        states = victim.kill()
        self.killed_in.update(states or {"idle"})

    def _busy(self) -> Replica | None:
        """Anybody who has work, or else, now and then, anybody."""
        serving = self.fleet.serving
        busy = [one for one in serving if one.states()] or (serving if self.dice.random() < 0.01 else [])
        return self.dice.choice(busy) if busy else None

    async def _stop(self) -> None:
        """Stop one for a while that may be longer than a lease; it then goes on as if nothing had been."""
        if not self.fleet.serving:
            return
        victim = self.dice.choice(self.fleet.serving)
        pid, seconds = victim.pid, self.dice.choice((0.3, 1.0, 4.0, 6.0))
        victim.tell(signal.SIGSTOP)
        task = asyncio.create_task(_continued(pid, seconds, victim))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _term(self) -> None:
        if self.fleet.serving:
            self.dice.choice(self.fleet.serving).tell(signal.SIGTERM)

    async def _lose(self) -> None:
        self.front.losing += self.dice.randint(1, 4)

    async def _flush(self) -> None:
        await self._whole()
        self.redis.flush()
        await asyncio.sleep(self.calm_s)

    async def _failover(self) -> None:
        await self._whole()
        await self.redis.fail_over(self.dice.choice((0.0, 0.1, 0.5)))
        await asyncio.sleep(self.calm_s)

    async def over(self) -> None:
        """Wait until nothing is wrong any more."""
        self.front.losing = 0
        await self._whole()

    async def _whole(self) -> None:
        """Wait until nobody is stopped or starting: one loss at a time."""
        await asyncio.gather(*self._tasks)
        await self.fleet.all_up()


async def _continued(pid: int, seconds: float, victim: Replica) -> None:
    await asyncio.sleep(seconds)
    if victim.pid == pid:
        victim.tell(signal.SIGCONT)
