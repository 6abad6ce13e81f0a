"""One of several replicas that call one account as fast as it lets them, with a vendor's counter in the same Redis.

Run as `python -m tests.edges.pacing_hammer URL TAG CALLS SEED`; prints what it saw, as JSON. The vendor's counter is
a plain INCRBY before and DECRBY after the work, so it counts later and less than the account's places do.
"""

import asyncio
import json
import random
import sys

import uvloop

from gateway.domain.exchange import Delivered, Pace
from gateway.domain.facts import Fact
from gateway.edges.pacing import Pacing
from gateway.edges.redis_store import RedisStore
from gateway.edges.world import World

TASKS = 6
IN_FLIGHT = 10
SIZES = (1, 2, 3, 8)


async def hammer(url: str, tag: str, calls: int, seed: int) -> dict[str, object]:
    dice = random.Random(seed)
    store = RedisStore(url, call_s=30)
    pacing = Pacing(store, {tag: Pace(images_in_flight=IN_FLIGHT)}, World(), ignore)
    peaks: list[int] = []
    waits: list[tuple[int, float]] = []
    made = refused = 0

    async def work() -> None:
        nonlocal made, refused
        while made < calls:
            made += 1
            images = dice.choice(SIZES)
            started = asyncio.get_running_loop().time()
            async with pacing.place(tag, images, patience_s=60, hold_s=60) as stay:
                if stay.refusal is not None:
                    refused += 1
                    continue
                waits.append((images, asyncio.get_running_loop().time() - started))
                peaks.append(await store.call("INCRBY", f"{tag}-vendor", images))
                await asyncio.sleep(dice.random() * 0.01)
                await store.call("DECRBY", f"{tag}-vendor", images)
                stay.outcome = Delivered((), billed=images)

    await asyncio.gather(*(work() for _ in range(TASKS)))
    await store.aclose()
    longest = {images: max((wait for size, wait in waits if size == images), default=0.0) for images in SIZES}
    return {"served": len(peaks), "refused": refused, "peak": max(peaks), "longest_wait_s": longest}


def ignore(_: Fact) -> None:
    """Facts are not of interest here."""


if __name__ == "__main__":
    url, tag, calls, seed = sys.argv[1:]
    sys.stdout.write(json.dumps(uvloop.run(hammer(url, tag, int(calls), int(seed)))))
