"""Ideogram's generations: asynchronous work of the v2 API that is looked up until it is done."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from gateway.sandbox.clock import iso
from gateway.sandbox.ledger import Charge, Ledger

__all__ = ["Generation", "Generations"]

_MOST = 20_000


@dataclass(slots=True)
class Generation:
    """One generation. `data` is what it will show once complete; `billed` is how many images that costs."""

    id: str
    model: str
    data: list[dict[str, Any]]
    billed: int
    price: int
    call_id: str
    created_at: float
    ends_at: float
    failure: str | None = None
    charges: bool = True
    settled: bool = False

    def settle(self, now: float, books: Ledger) -> None:
        """Enter the charge when it has completed; a failed one is not billed."""
        if self.settled or now < self.ends_at:
            return
        self.settled = True
        if self.failure is None:
            books.offered["ideogram"] += sum(1 for item in self.data if item["url"])
            if self.charges:
                books.charge(self._charge())

    def _charge(self) -> Charge:
        rule = "ideogram: per image when the generation completes, withheld ones included"
        return Charge("ideogram", self.model, self.billed, rule, self.call_id, self.ends_at, self.billed * self.price)

    def view(self, now: float) -> dict[str, Any]:
        """The generation as the API shows it: little until it is complete."""
        shown: dict[str, Any] = {"generation_id": self.id, "created": iso(self.created_at)}
        if now < self.ends_at:
            return shown | {"status": "pending"}
        if self.failure is not None:
            return shown | {"status": "failed", "failure_reason": self.failure}
        items = [{"object_type": "image", **item} for item in self.data]
        return shown | {"status": "completed", "response_type": "image", "data": items}


class Generations:
    """All generations by their id."""

    def __init__(self) -> None:
        self._by_id: OrderedDict[str, Generation] = OrderedDict()

    def add(self, generation: Generation) -> None:
        """Remember a new one; the oldest is forgotten when there are very many."""
        self._by_id[generation.id] = generation
        if len(self._by_id) > _MOST:
            self._by_id.popitem(last=False)

    def find(self, generation_id: str) -> Generation | None:
        """The generation with this id."""
        return self._by_id.get(generation_id)

    def images_pending(self, now: float) -> int:
        """How many images are still under way."""
        return sum(one.billed for one in self._by_id.values() if now < one.ends_at)

    def settle(self, now: float, books: Ledger) -> None:
        """Bring every generation's charge up to date."""
        for generation in self._by_id.values():
            generation.settle(now, books)
