from collections.abc import Iterator, Mapping

import pytest

from tests.faults.deployment import ALL, Deployment, Vendor, deployed
from tests.faults.site import Site, built_site
from tests.faults.tls import Untrusted, untrusted_server


@pytest.fixture(scope="session")
def untrusted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Untrusted]]:
    folder = tmp_path_factory.mktemp("tls")
    with (
        untrusted_server(folder, "untrusted", expired=False) as stranger,
        untrusted_server(folder, "expired", expired=True) as late,
    ):
        yield {"untrusted": stranger, "expired": late}


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory, untrusted: Mapping[str, Untrusted]) -> Iterator[Deployment]:
    """Started once for all files of this folder that run in one process."""
    ports = {name: server.port for name, server in untrusted.items()}
    with deployed(tmp_path_factory.mktemp("deployment"), ports) as running:
        yield running


@pytest.fixture
def scene(deployment: Deployment) -> Iterator[Deployment]:
    """The deployment, with everything that a test did to it undone."""
    yield deployment
    deployment.calm()


@pytest.fixture(params=ALL, ids=lambda vendor: vendor.name)
def vendor(request: pytest.FixtureRequest) -> Vendor:
    """Each of the four vendors."""
    assert isinstance(request.param, Vendor)
    return request.param


@pytest.fixture(scope="session")
def _site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with built_site(tmp_path_factory.mktemp("site")) as built:
        yield built


@pytest.fixture
def site(_site: Site) -> Iterator[Site]:
    """The replica that stays, its vendors behaving; whatever a test scripts is forgotten after it."""
    _site.stays.reset()
    yield _site
    _site.let_go()
