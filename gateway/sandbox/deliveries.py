"""Output links: where a finished image waits to be fetched, for as long as its vendor keeps it."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from gateway.sandbox.drawing import Picture
from gateway.sandbox.scripts import ImageChange

__all__ = ["Deliveries", "Delivery"]

_MOST = 20_000  # the oldest links are forgotten beyond this, so that a long run does not grow


@dataclass(slots=True)
class Delivery:
    """One image behind a link. `path` is below `/delivery/`; `query` is empty or begins with `?`."""

    vendor: str
    picture: Picture
    change: ImageChange | None
    path: str
    expires_at: float
    query: str = ""
    signature: str = ""
    fetched: bool = False


class Deliveries:
    """All links handed out, by their path."""

    def __init__(self) -> None:
        self._by_path: dict[str, Delivery] = {}
        self._secret = secrets.token_bytes(32)

    def offer_plain(self, picture: Picture, path: str, expires_at: float, change: ImageChange | None) -> Delivery:
        """A link that anybody may fetch who knows it: Replicate's kind. `{token}` in `path` is filled in."""
        where = path.format(token=secrets.token_urlsafe(24))
        return self._keep(Delivery(picture.vendor, picture, change, where, expires_at))

    def offer_signed(self, picture: Picture, path: str, expires_at: float, change: ImageChange | None) -> Delivery:
        """A link with `exp` and `sig` in its query: the kind of Ideogram and, once, OpenAI."""
        where = path.format(token=secrets.token_urlsafe(16))
        signature = hmac.new(self._secret, f"{where}?{int(expires_at)}".encode(), hashlib.sha256).hexdigest()
        query = f"?exp={int(expires_at)}&sig={signature}"
        return self._keep(Delivery(picture.vendor, picture, change, where, expires_at, query, signature))

    def find(self, path: str) -> Delivery | None:
        """The image that a path leads to."""
        return self._by_path.get(path)

    def _keep(self, delivery: Delivery) -> Delivery:
        if len(self._by_path) >= _MOST:
            self._by_path.pop(next(iter(self._by_path)))
        self._by_path[delivery.path] = delivery
        return delivery
