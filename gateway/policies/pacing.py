"""How fast one vendor account may be called: what is under way, what the last minute saw, who waits, what was learnt.

A place is given when what is taken, what those who came earlier still wait for, and what is asked for fit together
under every limit. Whoever cannot be served leaves a ticket, and nobody who came later gets what it waits for: small
calls cannot starve a large one. `edges/pacing.lua` does the same sums inside Redis; this module is what it is measured
against, and what decides alone while Redis is away. Moments and spans are whole microseconds.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from gateway.domain.errors import ErrorCode
from gateway.domain.exchange import Delivered, Fault, Outcome, Pace

__all__ = ["LONGEST_PAUSE_S", "WORK_SHARE", "Ending", "Ledger", "Place", "Wait", "lesson_of", "patience_s"]

START_CALLS = 8  # calls in flight before anything is known of an account; the usual start of such a controller
CEILING_CALLS = 16_384  # more would be no limit
WINDOW_US = 61_000_000  # a vendor's minute, and a second for calls that overtake each other on the way
LOOK_AGAIN_US = 50_000  # nobody knows when a call ends; this is soon beside the seconds that an image takes
LOOK_AGAIN_EACH_US = 25_000  # … and later for each ticket ahead, so that a long queue does not storm Redis
LOOK_AGAIN_LATEST_US = 1_000_000
TICKET_GRACE_US = 2_000_000  # a waiter that is so much late is gone
OTHERS_US = 30_000_000  # how long after the last look the others may still have under way what was seen then
LONGEST_PAUSE_S = 120.0  # no wish of a vendor closes an account for longer; what it says next counts then
_NEVER_US = 1 << 62
WORK_SHARE = 0.25  # of a deadline: what must be left when a call begins, or it would be paid and arrive too late
PATIENCE_WITH_OTHERS_S = 8.0  # the longest wait that a retry accepts, too, where another target could serve


class Ending(StrEnum):
    """What an attempt says about the account's pace. `accepted`: the vendor took the work, which is still under way."""

    ACCEPTED = "accepted"
    SERVED = "served"
    THROTTLED = "throttled"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Place:
    """The attempt may call, and is counted as under way since `at_us`."""

    at_us: int


@dataclass(frozen=True, slots=True)
class Wait:
    """No place yet: ask again after `wait_us`. `never`: more images than the limit has places, so no ticket is kept."""

    wait_us: int
    never: bool = False


@dataclass(slots=True)
class _Ticket:
    images: int
    arrived_us: int
    alive_until_us: int


@dataclass(frozen=True, slots=True)
class _Call:
    images: int
    at_us: int
    ends_us: int


def lesson_of(outcome: Outcome | None) -> tuple[Ending, float]:
    """What a call's outcome (None: it was not made) says about the pace, and how long the account is to pause (s)."""
    if isinstance(outcome, Fault) and outcome.code is ErrorCode.UPSTREAM_RATE_LIMITED:
        return Ending.THROTTLED, min(max(0.0, outcome.retry_after_s or 0.0), LONGEST_PAUSE_S)
    return (Ending.SERVED if isinstance(outcome, Delivered) else Ending.OTHER), 0.0


def patience_s(left_s: float, deadline_s: float, *, others: bool) -> float:
    """How long an attempt may wait for its place, with `left_s` of the operation's `deadline_s` left.

    Enough time stays for the work itself; where `others` could serve, the wait is as short as that before a retry.
    """
    longest_s = max(0.0, left_s - WORK_SHARE * deadline_s)
    return min(longest_s, PATIENCE_WITH_OTHERS_S) if others else longest_s


