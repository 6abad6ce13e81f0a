"""The second port, never the public one: health, readiness and metrics, open to all; administration by its token."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from gateway.edges.metrics import CONTENT_TYPE, Metrics

__all__ = ["Readiness", "admin_app"]

Check = Callable[[], Awaitable[bool]]


@dataclass(slots=True)
class Readiness:
    """Whether this replica should get traffic. One vendor's trouble is no reason to say no.

    `checks` are named; those in `vital` decide, the others are only shown (without Redis we serve on a local share).
    `configuration` tells which one is in force.
    """

    checks: Mapping[str, Check] = field(default_factory=dict)
    vital: frozenset[str] = frozenset()
    draining: bool = False
    configuration: Callable[[], Mapping[str, object]] = dict

    async def report(self) -> tuple[bool, dict[str, str]]:
        """Ready or not, and how every part is."""
        parts = {name: "ok" if await check() else "failing" for name, check in self.checks.items()}
        ready = not self.draining and all(parts[name] == "ok" for name in self.vital)
        return ready, parts


def admin_app(readiness: Readiness, metrics: Metrics, administration: ASGIApp) -> ASGIApp:
    """The application of the second port. `administration` serves all that is below /admin."""

    async def healthz(_: Request) -> Response:
        return _json(200, {"status": "ok"})

    async def readyz(_: Request) -> Response:
        ready, parts = await readiness.report()
        word = "draining" if readiness.draining else "ready" if ready else "not ready"
        return _json(
            200 if ready else 503, {"status": word, "checks": parts, "configuration": readiness.configuration()}
        )

    async def exposition(_: Request) -> Response:
        return Response(metrics.exposition(), headers={"content-type": CONTENT_TYPE})

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", exposition),
            Mount("/admin", app=administration),
        ],
    )


def _json(status: int, content: object) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
