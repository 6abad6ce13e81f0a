"""Step 4 of 9 · which targets can serve the job, and what each would be asked for."""

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.domain.catalogue import Capabilities, Catalogue, Route, Strategy, Target
from gateway.domain.errors import ErrorCode, RequestError
from gateway.domain.exchange import Dialect
from gateway.domain.job import Job, Shot
from gateway.domain.picture import ImageFormat, Size
from gateway.policies.fan_out import split
from gateway.policies.fitting import native_format, native_size
from gateway.policies.routing import answers_to

__all__ = ["Candidate", "Plan", "Rank", "plan"]

Rank = Callable[[Strategy, Sequence[tuple[Target, int]]], Sequence[int]]
"""The places of targets, best first; each target comes with what an image costs there, in micro-dollars."""

_SEED = "seed"
_SEEDS = 1 << 31


@dataclass(frozen=True, slots=True)
class Candidate:
    """A target that can serve the job, and how it would be asked. `ignored` names the hints that it cannot take."""

    target: Target
    dialect: Dialect
    capabilities: Capabilities
    size: Size
    format: ImageFormat
    quality: str | None
    style: str | None
    moderation: str | None
    options: Mapping[str, Any] = field(repr=False)
    ignored: tuple[str, ...] = ()

    @property
    def price_microusd(self) -> int:
        """What one image of it costs; the dearest figure where the table does not say."""
        quality = self.quality or self.options.get("quality")
        figure = self.target.price.of(self.size, quality if isinstance(quality, str) else None)
        return self.target.price.highest if figure is None else figure

    def images_each(self, count: int, most: int | None) -> tuple[int, ...]:
        """How many images each of the fewest calls makes that make `count`, of at most `most`."""
        return split(count, min(self.capabilities.images_per_call, most or count))


@dataclass(frozen=True, slots=True)
class Plan:
    """The candidates of one job, best first, and what all its calls have in common."""

    job: Job
    route: Route
    candidates: tuple[Candidate, ...]
    end_user: str | None
    first_seed: int | None

    def shots(
        self, candidate: Candidate, count: int, *, most: int | None = None, before: int, deadline_s: float
    ) -> tuple[Shot, ...]:
        """The fewest calls, of at most `most` images, that make `count`, when `before` calls were planned earlier.

        Every call gets a seed of its own, counted up from the first, since one seed gives one picture.
        """
        return tuple(
            self._shot(candidate, images, number, deadline_s)
            for number, images in enumerate(candidate.images_each(count, most), before)
        )

    def _shot(self, candidate: Candidate, count: int, number: int, deadline_s: float) -> Shot:
        seeded = candidate.capabilities.takes_seed and self.first_seed is not None
        return Shot(
            target=candidate.target,
            prompt=self.job.prompt,
            count=count,
            size=candidate.size,
            format=candidate.format,
            deadline_s=deadline_s,
            seed=((self.first_seed or 0) + number) % _SEEDS if seeded else None,
            end_user=self.end_user if candidate.capabilities.takes_end_user else None,
            quality=candidate.quality,
            style=candidate.style,
            moderation=candidate.moderation,
            transparent=self.job.transparent,
            options=candidate.options,
        )


def _as_configured(_: Strategy, priced: Sequence[tuple[Target, int]]) -> Sequence[int]:
    return range(len(priced))


def plan(
    job: Job,
    catalogue: Catalogue,
    dialects: Mapping[str, Dialect],
    *,
    seed: Callable[[], int],
    end_user_key: bytes,
    rank: Rank = _as_configured,
) -> Plan:
    """Choose. Pure but for `seed`, which is asked once when the caller gave no seed, and for `rank`.

    Targets that the caller named are tried in the order of the names, and no others.
    Raises RequestError (400, param `size`) when no target has a size that the asked one can be made from.
    """
    route = catalogue.routes[job.model]
    candidates = [
        candidate
        for target in _wanted(job, route)
        if (candidate := _candidate(target, job, dialects[target.dialect])) is not None
    ]
    if not candidates:
        raise RequestError(
            ErrorCode.INVALID_VALUE, f"The model '{job.model}' cannot make images of {job.size}.", param="size"
        )
    strategy = Strategy.ORDERED if job.via else route.strategy
    places = rank(strategy, [(candidate.target, candidate.price_microusd) for candidate in candidates])
    ranked = tuple(candidates[place] for place in places)
    chosen = job.options.get(_SEED)
    return Plan(job, route, ranked, _pseudonym(job.user, end_user_key), seed() if chosen is None else int(chosen))


def _wanted(job: Job, route: Route) -> Sequence[Target]:
    if not job.via:
        return route.targets
    places = range(len(route.targets))
    named = [place for name in job.via for place in places if answers_to(route.targets[place], name)]
    return [route.targets[place] for place in dict.fromkeys(named)]


def _candidate(target: Target, job: Job, dialect: Dialect) -> Candidate | None:
    capabilities = dialect.capabilities(target.model)
    size = native_size(job.size, capabilities)
    if size is None or (job.transparent and not capabilities.transparent):
        return None
    quality, style = _quality(target, capabilities, size, job.hints.quality), job.hints.style
    moderation = job.hints.moderation
    taken = {
        "quality": quality if job.hints.quality else None,
        "style": style if style in capabilities.styles else None,
        "moderation": moderation if moderation in capabilities.moderations else None,
    }
    wished = {"quality": job.hints.quality, "style": style, "moderation": moderation}
    options = {name: value for name, value in {**target.parameters, **job.options}.items() if name != _SEED}
    return Candidate(
        target=target,
        dialect=dialect,
        capabilities=capabilities,
        size=size,
        format=native_format(job.format, capabilities, resized=size != job.size, compression=job.output_compression),
        quality=taken["quality"],
        style=taken["style"],
        moderation=taken["moderation"],
        options={name: value for name, value in options.items() if taken.get(name) is None},
        ignored=tuple(name for name, wish in wished.items() if wish is not None and taken[name] is None),
    )


def _quality(target: Target, capabilities: Capabilities, size: Size, wish: str | None) -> str | None:
    """The model's word for the wished quality; None where it has none, or where it would cost an unknown price.

    A flat price beside a quality of the operator's choice is the price of that quality only.
    """
    word = capabilities.qualities.get(wish) if wish else None
    if word is None or target.price.of(size, word) is None:
        return None
    return None if target.price.flat is not None and "quality" in target.parameters else word


def _pseudonym(user: str | None, key: bytes) -> str | None:
    """A stable name for the caller's end user that tells a vendor nothing else (64 hex digits)."""
    return None if user is None else hmac.new(key, user.encode(), hashlib.sha256).hexdigest()
