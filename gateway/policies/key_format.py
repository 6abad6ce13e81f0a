"""What a key looks like: `sk-samurai-`, 30 random base62 characters, and 6 that check them.

The checksum finds a typo, and a leaked key in a repository, without asking anybody. A key may also be any other
opaque string: then only its hash counts.
"""

from hashlib import sha256
from string import ascii_letters, digits
from zlib import crc32

__all__ = ["PREFIX", "RANDOM_BYTES", "digest", "looks_mistyped", "new_key"]

PREFIX = "sk-samurai-"
RANDOM_BYTES = 32
"""How many random bytes make a key: 256 bits for 178.6 used, so that reducing them favours no character."""

_ALPHABET = digits + ascii_letters
_CHARACTERS = frozenset(_ALPHABET)
_BODY_LENGTH = 30  # 178 bits, as in GitHub's token format (github.blog, 2021-04-05)
_CHECK_LENGTH = 6  # 62^6 > 2^32


def new_key(random_bytes: bytes) -> str:
    """The key that these random bytes make; the same bytes make the same key. Raises ValueError for too few."""
    if len(random_bytes) < RANDOM_BYTES:
        raise ValueError(f"a key takes {RANDOM_BYTES} random bytes, not {len(random_bytes)}")
    body = PREFIX + _base62(int.from_bytes(random_bytes), _BODY_LENGTH)
    return body + _checksum(body)


def looks_mistyped(secret: str) -> bool:
    """Whether `secret` has our prefix but not our length, alphabet and checksum. No other string looks mistyped."""
    if not secret.startswith(PREFIX):
        return False
    body, check = secret[:-_CHECK_LENGTH], secret[-_CHECK_LENGTH:]
    characters = secret[len(PREFIX) :]
    if len(characters) != _BODY_LENGTH + _CHECK_LENGTH or not _CHARACTERS.issuperset(characters):
        return True
    return check != _checksum(body)


def digest(secret: str) -> str:
    """SHA-256 of a key in lower-case hex. Keys have high entropy, so a slow hash would only help an attacker."""
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _checksum(body: str) -> str:
    return _base62(crc32(body.encode("ascii")), _CHECK_LENGTH)


def _base62(number: int, length: int) -> str:
    characters = ""
    for _ in range(length):
        number, digit = divmod(number, 62)
        characters = _ALPHABET[digit] + characters
    return characters
