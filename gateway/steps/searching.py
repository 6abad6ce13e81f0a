"""Part of step 6 · find the work again that a paid call began, when its reply was lost: nothing is ever sent twice."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.domain.exchange import Dialect, Fault, HttpCall, Pending, Search
from gateway.domain.job import Shot
from gateway.domain.record import Attempt
from gateway.operation import Operation
from gateway.services import Services

__all__ = ["Order", "found_again"]

_MOST_PAGES = 60  # of a hundred each: ten minutes of the most that an account may create
_PAGE_S = 5.0
_EVERY_S = 2.0
_OK = 200


@dataclass(frozen=True, slots=True)
class Order:
    """One paid call: what is asked of whom, what an image of it costs, and what the journal says of it.

    `taken` is called when the vendor has taken the work and goes on with it.
    """

    shot: Shot
    dialect: Dialect
    attempt: Attempt
    ignored: tuple[str, ...] = ()
    taken: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a look at the vendor's list came to. Not `whole`: it could not be read to where the call would stand."""

    pending: Pending | None
    whole: bool


async def found_again(
    order: Order, operation: Operation, services: Services, patience_s: float, most_s: float
) -> Pending | None:
    """The work that a call began whose reply was lost; None where the vendor cannot tell, or has no such work.

    A list that has it not is asked again for `patience_s`: work takes a moment to show up. A list that cannot be read
    says nothing, and is asked for up to `most_s`.
    """
    search = order.dialect.search
    if search is None:
        return None
    began = services.world.monotonic()
    while True:
        pending = await _told_of(order, operation, services)
        seen = _Seen(pending, whole=True) if pending else await _look(search, order, operation, services)
        waited_s = services.world.monotonic() - began
        if seen.pending is not None or waited_s >= (patience_s if seen.whole else max(patience_s, most_s)):
            return seen.pending
        await services.world.sleep(_EVERY_S)


async def _look(search: Search, order: Order, operation: Operation, services: Services) -> _Seen:
    """The work, if the list names exactly one that it can be. Whoever looks at the same moment looks at one answer."""
    account, found = order.shot.target.account, list[Pending]()
    call: HttpCall | None = search.call_for(account)
    for _ in range(_MOST_PAGES):
        if call is None:
            break
        answer = await services.upstreams.look(account.id, order.dialect, call, deadline_s=_PAGE_S)
        if isinstance(answer, Fault) or answer.status != _OK:
            return _Seen(None, whole=False)
        page = search.found_in(answer, order.shot, operation.record.prompt_hash, order.attempt.sent_s, account)
        found += page.matches
        call = page.more
    return _Seen(found[0] if len(found) == 1 else None, whole=True)


async def _told_of(order: Order, operation: Operation, services: Services) -> Pending | None:
    """The work that a lost call began, where the vendor has called back about it."""
    callback = order.dialect.callback
    if callback is None or services.callbacks.url is None:
        return None
    vendor_id = await services.callbacks.bells.heard(operation.id, order.attempt.number)
    return callback.pending(vendor_id, order.shot, order.shot.target.account) if vendor_id else None
