"""Every way a client's request can end badly: one closed set, drawn as a tree.

RequestError
├─ 400 invalid_request_error   the caller can mend the request
│  └─ 405, 409, 422            the same type; statuses that HTTP itself demands
├─ 401 authentication_error    no key, or one we do not know
├─ 404 not_found_error         no such model, image or operation for this key
├─ 429 rate_limit_error        a limit bound; waiting as told succeeds
└─ 500 server_error            ours or a vendor's fault, never the caller's

Raised anywhere below the HTTP handlers, caught once, in the envelope.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

__all__ = ["ErrorCode", "ErrorType", "RequestError", "status_of", "type_of"]


class ErrorType(StrEnum):
    """The `type` of the envelope; fixes the class of the SDK's exception together with the status."""

    INVALID_REQUEST = "invalid_request_error"
    AUTHENTICATION = "authentication_error"
    NOT_FOUND = "not_found_error"
    RATE_LIMIT = "rate_limit_error"
    SERVER = "server_error"


class ErrorCode(StrEnum):
    """The `code` of the envelope. Closed: a client may switch over it."""

    INVALID_JSON = "invalid_json"
    DUPLICATE_KEY = "duplicate_key"
    REQUEST_TOO_LARGE = "request_too_large"
    MISSING_PARAMETER = "missing_parameter"
    INVALID_VALUE = "invalid_value"
    UNKNOWN_PARAMETER = "unknown_parameter"
    UNSUPPORTED_PARAMETER = "unsupported_parameter"
    CONTENT_POLICY_VIOLATION = "content_policy_violation"
    N_EXCEEDS_LIMIT = "n_exceeds_limit"
    INVALID_IDEMPOTENCY_KEY = "invalid_idempotency_key"
    DUPLICATE_HEADER = "duplicate_header"
    UNSUPPORTED_ENCODING = "unsupported_encoding"
    REQUEST_TIMEOUT = "request_timeout"

    METHOD_NOT_ALLOWED = "method_not_allowed"
    IDEMPOTENCY_IN_PROGRESS = "idempotency_in_progress"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"

    MISSING_API_KEY = "missing_api_key"
    INVALID_API_KEY = "invalid_api_key"

    MODEL_NOT_FOUND = "model_not_found"
    NOT_FOUND = "not_found"

    TOO_MANY_ATTEMPTS = "too_many_attempts"
    RATE_LIMIT_REQUESTS = "rate_limit_requests"
    RATE_LIMIT_IMAGES = "rate_limit_images"
    CONCURRENCY_LIMIT = "concurrency_limit"
    INSUFFICIENT_QUOTA = "insufficient_quota"
    UPSTREAM_RATE_LIMITED = "upstream_rate_limited"
    GATEWAY_OVERLOADED = "gateway_overloaded"

    UPSTREAM_ERROR = "upstream_error"
    UPSTREAM_REJECTED_REQUEST = "upstream_rejected_request"
    UPSTREAM_OVERLOADED = "upstream_overloaded"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    UPSTREAM_UNREACHABLE = "upstream_unreachable"
    UPSTREAM_AUTH_FAILED = "upstream_auth_failed"
    UPSTREAM_BILLING = "upstream_billing"
    UPSTREAM_MODEL_UNAVAILABLE = "upstream_model_unavailable"
    UPSTREAM_BAD_RESPONSE = "upstream_bad_response"
    UPSTREAM_OUTCOME_UNKNOWN = "upstream_outcome_unknown"
    ASSET_STORE_UNAVAILABLE = "asset_store_unavailable"
    IDEMPOTENCY_UNAVAILABLE = "idempotency_unavailable"
    GATEWAY_DRAINING = "gateway_draining"
    INTERNAL_ERROR = "internal_error"


_UNAUTHENTICATED = {ErrorCode.MISSING_API_KEY, ErrorCode.INVALID_API_KEY}
_NOT_FOUND = {ErrorCode.MODEL_NOT_FOUND, ErrorCode.NOT_FOUND}
_TOO_MANY = {
    ErrorCode.TOO_MANY_ATTEMPTS,
    ErrorCode.RATE_LIMIT_REQUESTS,
    ErrorCode.RATE_LIMIT_IMAGES,
    ErrorCode.CONCURRENCY_LIMIT,
    ErrorCode.INSUFFICIENT_QUOTA,
    ErrorCode.UPSTREAM_RATE_LIMITED,
    ErrorCode.GATEWAY_OVERLOADED,
}
_OF_HTTP = {
    ErrorCode.METHOD_NOT_ALLOWED: 405,
    ErrorCode.IDEMPOTENCY_IN_PROGRESS: 409,
    ErrorCode.IDEMPOTENCY_KEY_REUSED: 422,
}


def _class_of(code: ErrorCode) -> tuple[int, ErrorType]:
    if code in _UNAUTHENTICATED:
        return 401, ErrorType.AUTHENTICATION
    if code in _NOT_FOUND:
        return 404, ErrorType.NOT_FOUND
    if code in _TOO_MANY:
        return 429, ErrorType.RATE_LIMIT
    if code in _OF_HTTP:
        return _OF_HTTP[code], ErrorType.INVALID_REQUEST
    server = code.startswith(("upstream_", "asset_", "gateway_")) or code in (
        ErrorCode.IDEMPOTENCY_UNAVAILABLE,
        ErrorCode.INTERNAL_ERROR,
    )
    return (500, ErrorType.SERVER) if server else (400, ErrorType.INVALID_REQUEST)


_CLASSES = MappingProxyType({code: _class_of(code) for code in ErrorCode})


def status_of(code: ErrorCode) -> int:
    """The HTTP status that goes with `code`; always the same one."""
    return _CLASSES[code][0]


def type_of(code: ErrorCode) -> ErrorType:
    """The envelope's `type` that goes with `code`; always the same one."""
    return _CLASSES[code][1]


class RequestError(Exception):
    """The documented end of a client's request.

    `param` names the field at fault. `retry_after_ms` is the true waiting time, at least 1 when given.
    `should_retry` becomes `x-should-retry`, which the stock SDKs obey: False wherever a second try may pay
    twice, True where it is free, None where the status alone says it.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        param: str | None = None,
        retry_after_ms: int | None = None,
        should_retry: bool | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.retry_after_ms = retry_after_ms
        self.should_retry = should_retry
        self.headers = headers

    @property
    def status(self) -> int:
        """HTTP status of the reply."""
        return status_of(self.code)

    def again(self) -> "RequestError":
        """The same, to be raised to another client."""
        return RequestError(
            self.code,
            self.message,
            param=self.param,
            retry_after_ms=self.retry_after_ms,
            should_retry=self.should_retry,
            headers=self.headers,
        )

    def envelope(self) -> dict[str, dict[str, str | None]]:
        """The reply's body: always all four keys."""
        return {
            "error": {
                "message": self.message,
                "type": type_of(self.code).value,
                "param": self.param,
                "code": self.code.value,
            }
        }

    def __repr__(self) -> str:
        return f"RequestError({self.status} {self.code}, param={self.param!r})"
