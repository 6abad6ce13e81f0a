"""The hosts that deliver finished images: `/delivery/{vendor}/…`. They want no credential, and tell when one comes."""

import hmac

from starlette.responses import RedirectResponse, Response

from gateway.sandbox.artist import made, media_type_of
from gateway.sandbox.deliveries import Delivery
from gateway.sandbox.exchange import Call, Operation
from gateway.sandbox.ledger import Leak
from gateway.sandbox.native_error import NativeError, RefusedError
from gateway.sandbox.options import VENDORS

__all__ = ["ROUTES"]

_CREDENTIALS = ("authorization", "api-key", "x-goog-api-key", "cookie")
_GONE = NativeError(404, "Not Found", {}, "text/plain")
_FORBIDDEN = NativeError(403, "Forbidden", {}, "text/plain")
_CREDENTIAL_SENT = NativeError(400, "This host takes no credential.", {}, "text/plain")


def _admit(call: Call) -> None:
    """Nobody is asked for a key here; a request that brings one has leaked it."""
    leaked = tuple(name for name in _CREDENTIALS if name in call.request.headers)
    if leaked:
        call.state.books.leaks.append(Leak(call.vendor, call.request.url.path, leaked, call.now))
        raise RefusedError(_CREDENTIAL_SENT)


def _subject(call: Call) -> tuple[str, str]:
    delivery = call.state.deliveries.find(call.request.url.path.removeprefix("/delivery/"))
    return (delivery.picture.model, delivery.picture.prompt) if delivery is not None else ("", "")


async def _download(call: Call) -> Response:
    if call.then.redirect_to is not None:
        return RedirectResponse(call.then.redirect_to, 302)
    delivery = _found(call)
    change = call.then.image or delivery.change
    file = await made(delivery.picture, change)
    if not delivery.fetched and call.request.method == "GET" and call.then.wire is None:
        delivery.fetched = True
        call.inline_images = 1
    return Response(
        file, 200, {"cache-control": "public, max-age=3600"}, media_type_of(delivery.picture.format, change)
    )


def _found(call: Call) -> Delivery:
    """The image behind the link. A stale or forged link is refused as the vendor's host would do it."""
    delivery = call.state.deliveries.find(call.request.url.path.removeprefix("/delivery/"))
    if delivery is None:
        raise RefusedError(_GONE)
    query = call.request.query_params
    signature = query.get("sig", "")
    if not hmac.compare_digest(signature.encode(), delivery.signature.encode()):
        raise RefusedError(_FORBIDDEN)
    if call.now + call.then.age_s >= delivery.expires_at:
        raise RefusedError(_FORBIDDEN if delivery.signature else _GONE)
    return delivery


ROUTES: tuple[tuple[str, str, Operation], ...] = tuple(
    ("GET", f"/delivery/{vendor}/{{rest:path}}", Operation(vendor, "download", _download, _admit, subject=_subject))
    for vendor in VENDORS
)
"""Method, path and what it does."""
