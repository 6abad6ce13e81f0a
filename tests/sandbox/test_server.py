import asyncio
import signal
import socket
import sys
from pathlib import Path

import httpx2
import pytest

from gateway.sandbox.server import PortTakenError, Sandbox, running_sandbox, serve_sandbox
from tests.sandbox.conftest import IMAGES, Vendors, client

PROGRAM = """
import asyncio
from gateway.sandbox.server import serve_sandbox
asyncio.run(serve_sandbox("127.0.0.1", 0, on_ready=lambda sandbox: print(sandbox.base_url, flush=True)))
print("over")
"""


async def test_a_taken_port_is_said_clearly(sandbox: Sandbox) -> None:
    port = int(sandbox.base_url.rpartition(":")[2])
    with pytest.raises(PortTakenError, match=rf"127\.0\.0\.1:{port} is already in use"):
        await serve_sandbox("127.0.0.1", port)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_program_serves_until_it_is_told_to_end_and_ends_cleanly(number: signal.Signals) -> None:
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert program.stdout is not None
    try:
        address = (await asyncio.wait_for(program.stdout.readline(), 20)).decode().strip()
        async with httpx2.AsyncClient(trust_env=False, verify=False) as nobody:
            assert (await nobody.get(f"{address}/sandbox/ledger")).status_code == 200
            program.send_signal(number)
            out, err = await asyncio.wait_for(program.communicate(), 10)
        assert (program.returncode, out.decode().strip(), err.decode()) == (0, "over", "")
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()


async def test_a_sandbox_ends_although_a_client_is_stalled() -> None:
    async with running_sandbox() as running, client(running) as nobody:
        running.state.script("openai", operation="create", then={"wire": "stall_headers"})
        key = {"Authorization": "Bearer sk-sandbox-openai"}
        stalled = asyncio.create_task(nobody.post(IMAGES, json={"model": "gpt-image-2", "prompt": "x"}, headers=key))
        while not running.state.calls:
            await asyncio.sleep(0)
    with pytest.raises(httpx2.TransportError):
        await stalled


async def test_small_replies_are_not_held_back(vendors: Vendors) -> None:
    """Forty delayed acknowledgements of 40 ms each would take 1.6 s."""
    before = asyncio.get_running_loop().time()
    for _ in range(40):
        await vendors.replicate.get("/replicate/v1/account")
    assert asyncio.get_running_loop().time() - before < 1.2


async def test_links_are_built_from_the_address_that_the_caller_used(sandbox: Sandbox) -> None:
    port = sandbox.base_url.rpartition(":")[2]
    headers = {"Authorization": "Bearer r8_sandbox", "Host": f"sandbox.localhost:{port}"}
    async with client(sandbox, headers) as caller:
        reply = await caller.post("/replicate/v1/predictions", json={"version": "x", "input": {}})
        assert reply.status_code == 422
        body = {"version": "black-forest-labs/flux-schnell", "input": {"prompt": "x"}}
        created = (await caller.post("/replicate/v1/predictions", json=body)).json()
    assert created["urls"]["get"].startswith(f"http://sandbox.localhost:{port}/replicate/v1/predictions/")


async def test_nothing_listens_any_more_when_the_block_is_left() -> None:
    async with running_sandbox() as running:
        port = int(running.base_url.rpartition(":")[2])
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
