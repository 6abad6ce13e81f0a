"""Step 3 of 9 · is this request new, or the same as an earlier one? Nobody pays for one wish twice.

Two things say that a request was sent before: a client's own `Idempotency-Key`, and the stock SDKs' mark on what they
send again by themselves. Any other request is new, however much it looks like an earlier one.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Literal

from gateway.domain.caller import Caller
from gateway.domain.errors import ErrorCode, RequestError
from gateway.domain.facts import IdempotencyKind, IdempotencyUsed
from gateway.domain.harvest import Harvest
from gateway.domain.job import Job
from gateway.domain.record import OperationState, Record
from gateway.edges.journal import Claim, UnreadableRecord
from gateway.edges.redis_store import RedisUnavailable
from gateway.operation import Operation, Operations
from gateway.policies.fingerprints import fingerprint, idempotency_hash, is_sdk_retry, prompt_hash, without_secrets
from gateway.services import Services

__all__ = ["Visit", "claim"]

_Wait = Literal["running", "unsure"]

_LOOK_S = 0.25
_COME_BACK_MS = 2000
_ID_BYTES = 12


@dataclass(frozen=True, slots=True)
class Visit:
    """A client's part in an operation. `begin`: the work is to be started for it.

    `joined` and `replayed`: the operation is an earlier request's, under way or over. `patience_s` is how long the
    client is kept waiting, None for as long as it takes.
    """

    operation: Operation
    part: Literal["begin", "joined", "replayed"]
    patience_s: float | None = None

    @property
    def is_replay(self) -> bool:
        """Whether the answer was made for an earlier request."""
        return self.part != "begin"

    def result(self) -> Awaitable[Harvest]:
        """Wait for the operation's end. Raises its RequestError, or 409 when it takes longer than one can wait."""
        return self.operation.result() if self.patience_s is None else self._result_within(self.patience_s)

    async def _result_within(self, patience_s: float) -> Harvest:
        try:
            async with asyncio.timeout(patience_s):
                return await self.operation.result()
        except TimeoutError:
            raise in_progress() from None


async def claim(
    headers: Mapping[str, str], job: Job, caller: Caller, operations: Operations, services: Services
) -> Visit:
    """Find the operation that this request belongs to, or make one.

    Raises RequestError: 400 for a malformed Idempotency-Key; 422 when it came with another body before; 409 when the
    first call with it runs for longer than one can wait; 500 when Redis, which alone could tell, is away.
    """
    record = _record(headers, job, caller, services)
    again = is_sdk_retry(headers.get("x-stainless-retry-count"))
    if not record.idempotency and not again:
        return Visit(Operation(record, job, caller), "begin")
    return await _Claimant(record, job, caller, operations, services).claim()


