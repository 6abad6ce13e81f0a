"""How a caller's own words may stand in our replies: short, escaped, and never a secret by accident."""

import json
from typing import Any

__all__ = ["is_encodable", "name_of", "seen"]

_NAME_LIMIT = 64
_VALUE_LIMIT = 48


def is_encodable(text: str) -> bool:
    """Whether the text has a UTF-8 form: JSON can spell lone surrogates, which have none."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def name_of(text: str) -> str:
    """A field's name as it may stand in a message or in `param`: at most 64 code points, all of them printable."""
    short = text if len(text) <= _NAME_LIMIT else text[: _NAME_LIMIT - 1] + "…"
    return short if short.isprintable() else ascii(short)[1:-1]


def seen(value: Any, *, private: bool = False) -> str:
    """What a JSON value was, for the end of a sentence: `got …`. A private text is only measured."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    if private and isinstance(value, str):
        return f"a string of {len(value)} code points"
    # ASCII output escapes line breaks and lone surrogates, which must reach neither a log nor an encoder.
    text = json.dumps(value)
    return text if len(text) <= _VALUE_LIMIT else f"{text[:_VALUE_LIMIT]}…"
