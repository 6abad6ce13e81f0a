"""A vendor whose images take their time, in two ways: `python -m bench.slow_vendor SECONDS` prints its port.

By OpenAI's API a call is answered when it is done. By Replicate's the answer comes at once, and whoever made the call
looks after it; the wish to wait (`Prefer: wait`) is not heard, so that all of it is polling. `GET /counts` tells what
was asked. A bare protocol over uvloop: ten thousand calls at once must not be what is measured.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from itertools import count

import uvloop

__all__: list[str] = []

_LINK = "http://127.0.0.1:1/files/image.png"
_MODEL = "black-forest-labs/flux-schnell"


class _Vendor:
    """What all connections share."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.numbers = count(1)
        self.counts: Counter[str] = Counter()

    def created(self) -> bytes:
        """A prediction whose id tells when it began: nothing is kept."""
        self.counts["created"] += 1
        return _json(201, self.prediction(f"{time.monotonic_ns() // 1_000_000:x}-{next(self.numbers):x}"))

    def looked(self, name: str) -> bytes:
        """The prediction as it is now."""
        self.counts["looks"] += 1
        return _json(200, self.prediction(name))

    def prediction(self, name: str) -> dict[str, object]:
        """The vendor's object."""
        age_s = time.monotonic() - int(name.partition("-")[0], 16) / 1000
        done = age_s >= self.seconds
        return {
            "id": name,
            "model": _MODEL,
            "version": "hidden",
            "input": {"prompt": "a samurai at a gate"},
            "logs": "",
            "output": [_LINK] if done else None,
            "data_removed": False,
            "error": None,
            "status": "succeeded" if done else "processing",
            "created_at": "2026-01-01T00:00:00Z",
            "completed_at": "2026-01-01T00:00:20Z" if done else None,
            "urls": {},
        }


class _Connection(asyncio.Protocol):
    def __init__(self, vendor: _Vendor) -> None:
        self._vendor = vendor
        self._received = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's are none of asyncio's classes

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line[15:])
        if len(rest) >= length:
            self._received = rest[length:]
            method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
            self._answer(method, path)

    def _answer(self, method: str, path: str) -> None:
        vendor = self._vendor
        if path.endswith("/images/generations"):
            vendor.counts["held"] += 1
            answer = _json(200, {"created": 1763800000, "data": [{"url": _LINK}]})
            asyncio.get_running_loop().call_later(vendor.seconds, self._send, answer)
        elif path.endswith("/predictions") and method == "POST":
            self._send(vendor.created())
        elif "/predictions/" in path and method == "GET":
            self._send(vendor.looked(path.rpartition("/")[2]))
        else:
            self._send(_json(200, dict(vendor.counts)))

    def _send(self, answer: bytes) -> None:
        if self._transport is not None:
            self._transport.write(answer)


def _json(status: int, body: dict[str, object] | dict[str, int]) -> bytes:
    text = json.dumps(body).encode()
    head = f"HTTP/1.1 {status} OK\r\ncontent-type: application/json\r\ncontent-length: {len(text)}\r\n\r\n"
    return head.encode() + text


async def _serve(seconds: float) -> None:
    vendor = _Vendor(seconds)
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(vendor), "127.0.0.1", 0, backlog=16_384)
    print(f"port {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(float(sys.argv[1])))
