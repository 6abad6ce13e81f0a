"""Step 8 of 9 · turn what was set aside into what was spent, give back the rest, and write the books.

An operation that was cut short, by an exception of ours or the end of this replica, is settled by whoever takes it up.
"""

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from functools import partial

import msgspec

from gateway.domain.errors import ErrorCode
from gateway.domain.facts import MoneySettled
from gateway.domain.harvest import Harvest, ShotResult
from gateway.domain.record import Record
from gateway.edges.redis_store import RedisUnavailable
from gateway.edges.suspense import Suspense
from gateway.policies.doubts import doubted_microusd, gained
from gateway.policies.end_users import refusal_line
from gateway.policies.purses import Settlement
from gateway.policies.usage_lines import line_name
from gateway.services import Services
from gateway.steps.debit import Hold

__all__ = ["settle", "settle_late", "settle_unforeseen"]


async def settle(hold: Hold, harvest: Harvest, model: str, services: Services, record: Record | None = None) -> None:
    """Settle what `hold` holds, once, by what was harvested under it.

    The images' tokens go back when nothing was, or may have been, paid. Money that may have been spent stays taken, and
    is listed as in suspense.

    With `record`, whose end is about to be written, Redis hears of both at once, of the settlement first: was it told
    of the end alone, nobody would take the operation up and settle it.
    """
    if not harvest.may_have_cost:
        images = [dimension for dimension in hold.dimensions if dimension.name == "images"]
        await services.limits.refund(hold.op_id, hold.granted, images)
    settlement = _settlement(harvest, hold, model)
    with services.traces.step("settle"):
        settling = services.limits.settling(hold.op_id, hold.leases, hold.reservation, settlement)
        if record is None:
            await services.limits.run_or_keep(settling)
        else:
            services.writer.write_soon_after(settling, record, partial(services.limits.backlog.append, settling))
    money = (settlement.cost_microusd, settlement.suspended_microusd)
    services.tell(MoneySettled(hold.caller.key_id, model, len(harvest.finished), *money))


async def settle_late(before: Record, after: Record, services: Services) -> None:
    """Book what is known now and was in suspense: an operation's record before something was learnt of it, and after.

    What somebody has settled by hand stays as it was settled. While Redis is away it stays in suspense, and is listed.
    """
    doubted = doubted_microusd(before) - doubted_microusd(after)
    if doubted <= 0:
        return
    more, model = gained(before.earlier, after.earlier), after.job.model
    books = tuple(
        (line_name(after.key_id, after.tenant, model, served_by, measure), amount)
        for (served_by, measure), amount in more.items()
    )
    cost = sum(amount for (_, measure), amount in more.items() if measure == "cost_microusd")
    suspense = Suspense(services.journal.redis)
    for hold_id in after.hold_ids:
        with suppress(RedisUnavailable):
            if await suspense.learn(hold_id, doubted, cost, books):
                delivered = sum(amount for (_, measure), amount in more.items() if measure == "delivered")
                services.tell(MoneySettled(after.key_id, model, delivered, cost, 0))
                return


async def settle_unforeseen(before: Record, hold_id: str, result: ShotResult, services: Services) -> None:
    """Book, under a name of its own, what a call cost that had been settled as unpaid."""
    if before.hold is not None:
        hold = replace(msgspec.convert(before.hold, Hold), op_id=hold_id, leases=())
        await settle(hold, Harvest((result,)), before.job.model, services)


def _settlement(harvest: Harvest, hold: Hold, model: str) -> Settlement:
    note = f"{hold.caller.key_id} {model}"
    lines: Counter[str] = Counter()
    first = harvest.results[0].served_by if harvest.results else ""
    refused = not harvest.finished and any(map(_is_refused, harvest.results))
    _write(lines, hold, model, first, {"requests": 1, "content_refusals": int(refused)})
    for result in harvest.results:
        measures = {
            "delivered": len(result.finished),
            "billed": result.billed,
            "cost_microusd": result.cost_microusd,
        }
        _write(lines, hold, model, result.served_by, measures)
    if refused and hold.end_user is not None:
        lines[refusal_line(hold.end_user.name)] += 1
    suspended = sum(_suspended_microusd(result) for result in harvest.results)
    return Settlement(harvest.cost_microusd, suspended, tuple(lines.items()), note)


def _write(lines: Counter[str], hold: Hold, model: str, vendor: str, measures: dict[str, int]) -> None:
    for measure, amount in measures.items():
        if amount:
            lines[line_name(hold.caller.key_id, hold.caller.tenant, model, vendor, measure)] += amount


def _suspended_microusd(result: ShotResult) -> int:
    """What a call may have cost beyond what is known: all its images."""
    if result.billed:
        return 0
    unsure = result.asked if any(fault.may_have_billed for fault in result.faults) else 0
    return max(result.doubtful, unsure) * result.unit_microusd


def _is_refused(result: ShotResult) -> bool:
    return result.withheld > 0 or any(fault.code is ErrorCode.CONTENT_POLICY_VIOLATION for fault in result.faults)
