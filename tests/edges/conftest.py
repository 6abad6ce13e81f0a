"""Real engines for the edges' tests: the embedded Valkey always, the system's Redis where there is one."""

from collections.abc import Iterator

import pytest

from tests.servers import Server, redis_binary, running_server, valkey_binary


@pytest.fixture(scope="session", params=["valkey", "redis"])
def engine(request: pytest.FixtureRequest) -> str:
    """The path of a server to test against."""
    binary = valkey_binary() if request.param == "valkey" else redis_binary()
    if binary is None:
        pytest.skip("no redis-server on the PATH (apt-get install redis-server)")
    return binary


@pytest.fixture(scope="session")
def shared_server(engine: str) -> Iterator[Server]:
    """A server for tests that keep to their own keys and break nothing."""
    with running_server(engine) as server:
        yield server


@pytest.fixture
def server(engine: str) -> Iterator[Server]:
    """A fresh server, to be filled, flushed, paused and killed."""
    with running_server(engine) as server:
        yield server


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """The address of a Valkey for tests that just need one."""
    with running_server(valkey_binary()) as server:
        yield server.url
