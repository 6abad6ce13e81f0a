"""The sandbox's own endpoints below `/sandbox/`: the ledger, the calls it got, scripts, its clock and its keys."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

import msgspec
import orjson
from starlette.requests import Request
from starlette.responses import Response

from gateway.sandbox.catalogue import CATALOGUE
from gateway.sandbox.exchange import json_reply
from gateway.sandbox.options import VENDORS
from gateway.sandbox.scripts import behaviour_of
from gateway.sandbox.state import State

__all__ = ["ROUTES"]

Control = Callable[[State, Request], Awaitable[Response]]


async def _ledger(state: State, request: Request) -> Response:
    return json_reply(state.ledger.report(VENDORS))


async def _clear_ledger(state: State, request: Request) -> Response:
    state.ledger.clear()
    return Response(status_code=204)


async def _calls(state: State, request: Request) -> Response:
    return json_reply({"calls": [asdict(call) for call in state.calls]})


async def _clear_calls(state: State, request: Request) -> Response:
    state.calls.clear()
    return Response(status_code=204)


async def _scripts(state: State, request: Request) -> Response:
    return json_reply({"scripts": msgspec.to_builtins(state.scripts.waiting())})


async def _add_script(state: State, request: Request) -> Response:
    try:
        behaviour = behaviour_of(orjson.loads(await request.body()))
    except (orjson.JSONDecodeError, msgspec.ValidationError) as fault:
        return json_reply({"error": str(fault)}, 400)
    state.scripts.add(behaviour)
    return json_reply({"script": msgspec.to_builtins(behaviour)}, 201)


async def _clear_scripts(state: State, request: Request) -> Response:
    state.scripts.clear()
    return Response(status_code=204)


async def _catalogue(state: State, request: Request) -> Response:
    return json_reply({"errors": sorted(CATALOGUE)})


async def _advance_clock(state: State, request: Request) -> Response:
    wanted = await _json(request)
    seconds = wanted.get("advance_s") if isinstance(wanted, dict) else None
    if not isinstance(seconds, (int, float)) or seconds < 0:
        return json_reply({"error": "`advance_s` must be a number of seconds, 0 or more"}, 400)
    state.clock.advance(seconds)
    return json_reply({"now": state.clock.now()})


async def _json(request: Request) -> Any:
    try:
        return orjson.loads(await request.body())
    except orjson.JSONDecodeError:
        return None


async def _service_account(state: State, request: Request) -> Response:
    """The key file for Vertex that a gateway beside this sandbox is configured with."""
    return json_reply(state.google.service_account(str(request.base_url).rstrip("/"), state.options.project))


async def _revoke_tokens(state: State, request: Request) -> Response:
    state.google.revoke_all()
    return Response(status_code=204)


ROUTES: tuple[tuple[str, str, Control], ...] = (
    ("GET", "/sandbox/ledger", _ledger),
    ("DELETE", "/sandbox/ledger", _clear_ledger),
    ("GET", "/sandbox/calls", _calls),
    ("DELETE", "/sandbox/calls", _clear_calls),
    ("GET", "/sandbox/scripts", _scripts),
    ("POST", "/sandbox/scripts", _add_script),
    ("DELETE", "/sandbox/scripts", _clear_scripts),
    ("GET", "/sandbox/errors", _catalogue),
    ("POST", "/sandbox/clock", _advance_clock),
    ("GET", "/sandbox/service-account.json", _service_account),
    ("DELETE", "/sandbox/google-tokens", _revoke_tokens),
)
"""Method, path and what it does."""
