"""JSON Schema for the vendors' wire formats: our own closed schemas, and the vendors' published documents.

The published documents belong to the vendors and are not part of this repository; where they lie beside it they are
used too: made closed for what we send, so that a member which the document does not name is an error, and as they
are for replies, since the services say more than their documents.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

__all__ = ["PUBLISHED", "RECORDED", "check", "check_published", "needs_shared", "published_input"]

_SCHEMAS = Path(__file__).parent / "schemas"
_SHARED = Path(__file__).parents[3] / "shared" / "vendors"
PUBLISHED = _SHARED / "specs"
RECORDED = _SHARED / "recorded"

needs_shared = pytest.mark.skipif(
    not PUBLISHED.is_dir(),
    reason="the vendors' own documents (../shared/vendors) are not here; only our schemas are used",
)


def check(name: str, instance: Any) -> None:
    """Validate against our closed schema `name`, for example `ideogram_v3.request`."""
    _validator(name).validate(instance)


def check_published(document: str, component: str, instance: Any, *, closed: bool = True) -> None:
    """Validate against a component of a vendor's published document."""
    _published(document, component, closed=closed).validate(instance)


def published_input(model: str) -> str:
    """The document that holds the input schema of a Replicate model."""
    return f"replicate-model-{model.replace('/', '--')}.json"


@cache
def _validator(name: str) -> Any:
    schema = json.loads((_SCHEMAS / f"{name}.json").read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@cache
def _published(document: str, component: str, *, closed: bool) -> Any:
    found = json.loads((PUBLISHED / document).read_text("utf-8"))
    if "latest_version" in found:
        found = found["latest_version"]["openapi_schema"]
    schemas = found["components"]["schemas"] if "components" in found else found["schemas"]
    definitions = {name: _of_today(schema, closed=closed) for name, schema in schemas.items()}
    return jsonschema.Draft202012Validator({"$ref": f"#/$defs/{component}", "$defs": definitions})


_KEPT = ("required", "enum", "minimum", "maximum", "pattern", "minItems", "maxItems", "minLength", "maxLength")


def _of_today(schema: Any, *, closed: bool) -> dict[str, Any]:
    """One schema of OpenAPI 3.0 or of Google's discovery format as JSON Schema of today."""
    if "$ref" in schema:
        return {"$ref": f"#/$defs/{schema['$ref'].rpartition('/')[2]}"}
    kept: dict[str, Any] = {word: schema[word] for word in _KEPT if word in schema}
    if schema.get("type", "any") != "any":
        kept["type"] = schema["type"]
    for word in ("allOf", "anyOf", "oneOf"):
        if word in schema:
            # Alternatives overlap in what these documents leave open.
            kept["anyOf" if word == "oneOf" else word] = [_of_today(each, closed=closed) for each in schema[word]]
    if "items" in schema:
        kept["items"] = _of_today(schema["items"], closed=closed)
    if "properties" in schema:
        kept["properties"] = {name: _of_today(each, closed=closed) for name, each in schema["properties"].items()}
        if closed:
            kept["additionalProperties"] = False
    elif isinstance(schema.get("additionalProperties"), dict):
        kept["additionalProperties"] = _of_today(schema["additionalProperties"], closed=closed)
    return {"anyOf": [kept, {"type": "null"}]} if schema.get("nullable") else kept
