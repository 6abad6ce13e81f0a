"""Secrets that no process of the suite may ever say, and the search for them in whatever disguise."""

import base64
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

__all__ = ["forms", "hits", "leaks"]

_CONFIG = Path(__file__).resolve().parent.parent / "config"
_CLIENT_KEY = re.compile(r"sk-samurai-[0-9A-Za-z]{36}")
"""Any key of ours, whichever test made it."""
_SAID_ON_PURPOSE = re.compile(r"^(?:Demo key, good for the sandbox alone: |curl |client = OpenAI\().*$", re.MULTILINE)
"""How a gateway greets whoever runs the sandbox: the one place where a key, the demo's, is told."""


def _given() -> Iterator[tuple[str, str]]:
    """What every gateway of the suite is given, and nearly every request that it is sent."""
    for token in sorted((_CONFIG / "sandbox").glob("*.token")):
        yield token.stem, token.read_text().strip()
    for number, key in enumerate(_CLIENT_KEY.findall((_CONFIG / "sandbox.yaml").read_text())):
        yield f"client key {number}", key
    yield "prompt", "a lighthouse"


GIVEN: Mapping[str, str] = MappingProxyType(dict(_given()))


def leaks(text: str) -> set[str]:
    """What a process has said that it was only given: the names of those secrets."""
    said = _SAID_ON_PURPOSE.sub("", text)
    return hits(said, GIVEN) | ({"a client key"} if _CLIENT_KEY.search(said) else set())


def hits(text: str, canaries: Mapping[str, str]) -> set[str]:
    """The canaries that `text` holds, as they are, in base64, in hex, or as a URL would spell them."""
    return {name for name, canary in canaries.items() if any(form in text for form in forms(canary))}


def forms(canary: str) -> Iterator[str]:
    """The canary as it may stand in a text."""
    yield canary
    yield quote(canary)
    yield canary.encode().hex()
    for shift in range(3):  # wherever it stands in what was encoded
        encoded = base64.b64encode(b"\0" * shift + canary.encode()).decode().rstrip("=")
        yield encoded[4 if shift else 0 : -2]
