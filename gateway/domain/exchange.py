"""What is said to a vendor and what comes back: all of it data, so that it can be tested, stored and resumed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gateway.domain.catalogue import Account, Capabilities
from gateway.domain.errors import ErrorCode
from gateway.domain.job import Shot
from gateway.domain.picture import Blob
from gateway.domain.reply_fields import ReplyFields

__all__ = [
    "LIFTED",
    "Callback",
    "Delivered",
    "Dialect",
    "Fault",
    "Found",
    "HttpCall",
    "HttpReply",
    "Inline",
    "Next",
    "Outcome",
    "Pace",
    "Pending",
    "Picture",
    "Remote",
    "Search",
]


LIFTED = "\x00lifted:"
"""Marks a JSON string whose base64 text was lifted out of a reply into a Blob; its index follows."""


@dataclass(frozen=True, slots=True)
class HttpCall:
    """One HTTP request, without its credential (the engine adds that), so that it may be stored.

    `url` is absolute. `json` is the body, sent as JSON when not None. `starts_work` marks the calls that cost
    money and therefore must never be repeated blindly. `limit_bytes` caps the reply.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Mapping[str, Any] | None = None
    starts_work: bool = False
    limit_bytes: int = 2_000_000


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A vendor's whole reply. `headers` have lower-case names. `json` is the parsed body, None when it is not JSON.

    Long base64 strings are not in `json`: each was written to one of `blobs` and stands as `LIFTED + index`.
    `text` is the first part of a body that is not JSON, for logs and for telling HTML from nothing.
    """

    status: int
    headers: Mapping[str, str]
    json: Any = None
    text: str = ""
    blobs: tuple[Blob, ...] = ()


@dataclass(frozen=True, slots=True)
class Inline:
    """An image inside the reply: a LIFTED marker, short base64 text, or a short `data:` URI."""

    text: str


@dataclass(frozen=True, slots=True)
class Remote:
    """An image behind a vendor's link. Never fetched with our credential."""

    url: str


@dataclass(frozen=True, slots=True)
class Picture:
    """One image a vendor made. `revised_prompt` only where the vendor rewrote ours."""

    source: Inline | Remote
    revised_prompt: str | None = None


@dataclass(frozen=True, slots=True)
class Delivered:
    """The call is over. `pictures` may be fewer than asked; `withheld` of the missing ones fell to a safety check.

    `billed` is how many images the vendor charges for, by its own rules (withheld ones included where it does).
    """

    pictures: tuple[Picture, ...]
    billed: int
    withheld: int = 0
    created: int | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """The vendor works on it. Plain data: it can be stored and taken up again by another replica.

    `check` is free to repeat, after `wait_s` seconds. `cancel` stops the work; `cancel_is_free` while the vendor
    has not begun.
    """

    vendor_id: str
    check: HttpCall
    wait_s: float
    cancel: HttpCall | None = None
    cancel_is_free: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What a page of a vendor's list of past work holds: whatever could be ours, and how to ask for the next page."""

    matches: tuple[Pending, ...] = ()
    more: HttpCall | None = None


@dataclass(frozen=True, slots=True)
class Search:
    """How work is found again whose id was never received. Only a vendor with a list of past work has one.

    `call_for(account)` asks for the newest page. `found_in(reply, shot, prompt_hash, sent_s, account)` looks for the
    call that `shot` was, whose prompt has the SHA-256 `prompt_hash` and which was sent at `sent_s` (epoch seconds).
    """

    call_for: Callable[[Account], HttpCall]
    found_in: Callable[[HttpReply, Shot, str, float, Account], Found]


@dataclass(frozen=True, slots=True)
class Callback:
    """How a vendor tells the end of work by itself, at the address in `Shot.webhook`.

    `secret_call(account)` is the free call whose reply holds, by `secret_in(reply)`, what such calls are signed with.
    `work_in(body)` is the vendor's id of the work that a call back is about, empty where it names none, and
    `pending(vendor_id, shot, account)` how that work is asked about.
    """

    secret_call: Callable[[Account], HttpCall]
    secret_in: Callable[[HttpReply], str]
    work_in: Callable[[Any], str]
    pending: Callable[[str, Shot, Account], Pending]


class Next(StrEnum):
    """What may be done after a fault."""

    STOP = "stop"
    RETRY = "retry"
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True, slots=True)
class Fault:
    """A vendor's failure, as a value. `next` RETRY also permits another target, ELSEWHERE only that.

    `detail` is the vendor's own wording: for the log, never for the client. `retry_after_s` is the vendor's wish.
    `transient_auth` marks a rejected token that a fresh one may heal (once). `billed` is how many images the vendor
    charges for by its own rules although it hands out none.
    """

    code: ErrorCode
    next: Next
    may_have_billed: bool
    counts_against_vendor: bool
    retry_after_s: float | None = None
    detail: str = field(default="", repr=False)
    transient_auth: bool = False
    billed: int = 0


Outcome = Delivered | Pending | Fault


@dataclass(frozen=True, slots=True)
class Pace:
    """What a vendor allows one account, all its callers together; None is no limit that is known.

    `images_in_flight` counts the images that are being made at one time, not the calls. `initial_calls_in_flight` is
    where the number of calls in flight begins, which adapts to the vendor's answers.
    """

    requests_per_minute: int | None = None
    images_per_minute: int | None = None
    images_in_flight: int | None = None
    initial_calls_in_flight: int | None = None


@dataclass(frozen=True, slots=True)
class Dialect:
    """One vendor API, spoken by pure functions. A module in `gateway.vendors` exports one as `DIALECT`.

    `credential_header` is the header's name and its form, `{}` standing for the secret. `download_hosts` are exact
    names, or `*.name` for any subdomain. `capabilities(native_model)` answers for any name, also an unknown one.
    `probe_for` is a free call that shows reachability and a valid credential. `reply_fields` is what a successful
    reply is expected to hold. `pace` is what the vendor allows an account unless something else was agreed.
    """

    name: str
    vendor: str
    credential_header: tuple[str, str]
    download_hosts: tuple[str, ...]
    capabilities: Callable[[str], Capabilities]
    call_for: Callable[[Shot, Account], HttpCall]
    outcome_of: Callable[[HttpReply, Shot, Account], Outcome]
    probe_for: Callable[[Account], HttpCall]
    known_models: tuple[str, ...] = ()
    reply_fields: ReplyFields = field(default_factory=dict, compare=False)
    pace: Pace = Pace()
    search: Search | None = None
    callback: Callback | None = None
