"""The four vendors on one loopback port, who answer as the dice fall: well, oddly, or in no way that HTTP knows."""

import asyncio
import io
import json
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from random import Random
from typing import Any

from PIL import Image

from tests.fuzz.grammar import reply_of, spoilt_bytes, strange

__all__ = ["vendors"]

_DIALECTS = {
    "replicate": "replicate_predictions",
    "openai": "openai_images",
    "ideogram": "ideogram_v3",
    "vertex": "vertex_generate_content",
}
_TOKEN = {"access_token": "ya29.fuzz", "expires_in": 3599, "token_type": "Bearer"}
_FLAVOR = "Metadata-Flavor: Google\r\n"
_LONGEST_WAITS = ("0", "1", "-1", "soon", "")  # what would close an account for longer would end the run's valid share


@cache
def _png(side: int = 1024) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side, side), "teal").save(out, "PNG")
    return out.getvalue()


def _good(vendor: str, base: str, body: Any) -> Any:
    """What the vendor answers on a good day."""
    inline, link = b64encode(_png()).decode(), f"{base}/{vendor}/image.png"
    wanted = body if isinstance(body, dict) else {}
    if vendor == "openai":
        return {"created": 1, "data": [{"b64_json": inline}] * int(wanted.get("n") or 1)}
    if vendor == "ideogram":
        image = {"url": link, "is_image_safe": True, "prompt": "p", "resolution": "1024x1024", "seed": 1}
        return {"created": "2026-11-20T09:30:00Z", "data": [image] * int(wanted.get("num_images") or 1)}
    if vendor == "vertex":
        part = {"inlineData": {"mimeType": "image/png", "data": inline}}
        return {"candidates": [{"content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}]}
    images = int((wanted.get("input") or {}).get("num_outputs") or 1)
    urls = {name: f"{base}/replicate/v1/predictions/fuzz{'/cancel' * (name == 'cancel')}" for name in ("get", "cancel")}
    return {"id": "fuzz", "status": "succeeded", "output": [link] * images, "error": None, "urls": urls}


class _Vendors:
    def __init__(self, seed: str) -> None:
        self._dice = Random(seed)
        self.port = 0
        self.calls = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection; most are kept."""
        with suppress(OSError, asyncio.IncompleteReadError, ValueError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                lengths = [line for line in head.split("\r\n") if line.lower().startswith("content-length:")]
                body = await reader.readexactly(int(lengths[0].partition(":")[2])) if lengths else b""
                answer, stays = self._answer(head.split(" ", 2)[1], body)
                writer.write(answer)
                await writer.drain()
                if not stays:
                    break
        writer.close()

    def _answer(self, path: str, body: bytes) -> tuple[bytes, bool]:
        if "computeMetadata" in path or path == "/":
            return _framed(200, json.dumps(_TOKEN).encode(), _FLAVOR), True
        if path.endswith("image.png"):
            return self._image(), True
        vendor, dice = path.strip("/").partition("/")[0], self._dice
        self.calls += 1
        asked = json.loads(body) if body else None
        good = json.dumps(_good(vendor, f"http://127.0.0.1:{self.port}", asked)).encode()
        how = dice.randrange(20)
        if how < 11:
            return _framed(201 if vendor == "replicate" else 200, good), True
        if how < 15:
            reply = reply_of(dice, _DIALECTS[vendor])
            text = reply.text.encode("utf-8", "replace") if reply.json is None else _dumped(reply.json)
            wait = f"Retry-After: {dice.choice(_LONGEST_WAITS)}\r\n" if reply.status == 429 else ""
            return _framed(reply.status, text, wait), True
        if how == 15:
            return _framed(200, spoilt_bytes(good, dice)), True
        if how == 16:
            return _framed(200, _dumped(strange(dice))), True
        return self._no_http(good), False

    def _image(self) -> bytes:
        dice = self._dice
        how = dice.randrange(12)
        if how == 0:
            return _framed(200, spoilt_bytes(_png(), dice))
        if how == 1:
            return _framed(dice.choice((404, 403, 302, 500)), b"no", "Location: http://127.0.0.1:9/\r\n")
        return _framed(200, _png(dice.choice((1024, 1024, 1024, 2048, 333))), "Content-Type: image/png\r\n")

    def _no_http(self, good: bytes) -> bytes:
        whole = _framed(200, good)
        how = self._dice.randrange(4)
        if how == 0:
            return whole[: len(whole) // 2]
        if how == 1:
            return spoilt_bytes(whole[:200], self._dice) + whole[200:]
        if how == 2:
            return b""
        return bytes(self._dice.randrange(256) for _ in range(60))


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


def _framed(status: int, body: bytes, headers: str = "") -> bytes:
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


@contextmanager
def vendors(seed: str) -> Iterator[_Vendors]:
    """The vendors, in a thread of their own; `calls` says how often one was asked for something."""
    made, ready, loop = _Vendors(seed), threading.Event(), asyncio.new_event_loop()
    ending = asyncio.Event()

    async def run() -> None:
        server = await asyncio.start_server(made.serve, "127.0.0.1", 0, limit=1 << 20)
        made.port = server.sockets[0].getsockname()[1]
        ready.set()
        await ending.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()), daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield made
    finally:
        loop.call_soon_threadsafe(ending.set)
        thread.join()
        loop.close()
