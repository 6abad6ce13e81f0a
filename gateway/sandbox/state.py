"""Everything a running sandbox remembers."""

import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from gateway.sandbox.clock import Clock
from gateway.sandbox.deliveries import Deliveries
from gateway.sandbox.generations import Generations
from gateway.sandbox.google_identity import GoogleIdentity
from gateway.sandbox.ledger import Ledger
from gateway.sandbox.limits import InFlight, Rate
from gateway.sandbox.options import SandboxOptions
from gateway.sandbox.predictions import Predictions
from gateway.sandbox.scripts import ScriptBook, behaviour_of
from gateway.sandbox.webhooks import Webhooks

__all__ = ["RecordedCall", "State"]

_CALLS_KEPT = 5_000


@dataclass(slots=True)
class RecordedCall:
    """One request as it arrived. Secret headers are blanked; `status` is None while unanswered."""

    id: str
    vendor: str
    operation: str
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: Any
    at: float
    authenticated: bool = False
    status: int | None = None


@dataclass(slots=True)
class State:
    """The vendors' memory, the books and the scripts. Lives on one event loop."""

    options: SandboxOptions = field(default_factory=SandboxOptions)
    clock: Clock = field(default_factory=Clock)
    books: Ledger = field(default_factory=Ledger)
    scripts: ScriptBook = field(default_factory=ScriptBook)
    calls: deque[RecordedCall] = field(default_factory=lambda: deque(maxlen=_CALLS_KEPT))
    deliveries: Deliveries = field(default_factory=Deliveries)
    predictions: Predictions = field(default_factory=Predictions)
    generations: Generations = field(default_factory=Generations)
    webhooks: Webhooks = field(default_factory=Webhooks)
    google: GoogleIdentity = field(default_factory=GoogleIdentity)
    replicate_creates: Rate = field(default_factory=lambda: Rate(600))  # vendors' docs: 600 creates a minute
    replicate_others: Rate = field(default_factory=lambda: Rate(3000))  # … and 3,000 of everything else
    ideogram_places: InFlight = field(default_factory=lambda: InFlight(10))  # images, for each organisation
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def ledger(self) -> Ledger:
        """The books, brought up to date: work that has ended by now is charged."""
        now = self.clock.now()
        self.predictions.settle(now, self.books)
        self.generations.settle(now, self.books)
        return self.books

    def script(self, vendor: str, **what: Any) -> None:
        """Add a script: `then`, and where wanted `operation`, `match` and `times`, as over HTTP."""
        self.scripts.add(behaviour_of({"vendor": vendor, **what}))

    def next_call_id(self) -> str:
        """A number for the next request."""
        return f"call-{next(self._numbers)}"

    def natural_wait_s(self, seconds: float) -> float:
        """How long work takes here that takes the vendor `seconds`."""
        return seconds * self.options.pace
