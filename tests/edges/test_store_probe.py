"""How often the store is probed: readiness asks every few seconds, from every replica, and in a cloud a probe costs."""

import asyncio
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from moto.server import ThreadedMotoServer

from gateway.domain.picture import Blob, ImageFormat
from gateway.edges.aside import SureAssets
from gateway.edges.asset_store import open_store
from gateway.edges.assets import StoreUnavailable
from gateway.policies.asset_id import new_asset_id

NAME = new_asset_id(1_800_000_000, b"x" * 20)


@dataclass(frozen=True)
class Bucket:
    """A bucket of a server that speaks S3, which may be away."""

    endpoint: str
    name: str

    def make(self) -> None:
        httpx2.put(f"{self.endpoint}/{self.name}").raise_for_status()

    def take_away(self) -> None:
        httpx2.delete(f"{self.endpoint}/{self.name}").raise_for_status()

    def assets(self, folder: Path) -> SureAssets:
        options = {"endpoint": self.endpoint, "region": "us-east-1", "access_key_id": "a", "secret_access_key": "b"}
        return SureAssets(open_store(f"s3://{self.name}", options), folder / "aside")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str) -> Bucket:
    made = Bucket(endpoint, f"images-{uuid.uuid4().hex}")
    made.make()
    return made


async def test_however_often_it_is_asked_for_a_store_that_took_a_probe_is_not_probed_again(
    bucket: Bucket, tmp_path: Path
) -> None:
    assets = bucket.assets(tmp_path)
    await assets.check()
    bucket.take_away()
    await asyncio.gather(*(assets.check() for _ in range(100)))  # it would not have taken another one


async def test_a_store_that_does_not_take_an_image_is_not_believed_any_more(bucket: Bucket, tmp_path: Path) -> None:
    assets = bucket.assets(tmp_path)
    await assets.check()
    bucket.take_away()
    (tmp_path / "blob").write_bytes(b"an image")
    await assets.put(NAME, ImageFormat.PNG, Blob(tmp_path / "blob", 8))
    assert assets.is_aside(NAME)
    with pytest.raises(StoreUnavailable):
        await assets.check()


async def test_a_store_that_failed_is_probed_anew_each_time(bucket: Bucket, tmp_path: Path) -> None:
    assets = bucket.assets(tmp_path)
    bucket.take_away()
    with pytest.raises(StoreUnavailable):
        await assets.check()
    bucket.make()
    await assets.check()


async def test_those_who_ask_at_once_share_a_probe(bucket: Bucket, tmp_path: Path) -> None:
    assets = bucket.assets(tmp_path)
    bucket.take_away()
    asked = await asyncio.gather(*(assets.check() for _ in range(20)), return_exceptions=True)
    assert isinstance(asked[0], StoreUnavailable)
    assert len({id(one) for one in asked}) == 1


async def test_who_leaves_does_not_take_the_others_probe_along(bucket: Bucket, tmp_path: Path) -> None:
    assets = bucket.assets(tmp_path)
    impatient, patient = asyncio.create_task(assets.check()), asyncio.create_task(assets.check())
    await asyncio.sleep(0)
    impatient.cancel()
    await patient


async def test_a_directory_costs_nothing_and_is_probed_whenever_it_is_asked_for(tmp_path: Path) -> None:
    assets = SureAssets(open_store(f"file://{tmp_path / 'images'}", {}), tmp_path / "aside")
    await assets.check()
    (tmp_path / "images").rename(tmp_path / "away")
    (tmp_path / "images").write_text("no directory")
    with pytest.raises(StoreUnavailable):
        await assets.check()
