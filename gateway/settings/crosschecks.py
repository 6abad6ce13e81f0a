"""What the parts of a document must be to each other: names that point somewhere, prices, addresses, ceilings.

The document may be broken in places; UNSET stands there, its fault is already noted, and every check passes it by.
"""

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network
from typing import Any

from msgspec import UNSET

from gateway.settings.addresses import (
    problem_with_api,
    problem_with_link_base,
    problem_with_redis,
    problem_with_store,
    problem_with_webhook,
)
from gateway.settings.faults import Findings, Place, did_you_mean
from gateway.settings.kinds import duration_s
from gateway.settings.shape import Document
from gateway.settings.shape_offer import Account, Key, Limits, Route, Target

__all__ = ["check", "sound"]

_GOOGLE = "vertex"  # the vendor whose credential is Google's and not a key
_LARGEST_N = 10  # images in one request
_DEFAULT_SIZE = "1024x1024"
_HOUR_S = 3600.0
_OWN_HEADERS = frozenset(
    (
        *("authorization", "api-key", "x-goog-api-key", "host", "content-length", "content-type"),
        *("transfer-encoding", "connection", "accept", "accept-encoding", "expect", "te", "trailer", "upgrade"),
    )
)


def check(document: Document, dialects: Mapping[str, str], findings: Findings) -> None:
    """Note everything wrong between the parts. `dialects` are the known ones with the vendor of each."""
    _Checks(document, dialects, findings).all()


def sound(table: Any) -> Iterator[tuple[Any, Any]]:
    """Names (or numbers) and values of a table or list, without the broken ones."""
    if table is UNSET:
        return
    for name, value in table.items() if isinstance(table, dict) else enumerate(table):
        if value is not UNSET:
            yield name, value


def _names(table: Any) -> dict[str, Any]:
    """A table with all its names, also of broken values; empty when the table itself is broken."""
    return {} if table is UNSET else dict(table)


