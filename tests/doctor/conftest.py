from collections.abc import AsyncIterator, Iterator

import pytest

from gateway.sandbox.options import SandboxOptions
from gateway.sandbox.server import Sandbox, running_sandbox
from tests.servers import running_server, valkey_binary


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The address of a Valkey that this part's tests share."""
    with running_server(valkey_binary()) as server:
        yield server.url


@pytest.fixture
async def vendors() -> AsyncIterator[Sandbox]:
    """A sandbox that still speaks the retired models."""
    async with running_sandbox(SandboxOptions(speak_retired=True)) as sandbox:
        yield sandbox
