"""What makes two requests the same: of one key, with one body. And how a client names a request itself."""

import hashlib
from dataclasses import replace

import msgspec

from gateway.domain.errors import ErrorCode, RequestError
from gateway.domain.job import Job

__all__ = ["fingerprint", "idempotency_hash", "is_sdk_retry", "prompt_hash", "without_secrets"]

_encoder = msgspec.json.Encoder(order="sorted")  # so that the order of a job's fields in the code is no part of it
_LONGEST_KEY = 255  # the IETF draft sets no bound; Stripe's is 255


def fingerprint(key_id: str, job: Job) -> str:
    """The same for every request of this API key that asks for the same (64 hex digits).

    Whether a short batch would do is no part of it: that may be asked for once it is known to be short. Nor is by
    whom it is served, or how long its client waits.
    """
    if job.partial_allowed or job.via or job.patience_s is not None:  # most say nothing of it
        job = replace(job, partial_allowed=False, via=(), patience_s=None)
    return _digest(key_id, _encoder.encode(job))


def prompt_hash(prompt: str) -> str:
    """What the journal keeps of a prompt (64 hex digits)."""
    return hashlib.sha256(prompt.encode()).hexdigest()


def idempotency_hash(key_id: str, header: str | None) -> str:
    """The name of a client's Idempotency-Key among those of its API key; empty where there is none.

    The header is a quoted string, as the IETF draft has it, or bare: 1 to 255 visible ASCII characters. Raises
    RequestError (400) for anything else.
    """
    if header is None:
        return ""
    key = header.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not 1 <= len(key) <= _LONGEST_KEY or not all("!" <= character <= "~" for character in key):
        raise RequestError(
            ErrorCode.INVALID_IDEMPOTENCY_KEY,
            f"The Idempotency-Key header takes 1 to {_LONGEST_KEY} visible ASCII characters.",
        )
    return _digest(key_id, key.encode())


def is_sdk_retry(header: str | None) -> bool:
    """Whether `x-stainless-retry-count` says that an SDK sends this request again by itself."""
    return header is not None and header.isascii() and header.isdecimal() and int(header[:6]) > 0


def without_secrets(job: Job) -> Job:
    """The job as the journal keeps it: what the caller wrote is left out."""
    return replace(job, prompt="", user=None, options={})


def _digest(key_id: str, what: bytes) -> str:
    return hashlib.sha256(key_id.encode() + b"\x00" + what).hexdigest()
