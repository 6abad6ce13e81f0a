"""Crowds of connections that want nothing but to be there: rows 10 and 12."""

import asyncio
import resource
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.faults.deployment import Deployment
from tests.faults.test_clients import refusals_told

DRIPPING = 1_000
SILENT = 5_000
LIMIT_S = 10.0  # what the server gives a header block, and a connection that says nothing
SLACK_S = 10.0  # for a busy machine
RSS_KB = 100 * 1024


@pytest.fixture(autouse=True)
def enough_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < SILENT + 1000:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, SILENT + 2000), hard))


async def life_s(port: int, visit: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> float:
    """How long the gateway keeps a connection that `visit` does something with."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = time.monotonic()
    try:
        await visit(reader, writer)
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()
    return time.monotonic() - began


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"POST /v1/images/generations HTTP/1.1\r\nHost: a\r\nX-A: ")
    closed = asyncio.create_task(reader.read())
    while not closed.done():
        writer.write(b"a")
        await asyncio.wait([closed], timeout=1.0)
    closed.exception()


async def say_nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    assert await reader.read() == b""


async def waits_of_a_healthy_client(scene: Deployment) -> list[float]:
    waits = []
    async with httpx2.AsyncClient(timeout=30) as client:
        for _ in range(40):
            began = time.monotonic()
            assert (await client.get(f"{scene.running.base_url}/llms.txt")).status_code == 200
            waits.append(time.monotonic() - began)
            await asyncio.sleep(0.05)
    return sorted(waits)


def memory_kb(scene: Deployment) -> int:
    lines = Path(f"/proc/{scene.running.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


@pytest.mark.slow
async def test_f010_f012_crowds_that_drip_or_say_nothing_are_closed_in_time_and_hold_up_nobody(
    scene: Deployment, record_testsuite_property: Callable[[str, object], None]
) -> None:
    port = urlsplit(scene.running.base_url).port
    assert port is not None
    refused, memory = refusals_told(scene.counters(), "header_timeout"), memory_kb(scene)
    dripping = [asyncio.create_task(life_s(port, drip)) for _ in range(DRIPPING)]
    silent = [asyncio.create_task(life_s(port, say_nothing)) for _ in range(SILENT)]
    await asyncio.sleep(3.0)  # by now all are there, and none may be gone
    assert not any(visit.done() for visit in (*dripping, *silent))
    waits, grown = await waits_of_a_healthy_client(scene), memory_kb(scene) - memory
    lives = {"dripping": await asyncio.gather(*dripping), "silent": await asyncio.gather(*silent)}
    for kind, kept in lives.items():
        assert max(kept) < LIMIT_S + SLACK_S
        record_testsuite_property(kind, f"{len(kept)} closed after {max(kept):.1f} s at most")
    assert refusals_told(scene.counters(), "header_timeout") == refused + DRIPPING
    assert grown < RSS_KB
    assert waits[len(waits) // 2] < 0.5
    record_testsuite_property("meanwhile", f"median {waits[len(waits) // 2] * 1e3:.1f} ms, {grown} kB more")
