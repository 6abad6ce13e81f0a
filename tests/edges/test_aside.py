"""A store that is away, and paid images that wait for it on this replica's disk."""

from pathlib import Path

import pytest

from gateway.domain.picture import Blob, ImageFormat
from gateway.edges.aside import SureAssets
from gateway.edges.asset_store import open_store
from gateway.edges.assets import StoreUnavailable
from gateway.policies.asset_id import new_asset_id

NAME = new_asset_id(1_800_000_000, b"x" * 20)
PNG = ImageFormat.PNG


def a_blob(folder: Path, content: bytes = b"an image") -> Blob:
    path = folder / "blob"
    path.write_bytes(content)
    return Blob(path, len(content))


def take_away(images: Path) -> Path:
    away = images.with_name("away")
    images.rename(away)
    images.write_text("no directory")
    return away


def give_back(images: Path, away: Path) -> None:
    images.unlink()
    away.rename(images)


async def content_of(assets: SureAssets) -> bytes:
    asset = await assets.read(NAME, PNG)
    assert asset is not None
    return b"".join([chunk async for chunk in asset.chunks])


async def test_what_the_store_does_not_take_is_kept_read_and_brought_home(tmp_path: Path) -> None:
    images = tmp_path / "images"
    assets = SureAssets(open_store(f"file://{images}", {}), tmp_path / "aside")
    away = take_away(images)
    await assets.put(NAME, PNG, a_blob(tmp_path))
    assert assets.is_aside(NAME)
    assert await content_of(assets) == b"an image"
    facts = await assets.head(NAME, PNG)
    assert facts is not None
    assert facts.size == 8
    assert await assets.bring_home() == 0
    give_back(images, away)
    assert await assets.bring_home() == 1
    assert not assets.is_aside(NAME)
    assert await content_of(assets) == b"an image"
    assert not list((tmp_path / "aside").rglob("*.png"))
    assert await assets.bring_home() == 0


async def test_a_restarted_replica_finds_what_it_had_kept(tmp_path: Path) -> None:
    images = tmp_path / "images"
    first = SureAssets(open_store(f"file://{images}", {}), tmp_path / "aside")
    away = take_away(images)
    await first.put(NAME, PNG, a_blob(tmp_path))
    give_back(images, away)
    (tmp_path / "aside" / "images" / "stray.txt").write_text("not an image")
    second = SureAssets(open_store(f"file://{images}", {}), tmp_path / "aside")
    assert second.is_aside(NAME)
    assert await second.bring_home() == 1
    assert await content_of(second) == b"an image"


async def test_without_either_disk_the_image_is_refused(tmp_path: Path) -> None:
    images, aside = tmp_path / "images", tmp_path / "aside"
    assets = SureAssets(open_store(f"file://{images}", {}), aside)
    take_away(images)
    take_away(aside)
    with pytest.raises(StoreUnavailable):
        await assets.put(NAME, PNG, a_blob(tmp_path))
    assert not assets.is_aside(NAME)
