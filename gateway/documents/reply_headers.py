"""The published reply headers: which there are, and what they say."""

from typing import Any

__all__ = ["HEADERS", "headers_for"]

HEADERS: dict[str, str] = {
    "x-request-id": "The id of this request; a well-formed one that you sent is kept.",
    "openai-processing-ms": "How long the gateway took, in milliseconds.",
    "x-samurai-operation-id": "The id of the work behind the reply.",
    "x-samurai-served-by": "The vendor and native model that made the images.",
    "x-samurai-emulated": "What the gateway did in the vendor's place: `n`, `size`, `format`.",
    "x-samurai-ignored": "Fields of the request that had no effect.",
    "x-samurai-images": "Delivered and asked for, as `7/10`; only when you allowed fewer.",
    "x-samurai-cost-usd": "What the vendor billed for this call, in US dollars.",
    "idempotent-replayed": "`true` on the repeated answer to a repeated request.",
    "location": "Where to ask about the operation.",
    "preference-applied": "`respond-async`.",
    "x-samurai-degraded": "Present while limits are kept without the shared store.",
    "x-ratelimit-limit-requests": "Requests a minute.",
    "x-ratelimit-remaining-requests": "Requests left now.",
    "x-ratelimit-reset-requests": "Until all requests are back, as `1.5s` or `6m0s`.",
    "x-ratelimit-limit-images": "Images a minute.",
    "x-ratelimit-remaining-images": "Images left now.",
    "x-ratelimit-reset-images": "Until all images are back, as `1.5s` or `6m0s`.",
    "ratelimit-policy": "The limits, in the form of the IETF draft.",
    "ratelimit": "What is left of them, in the form of the IETF draft.",
    "retry-after": "Whole seconds to wait, at least 1.",
    "retry-after-ms": "Milliseconds to wait: the exact figure.",
    "x-should-retry": "`true` where a retry is free, `false` where it could be paid for twice. The SDKs obey.",
    "www-authenticate": "`Bearer`.",
    "allow": "The methods that the path takes.",
    "etag": "The image's fingerprint.",
    "cache-control": "`private`: for the caller's own cache only.",
}

_LIMITS = tuple(name for name in HEADERS if name.startswith(("x-ratelimit", "ratelimit")))
_WORK = tuple(name for name in HEADERS if name.startswith(("openai-", "x-samurai-", "idempotent-")))
_WAITING = ("retry-after", "retry-after-ms", "x-should-retry")
_BY_KIND: dict[str | int, tuple[str, ...]] = {
    "generation": (*_WORK, *_LIMITS),
    "file": ("etag", "cache-control"),
    "accepted": ("x-samurai-operation-id", "location", "preference-applied", "retry-after"),
    409: _WAITING,
    422: ("x-should-retry",),
    401: ("www-authenticate",),
    405: ("allow",),
    429: (*_WAITING, *_LIMITS),
    500: ("x-should-retry", "retry-after", "retry-after-ms"),
}


def headers_for(kind: str | int) -> dict[str, dict[str, Any]]:
    """Header objects for a reply: an error's status, `generation`, `file`, or anything else for the plain ones."""
    names = ("x-request-id", *_BY_KIND.get(kind, ()))
    return {
        name: {
            "description": HEADERS[name],
            "schema": {"type": "string"},
            **({"required": True} if name == "x-request-id" else {}),
        }
        for name in names
    }
