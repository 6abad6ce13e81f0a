"""The shape of a configuration file: every name, its type, its default, and what it means.

The published JSON Schema and the reference page are made from this file.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway.settings.kinds import (
    ByteCount,
    Delay,
    Duration,
    Host,
    ModelId,
    Name,
    Network,
    NoOrMore,
    Percentage,
    Port,
    PositiveInt,
    SizeText,
    Url,
)
from gateway.settings.references import SecretReference
from gateway.settings.shape_offer import Account, Key, Route, Tenant

__all__ = [
    "Admission",
    "Document",
    "Idempotency",
    "OnFailure",
    "OnFailureTable",
    "Redis",
    "Resilience",
    "Server",
    "Store",
]

OnFailure = Literal["share", "open", "closed"]


class PublicPort(Struct, frozen=True, forbid_unknown_fields=True):
    """Where clients come."""

    host: Annotated[Host, Meta(description="The address to listen on.")] = "0.0.0.0"  # noqa: S104  a server's business
    port: Annotated[Port, Meta(description="The port to listen on.")] = 8080
    base_url: Annotated[
        Url | None,
        Meta(description="The address that clients see; image links are built from it. null: http on this machine."),
    ] = None


class AdminPort(Struct, frozen=True, forbid_unknown_fields=True):
    """The second port: health, readiness, metrics (open) and administration (by token)."""

    host: Annotated[Host, Meta(description="The address to listen on.")] = "0.0.0.0"  # noqa: S104  probes come from outside
    port: Annotated[Port, Meta(description="The port to listen on.")] = 8081
    token: Annotated[
        SecretReference | None, Meta(description="What administration needs; null switches administration off.")
    ] = None


class Drain(Struct, frozen=True, forbid_unknown_fields=True):
    """How a replica ends."""

    delay: Annotated[Delay, Meta(description="How long to keep listening after readiness is off.")] = "10s"
    deadline: Annotated[Duration, Meta(description="How long running requests may take to finish.")] = "200s"


class Server(Struct, frozen=True, forbid_unknown_fields=True):
    """The two ports."""

    public: Annotated[PublicPort, Meta(description="Where clients come.")] = PublicPort()
    admin: Annotated[AdminPort, Meta(description="Health, metrics, administration.")] = AdminPort()
    trusted_proxies: Annotated[
        tuple[Network, ...], Meta(description="Networks whose forwarded headers are believed.")
    ] = ()
    drain: Annotated[Drain, Meta(description="How a replica ends.")] = Drain()


class OnFailureTable(Struct, frozen=True, forbid_unknown_fields=True):
    """What each limit does without Redis."""

    requests: Annotated[OnFailure, Meta(description="Requests a minute.")] = "share"
    images: Annotated[OnFailure, Meta(description="Images a minute.")] = "share"
    concurrent: Annotated[OnFailure, Meta(description="Requests at the same time.")] = "share"
    budget: Annotated[OnFailure, Meta(description="Money.")] = "share"


class Redis(Struct, frozen=True, forbid_unknown_fields=True):
    """Where limits and operations are counted."""

    url: Annotated[
        Url | SecretReference,
        Meta(
            description="redis, rediss, unix, redis+sentinel or redis+cluster, by reference where it has a password; "
            "embedded:// starts one of our own.",
            extra={"expects": "a URL without a password, or a reference {env: NAME} or {file: path}"},
        ),
    ] = "embedded://"
    on_failure: Annotated[
        OnFailure | OnFailureTable,
        Meta(
            description="What limits do without Redis: a bounded local share, let all pass, or refuse; one word, or "
            "one for each limit.",
            extra={"expects": "share, open or closed, or one of them for each of requests, images, concurrent, budget"},
        ),
    ] = "share"
    honour_keys: Annotated[
        Duration, Meta(description="How long keys that are kept in Redis work while it is away.")
    ] = "15m"
    replicas_max: Annotated[
        PositiveInt | None,
        Meta(description="The most gateways that ever share this Redis; null: as many as were last seen."),
    ] = None
    timeout: Annotated[
        Duration,
        Meta(description="How long one answer may take before Redis counts as away; an outage costs this once."),
    ] = "250ms"


class Store(Struct, frozen=True, forbid_unknown_fields=True):
    """Where finished images are kept."""

    url: Annotated[
        Url,
        Meta(
            description="file:///directory, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix. "
            "file:directory is relative to the configuration file."
        ),
    ] = "file:///var/lib/samurai/images"
    keep: Annotated[Duration, Meta(description="How long; an hour longer than idempotency.keep.")] = "25h"
    links: Annotated[
        Literal["proxy", "presigned"], Meta(description="Who serves images: the gateway, or the store itself.")
    ] = "proxy"
    signing_key: Annotated[
        SecretReference | None,
        Meta(description="What signs image links. null, with a local directory: one is made and kept there."),
    ] = None


class Idempotency(Struct, frozen=True, forbid_unknown_fields=True):
    """How repeated requests are joined."""

    keep: Annotated[Duration, Meta(description="How long a reply can be replayed.")] = "24h"
    wait: Annotated[Duration, Meta(description="How long a twin waits for the first call.")] = "25s"
    join_retries: Annotated[Duration, Meta(description="How long an SDK's own retry finds its first call.")] = "15m"
    concurrent: Annotated[
        Literal["wait", "conflict"], Meta(description="Whether a twin waits or is told of the conflict.")
    ] = "wait"
    lease: Annotated[
        Duration, Meta(description="How long a silent replica counts as alive; then others take up its work.")
    ] = "30s"
    spool: Annotated[
        str | None,
        Meta(
            description="The directory of this replica's own copy of the journal, which outlives it. null: beside the "
            "images where they are in a local directory, else /var/lib/samurai/journal."
        ),
    ] = None
    acknowledged_by: Annotated[
        NoOrMore, Meta(description="How many of Redis's replicas must have a record before an image is bought.")
    ] = 0


class Webhooks(Struct, frozen=True, forbid_unknown_fields=True):
    """How vendors may call back."""

    public_url: Annotated[Url | None, Meta(description="Where vendors reach us; null for polling.")] = None


class Breaker(Struct, frozen=True, forbid_unknown_fields=True):
    """When a failing target is left alone."""

    failures: Annotated[Percentage, Meta(description="The share of failures that opens it.")] = 0.5
    over: Annotated[
        PositiveInt,
        Meta(description="The least number of calls that is judged; so many failures in a row open it, too."),
    ] = 10
    window: Annotated[Duration, Meta(description="Over which time.")] = "30s"
    cooldown: Annotated[
        Duration,
        Meta(
            description="How long it is left alone before one call probes it; up to four times that once probes failed."
        ),
    ] = "5s"


class Resilience(Struct, frozen=True, forbid_unknown_fields=True):
    """What is done when vendors fail."""

    retry_budget: Annotated[
        Percentage, Meta(description="Retries, as a share of requests; one a second is granted beside it.")
    ] = 0.1
    breaker: Annotated[Breaker, Meta(description="When a failing target is left alone.")] = Breaker()
    on_unknown: Annotated[
        Literal["fail", "resend_once"],
        Meta(description="What follows a call whose outcome is unknown; resend_once may pay twice."),
    ] = "fail"


class Admission(Struct, frozen=True, forbid_unknown_fields=True):
    """When a request is refused so that the others are served: keys of low priority first."""

    memory: Annotated[
        ByteCount | None,
        Meta(description="Resident memory of a replica; null: four fifths of the container's or machine's."),
    ] = None
    spool: Annotated[
        ByteCount | None,
        Meta(description="Bytes of images under way, by estimate; null: half of what the spool's disk has free."),
    ] = None
    loop_lag: Annotated[
        Duration, Meta(description="How late the event loop may be; keys of priority 5 are refused beyond it.")
    ] = "250ms"
    queue_time: Annotated[
        Duration, Meta(description="How long images may wait for an image process; the same holds of it.")
    ] = "5s"
    connections: Annotated[PositiveInt, Meta(description="The most connections that are open at a time.")] = 10_000


class Compatibility(Struct, frozen=True, forbid_unknown_fields=True):
    """What requests may look like."""

    default_model: Annotated[ModelId | None, Meta(description="The model of requests that name none.")] = None
    unknown_fields: Annotated[
        Literal["reject", "ignore"], Meta(description="What is done with fields that nobody knows.")
    ] = "reject"
    sizes: Annotated[
        tuple[SizeText, ...],
        Meta(
            min_length=1,
            description="Sizes that may be asked for; 1024x1024, the default, is one of them.",
            extra={"expects": "a list of sizes"},
        ),
    ] = ("256x256", "512x512", "1024x1024")
    prompt_limit: Annotated[PositiveInt, Meta(description="Code points in a prompt.")] = 1000


class Logging(Struct, frozen=True, forbid_unknown_fields=True):
    """What is written to the log."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least important line that is written.")
    ] = "info"
    prompts: Annotated[bool, Meta(description="Whether prompts are written, too.")] = False


