"""Which native models live: by what the dialects know, and by the vendor's own list where its free call gave one."""

from collections.abc import Iterator, Mapping
from datetime import date

from gateway.doctor.findings import Finding, Status
from gateway.domain.catalogue import Catalogue, Route, Target
from gateway.domain.exchange import Dialect

__all__ = ["Listings", "model_findings"]

SOON_DAYS = 60  # two months to change a configuration and to tell users

Listings = Mapping[str, Mapping[str, str | None]]
"""The models that an account lists, by the account's name, each with its announced end (YYYY-MM-DD) or None."""


def model_findings(
    catalogue: Catalogue, dialects: Mapping[str, Dialect], listings: Listings, today: date
) -> Iterator[Finding]:
    """One finding for every target of every route."""
    for route in catalogue.routes.values():
        ends = [_end_of(target, dialects[target.dialect], listings) for target in route.targets]
        for target, end in zip(route.targets, ends, strict=True):
            others_live = any(other is None or other > today for other in ends)
            if end is not None and end <= today:
                yield _retired(route, target, end, others_live=others_live)
            elif end is not None and (end - today).days <= SOON_DAYS:
                yield _leaving(route, target, end, today)
            else:
                listing = listings.get(target.account.id)
                yield _living(route, target, dialects[target.dialect], listing, end)


def _end_of(target: Target, dialect: Dialect, listings: Listings) -> date | None:
    """The day on which the native model ends or ended; the vendor's own word counts more than ours."""
    announced = listings.get(target.account.id, {}).get(target.model)
    return _day(announced) or _day(dialect.capabilities(target.model).shutdown_date)


def _day(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        return None


def _retired(route: Route, target: Target, end: date, *, others_live: bool) -> Finding:
    """It is no failure where somebody else's server is asked, which may still have it, or another target serves."""
    elsewhere = target.account.base_url is not None
    return Finding(
        Status.WARNING if elsewhere or others_live else Status.FAILED,
        _subject(route),
        f"{target.served_by} was shut down by its vendor on {end}",
        "`samurai doctor --buy` tells whether this server has it" if elsewhere else "configure a living model",
    )


def _leaving(route: Route, target: Target, end: date, today: date) -> Finding:
    days = (end - today).days
    seen = f"{target.served_by} will be shut down on {end}, in {days} day{'s' if days > 1 else ''}"
    return Finding(Status.WARNING, _subject(route), seen, "configure its successor before that day")


def _living(
    route: Route, target: Target, dialect: Dialect, listing: Mapping[str, str | None] | None, end: date | None
) -> Finding:
    if listing and target.model not in listing:
        seen = f"{target.served_by} is not among the models that the account '{target.account.id}' lists"
        return Finding(Status.WARNING, _subject(route), seen, "check its name, and what the account may use")
    if dialect.known_models and target.model not in dialect.known_models:
        seen = f"{target.served_by} is unknown to {dialect.name}: sizes and limits are guessed"
        return Finding(Status.NOTE, _subject(route), seen, "`samurai doctor --buy` tries it")
    until = f", until {end}" if end else ""
    return Finding(Status.OK, _subject(route), f"{target.served_by}{until}")


def _subject(route: Route) -> str:
    return f"model {route.id}"
