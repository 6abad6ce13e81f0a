import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from gateway.documents.request_schema import request_schemas
from gateway.domain.caller import Caller
from gateway.domain.catalogue import Catalogue
from gateway.domain.errors import RequestError
from gateway.steps.read_body import read_body
from gateway.steps.request_shape import KINDS
from tests.documents.deployments import EVERY, USUAL, WITH_DEFAULT, capabilities_of


def validator_of(catalogue: Catalogue) -> Draft202012Validator:
    schemas = request_schemas(catalogue, capabilities_of)
    root = {"$ref": "#/components/schemas/ImageRequest", "components": {"schemas": schemas}}
    Draft202012Validator.check_schema(schemas["ImageRequest"])
    return Draft202012Validator(root)


VALIDATORS = [(catalogue, validator_of(catalogue)) for catalogue in EVERY]


def is_taken(fields: dict[str, Any], catalogue: Catalogue) -> bool:
    try:
        read_body(json.dumps(fields).encode(), {}, Caller("key"), catalogue, capabilities_of)
    except RequestError:
        return False
    return True


# No lone surrogates, no infinities: JSON Schema cannot speak of them. test_read_body does.
TEXT = st.text(max_size=50)
ODD = (
    st.none()
    | st.booleans()
    | st.integers(-2, 110)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
    | st.lists(TEXT, max_size=2)
    | st.dictionaries(TEXT, TEXT, max_size=2)
)
LONG = st.sampled_from(["x" * length for length in (40, 41, 256, 257, 1000, 1001)] + ["🦊" * 41, " \u2003", "\ufeff"])
NUMBERS = st.sampled_from([0, 1, 1.0, 2, 3, 4, 10, 11, 16, 17, 50, 99, 100, 101, -0.0, 1.5])
OPTIONS = st.dictionaries(
    st.sampled_from(["seed", "style_type", "cfg"]),
    st.sampled_from([None, 0, 7, 7.0, -1, 2**31 - 1, 2**31, 2**53, 1e300, True, "x", "x" * 1001]) | ODD,
    max_size=2,
)
SVG = st.fixed_dictionaries(
    {},
    optional={"model": ODD, "reasoning": st.none() | st.dictionaries(st.sampled_from(["effort", "x"]), ODD), "y": ODD},
)
WORDS = {
    "model": ["flux-schnell", "flux-1.1-pro", "dall-e-3", "gpt-image-2"],
    "prompt": ["a fox"],
    "size": ["auto", "256x256", "512x512", "1024x1024", "1536x1024"],
    "response_format": ["url", "b64_json"],
    "quality": ["auto", "low", "medium", "high", "xhigh", "max", "standard", "hd"],
    "style": ["vivid", "natural"],
    "moderation": ["auto", "low"],
    "output_format": ["png", "jpeg", "webp", "gif", "svg"],
    "background": ["auto", "opaque", "transparent"],
    "complexity": ["low", "medium", "high"],
}


def values_of(name: str) -> st.SearchStrategy[Any]:
    """Mostly what the field is made for, so that whole bodies are good often enough."""
    if name in WORDS:
        usual: st.SearchStrategy[Any] = st.sampled_from(WORDS[name])
    elif name == "provider_options":
        usual = OPTIONS
    elif name == "svg":
        usual = SVG
    elif name == "stream":
        usual = st.booleans()
    else:
        usual = NUMBERS if name not in ("user", "safety_identifier") else TEXT
    return st.one_of(usual, usual, usual, usual, st.none(), LONG, ODD)


BODIES = st.builds(
    dict.__or__,
    st.fixed_dictionaries({"model": st.sampled_from(WORDS["model"]), "prompt": st.just("a fox")}),
    st.dictionaries(st.sampled_from([*KINDS, "other"]), st.none(), max_size=4).flatmap(
        lambda chosen: st.fixed_dictionaries({name: values_of(name) for name in chosen})
    ),
)


@settings(max_examples=600, deadline=None)
@given(BODIES, st.sampled_from(VALIDATORS), st.sets(st.sampled_from(["model", "prompt"]), max_size=1))
def test_the_schema_accepts_what_validation_accepts_and_nothing_else(
    fields: dict[str, Any], deployment: tuple[Catalogue, Draft202012Validator], without: set[str]
) -> None:
    catalogue, validator = deployment
    sent = {name: value for name, value in fields.items() if name not in without}
    assert validator.is_valid(sent) == is_taken(sent, catalogue)


@pytest.mark.parametrize("name", list(KINDS))
@pytest.mark.parametrize(("catalogue", "validator"), VALIDATORS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_schema_and_validation_agree_field_by_field(
    name: str, catalogue: Catalogue, validator: Draft202012Validator, data: st.DataObject
) -> None:
    fields = {"model": "flux-schnell", "prompt": "a fox"} | {name: data.draw(values_of(name))}
    assert validator.is_valid(fields) == is_taken(fields, catalogue)


@pytest.mark.parametrize(
    ("catalogue", "fields", "taken"),
    [
        (USUAL, {"model": "flux-schnell", "output_compression": 99}, False),
        (USUAL, {"model": "flux-schnell", "output_compression": 99, "output_format": None}, False),
        (USUAL, {"model": "flux-schnell", "output_compression": 99, "output_format": "webp"}, True),
        (USUAL, {"model": "flux-schnell", "background": "transparent"}, False),
        (USUAL, {"model": "dall-e-3", "background": "transparent"}, True),
        (USUAL, {"model": "dall-e-3", "background": "transparent", "output_format": "jpeg"}, False),
        (USUAL, {"model": "flux-schnell", "provider_options": {"style_type": "x"}}, False),
        (USUAL, {"model": "dall-e-3", "provider_options": {"style_type": "x"}}, True),
        (USUAL, {"model": "flux-1.1-pro", "provider_options": {}}, True),
        (USUAL, {"model": "flux-1.1-pro", "provider_options": {"seed": 1}}, False),
        (USUAL, {"model": "flux-1.1-pro", "prompt": "x" * 41}, False),
        (USUAL, {"model": "flux-schnell", "prompt": "x" * 41}, True),
        (WITH_DEFAULT, {"prompt": "x" * 41}, False),
        (WITH_DEFAULT, {"model": None, "prompt": "x" * 41}, False),
        (WITH_DEFAULT, {"model": "dall-e-3", "prompt": "x" * 41}, True),
        (WITH_DEFAULT, {"background": "transparent"}, False),
    ],
)
def test_fields_that_depend_on_each_other_are_published_as_such(
    catalogue: Catalogue, fields: dict[str, Any], taken: bool
) -> None:
    body = {"prompt": "a fox"} | fields
    assert validator_of(catalogue).is_valid(body) is taken
    assert is_taken(body, catalogue) is taken


def test_every_field_is_described_and_only_the_required_ones_refuse_null() -> None:
    schema = request_schemas(USUAL, capabilities_of)["ImageRequest"]
    assert list(schema["properties"]) == list(KINDS)
    assert all(field["description"] for field in schema["properties"].values())
    assert schema["required"] == ["model", "prompt"]
    assert request_schemas(WITH_DEFAULT, capabilities_of)["ImageRequest"]["required"] == ["prompt"]
