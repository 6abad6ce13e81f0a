"""What the Node SDK runs into: each case a call, what a vendor does to it, and the error that must come of it.

A case's name is in its prompt, so that the sandbox's scripts and its list of calls can tell one from another.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.domain.errors import ErrorCode, status_of

__all__ = ["CASES", "KEYS", "OUT_OF_REACH", "Call", "Case"]

KEYS: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    "free": {},
    "one request a minute": {"limits": {"requests_per_minute": 1}},
    "two images a minute": {"limits": {"images_per_minute": 2}},
    "two requests a second": {"limits": {"requests_per_minute": 120, "burst": 1}},
    "one at a time": {"limits": {"concurrent": 1}},
    "one image a day": {"budget": {"per_day": 0.004}},
}
"""The keys of the deployment, opaque strings all of them, and what they may do."""

_CLASSES = {
    400: "BadRequestError",
    401: "AuthenticationError",
    404: "NotFoundError",
    405: "APIError",  # the SDK has no class of its own for it
    429: "RateLimitError",
    500: "InternalServerError",
}


@dataclass(frozen=True)
class Call:
    """One call: made `times` times in a row, the last time `together` times at once.

    `raw` is a method, a path and a body, for what the SDK has no function for.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str | None] = field(default_factory=dict)
    raw: tuple[str, str, str | None] | None = None
    key: str = "free"
    max_retries: int = 0
    times: int = 1
    together: int = 1


@dataclass(frozen=True)
class Case:
    """A documented error. `then` is what the sandbox's `vendor` does to it, `should_retry` the header's text."""

    name: str
    code: ErrorCode
    call: Call
    param: str | None = None
    should_retry: str | None = None
    vendor: str = "replicate"
    then: Mapping[str, Any] | None = None

    @property
    def sdk_class(self) -> str:
        """The SDK's class of error; the status decides."""
        return _CLASSES[status_of(self.code)]


def _bad(name: str, code: ErrorCode, param: str, **fields: Any) -> Case:
    return Case(name, code, Call(fields), param)


def _body(name: str, code: ErrorCode, body: str, param: str | None = None, **headers: str) -> Case:
    headers = {"content-type": "application/json"} | {key.replace("_", "-"): text for key, text in headers.items()}
    return Case(name, code, Call(raw=("post", "/images/generations", body), headers=headers), param)


def _key(name: str, code: ErrorCode, authorization: str | None, times: int = 1) -> Case:
    again = "true" if code is ErrorCode.TOO_MANY_ATTEMPTS else None
    return Case(name, code, Call(headers={"authorization": authorization}, times=times), should_retry=again)


def _vendor(code: ErrorCode, model: str, vendor: str, should_retry: str = "false", **then: Any) -> Case:
    name = " ".join([code, *(str(value) for value in then.values() if isinstance(value, str))])
    param = "prompt" if code is ErrorCode.CONTENT_POLICY_VIOLATION else None
    return Case(name, code, Call({"model": model}), param, should_retry, vendor, then)


