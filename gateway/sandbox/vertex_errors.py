"""Google's error replies, by name: `{"error": {code, message, status, details?}}`, and the HTML of its front end."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gateway.sandbox.native_error import NativeError

__all__ = ["HTML_404", "NAMED", "PROMPT_BLOCKED", "invalid", "model_missing", "no_token", "worded"]

_ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
_NO_CREDENTIAL = (
    "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie or other valid"
    " authentication credential."
)
_BAD_CREDENTIAL = (
    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid"
    " authentication credential."
)
PROMPT_BLOCKED = (
    "Image generation failed with the following error: The prompt could not be submitted. Your current safety filter"
    " threshold prohibited one or more words in this prompt. If you think this was an error, send feedback."
    " Support codes: 42876398"
)
HTML_404 = NativeError(
    404,
    "<!DOCTYPE html><html lang=en><title>Error 404 (Not Found)!!1</title><p>The requested URL was not found on this"
    " server. <ins>That’s all we know.</ins></html>",
    {},
    "text/html; charset=UTF-8",
)


def worded(status: int, message: str, name: str, *details: dict[str, Any], **headers: str) -> NativeError:
    """An error as Google's APIs write it."""
    error: dict[str, Any] = {"code": status, "message": message, "status": name}
    if details:
        error["details"] = list(details)
    return NativeError(status, {"error": error}, {key.replace("_", "-"): value for key, value in headers.items()})


def _because(reason: str, **metadata: str) -> dict[str, Any]:
    info: dict[str, Any] = {"@type": _ERROR_INFO, "reason": reason, "domain": "googleapis.com"}
    return info | ({"metadata": metadata} if metadata else {})


def no_token(*, given: bool) -> NativeError:
    """No access token, or one that was never issued or has expired."""
    if given:
        why = _because("ACCESS_TOKEN_TYPE_UNSUPPORTED", service="aiplatform.googleapis.com")
        challenge = 'Bearer realm="https://accounts.google.com/", error="invalid_token"'
        return worded(401, _BAD_CREDENTIAL, "UNAUTHENTICATED", why, WWW_Authenticate=challenge)
    why = _because("CREDENTIALS_MISSING", service="aiplatform.googleapis.com")
    challenge = 'Bearer realm="https://accounts.google.com/"'
    return worded(401, _NO_CREDENTIAL, "UNAUTHENTICATED", why, WWW_Authenticate=challenge)


def invalid(message: str) -> NativeError:
    """An argument that the model does not take."""
    return worded(400, message, "INVALID_ARGUMENT")


def model_missing(name: str) -> NativeError:
    """A publisher model that was retired or never was."""
    text = (
        f"Publisher model `{name}` was not found or your project does not have access to it."
        " Please ensure you are using the correct model name."
    )
    return worded(404, text, "NOT_FOUND")


def _quota(text: str, *details: dict[str, Any]) -> NativeError:
    return worded(429, text, "RESOURCE_EXHAUSTED", *details)


_PER_MODEL = (
    "Quota exceeded for aiplatform.googleapis.com/online_prediction_requests_per_base_model with base model:"
    " imagegeneration. Please submit a quota increase request."
)
_ZERO = (
    "Quota exceeded for quota metric 'Generate Content API requests per minute' and limit 'GenerateContent request"
    " limit per minute for a region' of service 'aiplatform.googleapis.com' for consumer 'project_number:1'."
)
_SWITCHED_OFF = "Vertex AI API has not been used in project sandbox-project before or it is disabled."
NAMED: Mapping[str, NativeError] = MappingProxyType(
    {
        "prompt_blocked_400": invalid(PROMPT_BLOCKED),
        "invalid_argument_400": invalid("Request contains an invalid argument."),
        "failed_precondition_400": worded(400, "User location is not supported.", "FAILED_PRECONDITION"),
        "unauthenticated_401": no_token(given=True),
        "no_credit_402": worded(402, "Your prepayment credits are depleted.", "FAILED_PRECONDITION"),
        "iam_denied_403": worded(
            403,
            "Permission 'aiplatform.endpoints.predict' denied on resource (or it may not exist).",
            "PERMISSION_DENIED",
            _because("IAM_PERMISSION_DENIED", permission="aiplatform.endpoints.predict"),
        ),
        "service_disabled_403": worded(
            403, _SWITCHED_OFF, "PERMISSION_DENIED", _because("SERVICE_DISABLED", service="aiplatform.googleapis.com")
        ),
        "model_not_found_404": model_missing("projects/p/locations/global/publishers/google/models/gone"),
        "html_404": HTML_404,
        "exhausted_429": _quota("Resource has been exhausted (e.g. check quota)."),
        "quota_per_model_429": _quota(_PER_MODEL),
        "quota_zero_429": _quota(
            _ZERO, _because("RATE_LIMIT_EXCEEDED", quota_limit_value="0", quota_location="us-east2")
        ),
        "retry_info_429": _quota(
            "Resource has been exhausted (e.g. check quota).",
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3.3s"},
        ),
        "internal_500": worded(500, "Internal error encountered.", "INTERNAL"),
        "bad_gateway_502": NativeError(
            502, "<html><body><h1>502. That’s an error.</h1></body></html>", {}, "text/html"
        ),
        "unavailable_503": worded(503, "The service is currently unavailable.", "UNAVAILABLE"),
        "deadline_504": worded(504, "Deadline expired before operation could complete.", "DEADLINE_EXCEEDED"),
    }
)
