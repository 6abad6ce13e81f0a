from collections.abc import Iterator

import pytest

from tests.processes import Running, gateway, sandbox, sandbox_settings


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The shipped sandbox configuration as a process of its own, its limits lifted so that a matrix can run."""
    folder = tmp_path_factory.mktemp("gateway")
    with sandbox() as sandbox_url:
        settings = sandbox_settings(folder, sandbox_url)
        settings["keys"][0]["limits"] = {"requests_per_minute": 100_000, "images_per_minute": 1_000_000}
        for account in settings["accounts"].values():
            account["pacing"] = {"requests_per_minute": 100_000, "images_in_flight": 1_000}
        # What one test does to a vendor is not to decide how another one is served.
        settings["resilience"] = {"breaker": {"failures": 1.0, "over": 100_000, "cooldown": "1ms"}, "retry_budget": 1.0}
        with gateway(folder, settings, sandbox_url) as process:
            yield process
