"""One of several processes that draw on the same limits as fast as they can; prints what it was granted, as JSON.

Run as `python -m tests.chaos.limits_hammer URL TAG OPERATIONS SEED BINDING`.
"""

import asyncio
import json
import random
import sys
from collections import Counter

import uvloop

from gateway.domain.money import Budget
from gateway.edges.limits import Limits
from gateway.edges.redis_store import RedisStore
from gateway.policies.buckets import Dimension, Lease
from gateway.policies.purses import Purse, Reservation

TASKS = 8
WIDE, NARROW = 6_000_000, 6_000
BURSTS = {"requests": 2_000, "images": 8_000, "tenant": 8_000}
BUDGET = 20_000


def asked(tag: str, images: int, binding: str) -> tuple[list[Dimension], Lease, Reservation]:
    """A request's limits, of which only `binding` (`requests`, `images`, `tenant`, `budget`) binds."""

    def bucket(name: str, scope: str, cost: int, *, binds: bool) -> Dimension:
        per_minute, burst = (NARROW, BURSTS[binding]) if binds else (WIDE, 1_000_000)
        return Dimension(name, scope, tag, per_minute, burst, cost)  # type: ignore[arg-type]

    dimensions = [
        bucket("requests", "key", 1, binds=binding == "requests"),
        bucket("images", "key", images, binds=binding == "images"),
        bucket("images", "tenant", images, binds=binding == "tenant"),
        bucket("images", "model", images, binds=False),
    ]
    key = Purse("key", tag, Budget(total_microusd=BUDGET if binding == "budget" else 1 << 50))
    tenant = Purse("tenant", tag, Budget(per_month_microusd=1 << 50))
    return dimensions, Lease("key", tag, 1_000_000, 60_000), Reservation((key, tenant), images, 600_000)


async def hammer(url: str, tag: str, operations: int, seed: int, binding: str) -> dict[str, object]:
    dice = random.Random(seed)
    store = RedisStore(url, call_s=30)
    limiter = Limits(store)
    units: Counter[str] = Counter()
    moments: list[int] = []
    counts: Counter[str] = Counter()

    async def work() -> None:
        while counts["made"] < operations:
            counts["made"] += 1
            op_id, images = f"{tag}-{dice.getrandbits(64):x}", dice.randint(1, 10)
            dimensions, lease, reservation = asked(tag, images, binding)
            times = 2 if dice.random() < 0.3 else 1
            counts["decided"] += times
            calls = (limiter._ask(op_id, dimensions, [lease], reservation) for _ in range(times))
            # A refused call may be granted when it is repeated; a granted one must stay what it was.
            won = {tuple(words) for words in await asyncio.gather(*calls) if words[0] == 1}
            counts["contradictions"] += len(won) > 1
            if won:
                counts["granted"] += 1
                moments.append(won.pop()[3])
                units.update({one.bucket: one.cost for one in dimensions})
                units["budget"] += images

    await asyncio.gather(*(work() for _ in range(TASKS)))
    await store.aclose()
    return {**counts, "units": units, "span": [min(moments, default=1 << 60), max(moments, default=0)]}


if __name__ == "__main__":
    url, tag, operations, seed, binding = sys.argv[1:]
    sys.stdout.write(json.dumps(uvloop.run(hammer(url, tag, int(operations), int(seed), binding))))
