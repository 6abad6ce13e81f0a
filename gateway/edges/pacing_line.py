"""What pacing knows of one account here, and how its scripts are called (their keys: see `pacing`)."""

import asyncio
from dataclasses import dataclass, field
from itertools import islice

from gateway.domain.exchange import Pace
from gateway.policies import pacing as rules
from gateway.policies.pacing import Ending, Ledger

__all__ = ["END_KEYS", "NOT_ASKED", "TAKE_KEYS", "Ahead", "Attempt", "Line", "end_args", "take_args"]

TAKE_KEYS = ("flight", "recent", "queue", "alive", "state")
END_KEYS = ("flight", "queue", "alive", "state")
NOT_ASKED = b"-1 "  # how the reply of pacing.lua begins where the receipt was not there
STATE_MS = 3_600_000  # what was learnt of an account that nobody used for an hour is not worth much
_WOKEN_AT_ONCE = 64  # each that gets its place wakes the next ones


@dataclass(slots=True)
class Line:
    """One account: its share of this replica, its waiters here, and what all replicas were last seen to have."""

    account: str
    pace: Pace
    share: Ledger
    waiters: dict[str, asyncio.Event] = field(default_factory=dict)
    images_seen: int = 0
    whole: Ledger = field(init=False)

    def __post_init__(self) -> None:
        self.whole = Ledger(self.pace)

    def wake(self) -> None:
        """Let the eldest waiters of this process look at once, as many as there may be room for now."""
        if self.waiters:
            most = min(self.share.limit, self.pace.images_in_flight or self.share.limit) - self.images_seen
            for woken in islice(self.waiters.values(), min(max(1, most), _WOKEN_AT_ONCE)):
                woken.set()

    def keys(self, *names: str) -> list[str]:
        """The names of these of its keys."""
        return [f"{{samurai}}:pace:{self.account}:{name}" for name in names]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt's ticket: `life_us` is how long its place stands when nobody ends it."""

    id: str
    images: int
    life_us: int

    @property
    def member(self) -> str:
        """How it is known in Redis."""
        return f"{self.images}:{self.id}"


@dataclass(slots=True)
class Ahead:
    """A place that is asked for before its call is sure to be made, in one write with the limits."""

    line: Line
    attempt: Attempt
    receipt: str
    begun: "asyncio.Future[bytes] | None" = None
    is_over: bool = False
    """Taken over by a call, or given back."""

    def fits(self, account: str, images: int) -> bool:
        """Whether a call of `images` at `account` can still take it over."""
        return not self.is_over and self.line.account == account and self.attempt.images == images

    @property
    def may_have_place(self) -> bool:
        """Whether there may be something to give back: not where Redis has said that the receipt was not there."""
        begun = self.begun
        if begun is None or self.is_over:
            return False
        is_told = begun.done() and not begun.cancelled() and begun.exception() is None
        return not (is_told and begun.result().startswith(NOT_ASKED))


def take_args(pace: Pace, attempt: Attempt) -> list[str | int]:
    """The arguments of pacing.lua."""
    return [
        attempt.id,
        attempt.images,
        attempt.life_us,
        pace.requests_per_minute or 0,
        pace.images_per_minute or 0,
        pace.images_in_flight or 0,
        rules.WINDOW_US,
        pace.initial_calls_in_flight or rules.START_CALLS,
        rules.LOOK_AGAIN_US,
        rules.LOOK_AGAIN_EACH_US,
        rules.LOOK_AGAIN_LATEST_US,
        rules.TICKET_GRACE_US,
        round(rules.LONGEST_PAUSE_S * 1_000_000),
        STATE_MS,
    ]


def end_args(line: Line, member: str, ending: Ending, granted_us: int, pause_us: int) -> list[str | int]:
    """The arguments of pacing_end.lua."""
    return [member, ending, granted_us, pause_us, line.whole.start, rules.CEILING_CALLS, STATE_MS]
