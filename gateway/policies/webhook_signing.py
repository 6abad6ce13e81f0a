"""How calls to a webhook are signed and judged, in both directions: the form that standardwebhooks.com describes.

The signature is HMAC-SHA256 over `id.timestamp.body`, in base64 behind `v1,`. The key is the base64 behind `whsec_`.
"""

import binascii
import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Literal

__all__ = ["Objection", "key_of", "objection_to", "signed_headers"]

Objection = Literal["malformed", "stale", "signature"]

TOLERANCE_S = 300  # the specification's example, and what the vendors' own libraries take
_PREFIX = "whsec_"
_LEAST_KEY_BYTES, _MOST_KEY_BYTES = 24, 64  # the specification's bounds for secrets that are made
_ID = re.compile(r"[!-~]{1,256}", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)
_MOST_SIGNATURES = 10


def key_of(secret: str, *, least_bytes: int = _LEAST_KEY_BYTES) -> bytes | None:
    """The key in a secret such as `whsec_…`; None for one that is no such secret, or too short or long."""
    try:
        key = b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if secret.startswith(_PREFIX) and least_bytes <= len(key) <= _MOST_KEY_BYTES else None


def signed_headers(key: bytes, message_id: str, now_s: float, body: bytes) -> dict[str, str]:
    """The three headers that go with a signed body."""
    seconds = str(int(now_s))
    return {
        "webhook-id": message_id,
        "webhook-timestamp": seconds,
        "webhook-signature": f"v1,{_signature(key, message_id, seconds, body)}",
    }


def objection_to(headers: Mapping[str, str], body: bytes, now_s: float, key: bytes | None) -> Objection | None:
    """Why a call is not believed, None for a genuine one. Without a `key`, only what can be told without it."""
    message_id, seconds = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    given = headers.get("webhook-signature", "").split(" ")
    if not (_ID.fullmatch(message_id) and _SECONDS.fullmatch(seconds) and given[0] and len(given) <= _MOST_SIGNATURES):
        return "malformed"
    if abs(int(seconds) - now_s) > TOLERANCE_S:
        return "stale"
    if key is None:
        return None
    wanted = f"v1,{_signature(key, message_id, seconds, body)}".encode()
    matches = [hmac.compare_digest(one.encode("utf-8", "replace"), wanted) for one in given]
    return None if any(matches) else "signature"


def _signature(key: bytes, message_id: str, seconds: str, body: bytes) -> str:
    return b64encode(hmac.digest(key, f"{message_id}.{seconds}.".encode() + body, "sha256")).decode()
