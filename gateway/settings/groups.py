"""The settings as the program uses them: frozen, checked, in seconds and micro-dollars, one group for each user."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from urllib.parse import urlsplit

from gateway.domain.caller import Caller, Tenant
from gateway.domain.catalogue import Account, Catalogue
from gateway.domain.money import Budget
from gateway.settings.secrets import Secret

__all__ = [
    "AccountSettings",
    "AdmissionSettings",
    "BreakerSettings",
    "Budget",
    "GoogleCredentials",
    "IdempotencySettings",
    "KeyRecord",
    "LoggingSettings",
    "PacingSettings",
    "RedisSettings",
    "ResilienceSettings",
    "ServerSettings",
    "Settings",
    "StoreSettings",
    "WebhookSettings",
]


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The two ports. `base_url` has no trailing slash. `admin_token` None: administration is off."""

    public_host: str
    public_port: int
    base_url: str
    admin_host: str
    admin_port: int
    admin_token: Secret | None
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...]
    drain_delay_s: float
    drain_deadline_s: float


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """`url` is a secret since it may hold a password; `embedded://` asks for a server of our own.

    `on_failure` says for each of requests, images, concurrent and budget: share, open or closed. `honour_keys_s` is
    how long keys that Redis told us of work without it. `replicas_max` is the most gateways that share it. An answer
    that takes longer than `timeout_s` is an outage.
    """

    url: Secret
    on_failure: Mapping[str, str]
    honour_keys_s: float = 900.0
    replicas_max: int | None = None
    timeout_s: float = 0.25

    @property
    def is_embedded(self) -> bool:
        """Whether the gateway starts a server of its own."""
        return self.url.reveal().startswith("embedded:")


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """`directory` is absolute, None for an object store. `signing_key` None (only with a directory): make one there."""

    url: str
    directory: Path | None
    keep_s: float
    presigned: bool
    signing_key: Secret | None


@dataclass(frozen=True, slots=True)
class GoogleCredentials:
    """Where Google's tokens come from: a credential file, a metadata server at `host:port`, or (both None) ADC."""

    file: Path | None = None
    metadata: str | None = None


@dataclass(frozen=True, slots=True)
class PacingSettings:
    """What the vendor allows an account; None is no limit."""

    requests_per_minute: int | None = None
    images_per_minute: int | None = None
    images_in_flight: int | None = None
    initial_calls_in_flight: int | None = None


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """One vendor account: what dialects see of it, its credential, and how it is called.

    `headers` go with every API call and may be secret. `download_hosts` come on top of the dialect's own.
    """

    account: Account
    credential: Secret | GoogleCredentials
    timeout_s: float
    headers: Mapping[str, Secret]
    download_hosts: tuple[str, ...]
    pacing: PacingSettings


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """Where the end of a key's operations is told, and what that is signed with (`whsec_…`)."""

    url: str
    secret: Secret


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One key of the file: the hash of its secret (lower-case hex), its holder by himself, and what it may spend."""

    sha256: str
    caller: Caller
    budget: Budget
    webhook: WebhookSettings | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class IdempotencySettings:
    """How repeated requests are joined. `conflict` true: a twin is told so instead of waiting.

    `lease_s` is how long a silent replica counts as alive, `spool` where this one keeps its copy of the journal, and
    `acknowledged_by` how many of Redis's replicas must have a record before anything is bought.
    """

    keep_s: float
    wait_s: float
    join_retries_s: float
    conflict: bool
    lease_s: float = 30.0
    spool: Path | None = None
    acknowledged_by: int = 0


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """A target is left alone once `failures` (a share) of at least `over` calls in `window_s` failed.

    One call probes it after `cooldown_s`, or later where probes failed.
    """

    failures: float
    over: int
    window_s: float
    cooldown_s: float = 5.0


@dataclass(frozen=True, slots=True)
class ResilienceSettings:
    """What is done when vendors fail. `resend_unknown` may pay twice, and only an operator may want that."""

    retry_budget: float
    breaker: BreakerSettings
    resend_unknown: bool


@dataclass(frozen=True, slots=True)
class AdmissionSettings:
    """When requests are refused for want of room. None: by what the machine has, which `replicas` processes share."""

    memory_bytes: int | None = None
    spool_bytes: int | None = None
    loop_lag_s: float = 0.25
    queue_s: float = 5.0
    connections: int = 10_000
    replicas: int = 1


@dataclass(frozen=True, slots=True)
class LoggingSettings:
    """`level` is debug, info, warning or error. `prompts` true: prompts are logged, too."""

    level: str
    prompts: bool


@dataclass(frozen=True, slots=True)
class Settings:
    """All of a configuration. Only loading makes one, so whoever holds one holds a checked one.

    `version` is a hash of the file's text, which holds no secrets. `files` are all files that were read.
    """

    server: ServerSettings
    redis: RedisSettings
    store: StoreSettings
    accounts: Mapping[str, AccountSettings]
    catalogue: Catalogue
    keys: tuple[KeyRecord, ...]
    tenant_budgets: Mapping[str, Budget]
    idempotency: IdempotencySettings
    resilience: ResilienceSettings
    webhook_url: str | None
    otlp_endpoint: str | None
    logging: LoggingSettings
    warnings: tuple[str, ...] = ()
    pending: tuple[str, ...] = field(default=(), repr=False)
    tenants: Mapping[str, Tenant] = field(default_factory=dict)
    admission: AdmissionSettings = AdmissionSettings()
    metrics_per_key: bool = False
    version: str = ""
    files: tuple[Path, ...] = field(default=(), repr=False)

    @property
    def callers(self) -> Mapping[str, Caller]:
        """Who holds which key, by the SHA-256 of the key."""
        return {
            record.sha256: caller if caller.tenant is None else caller.within(self.tenants[caller.tenant])
            for record in self.keys
            for caller in (record.caller,)
        }

    def not_yet_in_force(self) -> tuple[str, ...]:
        """What the file sets and this version does not act on, by line: to be said at start."""
        return self.pending

    def listening(
        self, *, host: str | None = None, public_port: int | None = None, admin_port: int | None = None
    ) -> "Settings":
        """The same settings on another address. Image links follow where they named the port that moved."""
        server = self.server
        moved = replace(
            server,
            public_host=host or server.public_host,
            admin_host=host or server.admin_host,
            admin_port=server.admin_port if admin_port is None else admin_port,
        )
        if public_port is not None:
            base = urlsplit(server.base_url)
            if base.port == server.public_port:
                base = base._replace(netloc=f"{base.netloc.rpartition(':')[0]}:{public_port}")
            moved = replace(moved, public_port=public_port, base_url=base.geturl())
        return replace(self, server=moved)
