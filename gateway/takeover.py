"""Takes up, without its client, an operation that a dead replica had begun, or of which a vendor speaks late."""

from functools import partial

import structlog

from gateway.domain.caller import Caller
from gateway.domain.record import Record
from gateway.generation import carry_on, lift
from gateway.operation import Operation, Operations
from gateway.policies.doubts import LIFTED, doubted
from gateway.services import Services

__all__ = ["look_again", "take_up"]


async def take_up(op_id: str, operations: Operations, services: Services) -> bool:
    """Go on with an operation that nobody works on; False where somebody does.

    Raises RedisUnavailable, and UnreadableRecord with nothing taken.
    """
    if operations.find(op_id) is not None:
        return False  # it is ours, and only its renewal is late
    record = await services.journal.take_over(op_id)
    if record is None:
        return False
    structlog.get_logger("journal").warning("a dead replica's operation is taken up", operation=op_id)
    operation = Operation(record, record.job, Caller(record.key_id, record.tenant))
    operation.open()
    operations.start(operation, partial(carry_on, services=services))
    return True


async def look_again(seen: Record, number: int, operations: Operations, services: Services) -> bool:
    """Find out how paid call `number` ended, of an operation that was `seen` to be over without knowing it.

    False where somebody works on the operation at the moment. Raises RedisUnavailable, and UnreadableRecord with
    nothing taken.
    """
    record = await services.journal.take_over(seen.id, LIFTED)
    if record is None:
        return False
    operation = Operation(record, record.job, Caller(record.key_id, record.tenant))
    operation.is_late = True
    operation.open()
    attempt = doubted(record, number)
    if attempt is None:  # somebody has learnt it since it was seen, and has ended by now
        operations.start(operation, partial(carry_on, services=services))
        return True
    structlog.get_logger("journal").info("a vendor speaks late of a call", operation=record.id, call=number)
    operations.start(operation, partial(lift, attempt=attempt, was=seen.state, services=services))
    return True
