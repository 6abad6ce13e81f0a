"""Assembles the sandbox: four vendors, Google's authentication and the control endpoints in one application.

Each vendor lives below a prefix that stands for its host.
"""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.sandbox import (
    control,
    downloads,
    google_auth,
    ideogram,
    openai,
    replicate,
    vertex_gemini,
    vertex_predict,
)
from gateway.sandbox.control import Control
from gateway.sandbox.exchange import Operation, respond
from gateway.sandbox.state import State

__all__ = ["sandbox_app"]


_VENDOR_ROUTES = (
    *replicate.ROUTES,
    *openai.ROUTES,
    *ideogram.ROUTES,
    *vertex_predict.ROUTES,
    *vertex_gemini.ROUTES,
    *google_auth.ROUTES,
    *downloads.ROUTES,
)


def sandbox_app(state: State) -> Starlette:
    """The application that serves `state`."""
    vendors = [_vendor_route(state, method, path, operation) for method, path, operation in _VENDOR_ROUTES]
    controls = [_control_route(state, method, path, act) for method, path, act in control.ROUTES]
    return Starlette(routes=[*controls, *vendors])


def _vendor_route(state: State, method: str, path: str, operation: Operation) -> Route:
    async def endpoint(request: Request) -> Response:
        return await respond(state, operation, request)

    return Route(path, endpoint, methods=[method])


def _control_route(state: State, method: str, path: str, act: Control) -> Route:
    async def endpoint(request: Request) -> Response:
        return await act(state, request)

    return Route(path, endpoint, methods=[method])
