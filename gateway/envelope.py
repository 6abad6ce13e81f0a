"""The one form in which every refusal leaves the house: OpenAI's error envelope with our headers."""

from math import ceil

import orjson

from gateway.domain.errors import ErrorCode, RequestError

__all__ = ["error_reply"]

_RETRY_AT_ONCE_MS = 60_000  # the stock Node SDK ignores a longer Retry-After and tries again after half a second


def error_reply(error: RequestError, request_id: str) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, headers (lower-case names) and body of an ASGI response for `error`.

    A waiting time becomes `retry-after-ms` exactly and `retry-after` in whole seconds, rounded up. It also tells the
    SDKs to try again by themselves, unless it is over a minute.
    """
    headers = [
        (b"content-type", b"application/json"),
        (b"x-request-id", request_id.encode("ascii")),
    ]
    should_retry = error.should_retry
    if error.retry_after_ms is not None:
        wait_ms = max(1, error.retry_after_ms)
        headers.append((b"retry-after", str(ceil(wait_ms / 1000)).encode()))
        headers.append((b"retry-after-ms", str(wait_ms).encode()))
        if should_retry is None:
            should_retry = wait_ms <= _RETRY_AT_ONCE_MS
    if should_retry is not None:
        headers.append((b"x-should-retry", b"true" if should_retry else b"false"))
    if error.code is ErrorCode.MISSING_API_KEY or error.code is ErrorCode.INVALID_API_KEY:
        headers.append((b"www-authenticate", b"Bearer"))
    headers.extend((name.lower().encode("ascii"), value.encode("latin-1")) for name, value in error.headers.items())
    body = orjson.dumps(error.envelope())
    headers.append((b"content-length", str(len(body)).encode()))
    return error.status, headers, body
