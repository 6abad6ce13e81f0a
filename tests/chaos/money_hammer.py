"""One of several processes that reserve and settle money as fast as they can; prints what it spent, as JSON.

Run as `python -m tests.chaos.money_hammer URL TAG OPERATIONS SEED BUDGET`. It goes on until its operations are done,
whatever becomes of Redis, and then waits until Redis knows of everything.
"""

import asyncio
import json
import random
import sys
import time
from collections import Counter
from contextlib import suppress

import uvloop

from gateway.domain.money import Budget
from gateway.edges.limits import Limits
from gateway.edges.redis_store import RedisStore, RedisUnavailable
from gateway.edges.upkeep import Upkeep
from gateway.policies.buckets import Granted
from gateway.policies.purses import Purse, Reservation, Settlement, Unaffordable

TASKS = 32
MOST, CALL_S, CATCH_UP_S, OFFLINE_PACE_S, BEAT_S = 40, 2.0, 60.0, 0.25, 0.1


def purses(tag: str, budget: int) -> tuple[Purse, Purse]:
    """The key's purse, which binds, and its tenant's, which is five times as large."""
    return Purse("key", tag, Budget(total_microusd=budget)), Purse("tenant", tag, Budget(None, budget * 5, None))


async def hammer(url: str, tag: str, operations: int, seed: int, budget: int) -> dict[str, int]:
    dice = random.Random(seed)
    store = RedisStore(url, call_s=CALL_S)
    limiter = Limits(store)
    care = Upkeep(limiter, store, f"{tag}-{seed}", every_s=BEAT_S)
    purse = purses(tag, budget)
    counts: Counter[str] = Counter()

    async def operate(number: int) -> None:
        op_id, most = f"{tag}-{seed}-{number}", dice.randint(1, MOST)
        reservation = Reservation(purse, most, 600_000)
        taken = await limiter.take(op_id, [], [], reservation)
        if dice.random() < 0.3:  # what a lost reply and a second sending look like to Redis
            counts["duplicates"] += 1
            with suppress(RedisUnavailable):
                again = await limiter._ask(op_id, (), (), reservation)
                assert not isinstance(taken, Granted) or taken.degraded or again[0] == 1
                if again[0] == 1 and not isinstance(taken, Granted):
                    await limiter.settle(op_id, (), reservation, Settlement())
        counts["reserved"] += 1
        counts["offline"] += isinstance(taken, Granted | Unaffordable) and taken.degraded
        if isinstance(taken, Granted):
            cost = dice.choice((0, most // 2, most))
            counts["granted"] += 1
            counts["paid_offline"] += taken.degraded
            counts["spent"] += cost
            await limiter.settle(op_id, (), reservation, Settlement(cost))
        elif isinstance(taken, Unaffordable) and taken.degraded:
            await asyncio.sleep(OFFLINE_PACE_S)  # else the outage would eat up all operations

    async def work(numbers: list[int]) -> None:
        for number in numbers:
            await operate(number)

    await care.start()
    started = time.monotonic()
    await asyncio.gather(*(work(list(range(task, operations, TASKS))) for task in range(TASKS)))
    elapsed_ms = round((time.monotonic() - started) * 1000)
    deadline = time.monotonic() + CATCH_UP_S
    while (limiter.backlog or store.outage) and time.monotonic() < deadline:
        await asyncio.sleep(BEAT_S)
    left = len(limiter.backlog)
    await care.stop()
    await store.aclose()
    return {**counts, "elapsed_ms": elapsed_ms, "untold": left}


if __name__ == "__main__":
    url, tag, operations, seed, budget = sys.argv[1:]
    sys.stdout.write(json.dumps(uvloop.run(hammer(url, tag, int(operations), int(seed), int(budget)))))
