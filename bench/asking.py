"""One request of a measurement: what is sent, and what must come back."""

import json
from dataclasses import dataclass, field

__all__ = ["Ask"]


@dataclass(frozen=True, slots=True)
class Ask:
    """A POST to 127.0.0.1:`port`, the same each time."""

    port: int
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, object] = field(default_factory=dict)

    def wire(self) -> bytes:
        """The request as it goes over the wire."""
        body = self.text().encode()
        given = {"host": f"127.0.0.1:{self.port}", "content-type": "application/json", **self.headers}
        lines = [f"POST {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
        return "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body

    def text(self) -> str:
        """The body."""
        return json.dumps(self.body)
