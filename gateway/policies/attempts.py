"""How many wrong keys one address may try: enough for a typo in a deployment, too few to guess with."""

from array import array
from collections import OrderedDict
from ipaddress import IPv6Address, IPv6Network

__all__ = ["FailedAttempts"]

_HOST_BITS = 64  # one IPv6 customer holds a /64 at least, so single addresses would count nothing


class FailedAttempts:
    """Failures per address over a sliding window: at most `limit` are let through in any `window_s` seconds.

    `now_s` is any clock that never runs backwards. IPv6 addresses count by their /64. Memory is bounded: beyond
    `capacity` addresses the one that failed longest ago is forgotten.
    """

    def __init__(self, limit: int = 20, window_s: float = 60.0, capacity: int = 10_000) -> None:
        self._limit = limit
        self._window_s = window_s
        self._capacity = capacity
        self._failures: OrderedDict[str, array[float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._failures)

    def wait_s(self, address: str, now_s: float) -> float:
        """Seconds until `address` may fail again; 0.0 when it may now."""
        times = self._failures.get(_group(address))
        if times is None or len(times) < self._limit:
            return 0.0
        return max(0.0, times[-self._limit] + self._window_s - now_s)

    def fail(self, address: str, now_s: float) -> float:
        """Count a failure. 0.0 while it is within the allowance, else the wait, and the failure is not counted.

        So whoever waits as told is let through.
        """
        wait_s = self.wait_s(address, now_s)
        if wait_s > 0:
            return wait_s
        group = _group(address)
        times = self._failures.setdefault(group, array("d"))
        times.append(now_s)
        del times[: -self._limit]
        self._failures.move_to_end(group)
        if len(self._failures) > self._capacity:
            self._failures.popitem(last=False)
        return 0.0


def _group(address: str) -> str:
    if ":" not in address:
        return address
    try:
        whole = IPv6Address(address)
    except ValueError:
        return address
    return str(IPv6Network((int(whole) >> _HOST_BITS << _HOST_BITS, 128 - _HOST_BITS)))
