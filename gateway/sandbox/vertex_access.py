"""What every Vertex call has in common: the access token, the resource's path, the body, the model's state."""

import re
from typing import Any

import orjson
from starlette.requests import Request

from gateway.sandbox import vertex_errors as errors
from gateway.sandbox.exchange import Call
from gateway.sandbox.native_error import RefusedError

__all__ = ["admit", "missing_model", "read_object"]

_LOCATION = r"global|us|eu|[a-z]+(?:-[a-z]+)+\d{1,2}"


def admit(call: Call) -> None:
    """Let in whoever has an access token that was issued here and is still good."""
    scheme, _, token = call.request.headers.get("authorization", "").partition(" ")
    given = scheme.lower() == "bearer" and bool(token)
    if re.fullmatch(_LOCATION, call.request.path_params.get("location", "global")) is None:
        raise RefusedError(errors.HTML_404)
    if not given or not call.state.google.accepts(token, call.now):
        raise RefusedError(errors.no_token(given=given))


def read_object(body: bytes, request: Request) -> Any:
    """A JSON object. Raises RefusedError for anything else."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        raise RefusedError(errors.invalid("Invalid JSON payload received. Expected an object."))
    return document


def missing_model(call: Call) -> RefusedError:
    """What is answered for a model that is not there (any more)."""
    path = call.request.path_params
    name = f"projects/{path['project']}/locations/{path['location']}/publishers/google/models/{path['model']}"
    return RefusedError(errors.model_missing(name))
