"""The vendors' published schemas, closed: a field that they do not have is an error.

The documents are the vendors' own and not part of this repository; where they are absent, tests that need them are
skipped. Beside them stand closed schemas of ours for what the vendors publish openly or not at all.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

__all__ = [
    "IMAGEN_REPLY",
    "OPENAI_ERROR",
    "OPENAI_MODEL",
    "V2_GENERATION",
    "V2_QUOTE",
    "V2_REPLY",
    "check",
    "openapi",
    "vertex",
]

_SPECS = Path(__file__).parents[3] / "shared" / "vendors" / "specs"


def check(document: Any, schema: dict[str, Any]) -> None:
    """Fail with the first thing in which `document` differs from `schema`."""
    Draft202012Validator.check_schema(schema)
    faults = [f"{one.json_path}: {one.message[:300]}" for one in Draft202012Validator(schema).iter_errors(document)]
    if faults:
        raise AssertionError("; ".join(faults))


@cache
def _read(name: str) -> Any:
    path = _SPECS / name
    if not path.exists():
        pytest.skip(f"the vendor's own document {name} is not on this machine (../shared/vendors/specs)")
    return json.loads(path.read_text())


def openapi(name: str, schema: str) -> dict[str, Any]:
    """A named schema of an OpenAPI 3.0 document, closed."""
    closed: dict[str, Any] = _closed(_read(name), {"$ref": f"#/components/schemas/{schema}"})
    return closed


def vertex(schema: str) -> dict[str, Any]:
    """A named schema of Google's discovery document, closed."""
    schemas = _read("vertex.discovery.extract.json")["schemas"]
    closed: dict[str, Any] = _closed(
        {"components": {"schemas": schemas}}, {"$ref": f"#/GoogleCloudAiplatformV1{schema}"}
    )
    return closed


def _closed(document: Any, schema: Any) -> Any:
    """The schema with references resolved, nulls allowed where it says nullable, and unknown fields forbidden."""
    if isinstance(schema, list):
        return [_closed(document, item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _closed(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    kept = {key: value for key, value in schema.items() if key not in _WORDS}
    kept = {key: value if key in _VALUES else _closed(document, value) for key, value in kept.items()}
    if "oneOf" in kept:
        # Replicate's `version` is one of "a string" and "the string hidden": its own value fits both
        kept["anyOf"] = kept.pop("oneOf")
    if isinstance(kept.get("properties"), dict):
        kept["properties"] = {name: _closed(document, value) for name, value in schema["properties"].items()}
        kept.setdefault("additionalProperties", False)
    if kept.get("type") == "any":
        del kept["type"]
    if schema.get("nullable") is True and "type" in kept:
        kept["type"] = [kept["type"], "null"]
    return kept


_VALUES = ("enum", "required", "default", "properties", "type")
_WORDS = (
    *("description", "example", "examples", "nullable", "format", "id", "readOnly", "deprecated", "enumDescriptions"),
    *("title", "discriminator", "x-oaiMeta", "x-stainless-const", "enumDeprecated"),
)


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": required | (optional or {}),
        "required": list(required),
        "additionalProperties": False,
    }


_TEXT = {"type": "string"}
_NUMBER = {"type": "integer"}
_TEXT_OR_NULL = {"type": ["string", "null"]}

# OpenAI's error: its `Error` schema asks for all four
OPENAI_ERROR = _object(
    {"error": _object({"message": _TEXT, "type": _TEXT, "param": _TEXT_OR_NULL, "code": _TEXT_OR_NULL})}
)
# The published Model is older than the field `shutdown_date`, which the newest SDK has
OPENAI_MODEL = _object(
    {"id": _TEXT, "object": {"const": "model"}, "created": _NUMBER, "owned_by": _TEXT, "shutdown_date": _TEXT_OR_NULL}
)
_V2_ITEM = {
    "url": _TEXT_OR_NULL,
    "prompt": _TEXT,
    "resolution": {"type": "string", "pattern": r"^\d+x\d+$"},
    "seed": _NUMBER,
    "is_image_safe": {"type": "boolean"},
}
# Ideogram v2: developer.ideogram.ai, pages "Responses and Metadata", "Poll a generation" and "Price quotes"
V2_REPLY = _object(
    {"generation_id": _TEXT, "generation_kind": {"enum": ["sampling", "workflow"]}, "seed": _NUMBER},
    {"data": {"type": "array", "items": _object(_V2_ITEM)}},
)
V2_GENERATION = _object(
    {"generation_id": _TEXT, "status": {"enum": ["pending", "completed", "failed"]}, "created": _TEXT},
    {
        "failure_reason": _TEXT,
        "response_type": _TEXT,
        "data": {"type": "array", "items": _object(_V2_ITEM | {"object_type": _TEXT})},
    },
)
V2_QUOTE = _object(
    {
        "object": {"const": "price_quote"},
        "billing_identifier": _TEXT,
        "quantity": _NUMBER,
        "usd_micros": _NUMBER,
        "credit_millis": _NUMBER,
        "qualifier": {"enum": ["exact", "estimate"]},
    }
)
# Imagen's predictions: Google's SDK test data; the discovery document leaves them open
IMAGEN_REPLY = _object(
    {},
    {
        "predictions": {
            "type": "array",
            "items": {
                "anyOf": [
                    _object({"mimeType": _TEXT, "bytesBase64Encoded": _TEXT}, {"prompt": _TEXT}),
                    _object({"mimeType": _TEXT, "gcsUri": _TEXT}),
                    _object({"raiFilteredReason": _TEXT}),
                    _object({"safetyAttributes": {"type": "object"}, "contentType": _TEXT}),
                ]
            },
        }
    },
)
