"""Replicate's predictions: what becomes of one as time goes by. Nothing runs; every look works it out anew."""

import math
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from gateway.sandbox.clock import iso
from gateway.sandbox.deliveries import Delivery
from gateway.sandbox.ledger import Charge, Ledger

__all__ = ["KEPT_S", "TERMINAL", "Prediction", "Predictions"]

TERMINAL = ("succeeded", "failed", "canceled", "aborted")
KEPT_S = 3600.0  # vendor docs: input, output and files are removed an hour after the end
_LONGEST_S = 1800.0  # vendor docs: a prediction times out by itself after 30 minutes
_MOST = 20_000


@dataclass(slots=True)
class Prediction:
    """One prediction. `asked` is how many images the input wants, `deliveries` those that will come of it.

    `failure` is the error that it will end with. `charges_failure` bills the images asked for although it fails.
    """

    id: str
    model: str
    input: dict[str, Any]
    asked: int
    single: bool
    deliveries: list[Delivery]
    links: list[str]
    created_at: float
    starts_at: float
    ends_at: float
    price: int
    call_id: str
    deadline_at: float | None = None
    failure: str | None = None
    logs: str = ""
    charges: bool = True
    charges_failure: bool = False
    finishes_on_cancel: bool = False
    status: str = "starting"
    started_at: float | None = None
    completed_at: float | None = None
    oddities: dict[str, Any] = field(default_factory=dict)

    def settle(self, now: float, books: Ledger) -> None:
        """Let it become what it is by now, and enter what that costs."""
        if self.status in TERMINAL:
            return
        if self.status == "starting" and self.starts_at <= min(now, self._limit):
            self.status, self.started_at = "processing", self.starts_at
        if self.ends_at <= min(now, self._limit):
            self._finish(self.ends_at, books)
        elif self._limit <= now:
            self.cancel(self._limit, books)

    def cancel(self, at: float, books: Ledger) -> None:
        """End it early: free before it started, billed while it ran; no effect on one that has ended."""
        if self.status in TERMINAL:
            return
        if self.status == "starting":
            self.status = "aborted"
        else:
            self.status = "canceled"
            self._enter(self.asked, "replicate: canceled while running is billed", at, books)
        self.completed_at = at

    @property
    def _limit(self) -> float:
        """The moment at which it is ended whatever it does."""
        longest = self.created_at + _LONGEST_S
        return min(longest, math.inf if self.deadline_at is None else self.deadline_at)

    def _finish(self, at: float, books: Ledger) -> None:
        self.completed_at = at
        if self.failure is not None:
            self.status = "failed"
            if self.charges_failure:
                self._enter(self.asked, "replicate: failed after the work was done, billed by script", at, books)
            return
        self.status = "succeeded"
        for delivery in self.deliveries:
            delivery.expires_at = at + KEPT_S
        books.offered["replicate"] += len(self.deliveries)
        self._enter(len(self.deliveries), "replicate: per output image (metrics.image_count)", at, books)

    def _enter(self, images: int, rule: str, at: float, books: Ledger) -> None:
        if self.charges:
            books.charge(Charge("replicate", self.model, images, rule, self.call_id, at, images * self.price))

    def view(self, now: float, base_url: str) -> dict[str, Any]:
        """The prediction as the API shows it: only fields of the published schema."""
        removed = self.completed_at is not None and now >= self.completed_at + KEPT_S
        shown = {
            "id": self.id,
            "model": self.model,
            "version": "hidden",
            "input": {} if removed else self.input,
            "output": None if removed else self._output(),
            "data_removed": removed,
            "error": self.failure if self.status == "failed" else None,
            "status": self.status,
            "source": "api",
            "logs": "" if removed or self.status == "starting" else self.logs,
            "created_at": iso(self.created_at),
            "urls": {
                "web": f"{base_url}/replicate/p/{self.id}",
                "get": f"{base_url}/replicate/v1/predictions/{self.id}",
                "cancel": f"{base_url}/replicate/v1/predictions/{self.id}/cancel",
            },
        }
        return shown | dict(self._moments()) | self.oddities

    def _output(self) -> Any:
        if self.status != "succeeded":
            return None
        return self.links[0] if self.single else list(self.links)

    def _moments(self) -> Iterator[tuple[str, Any]]:
        if self.deadline_at is not None:
            yield "deadline", iso(self.deadline_at)
        if self.started_at is not None:
            yield "started_at", iso(self.started_at)
        if self.completed_at is not None:
            began = self.created_at if self.started_at is None else self.started_at
            metrics: dict[str, float] = {"total_time": round(self.completed_at - self.created_at, 6)}
            if self.started_at is not None:
                metrics["predict_time"] = round(self.completed_at - began, 6)
            if self.status == "succeeded":
                metrics["image_count"] = len(self.deliveries)
            yield "completed_at", iso(self.completed_at)
            yield "metrics", metrics


class Predictions:
    """All predictions, oldest first."""

    def __init__(self) -> None:
        self._by_id: OrderedDict[str, Prediction] = OrderedDict()

    def add(self, prediction: Prediction) -> None:
        """Remember a new one; the oldest is forgotten when there are very many."""
        self._by_id[prediction.id] = prediction
        if len(self._by_id) > _MOST:
            self._by_id.popitem(last=False)

    def find(self, prediction_id: str) -> Prediction | None:
        """The prediction with this id."""
        return self._by_id.get(prediction_id)

    def newest_first(self) -> list[Prediction]:
        """All of them as the list shows them."""
        return list(reversed(self._by_id.values()))

    def settle(self, now: float, books: Ledger) -> None:
        """Bring every prediction up to date."""
        for prediction in self._by_id.values():
            prediction.settle(now, books)
