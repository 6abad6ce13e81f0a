"""An answer as the steps make it; the HTTP handler only sends it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Inbound", "Reply"]


@dataclass(frozen=True, slots=True)
class Inbound:
    """A request as the steps see it: header names in lower case, and a body that is bounded and not yet read.

    `notes` is what the log line and the metrics will say of the request: key_id, model, images. `gone` returns when
    the client has hung up; to be asked only once the body was read.
    """

    headers: Mapping[str, str] = field(repr=False)
    body: Callable[[], Awaitable[bytes]] = field(repr=False)
    notes: MutableMapping[str, Any]
    gone: Callable[[], Awaitable[None]] = field(repr=False)


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
