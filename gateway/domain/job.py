"""What a caller asked for, and the paid calls it becomes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from gateway.domain.catalogue import Target
from gateway.domain.picture import ImageFormat, Size

__all__ = ["Hints", "Job", "Shot"]


@dataclass(frozen=True, slots=True)
class Hints:
    """Wishes that are honoured where a target can and ignored, by name in a reply header, where it cannot.

    `quality` is one of low, medium, high, xhigh, max (standard and hd are already translated), None for auto.
    """

    quality: str | None = None
    style: str | None = None
    moderation: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One validated request. `prompt` is 1 or more code points; `n` is 1..10; `size` is exactly what must come out.

    `output_compression` is 0..100 and only for jpeg and webp. `user` is the caller's end-user id, never sent raw.
    `unmapped` names the fields that were understood and have no meaning here (they go into `x-samurai-ignored`).
    `via` names the targets that the caller chose, in order, none for all. `patience_s` is how long a further attempt
    is worth beginning, None where the client did not say.
    """

    model: str
    prompt: str
    n: int
    size: Size
    wants_url: bool
    format: ImageFormat = ImageFormat.PNG
    output_compression: int | None = None
    user: str | None = None
    hints: Hints = Hints()
    transparent: bool = False
    stream: bool = False
    partial_allowed: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    unmapped: tuple[str, ...] = ()
    via: tuple[str, ...] = ()
    patience_s: float | None = None

    def asking_for(self, images: int) -> Self:
        """The same wish for so many images."""
        return self if images == self.n else replace(self, n=images)


@dataclass(frozen=True, slots=True)
class Shot:
    """One paid vendor call for `count` images of the native size `size`.

    `format` is what to ask the vendor for. `seed` is unique to this shot, so that a lost prediction can be found
    again; None where the vendor takes none. `end_user` is a keyed hash, never the caller's own id.
    `quality`, `style` and `moderation` are already words the native model takes. `options` are native parameters:
    the operator's, then the caller's allowed extras. `deadline_s` is what is left of the operation, in seconds.
    `webhook` is where the vendor is to tell the end, None where it is only asked.
    """

    target: Target
    prompt: str
    count: int
    size: Size
    format: ImageFormat
    deadline_s: float
    seed: int | None = None
    end_user: str | None = None
    quality: str | None = None
    style: str | None = None
    moderation: str | None = None
    transparent: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    webhook: str | None = None

    @property
    def model(self) -> str:
        """The native model's name."""
        return self.target.model
