"""A sandbox on a real socket for each test, and plain HTTP clients that hold each vendor's credential."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx2
import pytest

from gateway.sandbox.options import IDEOGRAM_KEY, OPENAI_KEY, REPLICATE_TOKEN, SandboxOptions
from gateway.sandbox.server import Sandbox, running_sandbox

SCHNELL = "/replicate/v1/models/black-forest-labs/flux-schnell/predictions"
PRO = "/replicate/v1/models/black-forest-labs/flux-1.1-pro/predictions"
IMAGES = "/openai/v1/images/generations"
IDEOGRAM = "/ideogram/v1/ideogram-v3/generate"
MODELS = "/vertex/v1/projects/p/locations/global/publishers/google/models"
GEMINI = f"{MODELS}/gemini-3.1-flash-image:generateContent"


@dataclass(frozen=True, slots=True)
class Vendors:
    """One client for each vendor, its credential in place, and one that has none."""

    replicate: httpx2.AsyncClient
    openai: httpx2.AsyncClient
    ideogram: httpx2.AsyncClient
    vertex: httpx2.AsyncClient
    nobody: httpx2.AsyncClient


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with running_sandbox() as running:
        yield running


@pytest.fixture
async def old_sandbox() -> AsyncIterator[Sandbox]:
    """One where the retired models still live, without the vendors' limits."""
    async with running_sandbox(SandboxOptions(speak_retired=True, real_limits=False)) as running:
        yield running


def client(sandbox: Sandbox, headers: dict[str, str] | None = None) -> httpx2.AsyncClient:
    # No TLS here, and reading the machine's trusted certificates takes longer than most of these tests
    return httpx2.AsyncClient(base_url=sandbox.base_url, headers=headers, timeout=10, trust_env=False, verify=False)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def vendors_of(sandbox: Sandbox) -> AsyncIterator[Vendors]:
    token = sandbox.state.google.issue(sandbox.state.clock.now())
    async with (
        client(sandbox, bearer(REPLICATE_TOKEN)) as replicate,
        client(sandbox, bearer(OPENAI_KEY)) as openai,
        client(sandbox, {"Api-Key": IDEOGRAM_KEY}) as ideogram,
        client(sandbox, bearer(token)) as vertex,
        client(sandbox) as nobody,
    ):
        yield Vendors(replicate, openai, ideogram, vertex, nobody)


@pytest.fixture
async def vendors(sandbox: Sandbox) -> AsyncIterator[Vendors]:
    async for everyone in vendors_of(sandbox):
        yield everyone


@pytest.fixture
async def old_vendors(old_sandbox: Sandbox) -> AsyncIterator[Vendors]:
    async for everyone in vendors_of(old_sandbox):
        yield everyone


def gemini_body(prompt: str = "a crane", /, **config: object) -> dict[str, object]:
    return {
        "contents": [{"role": "user", "parts": [{"text": prompt}]}],
        "generationConfig": {"responseModalities": ["IMAGE"], **config},
    }
