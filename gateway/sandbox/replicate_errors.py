"""Replicate's error replies, by name. Wording of the real API where it is known (recordings, quoted issues)."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from gateway.sandbox.fields import Problem
from gateway.sandbox.native_error import NativeError

__all__ = [
    "ALL_NSFW",
    "NAMED",
    "SENSITIVE",
    "bad_request",
    "invalid_input",
    "no_credential",
    "not_found",
    "throttled",
    "unknown_version",
]

_PROBLEM = "application/problem+json"
# cog-flux: what the model itself says when every image was dropped
ALL_NSFW = "All generated images contained NSFW content. Try running it again with a different prompt."
# flux-1.1-pro runs at its maker's; wording as users quote it (unverified)
SENSITIVE = "The input or output was flagged as sensitive. Please try again with different inputs. (E005)"


def _problem(status: int, detail: str, title: str | None = None, **more: Any) -> NativeError:
    named = {"title": title} if title else {}
    return NativeError(status, {"detail": detail, "status": status, **named, **more}, media_type=_PROBLEM)


def no_credential() -> NativeError:
    """No token, or not one of ours."""
    return _problem(401, "You did not pass a valid authentication token", "Unauthenticated")


def not_found(detail: str = "The requested resource could not be found.") -> NativeError:
    """Nothing is there; without a title, as recorded."""
    return _problem(404, detail)


def bad_request(detail: str) -> NativeError:
    """A body or a header that cannot be read."""
    return _problem(400, detail, "Bad request")


def unknown_version() -> NativeError:
    """A version that does not exist, or that the caller may not run."""
    detail = "The specified version does not exist (or perhaps you don't have permission to use it?)"
    return _problem(422, detail, "Invalid version or not permitted")


def throttled(reset_s: int) -> NativeError:
    """Too many requests: the documented body, which has nothing but `detail`."""
    detail = f"Request was throttled. Your rate limit resets in ~{reset_s}s."
    return NativeError(429, {"detail": detail}, media_type=_PROBLEM)


def invalid_input(problems: Iterable[Problem], above: str = "input") -> NativeError:
    """Input that the model's schema does not allow. `above` is the path of the object that holds the fields."""
    fields = [_described(problem, above) for problem in problems]
    detail = "".join(f"- {field['field']}: {field['description']}\n" for field in fields)
    return _problem(422, detail, "Input validation failed", invalid_fields=fields)


def _described(problem: Problem, above: str) -> dict[str, str]:
    name, rule, value = problem.name, problem.rule, problem.value
    if problem.kind == "required":
        return {"type": "required", "field": above, "description": f"{name} is required"}
    if problem.kind == "unknown" or rule is None:
        text = f"Additional property {name} is not allowed"
        return {"type": "additional_property_not_allowed", "field": above, "description": text}
    kind, text = {
        "type": ("invalid_type", f"Invalid type. Expected: {rule.type}, given: {_json_type(value)}"),
        "enum": ("enum", f"{name} must be one of the following: " + ", ".join(f'"{one}"' for one in rule.choices)),
        "minimum": ("number_gte", f"Must be greater than or equal to {rule.minimum}"),
        "maximum": ("number_lte", f"Must be less than or equal to {rule.maximum}"),
        "pattern": ("format", f"Does not match format '{rule.pattern}'"),
        "too_short": ("string_gte", f"String length must be greater than or equal to {rule.minimum}"),
        "too_long": ("string_lte", f"String length must be less than or equal to {rule.maximum}"),
    }[problem.kind]
    return {"type": kind, "field": f"{above}.{name}", "description": text}


def _json_type(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


_BILLING = "Go to https://replicate.com/account/billing#billing to purchase credit."
_LOW_CREDIT = (
    "Request was throttled. Your rate limit for creating predictions is reduced to 6 requests per minute with a burst"
    " of 1 requests while you have less than $5.0 in credit. Your rate limit resets in ~5s."
)
NAMED: Mapping[str, NativeError] = MappingProxyType(
    {
        "unauthenticated_401": no_credential(),
        "no_credit_402": _problem(
            402, f"You have insufficient credit to run this model. {_BILLING}", "Insufficient credit"
        ),
        "spend_limit_402": _problem(402, "You have reached your monthly spend limit.", "Monthly spend limit reached"),
        "forbidden_403": _problem(403, "You do not have permission to perform this action.", "Forbidden"),
        "not_found_404": not_found(),
        "input_422": _problem(
            422,
            "- input: prompt is required\n",
            "Input validation failed",
            invalid_fields=[{"type": "required", "field": "input", "description": "prompt is required"}],
        ),
        "version_422": unknown_version(),
        "throttled_429": throttled(30),
        "throttled_low_credit_429": _problem(429, _LOW_CREDIT, retry_after=5),
        "server_500": _problem(500, "An unexpected error occurred.", "Internal server error"),
        "bad_gateway_502": NativeError(502, "<html><body><h1>502 Bad Gateway</h1></body></html>", {}, "text/html"),
        "unavailable_503": _problem(503, "Service temporarily unavailable.", "Service unavailable"),
        "timeout_504": NativeError(504, "<html><body><h1>504 Gateway Time-out</h1></body></html>", {}, "text/html"),
    }
)
