"""Ideogram's error replies, by name: four different shapes, as the real API has them."""

from collections.abc import Mapping
from types import MappingProxyType

from gateway.sandbox.fields import Problem
from gateway.sandbox.native_error import NativeError

__all__ = ["NAMED", "PROMPT_UNSAFE", "bad_input", "in_flight", "no_key", "not_found", "wrong_field"]

PROMPT_UNSAFE = "Prompt provided failed safety check due to the inclusion of prohibited content."


def bad_input(detail: str) -> NativeError:
    """The request does not fit the schema."""
    return NativeError(400, {"type": "about:blank", "title": "Bad Request", "detail": detail, "status": 400})


def no_key() -> NativeError:
    """No key, a wrong one, or an empty balance: all the same to this vendor."""
    return NativeError(401, {"message": "Access denied. Please verify your API Token is valid."})


def not_found(what: str) -> NativeError:
    """Nothing is there."""
    return NativeError(404, {"error": f"{what} not found."})


def in_flight() -> NativeError:
    """More images under way than the organisation may have; no Retry-After."""
    return NativeError(429, {"error": "Too many requests in flight.", "reject_reason": "inflight_limit"})


def wrong_field(problem: Problem) -> NativeError:
    """One field that does not fit, in the words of the vendor's validator."""
    name, rule, value = problem.name, problem.rule, problem.value
    if problem.kind == "required":
        return bad_input(f"'{name}' is a required property")
    if problem.kind == "unknown" or rule is None:
        return bad_input(f"Additional properties are not allowed ('{name}' was unexpected)")
    texts = {
        "type": f"{value!r} is not of type '{rule.type}'",
        "enum": f"{value!r} is not one of {list(rule.choices)!r}",
        "minimum": f"{value!r} is less than the minimum of {rule.minimum}",
        "maximum": f"{value!r} is greater than the maximum of {rule.maximum}",
        "too_short": f"{value!r} is too short",
        "too_long": f"{value!r} is too long",
        "pattern": f"{value!r} does not match '{rule.pattern}'",
    }
    return bad_input(f"{texts[problem.kind]} - '{name}'")


NAMED: Mapping[str, NativeError] = MappingProxyType(
    {
        "validation_400": bad_input("'x' is not one of ['AUTO', 'ON', 'OFF'] - 'magic_prompt'"),
        "error_400": NativeError(400, {"error": "Invalid request."}),
        "unauthorized_401": no_key(),
        "insufficient_funds_402": NativeError(
            402, {"error": "Insufficient funds.", "reject_reason": "insufficient_funds"}
        ),
        "daily_limit_402": NativeError(402, {"error": "Daily limit reached.", "reject_reason": "daily_limit"}),
        "forbidden_403": NativeError(403, {"message": "This account is not authorized for this operation."}),
        "not_found_404": not_found("Generation"),
        "too_large_413": NativeError(413, {"error": "The upload is too large."}),
        "safety_422": NativeError(422, {"error": PROMPT_UNSAFE}),
        "safety_empty_422": NativeError(422, {}),
        "inflight_429": in_flight(),
        "inflight_detailed_429": NativeError(
            429,
            {"error": "Too many requests in flight.", "reject_reason": "inflight_limit", "max_inflight_requests": 10},
        ),
        "polling_429": NativeError(429, {"error": "Too many requests."}, {"Retry-After": "3"}),
        "server_500": NativeError(500, {"error": "Internal server error."}),
        "bad_gateway_502": NativeError(502, "<html><body><h1>502 Bad Gateway</h1></body></html>", {}, "text/html"),
        "unavailable_503": NativeError(503, {"error": "Service unavailable."}),
        "timeout_504": NativeError(504, "<html><body><h1>504 Gateway Time-out</h1></body></html>", {}, "text/html"),
    }
)
