"""The published schema of the request: the validating type's own, and what only this deployment knows.

What validation accepts, the schema accepts, and the other way round, but for what JSON Schema cannot say: lone
surrogates, doubled names, the size and depth of the body, and which models a key may use.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, TypeVar

import msgspec

from gateway.domain.catalogue import Capabilities, Catalogue, Target
from gateway.steps.request_shape import OPTION_KINDS, ImageRequest

__all__ = ["request_schemas"]

Schema = dict[str, Any]
Key = TypeVar("Key")

_REFERENCE = "#/components/schemas/{name}"
_JPEG_OR_WEBP = {"required": ["output_format"], "properties": {"output_format": {"enum": ["jpeg", "webp"]}}}
_COMPRESSED = {
    "required": ["output_compression"],
    "properties": {"output_compression": {"type": "integer", "maximum": 99}},
}
_TRANSPARENT = {"required": ["background"], "properties": {"background": {"const": "transparent"}}}
_NOT_JPEG = {"enum": ["png", "webp", None]}


def request_schemas(catalogue: Catalogue, capabilities_of: Callable[[Target], Capabilities]) -> dict[str, Schema]:
    """Components by name: `ImageRequest` and the types that it is made of."""
    _, components = msgspec.json.schema_components((ImageRequest,), ref_template=_REFERENCE)
    schema = components["ImageRequest"]
    fields = schema["properties"]
    _name_the_models(schema, catalogue)
    fields["prompt"]["maxLength"] = max((route.prompt_limit for route in catalogue.routes.values()), default=1)
    fields["size"]["enum"] = ["auto", *map(str, catalogue.sizes)]
    fields["provider_options"] = _options(fields["provider_options"], catalogue)
    glass = [
        name
        for name, route in catalogue.routes.items()
        if any(capabilities_of(target).transparent for target in route.targets)
    ]
    if not glass:
        fields["background"]["enum"].remove("transparent")
    schema["properties"] = {
        name: field if name in schema["required"] else _or_null(field) for name, field in fields.items()
    }
    schema["additionalProperties"] = catalogue.ignore_unknown_fields
    schema["allOf"] = [
        {"if": _COMPRESSED, "then": _JPEG_OR_WEBP},
        *_transparency(glass, catalogue),
        *_shorter_prompts(fields["prompt"]["maxLength"], catalogue),
        *_fewer_options(catalogue),
    ]
    return components


def _name_the_models(schema: Schema, catalogue: Catalogue) -> None:
    model = schema["properties"]["model"]
    model["enum"] = list(catalogue.routes)
    if catalogue.default_model is not None:
        model["default"] = catalogue.default_model
        schema["required"] = [name for name in schema["required"] if name != "model"]


def _or_null(schema: Schema) -> Schema:
    """The same, or null, which is the same as absent."""
    if schema.get("default", "") is None:
        schema = {name: value for name, value in schema.items() if name != "default"}
    if "enum" in schema:
        kind = {"type": [schema["type"], "null"]} if "type" in schema else {}
        return schema | kind | {"enum": [*schema["enum"], None]}
    if "type" in schema:
        return schema | {"type": [schema["type"], "null"]}
    return schema


def _options(schema: Schema, catalogue: Catalogue) -> Schema:
    """Every option that some model takes; which model takes which is a condition of its own."""
    allowed = dict.fromkeys(chain.from_iterable(route.provider_options for route in catalogue.routes.values()))
    any_value = schema["additionalProperties"]
    own = {name: _or_null(msgspec.json.schema(kind)) for name, kind in OPTION_KINDS.items()}
    return schema | {
        "properties": {name: own.get(name, any_value) for name in allowed},
        "additionalProperties": False,
    }


def _when_model(names: Sequence[str], catalogue: Catalogue) -> Schema:
    """The condition that one of these models serves, by name or as the default."""
    if catalogue.default_model in names:
        return {"properties": {"model": {"enum": [*names, None]}}}
    return {"required": ["model"], "properties": {"model": {"enum": list(names)}}}


def _transparency(glass: Sequence[str], catalogue: Catalogue) -> list[Schema]:
    if not glass:
        return []
    able = _when_model(glass, catalogue)
    then = able | {"properties": able["properties"] | {"output_format": _NOT_JPEG}}
    return [{"if": _TRANSPARENT, "then": then}]


def _shorter_prompts(longest: int, catalogue: Catalogue) -> list[Schema]:
    return [
        {"if": _when_model(names, catalogue), "then": {"properties": {"prompt": {"maxLength": limit}}}}
        for limit, names in _grouped({name: route.prompt_limit for name, route in catalogue.routes.items()}).items()
        if limit < longest
    ]


def _fewer_options(catalogue: Catalogue) -> list[Schema]:
    every = {option for route in catalogue.routes.values() for option in route.provider_options}
    return [
        {
            "if": _when_model(names, catalogue),
            "then": {"properties": {"provider_options": _only(options)}},
        }
        for options, names in _grouped(
            {name: route.provider_options for name, route in catalogue.routes.items()}
        ).items()
        if set(options) != every
    ]


def _only(options: Sequence[str]) -> Schema:
    return {"propertyNames": {"enum": list(options)}} if options else {"maxProperties": 0}


def _grouped(by_model: Mapping[str, Key]) -> dict[Key, list[str]]:
    groups: dict[Key, list[str]] = {}
    for name, key in by_model.items():
        groups.setdefault(key, []).append(name)
    return groups
