"""Finished images in a store: put once, read in chunks, linked to, and deleted when their time is over.

An image lies at `images/<hour>/<id>.<ext>`, the hour being the front of its id: what has expired is found by looking
at a few old hours, however many images there are.
"""

import asyncio
import contextlib
import errno
import secrets
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import AzureStore, GCSStore, LocalStore, ObjectStore, S3Store

from gateway.domain.picture import BadImage, Blob, ImageFormat
from gateway.edges.asset_directory import Reading, force_to_disk, linked, piece_of, size_and_time
from gateway.edges.asset_store import StoreUnavailable, open_store, unavailable
from gateway.edges.inspecting import inspect
from gateway.edges.room import Room
from gateway.policies.asset_id import hour_of, valid_asset_id

__all__ = ["Asset", "AssetFacts", "Assets", "StoreUnavailable", "open_store"]

T = TypeVar("T")

_ROOT = "images"
_BACK_OFF_S = (0.1, 0.4)  # between the three tries
_TRY_S = 10.0
_PUT_S = 60.0  # all tries, and the wait for a turn when many images are put at once
_NO_TURNS = contextlib.nullcontext()
_PUTS_AT_ONCE = 8  # each holds its image in memory once, since a conditional put is one request
_CHUNK_BYTES = 256 << 10
_SWEEP_LIMIT = 1000  # S3 lists and deletes as many with one request
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class AssetFacts:
    """What the store knows of an image without reading it: bytes, and seconds since the epoch."""

    size: int
    last_modified: float


@dataclass(frozen=True, slots=True)
class Asset:
    """An image to read: bytes `start` to `end` (exclusive) of `size`. `chunks` may be gone through once.

    `last_modified` is in seconds since the epoch. Nothing is held open before the first chunk is asked for.
    `chunks` raises StoreUnavailable.
    """

    size: int
    last_modified: float
    start: int
    end: int
    chunks: AsyncIterator[bytes] = field(repr=False)


