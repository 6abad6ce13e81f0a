"""Which answers are documented: statuses, codes, the envelope and the headers that go with them (contract §5)."""

import json
import re
from collections.abc import Mapping
from typing import Any

from gateway.domain.errors import ErrorCode, status_of, type_of

__all__ = ["problem_with", "problem_with_envelope", "problem_with_headers"]

_NO_HEADER = re.compile(r"[^ -~\x80-\xff]")
_SUCCESS = frozenset({200, 202})
_OF_FILES = frozenset({200, 206, 304, 416})


def problem_with(status: int, headers: Mapping[str, str], body: bytes, *, images: int | None = None) -> str:
    """What is not as documented about an answer; empty when all of it is. `images` is how many were asked for."""
    trouble = problem_with_headers(headers)
    if trouble:
        return trouble
    if "x-request-id" not in headers:
        return "no x-request-id"
    if status in _SUCCESS | _OF_FILES:
        return _problem_with_images(body, images) if images is not None and status == 200 else ""
    try:
        told = json.loads(body)
    except ValueError:
        return f"{status} with a body that is no JSON"
    return problem_with_envelope(status, headers, told)


def problem_with_envelope(status: int, headers: Mapping[str, str], told: Any) -> str:
    """What is not as documented about an error."""
    if (
        not isinstance(told, dict)
        or set(told) != {"error"}
        or set(told["error"]) != {"message", "type", "param", "code"}
    ):
        return f"{status} without the envelope"
    error = told["error"]
    if error["code"] not in set(ErrorCode):
        return f"a code that nobody knows: {error['code']}"
    code = ErrorCode(error["code"])
    if code is ErrorCode.INTERNAL_ERROR:
        return "internal_error"
    if (status, error["type"]) != (status_of(code), type_of(code).value):
        return f"{status} {error['type']} does not go with {code}"
    if not isinstance(error["message"], str) or not error["message"]:
        return "no message"
    if not (error["param"] is None or isinstance(error["param"], str)):
        return "a param that is no text"
    return _problem_with_waiting(status, headers)


def _problem_with_waiting(status: int, headers: Mapping[str, str]) -> str:
    if headers.get("x-should-retry") not in (None, "true", "false"):
        return "x-should-retry is neither true nor false"
    if status == 405 and "allow" not in headers:
        return "405 without allow"
    if status == 401 and headers.get("www-authenticate") != "Bearer":
        return "401 without www-authenticate"
    if status == 429 and not {"retry-after", "retry-after-ms"} <= set(headers):
        return "429 without a wait"
    waits = [headers[name] for name in ("retry-after", "retry-after-ms") if name in headers]
    return "" if all(wait.isdecimal() and int(wait) >= 1 for wait in waits) else f"no wait: {waits}"


def problem_with_headers(headers: Mapping[str, str]) -> str:
    """What no HTTP header may be."""
    for name, value in headers.items():
        if _NO_HEADER.search(name) or _NO_HEADER.search(value):
            return f"the header {name!r} has characters that no header may have"
    return ""


def _problem_with_images(body: bytes, images: int) -> str:
    try:
        told = json.loads(body)
    except ValueError:
        return "200 with a body that is no JSON"
    data = told.get("data") if isinstance(told, dict) else None
    if not isinstance(data, list) or not isinstance(told.get("created"), int):
        return "200 without created and data"
    if len(data) != images:
        return f"200 with {len(data)} images instead of {images}"
    whole = all(isinstance(one, dict) and ("url" in one) != ("b64_json" in one) for one in data)
    return "" if whole else "an image that is not one of url and b64_json"
