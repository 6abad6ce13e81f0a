"""An answer as the steps make it; the HTTP handler only sends it."""

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Inbound", "Reply"]


@dataclass(frozen=True, slots=True)
class Inbound:
    """A request as the steps see it: header names in lower case, and a body that is bounded and not yet read.

    `notes` is what the log line and the metrics will say of the request: key_id, model, images. `when_gone` calls
    what it is given once the client has hung up or has its answer. `raw_headers` is the server's own list.
    """

    headers: dict[str, str] = field(repr=False)
    body: Callable[[], Awaitable[bytes]] = field(repr=False)
    notes: MutableMapping[str, Any]
    when_gone: Callable[[Callable[[], None]], None] = field(repr=False)
    raw_headers: list[tuple[bytes, bytes]] = field(default_factory=list, repr=False)

    def forget_headers(self) -> None:
        """Nobody reads them again: an SDK's weigh kilobytes, and would stay for as long as its images take."""
        self.headers.clear()
        self.raw_headers.clear()


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, headers and a body: bytes, or chunks whose whole length is `length` (None where it is not known).

    `delivered` is to be called when the client's end of the connection has taken the last byte.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes | AsyncIterator[bytes]
    length: int | None = None
    delivered: Callable[[], None] | None = field(default=None, repr=False)