class Ledger:
    """One account's calls, tickets and lessons. With `replicas`, one replica's share of the account.

    A share is rounded down, but is at least one image and one call, so that a small limit is not a closed door.
    """

    def __init__(self, pace: Pace, replicas: int = 1) -> None:
        if replicas < 1:
            raise ValueError(f"{replicas} replicas")
        self._replicas = replicas
        self.adopt(pace)
        self._images = 0  # under way
        self._of_others = 0, 0  # (images, moment until which they are believed to be in flight)
        self._calls: dict[str, _Call] = {}
        self._recent: dict[str, tuple[int, int]] = {}  # (moment, images) of the last window, oldest first
        self._first_end_us = _NEVER_US  # no call's place falls free by itself before that
        self._tickets: dict[str, _Ticket] = {}
        self._wins = 0
        self._cut_us = -1
        self._paused_until_us = 0
        self.limit = self.start
        """How many calls may be in flight, over all replicas, by what the vendor's answers taught."""

    def adopt(self, pace: Pace) -> None:
        """Go by another pace from now on. What is under way stays counted."""
        self._per_minute = self._share(pace.requests_per_minute), self._share(pace.images_per_minute)
        self._in_flight = self._share(pace.images_in_flight)
        self._in_flight_of_all = pace.images_in_flight
        self.start = pace.initial_calls_in_flight or START_CALLS

    @property
    def most_images(self) -> int | None:
        """The most images that one call may ever ask for; None: any."""
        return min((limit for limit in (self._in_flight, self._per_minute[1]) if limit is not None), default=None)

    def ask(self, attempt: str, images: int, life_us: int, now_us: int) -> Place | Wait:
        """Take a place for `images`, which falls free after `life_us`; the same `attempt` takes only one."""
        self._forget(now_us)
        if attempt in self._calls:
            return Place(self._calls[attempt].at_us)
        if self.most_images is not None and images > self.most_images:
            return Wait(LOOK_AGAIN_LATEST_US, never=True)
        ahead = self._ahead(attempt)
        wait_us = self._wait_us(images, ahead, now_us)
        if wait_us == 0:
            self.hold(attempt, images, life_us, now_us)
            return Place(now_us)
        ticket = self._tickets.setdefault(attempt, _Ticket(images, now_us, 0))
        ticket.alive_until_us = now_us + wait_us + TICKET_GRACE_US
        return Wait(wait_us)

    def observe(self, limit: int, images_in_flight: int, now_us: int) -> None:
        """Learn what holds for all replicas, so that a share does not come on top of what the others have begun."""
        self.limit = limit
        others = images_in_flight - self._images if self._replicas > 1 else 0
        self._of_others = max(0, others), now_us + OTHERS_US

    def hold(self, attempt: str, images: int, life_us: int, now_us: int) -> None:
        """Count an attempt as under way, whoever gave it its place."""
        self._tickets.pop(attempt, None)
        self._leave(attempt)
        self._calls[attempt] = _Call(images, now_us, now_us + life_us)
        self._images += images
        self._first_end_us = min(self._first_end_us, now_us + life_us)
        if any(self._per_minute):
            self._recent.pop(attempt, None)
            self._recent[attempt] = now_us, images

    def accept(self, attempt: str, now_us: int) -> None:
        """Learn that the vendor has taken the work of an attempt, which goes on: as much as of one that was served.

        Who is told at once whether a call is one too many need not wait for the images to learn it. Such an attempt
        does not end as `served`. Until the first refusal the limit grows by two, since the place is still in use.
        """
        self._forget(now_us)
        if attempt in self._calls:
            self._win(len(self._calls), more=2 if self._cut_us < 0 else 1)

    def end(self, attempt: str, ending: Ending, pause_us: int, now_us: int) -> None:
        """Leave the place, or the queue, and learn from how it ended.

        The limit grows with every call served until the first refusal, then by one for as many calls as it has
        places; only while at least half of it is used. A refusal takes three tenths of it, once for all the calls
        that were under way together, and its wish (`pause_us`) stops all calls of the account.
        """
        self._forget(now_us)
        in_flight = len(self._calls)
        self._tickets.pop(attempt, None)
        call = self._leave(attempt)
        if ending is Ending.SERVED and call is not None:
            self._win(in_flight, more=1)
        if ending is Ending.THROTTLED:
            self._paused_until_us = max(self._paused_until_us, now_us + pause_us)
            if call is not None and call.at_us > self._cut_us:
                self._cut_us, self._wins, self.limit = now_us, 0, max(1, self.limit * 7 // 10)

    def _win(self, in_flight: int, *, more: int) -> None:
        if 2 * in_flight >= self.limit:
            self._wins += 1
            if self._cut_us < 0 or self._wins >= self.limit:
                self._wins, self.limit = 0, min(self.limit + more, max(self.limit, CEILING_CALLS))

    def _wait_us(self, images: int, ahead: list[_Ticket], now_us: int) -> int:
        """0 when everything fits. Where a limit of a minute binds, the exact time until enough of it has passed."""
        calls, wanted = len(ahead) + 1, images + sum(ticket.images for ticket in ahead)
        in_flight = self._images
        others, believed_until_us = self._of_others
        in_all = in_flight + (others if now_us < believed_until_us else 0)
        waits = [self._paused_until_us - now_us]
        full = self._in_flight is not None and in_flight + wanted > self._in_flight
        full = full or (self._in_flight_of_all is not None and in_all + wanted > self._in_flight_of_all)
        if full or len(self._calls) + calls > max(1, self.limit // self._replicas):
            waits.append(min(LOOK_AGAIN_US + LOOK_AGAIN_EACH_US * len(ahead), LOOK_AGAIN_LATEST_US))
        requests, of_images = self._per_minute
        if requests is not None:
            waits.append(_until_room(requests - calls, ((at, 1) for at, _ in self._recent.values()), now_us))
        if of_images is not None:
            waits.append(_until_room(of_images - wanted, self._recent.values(), now_us))
        return max(0, *waits)

    def _leave(self, attempt: str) -> _Call | None:
        call = self._calls.pop(attempt, None)
        self._images -= 0 if call is None else call.images
        return call

    def _ahead(self, attempt: str) -> list[_Ticket]:
        mine = self._tickets.get(attempt)
        if mine is None:
            return list(self._tickets.values())
        key = (mine.arrived_us, f"{mine.images}:{attempt}")
        return [one for name, one in self._tickets.items() if (one.arrived_us, f"{one.images}:{name}") < key]

    def _forget(self, now_us: int) -> None:
        """Cheap while nothing has run out: thousands of calls may be under way, and this is done for each."""
        if self._first_end_us <= now_us:
            self._calls = {name: call for name, call in self._calls.items() if call.ends_us > now_us}
            self._first_end_us = min((call.ends_us for call in self._calls.values()), default=_NEVER_US)
            self._images = sum(call.images for call in self._calls.values())
        if self._tickets:
            self._tickets = {name: one for name, one in self._tickets.items() if one.alive_until_us > now_us}
        while self._recent and self._recent[eldest := next(iter(self._recent))][0] <= now_us - WINDOW_US:
            del self._recent[eldest]

    def _share(self, limit: int | None) -> int | None:
        return None if limit is None else max(1, limit // self._replicas)


def _until_room(room: int, recent: Iterable[tuple[int, int]], now_us: int) -> int:
    """When the calls of the last minute take at most `room` units; LOOK_AGAIN_US where only the queue stands before."""
    moments = list(recent)
    over = sum(units for _, units in moments) - room
    if over <= 0:
        return 0
    last_us = now_us + LOOK_AGAIN_US - WINDOW_US
    for at_us, units in moments:
        last_us, over = at_us, over - units
        if over <= 0:
            break
    return last_us + WINDOW_US - now_us
