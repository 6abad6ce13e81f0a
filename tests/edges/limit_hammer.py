"""One of several processes that draw on the same buckets as fast as they can; prints what it was granted, as JSON.

Run as `python -m tests.edges.limit_hammer URL TAG OPERATIONS SEED`.
"""

import asyncio
import json
import random
import sys
from collections import Counter
from pathlib import Path

import uvloop

from gateway.edges import limits
from gateway.edges.redis_store import RedisStore, Script
from gateway.policies.buckets import Dimension

TASKS = 8
TAKE = Script.load(Path(limits.__file__).with_name("limits.lua"))


def dimensions(tag: str, images: int) -> list[Dimension]:
    """A request's buckets; the key's images bind, the others nearly never."""
    return [
        Dimension("requests", "key", tag, per_minute=2_000_000, burst=20_000, cost=1),
        Dimension("images", "key", tag, per_minute=30_000, burst=20_000, cost=images),
        Dimension("images", "model", tag, per_minute=600_000, burst=60_000, cost=images),
    ]


async def hammer(url: str, tag: str, operations: int, seed: int) -> dict[str, object]:
    dice = random.Random(seed)
    store = RedisStore(url, call_s=30)
    units: Counter[str] = Counter()
    moments: list[int] = []
    made = decided = granted = contradictions = 0

    async def ask(op_id: str, asked: list[Dimension]) -> bytes:
        keys = [limits.receipt_key(op_id), *map(limits._bucket_key, asked)]
        reply: bytes = await store.run(TAKE, keys, limits._take_args(op_id, asked, []))
        return reply

    async def work() -> None:
        nonlocal made, decided, granted, contradictions
        while made < operations:
            made += 1
            op_id, asked = f"{tag}-{dice.getrandbits(64):x}", dimensions(tag, dice.randint(1, 10))
            again = dice.random() < 0.3
            decided += 1 + again
            replies = await asyncio.gather(*(ask(op_id, asked) for _ in range(2 if again else 1)))
            # A refused call may be granted when it is repeated; a granted one must stay what it was.
            won = {reply for reply in replies if reply.startswith(b"1 ")}
            contradictions += len(won) > 1
            if won:
                granted += 1
                moments.append(int(won.pop().split()[3]))
                units.update({one.bucket: one.cost for one in asked})

    await asyncio.gather(*(work() for _ in range(TASKS)))
    await store.aclose()
    span = [min(moments, default=0), max(moments, default=0)]
    return {"decided": decided, "granted": granted, "units": units, "span": span, "contradictions": contradictions}


if __name__ == "__main__":
    url, tag, operations, seed = sys.argv[1:]
    sys.stdout.write(json.dumps(uvloop.run(hammer(url, tag, int(operations), int(seed)))))
