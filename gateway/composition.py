"""From settings to the parts of the edges that serving and examining a deployment have in common."""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields
from urllib.parse import urlsplit

from gateway.domain.exchange import Dialect, Pace
from gateway.edges.admission import Allowance
from gateway.edges.credentials import Credential, FixedSecret
from gateway.edges.google_sources import google_source
from gateway.edges.google_token import GoogleToken
from gateway.edges.messenger import Receiver
from gateway.edges.signing_key import kept_key
from gateway.edges.upstreams import AccountAccess, Timeouts
from gateway.policies.breaker import BreakerRules
from gateway.policies.webhook_signing import key_of
from gateway.settings.groups import AccountSettings, Settings
from gateway.settings.secrets import Secret

__all__ = [
    "accesses",
    "allowance",
    "end_user_key",
    "paces",
    "receivers",
    "resilience",
    "secrets_in",
    "signing_key",
]

_PURPOSE_END_USER = b"samurai end user 1"  # one key for each purpose, derived from the one that is configured


def accesses(settings: Settings) -> Mapping[str, AccountAccess]:
    """What it takes to use each account, by the account's name."""
    return {
        name: AccountAccess(
            account=account.account,
            credential=_credential(account),
            headers={header: value.reveal() for header, value in account.headers.items()},
            timeouts=Timeouts(first_byte_s=account.timeout_s),
            download_hosts=account.download_hosts,
        )
        for name, account in settings.accounts.items()
    }


def _credential(account: AccountSettings) -> Credential:
    credential = account.credential
    if isinstance(credential, Secret):
        return FixedSecret(credential.reveal())
    return GoogleToken(google_source(credential.file, metadata_host=credential.metadata))


def resilience(settings: Settings) -> tuple[BreakerRules, float]:
    """When a failing target is left alone, and how many retries each request brings."""
    breaker = settings.resilience.breaker
    rules = BreakerRules(breaker.failures, breaker.over, breaker.window_s, breaker.cooldown_s)
    return rules, settings.resilience.retry_budget


def paces(settings: Settings, dialects: Collection[Dialect]) -> Mapping[str, Pace]:
    """How fast each account may be called, by its name: as configured, else what its vendor's dialects declare."""
    return {
        name: _pace(account, [dialect.pace for dialect in dialects if dialect.vendor == account.account.vendor])
        for name, account in settings.accounts.items()
    }


def _pace(account: AccountSettings, declared: Iterable[Pace]) -> Pace:
    """Where the APIs of one vendor declare different figures, the lowest counts: they share the account."""

    def limit(name: str) -> int | None:
        figures = [figure for pace in declared if (figure := getattr(pace, name)) is not None]
        configured: int | None = getattr(account.pacing, name)
        return min(figures, default=None) if configured is None else configured

    return Pace(**{field.name: limit(field.name) for field in fields(Pace)})


def signing_key(settings: Settings) -> bytes:
    """The key that signs image links, made if need be. Raises ValueError where none is given and none can be kept.

    Raises OSError when the directory will not take one.
    """
    if settings.store.signing_key is not None:
        return settings.store.signing_key.reveal().encode()
    if settings.store.directory is None:
        raise ValueError("store.signing_key must be set when images are kept in an object store")
    return kept_key(settings.store.directory)


def end_user_key(key: bytes) -> bytes:
    """The key under which end users are hashed, derived from the one that signs image links."""
    return hashlib.blake2b(_PURPOSE_END_USER, key=key[:64]).digest()


def secrets_in(settings: Settings) -> list[str]:
    """The secrets themselves, so that they can be hidden wherever they would show."""
    accounts = settings.accounts.values()
    secrets = [account.credential.reveal() for account in accounts if isinstance(account.credential, Secret)]
    secrets += [value.reveal() for account in accounts for value in account.headers.values()]
    secrets += [record.webhook.secret.reveal() for record in settings.keys if record.webhook is not None]
    others = (settings.server.admin_token, settings.store.signing_key)
    secrets += [secret.reveal() for secret in others if secret is not None]
    return secrets + [password for password in (urlsplit(settings.redis.url.reveal()).password,) if password]


def receivers(settings: Settings) -> Mapping[str, Receiver]:
    """Who hears of the ends of operations, by the id of the key. Raises ValueError for an address out of bounds."""
    found = {record.caller.key_id: record.webhook for record in settings.keys if record.webhook is not None}
    return {key_id: Receiver(one.url, key_of(one.secret.reveal()) or b"") for key_id, one in found.items()}


def allowance(settings: Settings) -> Allowance:
    """What requests in flight may take."""
    admission = settings.admission
    return Allowance(
        admission.memory_bytes, admission.spool_bytes, admission.loop_lag_s, admission.queue_s, admission.replicas
    )
