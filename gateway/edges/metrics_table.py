"""Every metric of the gateway: its name, what it counts, and what its labels can say. docs/metrics.md is made of this.

Names follow Prometheus's habits: base units, `_total` on counters. Figures of the whole deployment, which every
replica reports alike, say so: take their maximum, never their sum.
"""

from dataclasses import dataclass
from typing import Literal

from gateway.edges import metrics_words as words
from gateway.edges.metrics_words import Labels

__all__ = ["TABLE", "Metric"]

Kind = Literal["counter", "gauge", "histogram"]

# An image takes from a fraction of a second (flux-schnell) to two minutes (gpt-image, "up to 2 minutes").
_SECONDS = (0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300)
_WORK_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
# None, or up to a vendor's minute and the longest pause.
_WAIT_SECONDS = (0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `unit` is that of its values; `meaning` is one sentence; `buckets` are a histogram's, in seconds."""

    name: str
    kind: Kind
    unit: str
    meaning: str
    labels: tuple[Labels, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of all labels, in order."""
        return tuple(name for labels in self.labels for name in labels.names)

    @property
    def is_of_keys(self) -> bool:
        """Whether it has a series for every key, which an operator has to ask for (`metrics.per_key`)."""
        return words.KEY in self.labels


def _counter(name: str, unit: str, meaning: str, *labels: Labels) -> Metric:
    return Metric(f"samurai_{name}_total", "counter", unit, meaning, labels)


def _gauge(name: str, unit: str, meaning: str, *labels: Labels) -> Metric:
    return Metric(f"samurai_{name}", "gauge", unit, meaning, labels)


def _histogram(name: str, meaning: str, buckets: tuple[float, ...], *labels: Labels) -> Metric:
    return Metric(f"samurai_{name}_seconds", "histogram", "seconds", meaning, labels, buckets)


# What clients see.
REQUESTS = _counter(
    "requests",
    "requests",
    "Generation requests answered, and whatever else was refused as its caller's fault (model `other`).",
    words.MODEL,
    words.END,
)
REQUEST_SECONDS = _histogram("request_duration", "From a request's headers to its answer's end.", _SECONDS, words.MODEL)
IMAGES = _counter("images", "images", "Images delivered to clients.", words.MODEL)
IN_FLIGHT = _gauge("operations_in_flight", "operations", "Operations under way in this replica.")
CLIENTS_LEFT = _counter("clients_left", "requests", "Clients that hung up before their answer.", words.PHASE)
CONNECTIONS = _counter(
    "connections_refused", "connections", "Connections refused or cut below the application.", words.CONNECTION
)
KEY_REFUSALS = _counter("key_refusals", "requests", "Requests without a good key.", words.KEY_REFUSAL)
IDEMPOTENCY = _counter("idempotency", "requests", "Repeated requests that were recognised.", words.IDEMPOTENCY)
SHED = _counter("shed", "requests", "Requests refused so that others can be served.", words.SHED)

# Limits and money.
LIMIT_REFUSALS = _counter("limit_refusals", "requests", "Requests refused by a limit.", words.LIMIT)
LIMIT_TOKENS = _counter("limit_tokens_taken", "tokens", "Tokens taken from the buckets of limits.", words.TAKEN)
LIMITER_DEGRADED = _counter("limiter_degraded", "decisions", "Decisions of the limiter made without Redis.")
BUDGET = _gauge(
    "budget_used_ratio",
    "share",
    "Share of a budget that is spent or reserved: the highest of all keys or tenants that called lately.",
    words.PURSE,
)
RESERVED = _gauge("reserved_usd", "US dollars", "Reserved for operations under way, in the whole deployment.")
SUSPENSE_USD = _gauge(
    "suspense_usd", "US dollars", "May have been spent, and nobody knows; in the whole deployment.", words.SUSPENSE_KIND
)
SUSPENSE = _gauge(
    "suspense_operations", "operations", "Operations in suspense, in the whole deployment.", words.SUSPENSE_KIND
)
SETTLEMENTS = _gauge("settlements_waiting", "settlements", "Settlements of money that wait for Redis.")

# Vendor accounts.
CALLS = _counter("vendor_calls", "calls", "Paid vendor calls ended.", words.TARGET, words.CALL_END)
CALL_SECONDS = _histogram(
    "vendor_call_duration", "From a paid call's start to its last image stored.", _SECONDS, words.TARGET
)
POLLS = _counter("vendor_polls", "looks", "Looks at pending work.", words.TARGET)
BILLED = _counter("vendor_images_billed", "images", "Images billed by the vendor.", words.TARGET)
COST = _counter("vendor_cost_usd", "US dollars", "What the vendor billed.", words.TARGET)
RETRIES = _counter("vendor_retries", "calls", "Calls sent once more after a failure free of charge.", words.ACCOUNT)
RETRIES_DENIED = _counter(
    "vendor_retries_denied", "calls", "Retries not made, since the budget for retries was spent.", words.ACCOUNT
)
FAILOVERS = _counter("vendor_failovers", "calls", "Calls handed over to another account.", words.HANDOVER)
BREAKER = _gauge(
    "vendor_breaker_state", "0 or 1", "1 for the state that the account's breaker is in.", words.ACCOUNT, words.BREAKER
)
UNKNOWN = _counter("vendor_unknown_outcomes", "calls", "Calls of which nobody knows if they cost money.", words.ACCOUNT)
LATE = _counter("vendor_late_successes", "calls", "Calls whose images came after the client's end.", words.ACCOUNT)
RETIREMENT = _gauge(
    "native_model_retirement_days",
    "days",
    "Days until the vendor ends a native model that is in use, where that is announced; negative once it is past.",
    words.NATIVE,
)
WEBHOOKS = _counter("webhooks", "calls", "Vendors' calls back that were genuine.", words.VENDOR)
WEBHOOKS_REFUSED = _counter(
    "webhooks_refused", "calls", "Calls back that were refused, or of no use.", words.WEBHOOK_REFUSAL
)
WEBHOOKS_SENT = _counter("webhooks_sent", "calls", "Ends of operations told to their keys' owners.", words.WEBHOOK_SENT)

# Pacing of vendor accounts.
PLACE_SECONDS = _histogram(
    "pacing_wait",
    "Waiting for a place at a vendor's account before a paid call.",
    _WAIT_SECONDS,
    words.ACCOUNT,
    words.GRANTED,
)
PACING_LIMIT = _gauge(
    "pacing_adaptive_limit",
    "calls",
    "Calls that may be in flight at an account, by what the vendor's answers taught; 0 before the first.",
    words.ACCOUNT,
)
THROTTLED = _counter("pacing_vendor_refusals", "calls", "Calls that a vendor answered with 429.", words.ACCOUNT)
PAUSES = _counter("pacing_pauses", "pauses", "Pauses of an account that a vendor asked for.", words.ACCOUNT)

# Images.
FINISH_SECONDS = _histogram(
    "image_finish_duration", "Checking, fitting and storing one image.", _WORK_SECONDS, words.FITTED
)
IMAGE_BYTES = _counter("image_bytes", "bytes", "Bytes of images stored.", words.MODEL)
IMAGE_PIXELS = _counter("image_pixels", "pixels", "Pixels of images stored.", words.MODEL)
PIXEL_WORKERS_BUSY = _gauge("pixel_workers_busy", "processes", "Image processes at work.")
PIXEL_JOBS_WAITING = _gauge("pixel_jobs_waiting", "images", "Images that wait for an image process.")
PIXEL_WAIT_SECONDS = _gauge("pixel_longest_wait_seconds", "seconds", "How long the first of them has waited.")
PIXEL_WORKERS_LOST = _gauge("pixel_workers_lost", "processes", "Image processes that died since the start.")

# The journal of paid work.
ATTEMPTS = _counter("journal_attempts", "calls", "Paid calls that came into a state, by the journal.", words.ATTEMPT)
JOURNAL_SECONDS = _histogram("journal_write_duration", "Writing the journal.", _WORK_SECONDS, words.MEDIUM)
FORCED_SECONDS = _histogram("journal_disk_duration", "One forced write of the journal to the disk.", _WORK_SECONDS)
FORCED_RECORDS = _counter("journal_disk_records", "records", "Records that forced writes took to the disk.")
FENCED = _counter("journal_fenced", "writes", "Writes refused, since another replica had taken the operation over.")
RECOVERED = _counter("operations_recovered", "operations", "Operations of dead replicas, taken up.", words.RECOVERY)

# The process and what it stands on.
LOOP_LAG = _histogram(
    "loop_lag", "How late the event loop comes to what is due; looked at four times a second.", _WORK_SECONDS
)
TASKS = _gauge("tasks", "tasks", "Tasks of this replica's event loop; they come and go with the requests.")
IN_FLIGHT_BYTES = _gauge("in_flight_bytes", "bytes", "Bytes of images in memory, on their way to the disk.")
REDIS_UP = _gauge("redis_up", "0 or 1", "1 while Redis answers.")
REDIS_OUTAGE = _gauge("redis_outage", "0 or 1", "1 for the reason for which Redis is away.", words.REDIS_REASON)
REDIS_MAY_FORGET = _gauge(
    "redis_may_forget",
    "0 or 1",
    "1 when Redis would throw keys away where memory is short (its policy is not noeviction).",
)
REPLICAS = _gauge("replicas", "replicas", "Replicas that share the limits, as this one knows.")
KEYS_AGE = _gauge(
    "keys_age_seconds", "seconds", "Time since this replica's copy of the keys was last in step with Redis."
)
STORE_UP = _gauge("store_up", "0 or 1", "1 when the image store took the last probe.")
RELOADS = _counter("config_reloads", "reloads", "Times that the configuration was read anew.", words.RELOAD)
RELOADED_AT = _gauge(
    "config_last_reload_success_timestamp_seconds", "seconds", "When the configuration in force was read (Unix time)."
)
RELOAD_WORKED = _gauge(
    "config_last_reload_successful", "0 or 1", "1 when the configuration that was read last is the one in force."
)
CONFIG_INFO = _gauge("config_info", "1", "The version of the configuration in force.", words.CONFIG_VERSION)
BUILD_INFO = _gauge("build_info", "1", "The running version of the gateway.", words.BUILD_VERSION)

# One series a key: only where `metrics.per_key` asks for it.
KEY_REQUESTS = _counter("key_requests", "requests", "Requests answered, by key.", words.KEY)
KEY_REFUSED = _counter(
    "key_limit_refusals", "requests", "Requests refused by a limit, by key.", words.KEY, words.DIMENSION
)
KEY_IMAGES = _counter("key_images", "images", "Images delivered, by key.", words.KEY)
KEY_COST = _counter("key_cost_usd", "US dollars", "What vendors billed, by key.", words.KEY)
KEY_BUDGET = _gauge(
    "key_budget_used_ratio", "share", "Share of a key's budget that is spent or reserved.", words.KEY, words.PERIOD
)

TABLE: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
"""All of them, in the order of this file."""
