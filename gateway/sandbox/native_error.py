"""A vendor's error reply as a value, and the exception that carries one out of a handler."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.responses import Response

__all__ = ["NativeError", "RefusedError"]


@dataclass(frozen=True, slots=True)
class NativeError:
    """What a vendor answers when it does not do as told. A `body` that is text is sent as it stands."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = "application/json"

    def response(self) -> Response:
        """The HTTP reply."""
        content = self.body if isinstance(self.body, str) else orjson.dumps(self.body)
        return Response(content, self.status, dict(self.headers), self.media_type)


class RefusedError(Exception):
    """Raised by a handler whose vendor would answer with an error; caught once, in the exchange."""

    def __init__(self, error: NativeError) -> None:
        super().__init__(f"{error.status}")
        self.error = error
