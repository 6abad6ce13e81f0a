"""Paid images that the store did not take: kept on this replica's disk until it does."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from obstore.store import LocalStore, ObjectStore

from gateway.domain.picture import Blob, ImageFormat
from gateway.edges.assets import Asset, AssetFacts, Assets, StoreUnavailable
from gateway.edges.room import Room
from gateway.policies.asset_id import valid_asset_id

__all__ = ["SureAssets"]

_BELIEVED_S = 9.0  # shorter than the watch's looks, which are one in ten seconds, so that those are looks
_FORMATS: Mapping[str, ImageFormat] = {f".{one.extension}": one for one in ImageFormat}


class SureAssets(Assets):
    """The images of one store, and beside them those that wait on this disk, in `aside`, for the store to be back.

    Raises OSError when the directory cannot be made.
    """

    def __init__(self, store: ObjectStore, aside: Path, room: Room | None = None) -> None:
        super().__init__(store, room)
        aside.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = aside
        self._aside = Assets(LocalStore(aside))
        self._waiting = dict(_images_in(aside))
        self._sound_until = 0.0
        self._looking: asyncio.Task[None] | None = None

    def is_aside(self, asset_id: str) -> bool:
        """Whether this image is on this disk only: other replicas do not have it."""
        return asset_id in self._waiting

    async def check(self) -> None:
        """As in Assets, but a cloud that took the last probe is believed for a while, until it does not take an image.

        There a probe costs money, and the second port, which tells of it, answers whoever comes.
        """
        if time.monotonic() < self._sound_until:
            return
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), name="store-probe")
        await asyncio.shield(self._looking)

    async def _look(self) -> None:
        await super().check()
        if not isinstance(self._store, LocalStore):
            self._sound_until = time.monotonic() + _BELIEVED_S

    async def put(self, asset_id: str, format: ImageFormat, blob: Blob, *, read_soon: bool = False) -> None:  # noqa: A002
        """As in Assets, but what the store does not take is kept aside. Raises StoreUnavailable on a full disk, too."""
        try:
            await super().put(asset_id, format, blob, read_soon=read_soon)
        except StoreUnavailable:
            self._sound_until = 0.0
            await self._aside.put(asset_id, format, blob)
            self._waiting[asset_id] = format

    async def head(self, asset_id: str, format: ImageFormat) -> AssetFacts | None:  # noqa: A002 as in Assets
        """As in Assets."""
        if self._waiting.get(asset_id) is format:
            return await self._aside.head(asset_id, format)
        return await super().head(asset_id, format)

    async def read(
        self,
        asset_id: str,
        format: ImageFormat,  # noqa: A002 as in Assets
        start: int | None = None,
        end: int | None = None,
    ) -> Asset | None:
        """As in Assets."""
        if self._waiting.get(asset_id) is format:
            return await self._aside.read(asset_id, format, start, end)
        return await super().read(asset_id, format, start, end)

    async def bring_home(self) -> int:
        """Put into the store what waits for it; how many images that were. Ends early while the store is away."""
        brought = 0
        for asset_id, image_format in list(self._waiting.items()):
            path = _path_in(self._directory, asset_id, image_format)
            try:
                length = (await asyncio.to_thread(path.stat)).st_size
                await super().put(asset_id, image_format, Blob(path, length))
            except StoreUnavailable:
                break
            except FileNotFoundError:
                length = 0  # somebody tidied up: there is nothing left to bring
            self._waiting.pop(asset_id, None)
            with suppress(FileNotFoundError):
                await asyncio.to_thread(path.unlink)
            brought += length > 0
        return brought


def _images_in(directory: Path) -> list[tuple[str, ImageFormat]]:
    """What an earlier life of this replica left."""
    found = [(path.stem, _FORMATS.get(path.suffix)) for path in directory.rglob("*-*.*")]
    return [(name, image_format) for name, image_format in found if image_format and valid_asset_id(name)]


def _path_in(directory: Path, asset_id: str, image_format: ImageFormat) -> Path:
    hour = asset_id.partition("-")[0]
    return directory / "images" / hour / f"{asset_id}.{image_format.extension}"
