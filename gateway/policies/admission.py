"""Whether there is room for one more request: who is refused first, and when it is worth asking again.

The higher a key's priority, the more of what there is its requests may fill, and the longer they are let in while
the processor cannot keep up. So the lowest are refused first, and all of them before anything runs out.
"""

from dataclasses import dataclass
from math import inf

from gateway.domain.facts import PriorityClass, ShedReason
from gateway.domain.picture import Size

__all__ = ["Budgets", "Load", "Need", "Shed", "class_of", "judge", "need_of", "share_of"]

HIGHEST_PRIORITY = 9
LOWEST_SHARE = 0.7  # of memory and disk, for priority 0; Envoy's overload manager begins to act at nine tenths
MIDDLE = 5  # the default priority, which the limits in seconds are meant for
_PIXELS_MADE = 1024 * 1024  # what vendors make for smaller sizes, too
_BYTES_A_PIXEL = 2  # PNG of a photograph, measured: 1.5 to 2
# As bench/memory.py shows: 200 requests for ten images each, as base64, take 198 MB above an idle gateway's, of which
# some 40 are shared by all.
_BYTES_A_REQUEST = 256 << 10  # a reply's chunks and their base64, the sockets' buffers, the job itself
_BYTES_AN_IMAGE = 64 << 10  # a vendor's reply on its way to the spool
_SHORTEST_WAIT_S, _LONGEST_WAIT_S = 1.0, 60.0  # the stock SDKs wait no longer by themselves
_UNKNOWN_WAIT_S = 5.0  # nothing has ended yet; the fastest models take about as long
_JITTER = 0.25


@dataclass(frozen=True, slots=True)
class Budgets:
    """What there is. Bytes of memory and of spooled images; seconds of the loop's lag and of waiting to be fitted."""

    memory_bytes: float = inf
    spool_bytes: float = inf
    loop_lag_s: float = inf
    queue_s: float = inf


@dataclass(frozen=True, slots=True)
class Need:
    """What one request will take, by estimate."""

    memory_bytes: int = 0
    spool_bytes: int = 0


@dataclass(slots=True)
class Load:
    """What is taken, kept up to date. `running` are the requests admitted, and `promised` what they will take.

    `resident_bytes` is measured, as `idle_bytes` was before the first request. `freed_bytes_per_s` is how fast
    images leave the spool, 0 where nothing has ended lately; `ended_per_s` the same in requests.
    """

    running: int = 0
    promised: Need = Need()
    resident_bytes: int = 0
    idle_bytes: int = 0
    loop_lag_s: float = 0.0
    queue_s: float = 0.0
    freed_bytes_per_s: float = 0.0
    ended_per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Shed:
    """No room: why, and in how many seconds there may be some."""

    reason: ShedReason
    wait_s: float


def class_of(priority: int) -> PriorityClass:
    """The priority as metrics show it: 0 to 3 are low, 4 to 6 normal, 7 to 9 high."""
    return "low" if priority < 4 else "normal" if priority < 7 else "high"


def share_of(priority: int) -> float:
    """How much of memory and spool requests of this priority may fill: from seven tenths to all."""
    return LOWEST_SHARE + (1 - LOWEST_SHARE) * priority / HIGHEST_PRIORITY


def need_of(images: int, size: Size) -> Need:
    """What a request for so many images of that size will take, whatever it is made from."""
    file_bytes = _BYTES_A_PIXEL * max(size.pixels, _PIXELS_MADE)
    return Need(_BYTES_A_REQUEST + images * _BYTES_AN_IMAGE, images * file_bytes)


def judge(load: Load, budgets: Budgets, need: Need, priority: int, dice: float) -> Shed | None:
    """None: let it in. `dice` in [0, 1) spreads those who were told the same moment.

    Whoever comes to an empty house is let in, so that a budget that is too small, or memory that is not given back,
    makes the gateway slow and never mute.
    """
    if load.running == 0:
        return None
    shed = _by_time(load, budgets, priority) or _by_bytes(load, budgets, need, share_of(priority))
    if shed is None:
        return None
    wait_s = min(max(shed.wait_s, _SHORTEST_WAIT_S), _LONGEST_WAIT_S / (1 + _JITTER))
    return Shed(shed.reason, wait_s * (1 + _JITTER * dice))


def _by_time(load: Load, budgets: Budgets, priority: int) -> Shed | None:
    """Half of the limit holds for priority 0, all of it for the default, and somewhat more for those above."""
    patience = 0.5 + 0.5 * priority / MIDDLE
    if load.loop_lag_s > patience * budgets.loop_lag_s:
        return Shed("cpu", _SHORTEST_WAIT_S * load.loop_lag_s / budgets.loop_lag_s)
    if load.queue_s > patience * budgets.queue_s:
        return Shed("queue", load.queue_s)  # by then, what waits now has had its turn
    return None


def _by_bytes(load: Load, budgets: Budgets, need: Need, share: float) -> Shed | None:
    promised = load.promised
    resident = max(load.resident_bytes, load.idle_bytes + promised.memory_bytes)
    if resident + need.memory_bytes > share * budgets.memory_bytes:
        return Shed("memory", 1 / load.ended_per_s if load.ended_per_s else _UNKNOWN_WAIT_S)
    lacking = promised.spool_bytes + need.spool_bytes - share * budgets.spool_bytes
    if lacking > 0:
        return Shed("memory", lacking / load.freed_bytes_per_s if load.freed_bytes_per_s else _UNKNOWN_WAIT_S)
    return None
