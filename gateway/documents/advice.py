"""What each error code means to the caller, and what to do about it: one sentence each."""

from collections.abc import Mapping
from types import MappingProxyType

from gateway.domain.errors import ErrorCode

__all__ = ["ADVICE"]

_MEND = "Do not retry; mend the request."
_WAIT = "Retry after `retry-after-ms`."
_FREE = "Nothing was paid: retry when `x-should-retry` is `true`."
_OPERATOR = "Do not retry; tell whoever runs the gateway."
_PAID = "It may have been paid for: do not retry blindly, quote `x-request-id`."

ADVICE: Mapping[ErrorCode, tuple[str, str]] = MappingProxyType(
    {
        ErrorCode.INVALID_JSON: ("The body is not one JSON object, or not sent as JSON.", _MEND),
        ErrorCode.DUPLICATE_KEY: ("The body names a field twice.", _MEND),
        ErrorCode.REQUEST_TOO_LARGE: ("The body or the headers are too large.", _MEND),
        ErrorCode.MISSING_PARAMETER: ("A required field is absent or null.", _MEND),
        ErrorCode.INVALID_VALUE: ("A field has a value that it cannot have.", _MEND),
        ErrorCode.UNKNOWN_PARAMETER: ("There is no such field, or the model does not take such an option.", _MEND),
        ErrorCode.UNSUPPORTED_PARAMETER: ("The field is known, but this model cannot do what it asks.", _MEND),
        ErrorCode.CONTENT_POLICY_VIOLATION: (
            "The vendor's safety check refused the prompt or the images.",
            "Do not retry; change the prompt.",
        ),
        ErrorCode.N_EXCEEDS_LIMIT: (
            "`n` is more than your image limit could ever allow at once.",
            "Do not retry; ask for fewer images.",
        ),
        ErrorCode.INVALID_IDEMPOTENCY_KEY: ("The `Idempotency-Key` header is malformed or too long.", _MEND),
        ErrorCode.DUPLICATE_HEADER: ("A header that must be unique was sent more than once.", _MEND),
        ErrorCode.UNSUPPORTED_ENCODING: ("The body was compressed.", _MEND),
        ErrorCode.REQUEST_TIMEOUT: ("The request did not arrive in time.", "Retry on a better connection."),
        ErrorCode.METHOD_NOT_ALLOWED: ("The address takes other methods; `Allow` names them.", _MEND),
        ErrorCode.IDEMPOTENCY_IN_PROGRESS: ("The first call with this key still runs.", _WAIT),
        ErrorCode.IDEMPOTENCY_KEY_REUSED: ("The key was used before with another body.", "Use a new key."),
        ErrorCode.MISSING_API_KEY: ("No API key was sent.", "Send it as `Authorization: Bearer <key>`."),
        ErrorCode.INVALID_API_KEY: ("Nobody holds this API key.", "Check the key; ask for a new one."),
        ErrorCode.MODEL_NOT_FOUND: ("There is no such model for your key.", "See `GET /v1/models`."),
        ErrorCode.NOT_FOUND: ("There is nothing at this address, or the link has ended.", _MEND),
        ErrorCode.TOO_MANY_ATTEMPTS: ("Too many wrong keys came from your address.", _WAIT),
        ErrorCode.RATE_LIMIT_REQUESTS: ("You made too many requests a minute.", _WAIT),
        ErrorCode.RATE_LIMIT_IMAGES: ("You asked for too many images a minute.", _WAIT),
        ErrorCode.CONCURRENCY_LIMIT: ("Too many of your requests run at once.", _WAIT),
        ErrorCode.INSUFFICIENT_QUOTA: ("Your budget is used up.", "Do not retry before the budget is renewed."),
        ErrorCode.UPSTREAM_RATE_LIMITED: ("The vendor is asked too often just now.", _WAIT),
        ErrorCode.GATEWAY_OVERLOADED: ("The gateway has too much to do just now.", _WAIT),
        ErrorCode.UPSTREAM_ERROR: ("The vendor failed.", _PAID),
        ErrorCode.UPSTREAM_REJECTED_REQUEST: ("The vendor refused what the gateway made of your request.", _OPERATOR),
        ErrorCode.UPSTREAM_OVERLOADED: ("The vendor has too much to do just now.", _FREE),
        ErrorCode.UPSTREAM_TIMEOUT: ("The vendor did not finish in time.", _PAID),
        ErrorCode.UPSTREAM_UNREACHABLE: ("The vendor could not be reached.", _FREE),
        ErrorCode.UPSTREAM_AUTH_FAILED: ("The vendor refused the gateway's own credentials.", _OPERATOR),
        ErrorCode.UPSTREAM_BILLING: ("The gateway's account at the vendor has a billing problem.", _OPERATOR),
        ErrorCode.UPSTREAM_MODEL_UNAVAILABLE: ("The vendor no longer offers the native model.", _OPERATOR),
        ErrorCode.UPSTREAM_BAD_RESPONSE: ("The vendor's answer was not an image of the promised kind.", _PAID),
        ErrorCode.UPSTREAM_OUTCOME_UNKNOWN: ("Whether the vendor made the images is not known.", _PAID),
        ErrorCode.ASSET_STORE_UNAVAILABLE: (
            "The image store is away; images that were made are kept.",
            "Retry when `x-should-retry` is `true`.",
        ),
        ErrorCode.IDEMPOTENCY_UNAVAILABLE: ("The store of idempotency keys is away.", _FREE),
        ErrorCode.GATEWAY_DRAINING: ("This replica is being shut down.", _FREE),
        ErrorCode.INTERNAL_ERROR: ("The gateway has a fault.", _OPERATOR),
    }
)
"""Meaning and advice, by code. Every code has both."""
