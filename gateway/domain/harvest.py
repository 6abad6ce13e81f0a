"""What an operation brought in: finished images, what they cost, and what went wrong on the way."""

from dataclasses import dataclass, field

from gateway.domain.exchange import Fault
from gateway.domain.picture import ImageFormat

__all__ = ["Finished", "Harvest", "ShotResult"]


@dataclass(frozen=True, slots=True)
class Finished:
    """One image as the client gets it: in the store under `asset_id`, or (passed through) behind a vendor's `link`.

    `length` is in bytes, 0 for a passed-through link. `emulated` names what we had to change: `size`, `format`.
    """

    format: ImageFormat
    length: int = 0
    asset_id: str | None = None
    link: str | None = None
    revised_prompt: str | None = None
    emulated: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ShotResult:
    """How one paid call for `asked` images ended. `faults` holds at most one for the call and one an image.

    `withheld` images fell to a safety check; `missing` ones were just not there; both may be asked for once more.
    `doubtful` images may have been billed by a call whose fault is no longer listed, since others took their place.
    `unit_microusd` is what one image of it costs.
    """

    asked: int
    served_by: str
    finished: tuple[Finished, ...] = ()
    billed: int = 0
    cost_microusd: int = 0
    withheld: int = 0
    missing: int = 0
    created: int | None = None
    faults: tuple[Fault, ...] = ()
    ignored: tuple[str, ...] = ()
    doubtful: int = 0
    unit_microusd: int = 0


@dataclass(frozen=True, slots=True)
class Harvest:
    """All calls of an operation, in the order in which their images are delivered."""

    results: tuple[ShotResult, ...] = field(default=())

    @property
    def finished(self) -> tuple[Finished, ...]:
        """The images, in order."""
        return tuple(image for result in self.results for image in result.finished)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Everything that went wrong and was not healed."""
        return tuple(fault for result in self.results for fault in result.faults)

    @property
    def cost_microusd(self) -> int:
        """What the vendors billed, in micro-dollars."""
        return sum(result.cost_microusd for result in self.results)

    @property
    def withheld(self) -> int:
        """How many images safety checks kept back."""
        return sum(result.withheld for result in self.results)

    @property
    def in_doubt(self) -> bool:
        """Whether something may have been paid for that nobody knows of."""
        unsure = any(fault.may_have_billed for one in self.results if not one.billed for fault in one.faults)
        return unsure or any(result.doubtful for result in self.results)

    @property
    def lost(self) -> int:
        """How many images were paid for and cannot be delivered, beside those that a safety check kept back."""
        return sum(max(0, one.billed - len(one.finished) - one.withheld) for one in self.results)

    @property
    def may_have_cost(self) -> bool:
        """Whether any money was, or may have been, spent."""
        doubtful = any(result.doubtful for result in self.results)
        return self.cost_microusd > 0 or doubtful or any(fault.may_have_billed for fault in self.faults)
