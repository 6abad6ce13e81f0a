"""Whether each account can be used: is there a credential, does the vendor answer, does it take the credential.

Asked by the dialects' free calls alone. Nothing is bought.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gateway.doctor.findings import Finding, Status, has_failed
from gateway.doctor.wording import vendors_words
from gateway.domain.catalogue import Catalogue
from gateway.domain.errors import ErrorCode
from gateway.domain.exchange import Dialect, Fault, HttpReply
from gateway.domain.wire import dig, objects, text
from gateway.edges.credentials import CredentialUnavailable
from gateway.edges.upstreams import AccountAccess, Upstreams

__all__ = ["AccountReport", "report_on_accounts"]

_DEADLINE_S = 20.0
_UNREACHABLE = "check the network, proxies and firewalls, and the account's base_url"


@dataclass(frozen=True, slots=True)
class AccountReport:
    """What is known of one account. `listing` are the models it lists, each with its announced end or None."""

    account_id: str
    findings: tuple[Finding, ...]
    listing: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def is_usable(self) -> bool:
        """Whether it is worth asking it for an image."""
        return not has_failed(self.findings)


async def report_on_accounts(
    accesses: Mapping[str, AccountAccess],
    catalogue: Catalogue,
    dialects: Mapping[str, Dialect],
    upstreams: Upstreams,
) -> list[AccountReport]:
    """One report for every account, in their order; all are asked at the same time."""
    spoken = {name: _spoken_on(access, catalogue, dialects) for name, access in accesses.items()}
    return await asyncio.gather(*(_report(access, spoken[name], upstreams) for name, access in accesses.items()))


def _spoken_on(access: AccountAccess, catalogue: Catalogue, dialects: Mapping[str, Dialect]) -> list[Dialect]:
    """The dialects that the account is used with; for one that no model uses, any of its vendor's."""
    account = access.account
    targets = [target for route in catalogue.routes.values() for target in route.targets]
    used = dict.fromkeys(target.dialect for target in targets if target.account.id == account.id)
    if used:
        return [dialects[name] for name in used]
    return [dialect for dialect in dialects.values() if dialect.vendor == account.vendor][:1]


async def _report(access: AccountAccess, spoken: Iterable[Dialect], upstreams: Upstreams) -> AccountReport:
    name = access.account.id
    try:
        async with asyncio.timeout(_DEADLINE_S):
            await access.credential.secret()
    except (CredentialUnavailable, TimeoutError) as problem:
        seen = str(problem) or f"none came within {_DEADLINE_S:.0f} s"
        failed = Finding(
            Status.FAILED, f"credential {name}", seen, "see the account's credentials in the configuration"
        )
        return AccountReport(name, (failed,))
    findings, listing = [Finding(Status.OK, f"credential {name}", "present")], dict[str, str | None]()
    calls = [(dialect, dialect.probe_for(access.account)) for dialect in spoken]
    probes = {(probe.method, probe.url): (dialect, probe) for dialect, probe in calls}
    for dialect, probe in probes.values():
        answer = await upstreams.send(name, dialect, probe, deadline_s=_DEADLINE_S)
        if isinstance(answer, HttpReply):
            upstreams.discard(answer)
            listing |= _listing_in(answer)
        findings.append(_judged(name, answer))
    return AccountReport(name, tuple(findings), listing)


def _listing_in(reply: HttpReply) -> dict[str, str | None]:
    """The models in a reply that is a list of them, in the shape that OpenAI's API made common; else none."""
    if reply.status != 200 or dig(reply.json, "object") != "list":
        return {}
    models = ((text(item, "id"), text(item, "shutdown_date")) for item in objects(reply.json, "data"))
    return {name: end or None for name, end in models if name}


def _judged(name: str, answer: HttpReply | Fault) -> Finding:
    subject = f"account {name}"
    if isinstance(answer, Fault):
        reached = answer.code is not ErrorCode.UPSTREAM_UNREACHABLE
        seen = f"{'no usable answer' if reached else 'not reachable'} ({answer.detail})"
        return Finding(Status.FAILED, subject, seen, _UNREACHABLE)
    said = f"status {answer.status}: {vendors_words(answer)}".rstrip(": ")
    match answer.status:
        case status if 200 <= status < 300 and answer.json is not None:
            return Finding(Status.OK, subject, "answers, and takes the credential")
        case 401 | 403:
            return Finding(Status.FAILED, subject, f"the credential is not accepted, {said}", "replace the credential")
        case 402:
            return Finding(Status.FAILED, subject, f"the account cannot pay, {said}", "see its billing page")
        case 429:
            return Finding(Status.WARNING, subject, f"takes no more calls just now, {said}", "try again in a minute")
        case status if status >= 500:
            return Finding(Status.FAILED, subject, f"the vendor is unwell, {said}", "see its status page; try again")
        case status if 400 <= status < 500 and answer.json is not None:
            return Finding(Status.WARNING, subject, f"answers, though the free call is refused, {said}", "")
    return Finding(Status.FAILED, subject, f"what answers is not the vendor's API, {said}", "check the base_url")
