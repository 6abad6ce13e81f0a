"""Places at the vendors' accounts: waited for before every paid call, counted over all replicas through Redis.

Keys, all in one hash slot, for each account:
  {samurai}:pace:<account>:flight   sorted set: attempts under way by the moment their place falls free, in µs
  {samurai}:pace:<account>:recent   sorted set: attempts of the last minute by the moment they began
  {samurai}:pace:<account>:queue    sorted set: who waits, by arrival
  {samurai}:pace:<account>:alive    sorted set: who waits, by the moment its ticket is void
  {samurai}:pace:<account>:state    hash: limit of calls in flight, wins, last cut, end of the pause

While Redis is away a replica grants its own share of every limit, less at first where the others were last seen to
have more than theirs in flight.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from gateway.domain.exchange import Fault, Outcome, Pace
from gateway.domain.facts import LimiterDegraded, Listener, PlaceAwaited, VendorThrottled
from gateway.domain.faults import throttled
from gateway.edges.pacing_line import END_KEYS, NOT_ASKED, TAKE_KEYS, Ahead, Attempt, Line, end_args, take_args
from gateway.edges.redis_store import RedisStore, RedisUnavailable, Script
from gateway.edges.world import World
from gateway.policies import pacing as rules
from gateway.policies.pacing import Ending, Ledger, Place, Wait

__all__ = ["Pacing", "Stay"]

LEASE_SLACK_S = 30.0  # beyond the deadline: for the cancel and the last look after it
SHORTEST_RETRY_S = 1.0  # nobody knows when a running call ends; a second is soon, and no hot loop
JITTER_SHARE, JITTER_LONGEST_S = 0.1, 0.1  # spreads who was told the same moment; far less than a ticket's grace
MOST_OWED = 10_000

_ATTEMPT_BYTES = 12
_TAKE = Script.load(Path(__file__).with_name("pacing.lua"))
_END = Script.load(Path(__file__).with_name("pacing_end.lua"))


@dataclass(slots=True)
class Stay:
    """What an attempt got: a place, or the `refusal` that tells when one will be free.

    `too_large`: no waiting helps while Redis is away, but calls of fewer images could have places. `place` is the name
    of the place, by which anybody can leave it. Set `outcome` to what became of the call: the account's pace learns
    from it.
    """

    refusal: Fault | None = None
    outcome: Outcome | None = None
    too_large: bool = False
    place: str = ""
    was_accepted: bool = False
    teach: Callable[[], None] | None = field(default=None, repr=False)

    def accepted(self) -> None:
        """The vendor has taken the work, and goes on with it: the pace learns from that at once."""
        if not self.was_accepted and self.teach is not None:
            self.was_accepted = True
            self.teach()


class Pacing:
    """Gives places at accounts. Never raises because of Redis.

    `replicas` is how many gateways share the accounts, at most: while Redis is away each grants its part only.
    """

    def __init__(
        self, redis: RedisStore, paces: Mapping[str, Pace], world: World, tell: Listener, *, replicas: int = 1
    ) -> None:
        self._redis, self._world, self._tell = redis, world, tell
        self._replicas = replicas
        self._lines = {account: Line(account, pace, Ledger(pace, replicas)) for account, pace in paces.items()}
        self._strays: dict[str, tuple[Line, Attempt, int]] = {}
        self._owed: deque[tuple[Line, Attempt]] = deque(maxlen=MOST_OWED)
        self._lessons: set[asyncio.Task[None]] = set()

    def adopt(self, paces: Mapping[str, Pace]) -> None:
        """Go by these paces from now on: whoever waits, too. Accounts that are not named keep theirs to their end."""
        for account, pace in paces.items():
            line = self._lines.get(account)
            if line is None:
                self._lines[account] = Line(account, pace, Ledger(pace, self._replicas))
            else:
                line.pace = pace
                line.share.adopt(pace)
                line.whole.adopt(pace)
                line.wake()

    def most_images(self, account: str) -> int | None:
        """The most images that one call to `account` can get a place for at present; None: any."""
        line = self._lines[account]
        return (line.whole if self._redis.outage is None else line.share).most_images

    def ahead(self, account: str, images: int, *, hold_s: float, receipt: str) -> Ahead:
        """A place to be asked for in company; to be handed to `place`, and given back when that did not come about.

        Redis gives it only if it has the key `receipt` by then.
        """
        return Ahead(self._lines[account], self._attempt(images, hold_s), receipt)

    def ask_soon(self, *aheads: Ahead) -> None:
        """Ask for them right after what is sent to Redis next."""

        def ask() -> None:
            for one in aheads:
                if not one.is_over:
                    keys = [*one.line.keys(*TAKE_KEYS), one.receipt]
                    one.begun = self._redis.begin(_TAKE, keys, take_args(one.line.pace, one.attempt))

        # A callback runs before the task that writes, which what comes next is to wake; if not, it is just not given.
        asyncio.get_running_loop().call_soon(ask)

    def give_back(self, *aheads: Ahead) -> None:
        """Leave the places that no `place` has taken over; nothing for those that one has."""
        for one in aheads:
            if one.may_have_place:
                self._post_end(one.line, one.attempt, end_args(one.line, one.attempt.member, Ending.OTHER, 0, 0))
            one.is_over = True

    def _post_end(self, line: Line, attempt: Attempt, args: list[str | int]) -> None:
        self._redis.post(_END, line.keys(*END_KEYS), args, lambda: self._owed.append((line, attempt)))

    def _attempt(self, images: int, hold_s: float) -> Attempt:
        life_us = round((max(0.0, hold_s) + LEASE_SLACK_S) * 1_000_000)
        return Attempt(self._world.token(_ATTEMPT_BYTES).hex(), images, life_us)

    @asynccontextmanager
    async def place(
        self, account: str, images: int, *, patience_s: float, hold_s: float, ahead: Ahead | None = None
    ) -> AsyncIterator[Stay]:
        """A place for one paid call of `images`, from its grant to the end of the `async with`.

        Waits for it at most `patience_s`; the stay says whether it was refused. A place whose holder is gone falls
        free `hold_s` (and some slack) later by itself. One that was asked for `ahead` is taken over where it fits.
        """
        line = self._lines[account]
        if ahead is not None and ahead.fits(account, images):
            ahead.is_over, begun, attempt = True, ahead.begun, ahead.attempt
        else:
            begun, attempt = None, self._attempt(images, hold_s)
        stay, granted_us = Stay(), 0
        try:
            answer = await self._await_place(line, attempt, patience_s, begun)
            line.waiters.pop(attempt.id, None)
            if isinstance(answer, Place):
                granted_us, stay.place = answer.at_us, attempt.member
                stay.teach = partial(self._note_acceptance, line, attempt)
                line.wake()
            else:
                stay.too_large = answer.never
                wait_s = max(answer.wait_us / 1_000_000, SHORTEST_RETRY_S)
                stay.refusal = throttled(f"no place at the account within {patience_s:.1f} s", wait_s)
            yield stay
        finally:
            ending, pause_s = rules.lesson_of(stay.outcome)
            if stay.was_accepted and ending is Ending.SERVED:
                ending = Ending.OTHER  # learnt from before
            await self._end(line, attempt, ending, granted_us, round(pause_s * 1_000_000))

    async def leave(self, account: str, place: str) -> None:
        """Leave a place whose holder is gone. While Redis is away it falls free by itself, when its time is up."""
        line = self._lines.get(account) or Line(account, Pace(), Ledger(Pace()))  # which may be configured no more
        with suppress(RedisUnavailable):
            await self._redis.run(_END, line.keys(*END_KEYS), end_args(line, place, Ending.OTHER, 0, 0))

    async def _await_place(
        self, line: Line, attempt: Attempt, patience_s: float, begun: "asyncio.Future[bytes] | None"
    ) -> Place | Wait:
        started = self._world.monotonic()
        while True:
            answer, degraded = await self._ask(line, attempt, begun)
            begun = None
            waited_s = self._world.monotonic() - started
            over = isinstance(answer, Place) or answer.never or waited_s + answer.wait_us / 1_000_000 > patience_s
            if over:
                if degraded:
                    self._tell(LimiterDegraded())
                self._tell(PlaceAwaited(line.account, waited_s, isinstance(answer, Place), line.share.limit))
            if isinstance(answer, Place) or over:
                return answer
            wait_s = answer.wait_us / 1_000_000
            woken = line.waiters.setdefault(attempt.id, asyncio.Event())
            woken.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(
                    wait_s + min(wait_s * JITTER_SHARE, JITTER_LONGEST_S) * self._world.jitter()
                ):
                    await woken.wait()

    async def _ask(
        self, line: Line, attempt: Attempt, begun: "asyncio.Future[bytes] | None"
    ) -> tuple[Place | Wait, bool]:
        """Ask Redis (or hear what it says, where that has `begun`), or this replica's own share.

        The answer, and whether it was decided alone.
        """
        most = line.whole.most_images
        if most is not None and attempt.images > most:
            return Wait(rules.LOOK_AGAIN_LATEST_US, never=True), False
        try:
            await self._catch_up()
            words = None if begun is None else await self._redis.reply_of(begun)
            if words is None or words.startswith(NOT_ASKED):
                words = await self._redis.run(_TAKE, line.keys(*TAKE_KEYS), take_args(line.pace, attempt))
        except RedisUnavailable:
            now_us = self._now_us()
            answer = line.share.ask(attempt.id, attempt.images, attempt.life_us, now_us)
            if self._redis.outage is None and isinstance(answer, Wait):
                return replace(answer, never=False), True  # Redis stumbled once: the next look is its own again
            if isinstance(answer, Place):
                self._strays[attempt.id] = (line, attempt, now_us + attempt.life_us)
            return answer, True
        granted, number, limit, _, images_in_flight = map(int, words.split())
        line.images_seen = images_in_flight
        if granted:
            line.share.hold(attempt.id, attempt.images, attempt.life_us, self._now_us())
        line.share.observe(limit, images_in_flight, self._now_us())
        return (Place(number) if granted else Wait(number)), False

    def _note_acceptance(self, line: Line, attempt: Attempt) -> None:
        line.share.accept(attempt.id, self._now_us())
        if (
            attempt.id not in self._strays and 2 * line.images_seen >= line.share.limit
        ):  # else there is nothing to learn
            lesson = asyncio.create_task(self._learn(line, attempt), name="pacing-lesson")
            self._lessons.add(lesson)
            lesson.add_done_callback(self._lessons.discard)

    async def _learn(self, line: Line, attempt: Attempt) -> None:
        args = end_args(line, attempt.member, Ending.ACCEPTED, 0, 0)
        with suppress(RedisUnavailable):
            reply: bytes = await self._redis.run(_END, line.keys(*END_KEYS), args)
            line.share.limit = int(reply.split()[0])
            line.wake()

    async def _end(self, line: Line, attempt: Attempt, ending: Ending, granted_us: int, pause_us: int) -> None:
        if ending is Ending.THROTTLED:
            self._tell(VendorThrottled(line.account, pause_us / 1_000_000))
        line.waiters.pop(attempt.id, None)
        line.share.end(attempt.id, ending, pause_us, self._now_us())
        # A place of our own making is unknown to Redis, and the moment of its grant is that of another clock.
        alone = self._strays.pop(attempt.id, None) is not None
        args = end_args(line, attempt.member, ending, 0 if alone else granted_us, pause_us)
        if granted_us and ending is not Ending.THROTTLED:
            self._post_end(line, attempt, args)
        else:  # whoever tries again is to know of the pause, and whoever comes next of a turn that was given up
            try:
                await self._redis.run(_END, line.keys(*END_KEYS), args)
            except RedisUnavailable:
                self._owed.append((line, attempt))
        line.wake()

    async def _catch_up(self) -> None:
        """Tell Redis, once it is back, what was begun and ended without it. Raises RedisUnavailable."""
        if self._redis.outage is not None:
            return
        while self._owed:
            line, attempt = self._owed.popleft()
            await self._redis.run(_END, line.keys(*END_KEYS), end_args(line, attempt.member, Ending.OTHER, 0, 0))
        while self._strays:
            _, (line, attempt, ends_us) = self._strays.popitem()
            left_us = ends_us - self._now_us()
            # The server's clock may differ from ours; the slack of a place covers it.
            flight, state = line.keys("flight", "state")
            await self._redis.call("HDEL", state, "flying")  # to be counted anew
            await self._redis.call("ZADD", flight, round(self._world.now() * 1_000_000) + left_us, attempt.member)
            for only_if in ("NX", "GT"):  # the key goes with its last place, not before
                await self._redis.call("PEXPIRE", flight, left_us // 1000 + 1000, only_if)

    def _now_us(self) -> int:
        return round(self._world.monotonic() * 1_000_000)
