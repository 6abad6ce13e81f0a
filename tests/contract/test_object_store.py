"""A gateway over an object store that it knows from the environment: a MinIO in the house, say, over http."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from moto.server import ThreadedMotoServer

from tests.processes import SAMURAI, STOP_DEADLINE_S, Running, gateway, sandbox, sandbox_settings

pytestmark = pytest.mark.slow

ADMIN_TOKEN = "an-admin-token-of-this-test-alone"


@dataclass(frozen=True)
class House:
    """A server that speaks S3, and the sandbox of the vendors."""

    s3_url: str
    sandbox_url: str

    def gateway(self, folder: Path, spool: Path) -> AbstractContextManager[Running]:
        """One replica with an embedded Valkey, and nothing on disk but its journal."""
        settings = sandbox_settings(folder, self.sandbox_url)
        settings["store"] = {"url": "s3://images/samurai", "signing_key": {"env": "SIGNING_KEY"}}
        settings["idempotency"] = {"spool": str(spool)}
        settings["server"]["admin"]["token"] = {"env": "ADMIN_TOKEN"}
        given = {
            "AWS_ENDPOINT_URL": self.s3_url,
            "AWS_REGION": "local",
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "SIGNING_KEY": "a key that signs links, of this test alone",
            "ADMIN_TOKEN": ADMIN_TOKEN,
        }
        program = ("env", *(f"{name}={value}" for name, value in given.items()), *SAMURAI)
        return gateway(folder, settings, self.sandbox_url, program=program)


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    httpx2.put(f"http://{host}:{port}/images").raise_for_status()
    with sandbox() as sandbox_url:
        yield House(f"http://{host}:{port}", sandbox_url)
    server.stop()


def image_with(key: str, running: Running) -> httpx2.Response:
    return httpx2.post(
        f"{running.base_url}/v1/images/generations",
        json={"model": "flux-schnell", "prompt": "a gate", "size": "256x256"},
        headers={"authorization": f"Bearer {key}"},
        timeout=60,
    )


def test_a_store_in_the_house_over_http_is_one_that_the_environment_may_name(house: House, tmp_path: Path) -> None:
    with house.gateway(tmp_path, tmp_path / "state/journal") as running:
        ready = httpx2.get(f"{running.admin_url}/readyz", timeout=30)
        assert (ready.status_code, ready.json()["checks"]["store"]) == (200, "ok")
        made = image_with(running.key, running)
        assert made.status_code == 200, made.text
        assert httpx2.get(made.json()["data"][0]["url"], timeout=60).headers["content-type"] == "image/png"


def test_an_embedded_valkey_over_an_object_store_keeps_its_keys_beside_the_journal(
    house: House, tmp_path: Path
) -> None:
    with house.gateway(tmp_path, tmp_path / "state/journal") as running:
        made = httpx2.post(
            f"{running.admin_url}/admin/keys",
            json={"id": "first"},
            headers={"authorization": f"Bearer {ADMIN_TOKEN}"},
            timeout=30,
        )
        assert made.status_code in (200, 201), made.text
        key = made.json()["secret"]
        assert image_with(key, running).status_code == 200
        running.process.terminate()
        assert running.process.wait(STOP_DEADLINE_S) == 0
    with house.gateway(tmp_path, tmp_path / "state/journal") as running:
        assert image_with(key, running).status_code == 200
    assert (tmp_path / "state/valkey").stat().st_mode & 0o777 == 0o700
