"""What one replica may spend of a budget while Redis is away: set aside beforehand, so that it is never overspent.

An allowance is an ordinary reservation of this replica, taken in Redis while all is well and returned when its purse
is idle or nearly empty. Pure bookkeeping; `upkeep` does the talking.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from gateway.policies.purses import Purse, Reservation

__all__ = ["Allowance", "Allowances"]

LARGEST_MICROUSD = 1_000_000  # one dollar
PART = 100  # one hundredth of what is left
LIFE_US = 900_000_000  # as long as keys work without Redis
RENEW_US = 300_000_000  # before its end
IDLE_US = 60_000_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """`microusd` of `purse`, set aside under `op_id` and good until `ends_us`; `spent_microusd` is gone or promised."""

    op_id: str
    purse: Purse
    microusd: int
    ends_us: int
    spent_microusd: int = 0


@dataclass(frozen=True, slots=True)
class _Use:
    purse: Purse
    left_microusd: int
    call_microusd: int
    at_us: int


class Allowances:
    """The allowances of one replica, by purse, in microseconds of its own monotonic clock."""

    def __init__(self) -> None:
        self._uses: dict[str, _Use] = {}
        self._held: dict[str, Allowance] = {}
        self._promised: dict[str, tuple[int, tuple[Allowance, ...]]] = {}
        self._retired: dict[str, Allowance] = {}

    def observe(self, reservation: Reservation, lefts_microusd: Sequence[int], now_us: int) -> None:
        """Learn from Redis what is left in each purse, and what a call costs at most."""
        for purse, left in zip(reservation.purses, lefts_microusd, strict=True):
            self._uses[purse.name] = _Use(purse, left, reservation.microusd, now_us)

    @property
    def purses(self) -> tuple[Purse, ...]:
        """The purses that calls were paid from lately."""
        return tuple(use.purse for use in self._uses.values())

    def lacking(self, reservation: Reservation, now_us: int) -> Purse | None:
        """The first purse whose allowance cannot pay for this."""
        for purse in reservation.purses:
            held = self._held.get(purse.name)
            if held is None or held.ends_us <= now_us or held.microusd - held.spent_microusd < reservation.microusd:
                return purse
        return None

    def spend(self, op_id: str, reservation: Reservation) -> None:
        """Promise the money to an operation, once. Only after `lacking` said None."""
        if op_id in self._promised:
            return
        paid = []
        for purse in reservation.purses:
            held = self._held[purse.name]
            self._held[purse.name] = replace(held, spent_microusd=held.spent_microusd + reservation.microusd)
            paid.append(held)
        self._promised[op_id] = reservation.microusd, tuple(paid)

    def settle(self, op_id: str, kept_microusd: int) -> bool:
        """Whether an allowance paid for the operation; if so, only `kept_microusd` of it is gone."""
        promised = self._promised.pop(op_id, None)
        if promised is None:
            return False
        microusd, paid = promised
        for allowance in paid:
            for book in (self._held, self._retired):
                key = allowance.purse.name if book is self._held else allowance.op_id
                if key in book and book[key].op_id == allowance.op_id:
                    changed = book[key].spent_microusd + kept_microusd - microusd
                    book[key] = replace(book[key], spent_microusd=changed)
        return True

    def add(self, allowance: Allowance) -> None:
        """Redis set it aside."""
        self._held[allowance.purse.name] = allowance

    def wanted(self, now_us: int) -> Iterator[tuple[Purse, int]]:
        """Purses in use that should get an allowance, and of how many micro-dollars."""
        for name, use in self._uses.items():
            if name not in self._held and (microusd := _fitting(use, now_us)):
                yield use.purse, microusd

    def retire(self, now_us: int, *, everything: bool = False) -> None:
        """Spend no more of what was used, ends soon, or belongs to an idle or nearly empty purse."""
        for name, held in list(self._held.items()):
            fitting = _fitting(self._uses.get(name), now_us)
            worn = held.spent_microusd > 0 or held.ends_us - now_us < RENEW_US or held.microusd > 2 * fitting
            if worn or everything:
                self._retired[held.op_id] = self._held.pop(name)
        self._uses = {name: use for name, use in self._uses.items() if use.at_us > now_us - IDLE_US}

    def returned(self) -> Mapping[str, Allowance]:
        """Take out the retired ones that no running operation draws on, by operation id: to be settled in Redis."""
        drawn_on = {one.op_id for _, paid in self._promised.values() for one in paid}
        done = {op_id: one for op_id, one in self._retired.items() if op_id not in drawn_on}
        for op_id in done:
            del self._retired[op_id]
        return done


def _fitting(use: _Use | None, now_us: int) -> int:
    """The micro-dollars that are right for a purse; 0 where one call would not fit into them."""
    if use is None or use.at_us <= now_us - IDLE_US:
        return 0
    microusd = min(max(0, use.left_microusd) // PART, LARGEST_MICROUSD)
    return microusd if microusd >= use.call_microusd else 0
