"""What the two Vertex dialects have in common: where Vertex AI is, how it says no, and its free call.

From the discovery document (revision 20261106), Google's own SDKs, and the replies those are tested with.
"""

import re
from typing import Any
from urllib.parse import quote

from gateway.domain import faults
from gateway.domain.catalogue import Account
from gateway.domain.exchange import Fault, HttpCall, HttpReply
from gateway.domain.wire import dig, objects, retry_after_s, text, wait_s, wait_s_in, whole

__all__ = ["catalogue_probe", "error_in", "fault_of", "method_url"]

_LIVING = "gemini-3.1-flash-image"  # a retired one would answer 404 to a good credential
_GEOGRAPHIES = ("us", "eu")
_REFUSED = re.compile(
    r"image generation failed|support codes?:|safety filter|usage guidelines|responsible ai|content policy",
    re.IGNORECASE,
)


def method_url(account: Account, model: str, method: str) -> str:
    """The address of a publisher model's method, `predict` or `generateContent`.

    Raises ValueError for an account without a project.
    """
    if not account.project:
        raise ValueError(f"the Vertex account '{account.id}' names no project")
    project, location = quote(account.project, safe=""), quote(_location(account), safe="")
    name = f"projects/{project}/locations/{location}/publishers/google/models/{quote(model, safe='')}"
    return f"{_base(account)}/{name}:{method}"


def catalogue_probe(account: Account) -> HttpCall:
    """What the catalogue says of a model that lives: free (`publishers.models.get` of the API reference)."""
    return HttpCall("GET", f"{_base(account)}/publishers/google/models/{_LIVING}")


def _location(account: Account) -> str:
    return account.location or "global"


def _base(account: Account) -> str:
    if account.base_url:
        return account.base_url
    location = quote(_location(account), safe="")
    if location == "global":
        return "https://aiplatform.googleapis.com/v1"
    if location in _GEOGRAPHIES:
        return f"https://aiplatform.{location}.rep.googleapis.com/v1"
    return f"https://{location}-aiplatform.googleapis.com/v1"


def error_in(body: Any) -> Any:
    """The error object of a body, which sometimes stands in a list of one; None where there is none."""
    found = dig(body[0] if isinstance(body, list) and body else body, "error")
    return found if isinstance(found, dict) else None


def fault_of(reply: HttpReply) -> Fault:
    """The fault that a reply without a result stands for."""
    error = error_in(reply.json)
    message, name = text(error, "message"), text(error, "status")
    detail = f"{name}: {message}" if message else reply.text
    named = whole(error, "code")
    status = named if named is not None and 200 <= reply.status < 300 else reply.status
    if status == 401:
        # An access token lives an hour and may die on the way; a fresh one decides.
        return faults.bad_credential(detail, transient=True)
    if status == 403 and _has_reason(error, "BILLING_DISABLED"):
        return faults.no_money(detail)
    if status == 429:
        # A new project's quota is nought: waiting would not help.
        return faults.no_money(detail) if _quota_is_zero(error) else faults.throttled(detail, _patience(reply, error))
    if status == 400 and _REFUSED.search(message):
        return faults.refusal(detail)
    return faults.by_status(status, detail, _patience(reply, error))


def _has_reason(error: Any, reason: str) -> bool:
    return any(item.get("reason") == reason for item in objects(error, "details"))


def _quota_is_zero(error: Any) -> bool:
    return any(dig(item, "metadata", "quota_limit_value") in ("0", 0) for item in objects(error, "details"))


def _patience(reply: HttpReply, error: Any) -> float | None:
    wishes = (
        retry_after_s(reply.headers),
        *(wait_s(item.get("retryDelay")) for item in objects(error, "details")),
        wait_s_in(text(error, "message")),
    )
    return next((wish for wish in wishes if wish is not None), None)
