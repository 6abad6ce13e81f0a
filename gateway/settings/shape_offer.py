"""The shape of what a deployment offers and to whom: accounts, models, tenants, keys."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from gateway.settings.kinds import (
    Duration,
    ModelId,
    Money,
    Name,
    PositiveInt,
    PriceFigure,
    Text,
    Url,
)
from gateway.settings.references import GoogleCredentialRef, SecretReference

__all__ = [
    "Account",
    "Budget",
    "Key",
    "KeyLimits",
    "Limits",
    "Pacing",
    "Price",
    "Route",
    "Target",
    "Tenant",
    "UserLimits",
    "Webhook",
]

_DownloadHost = Annotated[
    str,
    Meta(
        pattern=r"^(\*\.)?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$",
        extra={"expects": "a host name, or *.name for every host below it"},
    ),
]
_Header = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z0-9-]{1,64}$", extra={"expects": "the name of a header: letters, digits and dashes"}),
]
_HeaderValue = Annotated[
    str,
    Meta(
        pattern=r"^[\x20-\x7e]{1,1024}$",
        extra={"expects": "a header's value in printable ASCII, or a reference {env: NAME} or {file: path}"},
    ),
]
_Sha256 = Annotated[
    str,
    Meta(
        pattern=r"^[0-9a-f]{64}$",
        extra={"expects": 'the SHA-256 of a key, 64 digits of lower-case hex in quotes, as "samurai keys new" prints'},
    ),
]
_Models = Annotated[tuple[Literal["*"] | ModelId, ...], Meta(min_length=1, extra={"expects": "a list of models"})]
_Priority = Annotated[int, Meta(ge=0, le=9, extra={"expects": "a whole number, 0 to 9"})]
_Metadata = Annotated[
    dict[Name, Annotated[str, Meta(max_length=256, extra={"expects": "text of at most 256 characters"})]],
    Meta(max_length=16, extra={"expects": "at most 16 notes"}),
]
_SizeOrAny = Annotated[
    str,
    Meta(
        pattern=r"^(\*|[1-9][0-9]{0,3}x[1-9][0-9]{0,3})$",
        extra={"expects": 'a native size such as 1024x1024, or "*" for any'},
    ),
]
_QualityOrAny = Annotated[
    str,
    Meta(pattern=r"^(\*|[A-Za-z0-9_-]{1,32})$", extra={"expects": 'a quality such as high, or "*" for any'}),
]
_QualityRow = Annotated[
    dict[_QualityOrAny, PriceFigure], Meta(min_length=1, extra={"expects": "prices by quality, {quality: number}"})
]
_PriceTable = Annotated[
    dict[_SizeOrAny, _QualityRow],
    Meta(min_length=1, extra={"expects": "a number, or a table {size: {quality: number}}"}),
]


class Pacing(Struct, frozen=True, forbid_unknown_fields=True):
    """What the vendor allows this account, so that the gateway waits before it is told to."""

    requests_per_minute: Annotated[PositiveInt | None, Meta(description="Paid calls a minute.")] = None
    images_per_minute: Annotated[PositiveInt | None, Meta(description="Images a minute.")] = None
    images_in_flight: Annotated[PositiveInt | None, Meta(description="Images being made at the same time.")] = None
    initial_calls_in_flight: Annotated[
        PositiveInt | None,
        Meta(
            description="Calls under way at the same time before anything is known of the account, 8 when absent: the "
            "number grows while the vendor takes them, and shrinks when it says 429."
        ),
    ] = None


class Account(Struct, frozen=True, forbid_unknown_fields=True):
    """Who pays: one account (or region) at one vendor."""

    vendor: Annotated[Name, Meta(description="The vendor: replicate, openai, ideogram or vertex.")]
    api_key: Annotated[
        SecretReference | None, Meta(description="The vendor's key, by reference. Every vendor but vertex needs it.")
    ] = None
    project: Annotated[Name | None, Meta(description="The Google Cloud project. Only for vertex.")] = None
    location: Annotated[Name | None, Meta(description="The region, global when absent. Only for vertex.")] = None
    credentials: Annotated[
        Literal["adc"] | GoogleCredentialRef | None,
        Meta(
            description="Google credentials: adc (found as Google's libraries do, the default), a file, or a metadata "
            "server. Only for vertex.",
            extra={"expects": "adc, {file: service-account.json} or {metadata: host:port}"},
        ),
    ] = None
    base_url: Annotated[
        Url | None,
        Meta(
            description="Another address than the vendor's own. Plain http only to loopback. Downloads from its host "
            "are allowed."
        ),
    ] = None
    download_hosts: Annotated[
        tuple[_DownloadHost, ...], Meta(description="More hosts that images may be fetched from.")
    ] = ()
    timeout: Annotated[Duration, Meta(description="How long one call may take to answer.")] = "120s"
    headers: Annotated[
        dict[_Header, _HeaderValue | SecretReference],
        Meta(description="Headers sent with every API call, such as OpenAI-Organization."),
    ] = {}
    pacing: Annotated[
        Pacing, Meta(description="The vendor's own limits for this account; null for what the vendor publishes.")
    ] = Pacing()


class Price(Struct, frozen=True, forbid_unknown_fields=True):
    """What the vendor bills. Check it against your contract."""

    per_image: Annotated[
        PriceFigure | _PriceTable,
        Meta(
            description='US dollars for one image: one figure, or a table {size: {quality: figure}} where "*" is any. '
            "Where the table is silent, its dearest figure counts.",
            extra={"expects": "US dollars above 0 for one image, or a table {size: {quality: number}}"},
        ),
    ]


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """Ceilings. What is absent is not limited."""

    requests_per_minute: Annotated[PositiveInt | None, Meta(description="Requests a minute.")] = None
    images_per_minute: Annotated[PositiveInt | None, Meta(description="Images a minute.")] = None
    concurrent: Annotated[PositiveInt | None, Meta(description="Requests at the same time.")] = None
    burst: Annotated[
        PositiveInt | None, Meta(description="How much may come at once; null for one minute's limit.")
    ] = None


class UserLimits(Struct, frozen=True, forbid_unknown_fields=True):
    """Ceilings of one end user."""

    requests_per_minute: Annotated[PositiveInt | None, Meta(description="Requests a minute.")] = None
    images_per_minute: Annotated[PositiveInt | None, Meta(description="Images a minute.")] = None


class KeyLimits(Limits, frozen=True, forbid_unknown_fields=True):
    """Ceilings of a key. What is absent is not limited."""

    per_user: Annotated[UserLimits, Meta(description="Ceilings of each end user, as requests name them in `user`.")] = (
        UserLimits()
    )


class Budget(Struct, frozen=True, forbid_unknown_fields=True):
    """Ceilings of spending, in US dollars. Days and months are those of UTC."""

    per_day: Annotated[Money | None, Meta(description="US dollars a day.")] = None
    per_month: Annotated[Money | None, Meta(description="US dollars a month.")] = None
    total: Annotated[Money | None, Meta(description="US dollars in all.")] = None


class Target(Struct, frozen=True, forbid_unknown_fields=True):
    """One way to serve a route."""

    account: Annotated[Name, Meta(description="One of the accounts.")]
    dialect: Annotated[Name, Meta(description="The vendor API that is spoken, such as openai_images.")]
    model: Annotated[Text, Meta(description="The vendor's own name of the model.")]
    price: Annotated[Price, Meta(description="What the vendor bills; a target without a price is refused.")]
    parameters: Annotated[
        dict[Text, Any], Meta(description="Native parameters that go into every call, in the vendor's words.")
    ] = {}
    weight: Annotated[PositiveInt, Meta(description="This target's share when the strategy is weighted.")] = 1


class Route(Struct, frozen=True, forbid_unknown_fields=True):
    """What clients call by its id."""

    targets: Annotated[
        tuple[Target, ...],
        Meta(min_length=1, description="Where it is served, in order.", extra={"expects": "a list of targets"}),
    ]
    deadline: Annotated[Duration, Meta(description="How long the whole operation may take.")] = "180s"
    limits: Annotated[Limits, Meta(description="Ceilings of this model, over all callers.")] = Limits()
    provider_options: Annotated[
        tuple[Name, ...], Meta(description="Vendor extras that callers may send under provider_options.")
    ] = ()
    prompt_limit: Annotated[
        PositiveInt | None, Meta(description="Code points in a prompt; null for compatibility.prompt_limit.")
    ] = None
    strategy: Annotated[
        Literal["ordered", "weighted", "cheapest", "least_busy"],
        Meta(description="In which order the targets are tried."),
    ] = "ordered"
    on_refusal: Annotated[Literal["stop", "next_target"], Meta(description="What a safety refusal leads to.")] = "stop"
    passthrough_url: Annotated[
        bool, Meta(description="Hand out the vendor's own short-lived link, unchecked, where size and type fit.")
    ] = False


class Tenant(Struct, frozen=True, forbid_unknown_fields=True):
    """Whom keys belong to."""

    limits: Annotated[Limits, Meta(description="Ceilings over all keys of the tenant.")] = Limits()
    budget: Annotated[Budget, Meta(description="What all keys of the tenant may spend.")] = Budget()
    models: Annotated[_Models, Meta(description='Models that its keys may use at most; "*" for all.')] = ("*",)
    priority: Annotated[_Priority, Meta(description="What its keys' own priority counts for at most.")] = 9
    metadata: Annotated[_Metadata, Meta(description="Notes of your own.")] = {}


class Webhook(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the end of an operation is told."""

    url: Annotated[Url, Meta(description="An https address that is reached from here; plain http only to loopback.")]
    secret: Annotated[
        SecretReference, Meta(description="What calls are signed with: whsec_ and 24 to 64 random bytes in base64.")
    ]


class Key(Struct, frozen=True, forbid_unknown_fields=True):
    """One caller."""

    id: Annotated[Name, Meta(description="The key's name in logs, metrics and reports.")]
    sha256: Annotated[_Sha256, Meta(description="The key's SHA-256; `samurai keys new` prints it.")]
    tenant: Annotated[Name | None, Meta(description="One of the tenants.")] = None
    models: Annotated[_Models, Meta(description='Models the key may use; "*" for all.')] = ("*",)
    limits: Annotated[KeyLimits, Meta(description="Ceilings of this key.")] = KeyLimits()
    budget: Annotated[Budget, Meta(description="What this key may spend.")] = Budget()
    priority: Annotated[_Priority, Meta(description="A higher one is shed later.")] = 5
    may_route: Annotated[
        bool, Meta(description="Whether its requests may choose among a model's targets, by x-samurai-route.")
    ] = False
    webhook: Annotated[
        Webhook | None, Meta(description="What is called at the end of what was asked for with Prefer: respond-async.")
    ] = None
    metadata: Annotated[_Metadata, Meta(description="Notes of your own, shown by `samurai keys show`.")] = {}
