"""The whole visit: everything that is free to look at, and, when told to, one image from each target."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from gateway.composition import accesses, secrets_in
from gateway.doctor.accounts import report_on_accounts
from gateway.doctor.configuration import configuration_findings
from gateway.doctor.findings import Finding
from gateway.doctor.models import model_findings
from gateway.doctor.purchases import Order, Purchase, buy_all
from gateway.doctor.recording import Scrubber
from gateway.doctor.surroundings import redis_findings, signing_finding, store_finding
from gateway.domain.exchange import Dialect
from gateway.edges.upstreams import Upstreams
from gateway.edges.world import World
from gateway.settings.groups import Settings

__all__ = ["Examination", "buy", "examine", "scrubber_for"]


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found without buying, and which accounts are worth asking for an image."""

    findings: tuple[Finding, ...]
    usable_accounts: frozenset[str]


async def examine(settings: Settings, dialects: Mapping[str, Dialect], today: date) -> Examination:
    """Look at everything that can be looked at for nothing."""
    findings = [*configuration_findings(settings), *await redis_findings(settings)]
    findings += [await store_finding(settings), signing_finding(settings)]
    async with _upstreams(settings) as upstreams:
        reports = await report_on_accounts(accesses(settings), settings.catalogue, dialects, upstreams)
    listings = {report.account_id: report.listing for report in reports if report.listing}
    findings += [finding for report in reports for finding in report.findings]
    findings += model_findings(settings.catalogue, dialects, listings, today)
    return Examination(tuple(findings), frozenset(report.account_id for report in reports if report.is_usable))


async def buy(settings: Settings, orders: Sequence[Order]) -> list[Purchase]:
    """Buy what was ordered, with the operator's own credentials. Each order is one paid call."""
    async with _upstreams(settings) as upstreams:
        return await buy_all(orders, upstreams, World())


def scrubber_for(settings: Settings) -> Scrubber:
    """Hides the deployment's secrets, and the names of its Google projects."""
    password = urlsplit(settings.redis.url.reveal()).password
    projects = (account.account.project or "" for account in settings.accounts.values())
    return Scrubber([*secrets_in(settings), *([password] if password else [])], projects)


@asynccontextmanager
async def _upstreams(settings: Settings) -> AsyncIterator[Upstreams]:
    """The vendors, with a spool of its own: a running gateway's is not to be touched."""
    with TemporaryDirectory(prefix="samurai-doctor-") as spool:
        upstreams = Upstreams(accesses(settings), Path(spool))
        try:
            yield upstreams
        finally:
            await upstreams.aclose()