class Assets:
    """The images of one store. What is put from `room` may be read from there.

    A try that takes longer than `try_s` seconds counts as failed. A sweep deletes `sweep_limit` images at most.
    """

    def __init__(
        self, store: ObjectStore, room: Room | None = None, *, try_s: float = _TRY_S, sweep_limit: int = _SWEEP_LIMIT
    ) -> None:
        self._store = store
        self._try_s = try_s
        self._sweep_limit = sweep_limit
        self._puts = asyncio.Semaphore(_PUTS_AT_ONCE)
        self._reading = Reading()
        self._room = room or Room()
        self._sure = set[Path]()  # one a running hour
        # Waiting for a disk must not hold up what else the event loop's own threads do, such as looking up names.
        self._disk = ThreadPoolExecutor(_PUTS_AT_ONCE, thread_name_prefix="assets")

    def adopt(self, room: Room) -> None:
        """Use another one from now on."""
        self._room = room

    async def put(self, asset_id: str, format: ImageFormat, blob: Blob, *, read_soon: bool = False) -> None:  # noqa: A002
        """Keep a copy of `blob` for good, unless the image is there already; both are a success.

        Readers see the whole image or none; the first one from memory, if it is there and will be `read_soon`. Raises
        StoreUnavailable after three tries, ValueError for no id.
        """
        path = _path_of(asset_id, format)
        if path is None:
            raise ValueError("not an asset id")
        try:
            async with asyncio.timeout(_PUT_S):
                await self._thrice(lambda: self._put(path, format, blob, read_soon=read_soon), self._puts)
        except OSError as error:  # the time is up; or there is no such bucket, or the directory was taken away
            raise unavailable(error) from error

    async def head(self, asset_id: str, format: ImageFormat) -> AssetFacts | None:  # noqa: A002 as above
        """Size and age of an image; None when there is none. Raises StoreUnavailable."""
        path = _path_of(asset_id, format)
        if path is None:
            return None
        try:
            return await self._thrice(lambda: self._facts(path))
        except FileNotFoundError:
            return None

    async def _facts(self, path: str) -> AssetFacts:
        if known := self._room.facts_of(path):
            return AssetFacts(*known)
        if isinstance(self._store, LocalStore) and self._store.prefix:  # at a fifth of the cost
            return AssetFacts(*await self._on_disk(size_and_time, self._store.prefix / path))
        meta = await obstore.head_async(self._store, path)
        return AssetFacts(meta["size"], meta["last_modified"].timestamp())

    async def read(
        self,
        asset_id: str,
        format: ImageFormat,  # noqa: A002 as above
        start: int | None = None,
        end: int | None = None,
    ) -> Asset | None:
        """The image, or its bytes `start` to `end` (exclusive, cut to what there is); None when there is none.

        Raises StoreUnavailable.
        """
        facts, path = await self.head(asset_id, format), _path_of(asset_id, format)
        if facts is None or path is None:
            return None
        first = 0 if start is None else min(max(start, 0), facts.size)
        last = facts.size if end is None else min(max(end, first), facts.size)
        chunks = self._chunks(path, first, last, is_whole=last - first == facts.size)
        return Asset(facts.size, facts.last_modified, first, last, chunks)

    async def presigned(self, asset_id: str, format: ImageFormat, expires_in_s: int) -> str:  # noqa: A002 as above
        """A link of the store's own, which needs no key of ours. Raises StoreUnavailable.

        Raises ValueError for no id, and with a store that makes no links (a directory).
        """
        path = _path_of(asset_id, format)
        if path is None or not isinstance(self._store, S3Store | GCSStore | AzureStore):
            raise ValueError("no such link can be made")
        try:
            return await obstore.sign_async(self._store, "GET", path, timedelta(seconds=expires_in_s))
        except (BaseError, OSError) as error:
            raise unavailable(error) from error

    async def sweep(self, now: float, keep_s: float) -> int:
        """Delete images older than `keep_s` seconds; how many it were. Raises StoreUnavailable.

        Looks only into hours that are over and expired as a whole, so an image may stay an hour longer.
        """
        oldest = datetime.fromtimestamp(now - keep_s, UTC)
        deleted = 0
        try:
            for prefix, hour in await self._hours():
                if hour + _HOUR > oldest or deleted >= self._sweep_limit:
                    break
                deleted += await self._sweep_hour(prefix, oldest, self._sweep_limit - deleted)
        except (BaseError, OSError) as error:
            raise unavailable(error) from error
        return deleted

    async def check(self) -> None:
        """Write, read and delete a small object. Raises StoreUnavailable when the store lacks what we need."""
        path = f"probes/{secrets.token_hex(12)}"
        try:
            async with asyncio.timeout(self._try_s):
                await self._probe(path)
        except (BaseError, OSError) as error:
            raise unavailable(error) from error

    async def _put(self, path: str, format: ImageFormat, blob: Blob, *, read_soon: bool) -> None:  # noqa: A002 as above
        home = self._store.prefix if isinstance(self._store, LocalStore) else None
        link = partial(linked, is_forced=blob.info is not None)
        if home is not None and await self._on_disk(link, blob.path, home / path, self._sure):
            if read_soon:
                self._room.rename(str(blob.path), path)
            return
        attributes = {"Content-Type": format.media_type, "Cache-Control": "private"} if home is None else None
        try:
            await obstore.put_async(self._store, path, blob.path, mode="create", attributes=attributes)
        except AlreadyExistsError:
            meta = await obstore.head_async(self._store, path)
            if meta["size"] != blob.length and await self._is_torn(path, meta["size"]):
                await obstore.put_async(self._store, path, blob.path, attributes=attributes, use_multipart=False)
        if home is not None:
            await self._on_disk(force_to_disk, home / path, *(home / path).parents[:2])

    async def _on_disk(self, act: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, act, *args)

    async def _is_torn(self, path: str, size: int) -> bool:
        """Whether a file is no whole image: in a directory, a power cut may keep the name and not the bytes.

        A whole one stays, whatever its length: it was handed out, and a client may come for the same bytes again.
        """
        if not isinstance(self._store, LocalStore) or not self._store.prefix:
            return False
        return isinstance(await inspect(Blob(self._store.prefix / path, size)), BadImage)

    async def _thrice(
        self, attempt: Callable[[], Awaitable[T]], turns: AbstractAsyncContextManager[None] = _NO_TURNS
    ) -> T:
        """The attempt's result; each of its tries waits for a turn, which does not count against its time.

        FileNotFoundError is an answer and passes; other failures raise StoreUnavailable.
        """
        problem: Exception | None = None
        for wait_s in (0.0, *_BACK_OFF_S):
            await asyncio.sleep(wait_s)
            try:
                async with turns, asyncio.timeout(self._try_s):
                    return await attempt()
            except FileNotFoundError:
                raise
            except (BaseError, OSError) as error:
                problem = error
        raise unavailable(problem) from problem

    async def _chunks(self, path: str, start: int, end: int, *, is_whole: bool) -> AsyncIterator[bytes]:
        if start == end:
            return
        pieces = self._pieces if isinstance(self._store, LocalStore) else self._streamed
        try:
            for chunk in self._room.chunks(path) if is_whole else ():
                yield chunk
                start += len(chunk)
            async for chunk in pieces(path, start, end):
                yield chunk
        except (BaseError, OSError) as error:
            raise unavailable(error) from error

    async def _streamed(self, path: str, start: int, end: int) -> AsyncIterator[bytes]:
        found = await self._thrice(lambda: obstore.get_async(self._store, path, options={"range": (start, end)}))
        async for chunk in found.stream(min_chunk_size=_CHUNK_BYTES):
            yield chunk

    async def _pieces(self, path: str, start: int, end: int) -> AsyncIterator[bytes]:
        """As `_streamed`, for a directory: a stream of a file comes in 8 KiB steps, measured at five times the cost."""
        prefix = self._store.prefix if isinstance(self._store, LocalStore) else None
        file = Path(prefix or "/") / path
        with self._reading.one_more() as reading:
            while start < end:
                piece = await self._on_disk(piece_of, file, start, min(reading.step_bytes, end - start))
                if not piece:
                    raise FileNotFoundError(errno.ENODATA, "the file has become shorter")
                yield piece
                start += len(piece)

    async def _hours(self) -> list[tuple[str, datetime]]:
        """The hours that have images, oldest first."""
        listed = await obstore.list_with_delimiter_async(self._store, f"{_ROOT}/")
        hours = ((prefix, hour_of(PurePosixPath(prefix).name)) for prefix in listed["common_prefixes"])
        return sorted((prefix, hour) for prefix, hour in hours if hour is not None)

    async def _sweep_hour(self, prefix: str, oldest: datetime, limit: int) -> int:
        """Delete what is old by the store's own clock too, up to `limit`; how many it were."""
        expired, kept = list[str](), 0
        async for page in obstore.list(self._store, prefix, chunk_size=_SWEEP_LIMIT):
            old = [meta["path"] for meta in page if meta["last_modified"] < oldest]
            kept += len(page) - len(old)
            expired += old
            if len(expired) >= limit:
                break
        with contextlib.suppress(FileNotFoundError):  # another replica sweeps too; the rest goes next time
            await obstore.delete_async(self._store, expired[:limit])
        if not kept and len(expired) < limit and isinstance(self._store, LocalStore) and self._store.prefix:
            # Also what a crash in the middle of a put left behind, which no listing shows.
            await asyncio.to_thread(shutil.rmtree, self._store.prefix / prefix, ignore_errors=True)
        return len(expired[:limit])

    async def _probe(self, path: str) -> None:
        await obstore.put_async(self._store, path, b"probe", mode="create")
        try:
            await obstore.put_async(self._store, path, b"twice", mode="create")
        except AlreadyExistsError:
            found = await obstore.get_async(self._store, path)
            intact = bytes(await found.bytes_async()) == b"probe"
        else:
            intact = False
        await obstore.delete_async(self._store, path)
        if not intact:
            raise StoreUnavailable("the store does not keep the first of two writers")


def _path_of(asset_id: str, format: ImageFormat) -> str | None:  # noqa: A002 as above
    if not valid_asset_id(asset_id):
        return None
    return f"{_ROOT}/{asset_id.partition('-')[0]}/{asset_id}.{format.extension}"
