"""The payment ledger: what each vendor charged, by which of its rules, and what it handed over for that.

This is the ground truth that the gateway's own books are compared with.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Charge", "Leak", "Ledger"]


@dataclass(frozen=True, slots=True)
class Charge:
    """One charge. `rule` says why the vendor bills it; `call_id` is the sandbox's number of the request."""

    vendor: str
    model: str
    images: int
    rule: str
    call_id: str
    at: float
    microdollars: int


@dataclass(frozen=True, slots=True)
class Leak:
    """A credential that reached a host it was not meant for. Names of headers only, never their values."""

    vendor: str
    path: str
    headers: tuple[str, ...]
    at: float


@dataclass(slots=True)
class Ledger:
    """Charges in the order they were made, and what was delivered.

    An image is delivered when it went out whole inside a reply, or when its link was downloaded whole the first
    time. `offered` counts links handed out.
    """

    charges: list[Charge] = field(default_factory=list)
    leaks: list[Leak] = field(default_factory=list)
    delivered: Counter[str] = field(default_factory=Counter)
    offered: Counter[str] = field(default_factory=Counter)

    def charge(self, charge: Charge) -> None:
        """Enter a charge. One for no images is not entered."""
        if charge.images > 0:
            self.charges.append(charge)

    def clear(self) -> None:
        """Start with empty books."""
        self.charges.clear()
        self.leaks.clear()
        self.delivered.clear()
        self.offered.clear()

    def images_charged(self, vendor: str | None = None) -> int:
        """Images billed so far, by one vendor or by all."""
        return sum(charge.images for charge in self.charges if vendor in (None, charge.vendor))

    def images_delivered(self, vendor: str | None = None) -> int:
        """Images handed over so far, by one vendor or by all."""
        return self.delivered.total() if vendor is None else self.delivered[vendor]

    def microdollars(self, vendor: str | None = None) -> int:
        """Money billed so far, by one vendor or by all."""
        return sum(charge.microdollars for charge in self.charges if vendor in (None, charge.vendor))

    def report(self, vendors: Sequence[str]) -> dict[str, Any]:
        """The books as JSON, with totals over all and by vendor."""
        return {
            "entries": [asdict(charge) for charge in self.charges],
            "totals": self._totals(None) | {"by_vendor": {vendor: self._totals(vendor) for vendor in vendors}},
            "leaks": [asdict(leak) for leak in self.leaks],
        }

    def _totals(self, vendor: str | None) -> dict[str, int]:
        return {
            "images_charged": self.images_charged(vendor),
            "images_delivered": self.images_delivered(vendor),
            "links_offered": self.offered.total() if vendor is None else self.offered[vendor],
            "microdollars": self.microdollars(vendor),
        }
