"""The configuration's JSON Schema, made from the shape, for editors and for checks before a roll-out."""

import sys
from typing import Any

import msgspec
import orjson

from gateway.settings.shape import Document

__all__ = ["schema", "schema_text"]

_ONE_OF_TWO = {"minProperties": 1, "maxProperties": 1}
_GOOGLE_ACCOUNT = {
    "if": {"properties": {"vendor": {"const": "vertex"}}, "required": ["vendor"]},
    "then": {"required": ["project"], "properties": {"api_key": {"type": "null"}}},
    "else": {
        "required": ["api_key"],
        "properties": {
            "api_key": {"not": {"type": "null"}},
            "project": {"type": "null"},
            "location": {"type": "null"},
            "credentials": {"type": "null"},
        },
    },
}
_REFINEMENTS = {"SecretRef": _ONE_OF_TWO, "GoogleCredentialRef": _ONE_OF_TWO, "Account": _GOOGLE_ACCOUNT}


def schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of a configuration file, with what msgspec cannot say added."""
    generated = msgspec.json.schema(Document)
    for name, refinement in _REFINEMENTS.items():
        generated["$defs"][name] |= refinement
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Samurai Gateway configuration",
        **generated,
    }


def schema_text() -> str:
    """The schema as it is published, in config/schema.json."""
    return orjson.dumps(schema(), option=orjson.OPT_INDENT_2).decode() + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text())
