"""What must never be read in a log: keys, tokens, signatures, images, and prompts unless they were asked for."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

__all__ = ["Redaction"]

_DEPTH = 6
_WORD = 1 << 63  # JSON writers refuse longer numbers
_KEPT_CHARACTERS = 4000
_SHORTEST_SECRET = 4
_SHORTEST_MATCH = 7  # of the patterns below: `token=` and one more
_MOST_NAMES = 512
_PLAIN = (bool, float)
_PATTERNS = (
    r"\bsk-[A-Za-z0-9_-]{6,}",  # ours and OpenAI's
    r"\br8_[A-Za-z0-9]{6,}",  # Replicate's
    r"\bAIza[A-Za-z0-9_-]{20,}",  # Google's API keys
    r"\bya29\.[A-Za-z0-9._-]{10,}",  # Google's access tokens
    r"\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?",  # JSON web tokens
    r"(?i:\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{6,}",
    r"(?i:\b(?:signature|token|api[_-]?key|x-amz-signature|x-goog-signature)=)[^&\s\"']+",
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    r"[A-Za-z0-9+/_-]{128,}={0,2}",  # base64; hashes and ids are shorter
)


class Redaction:
    """Makes a log event safe to write. `secrets` are exact texts to hide wherever they occur."""

    def __init__(self, secrets: Iterable[str] = (), *, prompts: bool = False) -> None:
        known = [secret for secret in secrets if len(secret) >= _SHORTEST_SECRET]
        exact = sorted(map(re.escape, known), key=len, reverse=True)
        self._hidden = re.compile("|".join([*exact, *_PATTERNS]), re.DOTALL)
        self._shortest = min((_SHORTEST_MATCH, *map(len, known)))
        self._prompts = prompts
        self._name = lru_cache(_MOST_NAMES)(self.text)  # of a member: mostly the words that our own code uses

    def __call__(self, _logger: object, _method: str, event: Mapping[str, Any]) -> dict[str, Any]:
        """Redact a structlog event: a processor."""
        return {
            self._name(name): self._value(value, _DEPTH)
            for name, value in event.items()
            if self._prompts or not name.endswith("prompt")
        }

    def text(self, text: str) -> str:
        """`text` without secrets, in valid Unicode, and not longer than a few thousand characters."""
        hidden = text if len(text) < self._shortest else self._hidden.sub("[redacted]", text)
        if not hidden.isascii():
            hidden = hidden.encode("utf-8", "backslashreplace").decode("utf-8")
        if len(hidden) > _KEPT_CHARACTERS:
            hidden = f"{hidden[:_KEPT_CHARACTERS]}… ({len(hidden)} characters)"
        return hidden

    def _mapping(self, event: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        return {
            self.text(str(key)): self._value(value, depth)
            for key, value in event.items()
            if self._prompts or not str(key).endswith("prompt")
        }

    def _value(self, value: object, depth: int) -> Any:
        if isinstance(value, str):  # the most frequent first: this is done for every word of every request's line
            return self.text(value)
        if value is None or isinstance(value, _PLAIN) or (isinstance(value, int) and abs(value) < _WORD):
            return value
        if isinstance(value, bytes | bytearray | memoryview):
            return f"<{len(value)} bytes>"
        if depth > 0 and isinstance(value, Mapping):
            return self._mapping(value, depth - 1)
        if depth > 0 and isinstance(value, list | tuple | set | frozenset):
            return [self._value(item, depth - 1) for item in value]
        return self.text(repr(value))
