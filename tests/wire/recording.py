"""An app that notes what it is asked, for servers in processes of their own: `GET /-/calls` tells and forgets."""

import base64
import json

from starlette.types import Receive, Scope, Send

from tests.wire.harness import Call

__all__ = ["VIA", "Recorder", "app"]

VIA = b"x-via"
"""What a proxy adds to each request that it forwards: a request without it came past the proxy."""


class Recorder:
    """Reads each request's body to its end, and only then notes it; answers with the path, so that replies can be
    told apart. A body that breaks off is no request.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.past = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        reply = await self._reply_to(scope, receive)
        if reply is None:
            return
        headers = [(b"content-length", b"%d" % len(reply))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": reply})

    async def _reply_to(self, scope: Scope, receive: Receive) -> bytes | None:
        if scope["path"] == "/-/calls":
            return json.dumps(self.take(), default=lambda body: base64.b64encode(body).decode()).encode()
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        if not scope["path"].startswith("/-/"):
            self.calls.append((scope["method"], scope["path"], bytes(body)))
            self.past += not any(name.lower() == VIA for name, _ in scope["headers"])
        return bytes(scope["path"], "latin-1", "replace")

    def take(self) -> tuple[list[Call], int]:
        """What was asked since the last time, and how many of these requests no proxy had marked."""
        taken = self.calls, self.past
        self.calls, self.past = [], 0
        return taken


app = Recorder()
"""For a server that is started with this module's name."""