class _Checks:
    def __init__(self, document: Document, dialects: Mapping[str, str], findings: Findings) -> None:
        self._document = document
        self._dialects = dialects
        self._findings = findings
        self._accounts = _names(document.accounts)
        self._models = _names(document.models)

    def all(self) -> None:
        """Every check, in the order of the document."""
        self._server()
        self._store()
        for name, account in sound(self._document.accounts):
            self._account(account, ("accounts", name))
        for name, route in sound(self._document.models):
            self._route(route, ("models", name))
        for name, tenant in sound(self._document.tenants):
            self._limits(tenant.limits, ("tenants", name, "limits"))
            self._open_models(tenant.models, ("tenants", name, "models"))
        self._keys()
        self._compatibility()
        self._addresses()

    def _server(self) -> None:
        server = self._document.server
        same_host = "0.0.0.0" in (server.public.host, server.admin.host) or server.public.host == server.admin.host  # noqa: S104  compared, not listened on
        if server.public.port == server.admin.port != 0 and same_host:
            self._findings.fault(("server", "admin", "port"), "the second port must be another than the public one")
        for index, network in sound(server.trusted_proxies):
            try:
                ip_network(network)
            except ValueError:
                message = "expected a network such as 10.0.0.0/8, with no bits set behind the prefix"
                self._findings.fault(("server", "trusted_proxies", index), message)

    def _store(self) -> None:
        store = self._document.store
        problem = problem_with_store(store.url)
        if problem is not None:
            self._findings.fault(("store", "url"), problem)
            return
        is_local = store.url.startswith("file:")
        if is_local and store.links == "presigned":
            self._findings.fault(("store", "links"), "a local directory has no presigned links; say proxy")
        if not is_local and store.links == "proxy" and store.signing_key is None:
            message = "missing: replicas that share an object store must share the key that signs links"
            self._findings.fault(("store", "signing_key"), message)
        if duration_s(store.keep) < duration_s(self._document.idempotency.keep) + _HOUR_S:
            message = "images go before the replies that name them: keep them an hour longer than idempotency.keep"
            self._findings.warn(("store", "keep"), message)

    def _account(self, account: Account, place: Place) -> None:
        vendors = set(self._dialects.values())
        if _broken(account.vendor):
            return
        if account.vendor not in vendors:
            message = f"expected one of {', '.join(sorted(vendors))}{did_you_mean(account.vendor, vendors)}"
            self._findings.fault((*place, "vendor"), message)
        needed, foreign = "api_key", ["project", "location", "credentials"]
        if account.vendor == _GOOGLE:
            needed, foreign = "project", ["api_key"]
        if not self._is_given((*place, needed)):
            self._findings.fault((*place, needed), f"missing: {account.vendor} needs it")
        for name in foreign:
            if self._is_given((*place, name)) and getattr(account, name) is not None:
                self._findings.fault((*place, name), f"{account.vendor} does not take this")
        for name, _ in sound(account.headers):
            if name.lower() in _OWN_HEADERS:
                self._findings.fault((*place, "headers", name), "the gateway sets this header itself")

    def _is_given(self, place: Place) -> bool:
        return place in self._findings.lines

    def _route(self, route: Route, place: Place) -> None:
        for index, target in sound(route.targets):
            self._target(target, (*place, "targets", index))
        self._limits(route.limits, (*place, "limits"))
        drain = self._document.server.drain
        if duration_s(route.deadline) > duration_s(drain.deadline):
            message = f"longer than server.drain.deadline ({drain.deadline}): a restart may cut such a request off"
            self._findings.warn((*place, "deadline"), message)

    def _target(self, target: Target, place: Place) -> None:
        vendor = None
        if not _broken(target.dialect):
            vendor = self._dialects.get(target.dialect)
            if vendor is None:
                known = ", ".join(sorted(self._dialects))
                message = f"no such dialect; there are {known}{did_you_mean(target.dialect, self._dialects)}"
                self._findings.fault((*place, "dialect"), message)
        if _broken(target.account):
            return
        if target.account not in self._accounts:
            message = f"no such account{did_you_mean(target.account, self._accounts)}"
            self._findings.fault((*place, "account"), message)
            return
        account = self._accounts[target.account]
        if vendor is None or _broken(account) or account.vendor not in self._dialects.values():
            return
        if account.vendor != vendor:
            message = f"{target.dialect} is spoken by {vendor}, but the account is at {account.vendor}"
            self._findings.fault((*place, "dialect"), message)

    def _keys(self) -> None:
        places_of_faults = {fault.path for fault in self._findings.faults}
        token = self._document.server.admin.token  # None as well where what stands there is no reference
        is_administered = token is not None or "server.admin.token" in places_of_faults
        if not self._document.keys and not is_administered and "keys" not in places_of_faults:
            pasted = "run `samurai keys new` and paste the lines that it prints"
            made = "give server.admin.token, and make keys while the gateway runs"
            self._findings.fault(("keys",), f"nobody could call: {pasted}, or {made}")
        ids: dict[str, int] = {}
        hashes: dict[str, int] = {}
        for index, key in sound(self._document.keys):
            place = ("keys", index)
            self._once(key.id, ids, (*place, "id"))
            self._once(key.sha256, hashes, (*place, "sha256"))
            self._key(key, place)

    def _once(self, value: Any, seen: dict[str, int], place: Place) -> None:
        if _broken(value):
            return
        line = self._findings.line_of(place)
        if value in seen:
            self._findings.fault(place, f"two keys cannot share it; the first is on line {seen[value]}")
        seen.setdefault(value, line)

    def _key(self, key: Key, place: Place) -> None:
        tenants = self._document.tenants
        if key.tenant is not None and key.tenant not in tenants:
            self._findings.fault((*place, "tenant"), f"no such tenant{did_you_mean(key.tenant, tenants)}")
        self._open_models(key.models, (*place, "models"))
        self._limits(key.limits, (*place, "limits"))

    def _open_models(self, models: Sequence[str], place: Place) -> None:
        for index, model in sound(models):
            if model != "*" and model not in self._models:
                self._findings.fault((*place, index), f"no such model{did_you_mean(model, self._models)}")

    def _limits(self, limits: Limits, place: Place) -> None:
        name = "images_per_minute" if limits.burst is None else "burst"
        at_once = getattr(limits, name)
        if at_once is not None and at_once < _LARGEST_N and limits.images_per_minute is not None:
            message = (
                f"requests for more than {at_once} images at once are always refused; burst: {_LARGEST_N} allows all"
            )
            self._findings.warn((*place, name), message)

    def _compatibility(self) -> None:
        compatibility = self._document.compatibility
        place = ("compatibility",)
        model = compatibility.default_model
        if model is not None and model not in self._models:
            self._findings.fault((*place, "default_model"), f"no such model{did_you_mean(model, self._models)}")
        sizes = [size for _, size in sound(compatibility.sizes)]
        if len(sizes) == len(compatibility.sizes) and _DEFAULT_SIZE not in sizes:
            self._findings.fault((*place, "sizes"), f"{_DEFAULT_SIZE}, the default size, must be among them")
        for index, size in sound(compatibility.sizes):
            if size in sizes[:index]:
                self._findings.fault((*place, "sizes", index), "given twice")

    def _addresses(self) -> None:
        document = self._document
        checked = [
            (("server", "public", "base_url"), document.server.public.base_url, problem_with_link_base),
            (("webhooks", "public_url"), document.webhooks.public_url, problem_with_api),
            (("tracing", "otlp_endpoint"), document.tracing.otlp_endpoint, problem_with_link_base),
        ]
        for name, account in sound(document.accounts):
            checked.append((("accounts", name, "base_url"), account.base_url, problem_with_api))
        for index, key in sound(document.keys):
            if key.webhook is not None and not _broken(key.webhook.url):
                checked.append((("keys", index, "webhook", "url"), key.webhook.url, problem_with_webhook))
        for place, url, problem_with in checked:
            problem = None if url is None else problem_with(url)
            if problem is not None:
                self._findings.fault(place, problem)
        if isinstance(document.redis.url, str):
            problem = problem_with_redis(document.redis.url, may_hold_password=False)
            if problem is not None:
                self._findings.fault(("redis", "url"), problem)


def _broken(value: object) -> bool:
    return value is UNSET
