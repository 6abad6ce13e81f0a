"""How many calls may be made beyond the first of each request: a share of the requests, so that retries never storm.

The figures are Finagle's form with smaller numbers, since every call here may cost money: 10 % of the requests of the
last ten seconds, and one a second, so that a quiet gateway can retry, too.
"""

from collections import deque

__all__ = ["RetryBudget"]

RESERVE_PER_S = 1.0
TTL_S = 10.0
_WHOLE = 1000  # thousandths of a call: sums of tenths stay exact


class RetryBudget:
    """Tokens: every request brings `share` of one, which is void after `ttl_s`; `per_s` more come with time.

    `now_s` is a clock that never runs backwards. What came with time is kept for `ttl_s`, too, and is there at the
    start.
    """

    def __init__(self, share: float, *, per_s: float = RESERVE_PER_S, ttl_s: float = TTL_S) -> None:
        self._share = round(share * _WHOLE)
        self._per_s = per_s * _WHOLE
        self._ttl_s = ttl_s
        self._brought: deque[list[float]] = deque()  # [second, thousandths left], oldest first
        self._reserve = self._per_s * ttl_s
        self._at_s: float | None = None

    def request(self, now_s: float) -> None:
        """A request was begun: its first call is free, and brings a share of a retry."""
        self._forget(now_s)
        if self._brought and int(self._brought[-1][0]) == int(now_s):
            self._brought[-1][1] += self._share
        else:
            self._brought.append([now_s, self._share])

    def take(self, now_s: float) -> bool:
        """Spend one token; False when there is none, and then nothing is spent."""
        self._forget(now_s)
        if self._reserve + sum(left for _, left in self._brought) < _WHOLE:
            return False
        owed: float = _WHOLE
        for slice_ in self._brought:  # the oldest is void first, so it is spent first
            spent = min(owed, slice_[1])
            slice_[1] -= spent
            owed -= spent
        self._reserve -= owed
        return True

    def _forget(self, now_s: float) -> None:
        since_s = 0.0 if self._at_s is None else max(0.0, now_s - self._at_s)
        self._at_s = now_s
        self._reserve = min(self._reserve + self._per_s * since_s, self._per_s * self._ttl_s)
        while self._brought and self._brought[0][0] <= now_s - self._ttl_s:
            self._brought.popleft()