class Metrics(Struct, frozen=True, forbid_unknown_fields=True):
    """What metrics tell."""

    per_key: Annotated[bool, Meta(description="Whether every key has series of its own, by its id.")] = False


class Tracing(Struct, frozen=True, forbid_unknown_fields=True):
    """Where traces go."""

    otlp_endpoint: Annotated[Url | None, Meta(description="An OpenTelemetry collector; null for no traces.")] = None


class Document(Struct, frozen=True, forbid_unknown_fields=True):
    """The configuration of Samurai Gateway. Secrets are references; durations are 500ms, 30s, 5m, 24h; money is USD."""

    accounts: Annotated[
        dict[Name, Account],
        Meta(min_length=1, description="Who pays, by name.", extra={"expects": "at least one account"}),
    ]
    models: Annotated[
        dict[ModelId, Route],
        Meta(min_length=1, description="What clients call, by id.", extra={"expects": "at least one model"}),
    ]
    keys: Annotated[tuple[Key, ...], Meta(description="Who may call.")] = ()
    server: Annotated[Server, Meta(description="The two ports.")] = Server()
    redis: Annotated[Redis, Meta(description="Where limits are counted.")] = Redis()
    store: Annotated[Store, Meta(description="Where images are kept.")] = Store()
    tenants: Annotated[dict[Name, Tenant], Meta(description="Whom keys belong to, by name.")] = {}
    idempotency: Annotated[Idempotency, Meta(description="How repeated requests are joined.")] = Idempotency()
    webhooks: Annotated[Webhooks, Meta(description="How vendors may call back.")] = Webhooks()
    resilience: Annotated[Resilience, Meta(description="What is done when vendors fail.")] = Resilience()
    admission: Annotated[Admission, Meta(description="When requests are refused for want of room.")] = Admission()
    compatibility: Annotated[Compatibility, Meta(description="What requests may look like.")] = Compatibility()
    logging: Annotated[Logging, Meta(description="What is written to the log.")] = Logging()
    metrics: Annotated[Metrics, Meta(description="What metrics tell.")] = Metrics()
    tracing: Annotated[Tracing, Meta(description="Where traces go.")] = Tracing()