@dataclass(frozen=True, slots=True)
class _Claimant:
    record: Record
    job: Job
    caller: Caller
    operations: Operations
    services: Services

    @property
    def keyed(self) -> bool:
        return bool(self.record.idempotency)

    @property
    def patience_s(self) -> float:
        if not self.keyed:
            return self.record.due_s - self.record.begun_s
        return self.services.repeats.wait_s

    async def claim(self) -> Visit:
        world = self.services.world
        deadline, waited = world.monotonic() + self.patience_s, False
        while True:
            twin = self.operations.twin_of(self.record)
            if twin is not None:
                if twin.is_attended and self._is_another():
                    return Visit(Operation(self.record, self.job, self.caller), "begin")
                return self._join(twin)
            visit = await self._decide(waited=waited)
            if isinstance(visit, Visit):
                return visit
            if world.monotonic() >= deadline:
                raise _unsure() if visit == "unsure" else self._still_running()
            waited = True
            await world.sleep(_LOOK_S * (0.8 + 0.4 * world.jitter()))

    async def _decide(self, *, waited: bool) -> Visit | _Wait:
        """What the journal says; one has to wait where another replica works on it, or where Redis cannot say.

        Who sent a key is told at once that Redis is away. An SDK that asks again by itself has little patience left.
        """
        try:
            return await self._judged(await self.services.journal.claim(self.record), waited=waited) or "running"
        except RedisUnavailable as problem:
            if self.keyed or isinstance(problem, UnreadableRecord):  # which no waiting makes readable
                raise _unsure() from None
            return "unsure"

    async def _judged(self, claimed: Claim, *, waited: bool) -> Visit | _Wait | None:
        if claimed.kind == "forgot":
            return "unsure"
        if claimed.kind == "new" or claimed.record is None:
            if claimed.kind == "reused":
                raise self._reused()
            operation = Operation(self.record, self.job, self.caller)
            operation.open()
            return Visit(operation, "begin")
        if claimed.kind == "dead":
            return await self._take_over(claimed.record.id)
        if claimed.kind == "over":
            return await self._over(claimed, waited=waited)
        if self.keyed and not self.services.repeats.waits:
            raise self._still_running()
        return None

    def _is_another(self) -> bool:
        """Whether what is sent again is not the call that was served, but one like it that was refused."""
        return not self.keyed and self.operations.was_refused(self.record.fingerprint)

    def _join(self, twin: Operation) -> Visit:
        if twin.record.fingerprint != self.record.fingerprint:
            raise self._reused()
        if self.keyed and not self.services.repeats.waits:
            raise self._still_running()
        self._tell("joined")
        return Visit(twin, "joined", self.patience_s if self.keyed else None)

    async def _over(self, claimed: Claim, *, waited: bool) -> Visit | None:
        record = claimed.record
        assert record is not None  # noqa: S101 the claim's own promise, for the type checker
        resend = record.state is OperationState.UNKNOWN and self.services.repeats.resend_once and not record.resent
        if record.state is OperationState.KEPT or resend:
            return await self._take_over(record.id, record.state)
        if claimed.delivered and self._is_another():
            return Visit(Operation(self.record, self.job, self.caller), "begin")
        self._tell("waited" if waited else "replayed")
        return Visit(self._replay(record), "replayed")

    async def _take_over(self, op_id: str, *states: OperationState) -> Visit | None:
        """Go on where an earlier run ended, with this request's prompt; None when somebody else was faster."""
        record = await self.services.journal.take_over(op_id, states)
        if record is None:
            return None
        if OperationState.UNKNOWN in states:
            record.resent = True
        if states:
            record.begin_again()
        record.due_s = self.record.due_s
        self._tell("resumed")
        operation = Operation(record, self.job, self.caller)
        operation.open()
        return Visit(operation, "begin")

    def _replay(self, record: Record) -> Operation:
        """The operation as it ended; a short batch is delivered to who allows one now."""
        operation = Operation(record, self.job, self.caller)
        operation.open()
        harvest = Harvest(record.earlier)
        for image in harvest.finished:
            operation.add(image)
        enough = record.state is OperationState.COMPLETED or (self.job.partial_allowed and harvest.finished)
        if enough:
            operation.succeed(harvest)
            return operation
        assert record.ended is not None  # noqa: S101 what is over without its images says why: written in one go
        error = record.ended.error()
        error.headers = {**error.headers, "idempotent-replayed": "true"}
        operation.fail(error)
        return operation

    def _still_running(self) -> RequestError:
        if not self.keyed:
            return RequestError(
                ErrorCode.UPSTREAM_TIMEOUT, "The first call of this request still runs.", should_retry=False
            )
        self._tell("conflict")
        return in_progress()

    def _reused(self) -> RequestError:
        self._tell("reused")
        return RequestError(
            ErrorCode.IDEMPOTENCY_KEY_REUSED,
            "This Idempotency-Key was used with another request body.",
            should_retry=False,
        )

    def _tell(self, kind: IdempotencyKind) -> None:
        self.services.tell(IdempotencyUsed(kind))


def _unsure() -> RequestError:
    """Redis, which alone could tell whether this was bought before, is away or has forgotten."""
    return RequestError(
        ErrorCode.IDEMPOTENCY_UNAVAILABLE,
        "Whether this request was served before cannot be told now. Nothing was done or charged.",
        retry_after_ms=_COME_BACK_MS,
        should_retry=True,
    )


def in_progress() -> RequestError:
    """What a twin is told that came too early."""
    return RequestError(
        ErrorCode.IDEMPOTENCY_IN_PROGRESS,
        "The first request with this Idempotency-Key still runs.",
        retry_after_ms=_COME_BACK_MS,
        should_retry=True,
    )


def _record(headers: Mapping[str, str], job: Job, caller: Caller, services: Services) -> Record:
    now = services.world.now()
    return Record(
        id=f"op_{services.world.token(_ID_BYTES).hex()}",
        key_id=caller.key_id,
        tenant=caller.tenant,
        job=without_secrets(job),
        fingerprint=fingerprint(caller.key_id, job),
        prompt_hash=prompt_hash(job.prompt),
        idempotency=idempotency_hash(caller.key_id, headers.get("idempotency-key")),
        begun_s=now,
        due_s=now + services.catalogue.routes[job.model].deadline_s,
    )
