"""Google's token endpoints and the metadata server: everything that google-auth asks before Vertex answers."""

from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from gateway.sandbox.clock import iso
from gateway.sandbox.exchange import Call, Operation, json_reply
from gateway.sandbox.google_errors import oauth
from gateway.sandbox.google_identity import CLOUD_SCOPES, EMAIL, SUBJECT_TOKEN, TOKEN_LIFE_S
from gateway.sandbox.native_error import NativeError, RefusedError
from gateway.sandbox.vertex_errors import no_token

__all__ = ["ROUTES"]

_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - the name of a kind of token
_FLAVOR = {"Metadata-Flavor": "Google"}
_ACCOUNT_PATH = "/computeMetadata/v1/instance/service-accounts/{account}"


def _admit_all(call: Call) -> None:
    return


def _admit_metadata(call: Call) -> None:
    """The metadata server answers only those who name the flavour, so that a browser cannot be lured to it."""
    if call.request.headers.get("metadata-flavor") != "Google":
        raise RefusedError(NativeError(403, "Missing Metadata-Flavor:Google header.", _FLAVOR, "text/html"))


def _read_form(body: bytes, request: Request) -> Any:
    return {name: "…" if name in _SECRET else value for name, value in parse_qsl(body.decode("latin-1"))}


_SECRET = ("assertion", "subject_token")


async def _token(call: Call) -> Response:
    form = dict(parse_qsl((await call.request.body()).decode("latin-1")))
    if form.get("grant_type") == _JWT_BEARER:
        return _granted_to_signer(call, form)
    if form.get("grant_type") == _EXCHANGE:
        return _exchanged(call, form)
    raise RefusedError(oauth("unsupported_grant_type", f"Invalid grant_type: {form.get('grant_type', '')}"))


def _granted_to_signer(call: Call, form: dict[str, str]) -> Response:
    audience = f"{call.base_url}/google/token"
    fault = call.state.google.fault_in(form.get("assertion", ""), audience, call.now)
    if fault is not None:
        kind = "invalid_scope" if "scope" in fault else "invalid_grant"
        raise RefusedError(oauth(kind, fault))
    return json_reply(_issued(call))


def _exchanged(call: Call, form: dict[str, str]) -> Response:
    for name in ("audience", "subject_token", "subject_token_type", "requested_token_type"):
        if not form.get(name):
            raise RefusedError(oauth("invalid_request", f"Missing required parameter: {name}"))
    if not form["audience"].startswith("//iam.googleapis.com/"):
        raise RefusedError(oauth("invalid_target", "The target service indicated by the audience is invalid."))
    if form["subject_token"] != SUBJECT_TOKEN:
        raise RefusedError(oauth("invalid_grant", "The given credential is rejected by the attribute condition."))
    return json_reply(_issued(call) | {"issued_token_type": _ACCESS_TOKEN})


def _issued(call: Call) -> dict[str, Any]:
    token = call.state.google.issue(call.now)
    return {"access_token": token, "expires_in": int(TOKEN_LIFE_S), "token_type": "Bearer"}


async def _impersonate(call: Call) -> Response:
    """A service account's token for whoever was federated."""
    _, _, token = call.request.headers.get("authorization", "").partition(" ")
    if not call.state.google.accepts(token, call.now):
        raise RefusedError(no_token(given=bool(token)))
    if call.request.path_params["account"] != EMAIL:
        raise RefusedError(NativeError(404, {"error": {"code": 404, "message": "Not found", "status": "NOT_FOUND"}}))
    expires_at = call.now + TOKEN_LIFE_S
    return json_reply({"accessToken": call.state.google.issue(call.now), "expireTime": iso(expires_at)[:19] + "Z"})


async def _root(call: Call) -> Response:
    return PlainTextResponse("0.1/\ncomputeMetadata/\n", headers=_FLAVOR)


async def _project(call: Call) -> Response:
    return PlainTextResponse(call.state.options.project, headers=_FLAVOR)


async def _universe(call: Call) -> Response:
    return PlainTextResponse("googleapis.com", headers=_FLAVOR)


def _only_default(call: Call) -> None:
    if call.request.path_params["account"] not in ("default", EMAIL):
        raise RefusedError(NativeError(404, "Not Found", _FLAVOR, "text/html"))


async def _account(call: Call) -> Response:
    _only_default(call)
    shown = {"aliases": ["default"], "email": EMAIL, "scopes": list(CLOUD_SCOPES)}
    return Response(orjson.dumps(shown), 200, _FLAVOR, "application/json")


async def _email(call: Call) -> Response:
    _only_default(call)
    return PlainTextResponse(EMAIL, headers=_FLAVOR)


async def _scopes(call: Call) -> Response:
    _only_default(call)
    return PlainTextResponse("\n".join(CLOUD_SCOPES), headers=_FLAVOR)


async def _metadata_token(call: Call) -> Response:
    _only_default(call)
    return Response(orjson.dumps(_issued(call)), 200, _FLAVOR, "application/json")


def _metadata(name: str, handle: Any) -> Operation:
    return Operation("google", name, handle, _admit_metadata)


ROUTES: tuple[tuple[str, str, Operation], ...] = (
    ("POST", "/google/token", Operation("google", "token", _token, _admit_all, _read_form)),
    (
        "POST",
        "/google/v1/projects/-/serviceAccounts/{account}:generateAccessToken",
        Operation("google", "token", _impersonate, _admit_all),
    ),
    ("GET", "/", _metadata("metadata", _root)),
    ("GET", "/computeMetadata/v1/project/project-id", _metadata("metadata", _project)),
    ("GET", "/computeMetadata/v1/universe/universe-domain", _metadata("metadata", _universe)),
    ("GET", f"{_ACCOUNT_PATH}/token", _metadata("token", _metadata_token)),
    ("GET", f"{_ACCOUNT_PATH}/email", _metadata("metadata", _email)),
    ("GET", f"{_ACCOUNT_PATH}/scopes", _metadata("metadata", _scopes)),
    ("GET", f"{_ACCOUNT_PATH}/", _metadata("metadata", _account)),
)
"""Method, path and what it does."""