CASES = (
    _bad("an empty prompt", ErrorCode.INVALID_VALUE, "prompt", prompt=""),
    _bad("no prompt", ErrorCode.MISSING_PARAMETER, "prompt", prompt=None),
    _bad("no model", ErrorCode.MISSING_PARAMETER, "model", model=None),
    _bad("n too large", ErrorCode.INVALID_VALUE, "n", n=11),
    _bad("n not whole", ErrorCode.INVALID_VALUE, "n", n=1.5),
    _bad("an odd size", ErrorCode.INVALID_VALUE, "size", size="640x480"),
    _bad("a wrong response_format", ErrorCode.INVALID_VALUE, "response_format", response_format="gif"),
    _bad("a long user", ErrorCode.INVALID_VALUE, "user", user="u" * 257),
    _bad("a wrong quality", ErrorCode.INVALID_VALUE, "quality", quality="superb"),
    _bad("a field of nobody's", ErrorCode.UNKNOWN_PARAMETER, "wings", wings=2),
    _bad("an option of nobody's", ErrorCode.UNKNOWN_PARAMETER, "provider_options.wings", provider_options={"wings": 2}),
    _bad("glass", ErrorCode.UNSUPPORTED_PARAMETER, "background", background="transparent"),
    _bad("a file of another kind", ErrorCode.UNSUPPORTED_PARAMETER, "output_format", output_format="svg"),
    _bad("an unknown model", ErrorCode.MODEL_NOT_FOUND, "model", model="dall-e-9"),
    _body("no JSON", ErrorCode.INVALID_JSON, '{"model": '),
    _body("not as JSON", ErrorCode.INVALID_JSON, "{}", "content-type", content_type="text/plain"),
    _body("a field twice", ErrorCode.DUPLICATE_KEY, '{"n": 1, "n": 2}', "n"),
    _body("much too much", ErrorCode.REQUEST_TOO_LARGE, " " * 70_000),
    _body("compressed", ErrorCode.UNSUPPORTED_ENCODING, "{}", content_encoding="gzip"),
    Case("nothing there", ErrorCode.NOT_FOUND, Call(raw=("get", "/nothing", None))),
    Case("no such model", ErrorCode.MODEL_NOT_FOUND, Call(raw=("get", "/models/none", None))),
    Case("another method", ErrorCode.METHOD_NOT_ALLOWED, Call(raw=("get", "/images/generations", None))),
    _key("no key", ErrorCode.MISSING_API_KEY, None),
    _key("a wrong key", ErrorCode.INVALID_API_KEY, "Bearer sk-wrong"),
    _key("many wrong keys", ErrorCode.TOO_MANY_ATTEMPTS, "Bearer sk-wrong", times=21),  # 20 are let pass
    Case(
        "a second request",
        ErrorCode.RATE_LIMIT_REQUESTS,
        Call(key="one request a minute", times=2),
        should_retry="true",
    ),
    Case("n over the limit", ErrorCode.N_EXCEEDS_LIMIT, Call({"n": 3}, key="two images a minute"), "n"),
    Case(
        "a third image",
        ErrorCode.RATE_LIMIT_IMAGES,
        Call({"n": 2}, key="two images a minute", times=2),
        should_retry="true",
    ),
    Case("no money", ErrorCode.INSUFFICIENT_QUOTA, Call(key="one image a day", times=2), should_retry="false"),
    Case(
        "two at once",
        ErrorCode.CONCURRENCY_LIMIT,
        Call(key="one at a time", together=2),
        should_retry="true",
        then={"latency_s": 2.0},
    ),
    _vendor(ErrorCode.CONTENT_POLICY_VIOLATION, "flux-schnell", "replicate", refuse="nsfw"),
    _vendor(ErrorCode.CONTENT_POLICY_VIOLATION, "dall-e-3", "openai", error="openai.moderation_blocked"),
    _vendor(ErrorCode.CONTENT_POLICY_VIOLATION, "ideogram-v3", "ideogram", error="ideogram.safety_422"),
    _vendor(ErrorCode.CONTENT_POLICY_VIOLATION, "imagen-3", "vertex", refuse="block_reason"),
    _vendor(ErrorCode.UPSTREAM_RATE_LIMITED, "hasty", "replicate", "true", error="replicate.throttled_429"),
    _vendor(ErrorCode.UPSTREAM_ERROR, "dall-e-3", "openai", error="openai.server_500"),
    _vendor(ErrorCode.UPSTREAM_ERROR, "flux-schnell", "replicate", wire="reset_after_read"),
    _vendor(ErrorCode.UPSTREAM_REJECTED_REQUEST, "flux-schnell", "replicate", error="replicate.input_422"),
    _vendor(ErrorCode.UPSTREAM_OVERLOADED, "imagen-3", "vertex", "true", error="vertex.unavailable_503"),
    _vendor(ErrorCode.UPSTREAM_TIMEOUT, "flux-schnell", "replicate", error="replicate.timeout_504"),
    _vendor(ErrorCode.UPSTREAM_AUTH_FAILED, "ideogram-v3", "ideogram", error="ideogram.unauthorized_401"),
    _vendor(ErrorCode.UPSTREAM_BILLING, "flux-schnell", "replicate", error="replicate.no_credit_402"),
    _vendor(ErrorCode.UPSTREAM_MODEL_UNAVAILABLE, "dall-e-3", "openai", error="openai.dead_model"),
    _vendor(ErrorCode.UPSTREAM_BAD_RESPONSE, "ideogram-v3", "ideogram", mangle="malformed_json"),
    Case("nobody at home", ErrorCode.UPSTREAM_UNREACHABLE, Call({"model": "nowhere"}), should_retry="true"),
)

OUT_OF_REACH: Mapping[ErrorCode, str] = {
    ErrorCode.DUPLICATE_HEADER: "fetch joins headers of one name",
    ErrorCode.REQUEST_TIMEOUT: "fetch sends a body in one go",
    ErrorCode.ASSET_STORE_UNAVAILABLE: "has a test of its own, since the store is broken for all",
    ErrorCode.INVALID_IDEMPOTENCY_KEY: "idempotency keys are not in force yet",
    ErrorCode.IDEMPOTENCY_IN_PROGRESS: "idempotency keys are not in force yet",
    ErrorCode.IDEMPOTENCY_KEY_REUSED: "idempotency keys are not in force yet",
    ErrorCode.IDEMPOTENCY_UNAVAILABLE: "idempotency keys are not in force yet",
    ErrorCode.GATEWAY_OVERLOADED: "needs a Redis that is away",
    ErrorCode.GATEWAY_DRAINING: "what is running is finished, and a new connection refused",
    ErrorCode.UPSTREAM_OUTCOME_UNKNOWN: "a lost reply is an upstream_error until it can be looked up",
    ErrorCode.INTERNAL_ERROR: "a bug, by its meaning",
}
"""Codes that no call of an SDK leads to, and why."""
