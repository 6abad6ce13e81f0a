"""What Schemathesis' cases are turned into before they are sent, loaded by its command line in a process of its own.

Valid requests for images stay valid but small, since each is real work: two images at most, of 256×256 unless the
size itself is what is tried; and those provider options whose values only the vendor knows have one that it takes.
Half of the valid requests for an image ask for one that exists. Where a body is wrong nothing else is, so that the
refusal is the body's. An Idempotency-Key is used once, since another body under it is rightly a conflict.
"""

import itertools
import os
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import schemathesis
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import TestPhase

__all__ = ["IMAGES_AT_MOST", "LINK", "SIZE"]

LINK = "SCHEMATHESIS_IMAGE_LINK"
"""The environment variable that holds the link of an image that exists."""

IMAGES_AT_MOST = 2
SIZE = "256x256"
_WISHES = ("idempotency-key", "prefer", "x-samurai-partial")
_NUMBERS = itertools.count(1)
_TAKEN = {"style_type": "REALISTIC", "negative_prompt": "fog"}
_GENERATIONS = "/v1/images/generations"
_FILES = "/v1/images/files/{file}"


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]) -> None:
    """Change a case in place."""
    if case.operation.path == _FILES and _is_valid(case, ParameterLocation.PATH, ParameterLocation.QUERY):
        _ask_for_one_that_exists(case)
    elif case.operation.path == _GENERATIONS and case.meta is not None:
        if case.meta.phase.data.parameter_location is ParameterLocation.BODY:
            for name in _WISHES:
                case.headers.pop(name, None)
        elif "idempotency-key" in case.headers and _is_valid(case, ParameterLocation.HEADER):
            case.headers["idempotency-key"] = f"case-{next(_NUMBERS)}"
        if _is_valid(case, ParameterLocation.BODY) and isinstance(case.body, dict):
            case.body = _small(case.body, any_size=case.meta.phase.name is not TestPhase.FUZZING)


def _is_valid(case: schemathesis.Case[Any], *locations: ParameterLocation) -> bool:
    components = case.meta.components if case.meta else {}
    return all(location in components and components[location].mode.is_positive for location in locations)


def _small(body: dict[str, Any], *, any_size: bool) -> dict[str, Any]:
    changes: dict[str, Any] = {} if any_size else {"size": SIZE}
    if isinstance(body.get("n"), int | float):
        changes["n"] = min(body["n"], IMAGES_AT_MOST)
    options = body.get("provider_options")
    if isinstance(options, dict):
        changes["provider_options"] = {name: _TAKEN.get(name, value) for name, value in options.items()}
    return body | changes


def _ask_for_one_that_exists(case: schemathesis.Case[Any]) -> None:
    if int(case.query.get("expires", 0)) % 2:
        return
    link = urlsplit(os.environ[LINK])
    case.path_parameters = {"file": link.path.rpartition("/")[2]}
    case.query = dict(parse_qsl(link.query))
