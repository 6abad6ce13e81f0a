"""Work that was begun for a client and belongs to nobody's connection: it goes on when the client hangs up."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial

from gateway.domain.caller import Caller
from gateway.domain.errors import ErrorCode, RequestError
from gateway.domain.harvest import Finished, Harvest
from gateway.domain.job import Job
from gateway.domain.record import Record
from gateway.policies.buckets import Meter

__all__ = ["Operation", "Operations"]

_REFUSALS_COUNT_S = 180.0  # the stock SDKs wait for up to two minutes before they send a refused request again
_MOST_REFUSED = 10_000  # bodies, of under 200 bytes each
_MOST_OF_ONE = 1_000  # calls with one body, which may be sent again any number of times meanwhile


class Operation:
    """One job being carried out: its images as they get ready, and at the end its harvest or its error.

    `served_by` and `ignored` are those of the target that is tried first: what can be said before the end.
    `record` is what the journal says of it; `is_recorded` tells whether the journal may say anything yet.
    """

    def __init__(self, record: Record, job: Job, caller: Caller) -> None:
        self.id = record.id
        self.record = record
        self.job = job
        self.caller = caller
        self.meters: tuple[Meter, ...] = ()
        self.degraded = False
        self.served_by = ""
        self.ignored: tuple[str, ...] = ()
        self.harvest = Harvest()
        self.is_recorded = False
        self.is_late = False
        self.is_told = False
        """Whether its clients have their answer; the work itself may go on."""
        self._ready: list[Finished] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._error: RequestError | None = None
        self._attending = 0
        self._left_at: float | None = None

    @property
    def is_attended(self) -> bool:
        """Whether the client of an earlier request waits for it on an open connection."""
        return self._attending > 0

    @property
    def is_left(self) -> bool:
        """Whether nobody waits for it any more."""
        return self._left_at is not None

    def add(self, image: Finished) -> None:
        """An image is checked and stored."""
        self._ready.append(image)
        self._notify()

    def succeed(self, harvest: Harvest) -> None:
        """The caller gets what was asked for, unless it had an answer already."""
        if not self.is_told:
            self.harvest, self.is_told = harvest, True
            self._notify()

    def fail(self, error: RequestError) -> None:
        """The caller gets an error, unless it had an answer already."""
        if not self.is_told:
            # Where it was raised is of no use any more, and holds all that was there, this operation first of all.
            self._error, self.is_told = error.with_traceback(None), True
            self._notify()

    async def result(self) -> Harvest:
        """Wait for the end. Raises its RequestError. Safe to cancel: the work goes on."""
        while not self.is_told:
            await self._news()
        if self._error is not None:
            raise self._error.again()  # one that is kept would hold every client that it was raised to
        return self.harvest

    def open(self) -> None:
        """It has passed the limits, and the journal may speak of it."""
        self.is_recorded = True
        self._notify()

    async def opened(self) -> None:
        """Wait until the journal may speak of it. Raises the RequestError of one that a limit refused."""
        while not self.is_recorded and not self.is_told:
            await self._news()
        if not self.is_recorded:
            await self.result()

    async def images(self) -> AsyncIterator[Finished]:
        """The images in the order in which they get ready; ends early, without an error, when the work fails."""
        sent = 0
        while True:
            while sent < len(self._ready):
                sent += 1
                yield self._ready[sent - 1]
            if self.is_told:
                return
            await self._news()

    def attend(self, when_gone: Callable[[Callable[[], None]], None], clock: Callable[[], float]) -> None:
        """A client waits for this; `when_gone` calls what it is given once the client does so no more."""
        self._attending += 1
        self._left_at = None
        when_gone(partial(self._leave, clock))

    def abandoned_for_s(self, now: float) -> float:
        """Seconds for which nobody has been waiting; 0.0 while somebody does, or said that they would come back."""
        promised = self.record.idempotency or self.record.asynchronous
        return 0.0 if promised or self._left_at is None else now - self._left_at

    def _leave(self, clock: Callable[[], float]) -> None:
        if not self.is_told:
            self._attending -= 1
            self._left_at = None if self._attending else clock()

    def _news(self) -> "asyncio.Future[None]":
        """Done when something has changed. One for each that waits: an event for all weighs five times as much."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        return waiter

    def _notify(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():  # else whoever waited was cancelled
                waiter.set_result(None)


class Operations:
    """The operations of this process that are under way."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tasks: dict[asyncio.Task[None], Operation] = {}
        self._by_id: dict[str, Operation] = {}
        self._by_wish: dict[tuple[str, str], list[Operation]] = {}
        self._refused: OrderedDict[str, list[float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def tasks(self) -> "list[asyncio.Task[None]]":
        """The tasks in which they are carried out."""
        return list(self._tasks)

    @property
    def refusals(self) -> int:
        """How many refused calls are remembered, since they may be sent again."""
        return sum(map(len, self._refused.values()))

    @property
    def taken_up(self) -> int:
        """How many of them had another writer before."""
        return sum(1 for one in self._tasks.values() if one.record.token > 1)

    def start(self, operation: Operation, work: Callable[[Operation], Awaitable[None]]) -> None:
        """Begin `work` in a task of its own, which nothing but the end of the process stops."""
        task = asyncio.create_task(self._carried_out(operation, work))
        self._tasks[task] = operation
        self._by_id[operation.id] = operation
        self._by_wish.setdefault(_wish(operation.record), []).append(operation)
        task.add_done_callback(self._forget)

    def find(self, op_id: str) -> Operation | None:
        """The operation with this id, if it is under way here."""
        return self._by_id.get(op_id)

    def twin_of(self, record: Record) -> Operation | None:
        """The operation under way here that a repeated request means: of the same key, or else of the same body."""
        twins = self._by_wish.get(_wish(record))
        return twins[-1] if twins else None

    def was_refused(self, fingerprint: str) -> bool:
        """Whether a request with this body was refused here, and was not sent again since; counted off by asking.

        Of two calls with the same body, one may be served and the other refused: when that one is sent again, it is
        no repetition of the first.
        """
        oldest = self._clock() - _REFUSALS_COUNT_S
        waiting = [moment for moment in self._refused.pop(fingerprint, ()) if moment > oldest]
        if len(waiting) > 1:
            self._refused[fingerprint] = waiting[1:]
        return bool(waiting)

    def writers(self) -> list[tuple[str, int]]:
        """What this process works on, with its tokens: whose leases are to be renewed."""
        return [(one.id, one.record.token) for one in self._tasks.values() if one.is_recorded]

    async def drain(self, deadline_s: float) -> int:
        """Wait for everything under way; how many are left after `deadline_s` seconds."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=deadline_s)
        return len(self._tasks)

    async def hand_over(self) -> list[str]:
        """Stop working on what is left, without settling it: another replica takes it up. Their ids."""
        left = dict(self._tasks)
        for task, operation in left.items():
            operation.fail(
                RequestError(
                    ErrorCode.GATEWAY_DRAINING,
                    "This replica is ending. Another one goes on with the work: try again.",
                    retry_after_ms=2000,
                    should_retry=True,
                    headers={"x-samurai-operation-id": operation.id},
                )
            )
            task.cancel()
        for task in left:
            with suppress(asyncio.CancelledError):
                await task
        return [one.id for one in left.values() if one.is_recorded]

    async def _carried_out(self, operation: Operation, work: Callable[[Operation], Awaitable[None]]) -> None:
        try:
            await work(operation)
        except RequestError as error:
            if not operation.is_recorded:
                self._note_refusal(operation.record.fingerprint)
            operation.fail(error)
        except BaseException:
            # A fault of ours must still end the client's wait; the exception itself goes on to the log.
            operation.fail(
                RequestError(
                    ErrorCode.INTERNAL_ERROR, "The gateway failed to process this request.", should_retry=False
                )
            )
            raise

    def _forget(self, task: "asyncio.Task[None]") -> None:
        operation = self._tasks.pop(task)
        if self._by_id.get(operation.id) is operation:
            del self._by_id[operation.id]
        wish = _wish(operation.record)
        twins = self._by_wish[wish]
        twins.remove(operation)
        if not twins:
            del self._by_wish[wish]

    def _note_refusal(self, fingerprint: str) -> None:
        now = self._clock()
        self._refused[fingerprint] = [*self._refused.pop(fingerprint, ())[1 - _MOST_OF_ONE :], now]
        while len(self._refused) > _MOST_REFUSED or self._longest_refused()[-1] <= now - _REFUSALS_COUNT_S:
            self._refused.popitem(last=False)

    def _longest_refused(self) -> list[float]:
        return next(iter(self._refused.values()))


def _wish(record: Record) -> tuple[str, str]:
    """What makes two requests the same: their key, or without one their body."""
    return record.idempotency, "" if record.idempotency else record.fingerprint
