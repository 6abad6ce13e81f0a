"""Names of stored images: unguessable, and carrying the hour they were made, so that old ones are found cheaply."""

import base64
import re
from datetime import UTC, datetime

__all__ = ["RANDOM_BYTES", "hour_of", "new_asset_id", "valid_asset_id"]

RANDOM_BYTES = 20
"""Bytes of chance in an id: 160 bits, a multiple of five so that base32 needs no padding; 128 is the least."""

_FORM = re.compile(r"([0-9]{10})-[a-z2-7]{26,64}")
_HOUR = "%Y%m%d%H"


def new_asset_id(now: float, random_bytes: bytes) -> str:
    """`2026013107-…`: the UTC hour of `now` (seconds since the epoch), then `random_bytes` as lower-case base32.

    Case carries no meaning, since some file systems ignore it. Raises ValueError for fewer than 16 random bytes.
    """
    if not 16 <= len(random_bytes) <= 40:
        raise ValueError("an asset id takes 16 to 40 random bytes")
    chance = base64.b32encode(random_bytes).decode().rstrip("=").lower()
    return f"{datetime.fromtimestamp(now, UTC):{_HOUR}}-{chance}"


def valid_asset_id(text: str) -> bool:
    """Whether `text` has an id's exact form. What passes holds no dot and no slash, so it is safe in a path."""
    match = _FORM.fullmatch(text)
    return match is not None and hour_of(match[1]) is not None


def hour_of(digits: str) -> datetime | None:
    """The hour that the ten digits at an id's front stand for, as its first moment; None for any other text."""
    if len(digits) != 10 or not (digits.isascii() and digits.isdigit()):
        return None
    try:
        return datetime.strptime(digits, _HOUR).replace(tzinfo=UTC)
    except ValueError:
        return None
