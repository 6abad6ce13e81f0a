"""What admission does beside its verdicts, which are policies."""

import gc
import weakref
from contextlib import ExitStack
from math import inf
from pathlib import Path

import pytest

from gateway.domain.caller import Caller
from gateway.domain.job import Job
from gateway.domain.picture import Size
from gateway.edges.admission import Admission, Allowance
from gateway.edges.world import World


class Knot:
    """Something that holds itself, so that only the collector frees it."""

    def __init__(self) -> None:
        self.me = self


class Later(World):
    """So many seconds later than it is."""

    by_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.by_s


@pytest.mark.parametrize(
    ("under_way", "memory_bytes", "later_s", "is_found"),
    [(0, 1 << 40, 0, True), (500, 1 << 40, 0, False), (500, 1, 0, True), (500, 1 << 40, 600, True)],
)
async def test_the_collector_looks_at_everything_while_little_is_under_way_or_memory_is_short_or_after_a_while(
    tmp_path: Path, *, under_way: int, memory_bytes: int, later_s: float, is_found: bool
) -> None:
    ample, clock = Allowance(memory_bytes=1 << 40, spool_bytes=1 << 40), Later()
    admission = Admission(ample, clock, lambda _: None, spool=tmp_path, queue_s=lambda: -inf)
    clock.by_s = later_s
    job, caller = Job("m", "p", 1, Size(1024, 1024), wants_url=True), Caller("k")
    with ExitStack() as stack:
        for _ in range(under_way):
            stack.enter_context(admission.room(job, caller))
        admission.adopt(Allowance(memory_bytes=memory_bytes, spool_bytes=1 << 40))
        gc.disable()
        stack.callback(gc.enable)
        knot = weakref.ref(Knot())
        await admission.start()
        await admission.stop()
        assert (knot() is None) == is_found
