"""The least that image work costs: `python -m bench.yardsticks`, its order on stdin, processor time by the kernel.

A process of its own, so that nothing else is counted. Downloads come twice: by a bare socket, which no gateway can
beat, and by aiohttp, which is what a program would use.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import aiohttp
import pybase64
import pyvips
import uvloop

from tests.processes import ROOT

__all__ = ["Task", "yardsticks"]

_BUFFER = memoryview(bytearray(1 << 20))
_FIRST = 3


@dataclass(slots=True)
class Task:
    """What to measure with: a vendor's port, the path of a file on it, the files themselves, and how long."""

    port: int
    file_path: str
    reply_path: str
    image: str
    photo: str
    seconds: float
    edge: int


def yardsticks(task: Task) -> dict[str, float]:
    """Milliseconds of processor time for one of each."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.yardsticks"],
        input=json.dumps(asdict(task)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "VIPS_CONCURRENCY": "1"},
    )
    told: dict[str, float] = json.loads(done.stdout)
    return told


def _all(task: Task) -> dict[str, float]:
    raw, text = Path(task.image).read_bytes(), pybase64.b64encode(Path(task.image).read_bytes())
    span = task.seconds / 7
    with socket.create_connection(("127.0.0.1", task.port)) as wire:
        found = {
            "socket_file_ms": _cost(lambda: _download(wire, task.file_path), span),
            "socket_reply_ms": _cost(lambda: _download(wire, task.reply_path), span),
        }
    uvloop.run(_by_aiohttp(task, found, span))
    return found | {
        "encode_ms": _cost(lambda: pybase64.b64encode(raw), span),
        "decode_ms": _cost(lambda: pybase64.b64decode(text, validate=True), span),
        "shrink_ms": _cost(lambda: _shrink(task), span),
    }


def _cost(act: Callable[[], object], seconds: float) -> float:
    for _ in range(_FIRST):
        act()
    count, began, end = 0, time.process_time(), time.monotonic() + seconds
    while time.monotonic() < end or count < _FIRST:
        act()
        count += 1
    return (time.process_time() - began) * 1000 / count


def _download(wire: socket.socket, path: str) -> None:
    """One GET over a kept connection, the body into a buffer that is used again."""
    wire.sendall(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += wire.recv(4096)
    fields, _, begun = head.partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in fields.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    left = length - len(begun)
    while left > 0:
        left -= wire.recv_into(_BUFFER)


async def _by_aiohttp(task: Task, found: dict[str, float], seconds: float) -> None:
    async with aiohttp.ClientSession() as session:
        for name, path in (("aiohttp_file_ms", task.file_path), ("aiohttp_reply_ms", task.reply_path)):
            count, began, end = 0, time.process_time(), time.monotonic() + seconds
            while time.monotonic() < end or count < _FIRST:
                async with session.get(f"http://127.0.0.1:{task.port}{path}") as reply:
                    await reply.read()
                count += 1
            found[name] = (time.process_time() - began) * 1000 / count


def _shrink(task: Task) -> bytes:
    """A PNG file to a smaller one, as `pngsave` of libvips writes it best."""
    picture = pyvips.Image.new_from_file(task.photo, access="sequential")
    small = picture.thumbnail_image(task.edge, height=task.edge, size="force").colourspace("srgb").cast("uchar")
    return bytes(small.pngsave_buffer(compression=6, filter="paeth", bitdepth=8, keep="none"))


if __name__ == "__main__":
    pyvips.cache_set_max(0)
    json.dump(_all(Task(**json.load(sys.stdin))), sys.stdout)
