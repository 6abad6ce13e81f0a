"""OpenAI's error replies, by name: always `{"error": {message, type, param, code}}`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gateway.sandbox.fields import Problem
from gateway.sandbox.native_error import NativeError

__all__ = ["NAMED", "dead_model", "invalid", "no_key", "unknown_model", "unreadable", "worded", "wrong_key"]

_INVALID = "invalid_request_error"
_USER = "image_generation_user_error"


def worded(status: int, message: str, kind: str, code: str | None = None, param: str | None = None) -> NativeError:
    """An error in OpenAI's envelope."""
    return NativeError(status, {"error": {"message": message, "type": kind, "param": param, "code": code}})


def no_key() -> NativeError:
    """No credential at all."""
    text = (
        "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth"
        " (i.e. Authorization: Bearer YOUR_KEY)."
    )
    return worded(401, text, _INVALID)


def wrong_key(key: str) -> NativeError:
    """A key nobody has; the vendor shows its ends."""
    masked = f"{key[:8]}{'*' * 4}{key[-4:]}"
    text = f"Incorrect API key provided: {masked}. You can find your API key at https://platform.openai.com/account/api-keys."
    return worded(401, text, _INVALID, "invalid_api_key")


def dead_model(model: str) -> NativeError:
    """An image model that was shut down or never was; a 400, as probed."""
    return worded(400, f"The model '{model}' does not exist.", _USER)


def unknown_model(model: str) -> NativeError:
    """The models endpoint knows no such id."""
    text = f"The model '{model}' does not exist or you do not have access to it."
    return worded(404, text, _INVALID, "model_not_found", "model")


def unreadable() -> NativeError:
    """A body that is no JSON object."""
    text = "We could not parse the JSON body of your request. (HINT: The API expects a JSON payload.)"
    return worded(400, text, _INVALID)


def invalid(problem: Problem) -> NativeError:
    """A field that the API does not take, or not so."""
    name, rule, value = problem.name, problem.rule, problem.value
    if problem.kind == "required":
        return worded(400, f"Missing required parameter: '{name}'.", _INVALID, "missing_required_parameter", name)
    if problem.kind == "unknown" or rule is None:
        return worded(400, f"Unknown parameter: '{name}'.", _INVALID, "unknown_parameter", name)
    message, code = _complaint(problem.kind, name, rule, value)
    return worded(400, message, _INVALID, code, name)


def _complaint(kind: str, name: str, rule: Any, value: Any) -> tuple[str, str]:
    if kind == "type":
        return f"Invalid type for '{name}': expected {_article(rule.type)}, but got another instead.", "invalid_type"
    if kind == "enum":
        allowed = ", ".join(f"'{choice}'" for choice in rule.choices)
        return f"Invalid value: '{value}'. Supported values are: {allowed}.", "invalid_value"
    if kind in ("too_long", "too_short"):
        word, bound = ("maximum", rule.maximum) if kind == "too_long" else ("minimum", rule.minimum)
        text = f"Expected a string with {word} length {bound}, but got a string with length {len(value)} instead."
        return f"Invalid '{name}': string too {kind[4:]}. {text}", f"string_{_SIDES[word]}_length"
    if kind in ("maximum", "minimum"):
        sign, bound = ("<=", rule.maximum) if kind == "maximum" else (">=", rule.minimum)
        text = f"Expected a value {sign} {bound}, but got {value} instead."
        side = _SIDES[kind]
        return f"Invalid '{name}': integer {side.split('_')[0]} {kind} value. {text}", f"integer_{side}_value"
    return f"Invalid value for '{name}'.", "invalid_value"


_SIDES = {"maximum": "above_max", "minimum": "below_min"}


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aio" else f"a {kind}"


_SAFETY = (
    "Your request was rejected by the safety system. If you believe this is an error, contact us at help.openai.com"
    " and include the request ID 00000000-0000-4000-8000-000000000000. safety_violations=[sexual]."
)
_OLD_SAFETY = (
    "Your request was rejected as a result of our safety system. Your prompt may contain text that is not allowed by"
    " our safety system."
)
_MONEY = "https://platform.openai.com/settings/organization/billing/"


def _moderation(stage: str) -> NativeError:
    details = {"moderation_stage": stage, "categories": ["sexual"]}
    error = {"message": _SAFETY, "type": _USER, "param": None, "code": "moderation_blocked"}
    return NativeError(400, {"error": error | {"moderation_details": details}})


def _quota(code: str, text: str) -> NativeError:
    return worded(429, text, "insufficient_quota", code)


NAMED: Mapping[str, NativeError] = MappingProxyType(
    {
        "moderation_blocked": _moderation("input"),
        "moderation_blocked_output": _moderation("output"),
        "content_policy_violation": worded(400, _OLD_SAFETY, _INVALID, "content_policy_violation"),
        "unknown_parameter": worded(
            400, "Unknown parameter: 'response_format'.", _INVALID, "unknown_parameter", "response_format"
        ),
        "dead_model": dead_model("dall-e-3"),
        "model_not_found_404": unknown_model("gpt-image-0"),
        "billing_hard_limit": worded(
            400, "Billing hard limit has been reached.", _INVALID, "billing_hard_limit_reached"
        ),
        "invalid_api_key_401": wrong_key("sk-wrong-key"),
        "country_403": worded(
            403,
            "Country, region, or territory not supported",
            "request_forbidden",
            "unsupported_country_region_territory",
        ),
        "org_unverified_403": worded(
            403, "Your organization must be verified to use this model.", _INVALID, "organization_not_verified"
        ),
        "no_credit_429": _quota("credit_balance_exhausted", f"You have no credits remaining. Add credits at {_MONEY}."),
        "insufficient_quota_429": _quota("insufficient_quota", "You exceeded your current quota."),
        "org_spend_limit_429": _quota("organization_spend_limit_exceeded", "Organization spend limit exceeded."),
        "project_spend_limit_429": _quota("project_spend_limit_exceeded", "Project spend limit exceeded."),
        "org_usage_limit_429": _quota("organization_usage_limit_exceeded", "Organization usage limit exceeded."),
        "rate_limit_429": worded(
            429,
            "Rate limit reached for images per minute in organization org-sandbox. Limit: 5/1min. Current: 5/1min."
            " Please try again after 12.5 seconds.",
            "input-images",
            "rate_limit_exceeded",
        ),
        "slow_down_429": worded(429, "Please slow down.", "rate_limit_error", "slow_down"),
        "server_500": worded(500, "The server had an error while processing your request.", "server_error"),
        "bad_gateway_502": NativeError(502, "<html><body><h1>502 Bad Gateway</h1></body></html>", {}, "text/html"),
        "overloaded_503": worded(503, "Slow down. The engine is currently overloaded.", "server_error"),
        "timeout_504": NativeError(504, "<html><body><h1>504 Gateway Time-out</h1></body></html>", {}, "text/html"),
    }
)
