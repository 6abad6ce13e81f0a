"""The store: the same promises for a directory, for memory, and for a server that speaks S3."""

import asyncio
import os
import re
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile

import httpx2
import obstore
import pytest
from moto.server import ThreadedMotoServer
from obstore.store import LocalStore, ObjectStore
from PIL import Image

from gateway.domain.picture import Blob, ImageFormat
from gateway.edges.assets import Asset, Assets, StoreUnavailable, open_store
from gateway.edges.spool import Spool, SpoolWriter
from gateway.policies.asset_id import new_asset_id

NOW = time.time()
HOUR_S = 3600.0
CONTENT = bytes(range(256)) * 4000  # a megabyte, and every byte value
PNG = ImageFormat.PNG


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def s3_options(endpoint: str, **more: str) -> dict[str, str]:
    return {
        "endpoint": endpoint,
        "region": "us-east-1",
        "access_key_id": "testing",
        "secret_access_key": "s3cret",
        **more,
    }


@pytest.fixture
def s3(s3_endpoint: str) -> ObjectStore:
    bucket = f"images-{uuid.uuid4().hex}"
    httpx2.put(f"{s3_endpoint}/{bucket}").raise_for_status()
    return open_store(f"s3://{bucket}/a/prefix", s3_options(s3_endpoint))


@pytest.fixture(params=["file", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "s3":
        found: ObjectStore = request.getfixturevalue("s3")
        return found
    return open_store(f"file://{tmp_path}/images%20kept" if request.param == "file" else "memory://", {})


@pytest.fixture
def assets(store: ObjectStore) -> Assets:
    return Assets(store)


@pytest.fixture
def blob(tmp_path: Path) -> Blob:
    path = tmp_path / "spooled"
    path.write_bytes(CONTENT)
    return Blob(path, len(CONTENT))


def new_id(now: float = NOW) -> str:
    return new_asset_id(now, os.urandom(20))


async def content_of(asset: Asset | None) -> bytes:
    assert asset is not None
    return b"".join([chunk async for chunk in asset.chunks])


async def test_what_was_put_is_read_back_and_the_source_left(assets: Assets, blob: Blob) -> None:
    asset_id = new_id()
    assert await assets.head(asset_id, PNG) is None
    assert await assets.read(asset_id, PNG) is None
    await assets.put(asset_id, PNG, blob)
    assert await assets.head(asset_id, PNG) is not None
    asset = await assets.read(asset_id, PNG)
    assert asset is not None
    assert (asset.size, asset.start, asset.end) == (len(CONTENT), 0, len(CONTENT))
    assert abs(asset.last_modified - time.time()) < 60
    assert await content_of(asset) == CONTENT
    assert blob.path.read_bytes() == CONTENT


async def test_an_image_of_another_format_is_another_image(assets: Assets, blob: Blob) -> None:
    asset_id = new_id()
    await assets.put(asset_id, PNG, blob)
    assert await assets.head(asset_id, ImageFormat.JPEG) is None


async def test_it_comes_in_chunks_of_plain_bytes(assets: Assets, blob: Blob) -> None:
    asset_id = new_id()
    await assets.put(asset_id, PNG, blob)
    asset = await assets.read(asset_id, PNG)
    assert asset is not None
    sizes = []
    async for chunk in asset.chunks:
        assert type(chunk) is bytes
        sizes.append(len(chunk))
    assert sum(sizes) == len(CONTENT)


async def test_putting_twice_succeeds_and_keeps_the_first(assets: Assets, blob: Blob, tmp_path: Path) -> None:
    asset_id = new_id()
    await assets.put(asset_id, PNG, blob)
    other = Blob(tmp_path / "other", len(CONTENT))
    other.path.write_bytes(CONTENT[::-1])
    await assets.put(asset_id, PNG, other)
    assert await content_of(await assets.read(asset_id, PNG)) == CONTENT


async def test_two_replicas_may_put_at_once(assets: Assets, blob: Blob) -> None:
    asset_id = new_id()
    await asyncio.gather(*(assets.put(asset_id, PNG, blob) for _ in range(20)))
    assert await content_of(await assets.read(asset_id, PNG)) == CONTENT


@pytest.mark.parametrize("store", ["file"], indirect=True)
async def test_an_image_torn_by_a_power_cut_is_written_anew(store: ObjectStore, assets: Assets, blob: Blob) -> None:
    asset_id = new_id()
    await obstore.put_async(store, f"images/{asset_id[:10]}/{asset_id}.png", CONTENT[:1000])
    await assets.put(asset_id, PNG, blob)
    assert await content_of(await assets.read(asset_id, PNG)) == CONTENT


async def test_a_whole_image_stays_whoever_brings_another_one_under_its_name(
    store: ObjectStore, assets: Assets, tmp_path: Path
) -> None:
    asset_id, kept = new_id(), tmp_path / "first"
    Image.new("RGB", (8, 8), "red").save(kept, "PNG")
    await assets.put(asset_id, PNG, Blob(kept, kept.stat().st_size))
    other = tmp_path / "other"
    Image.new("RGB", (64, 64), "blue").save(other, "PNG")
    await assets.put(asset_id, PNG, Blob(other, other.stat().st_size))
    assert await content_of(await assets.read(asset_id, PNG)) == kept.read_bytes()


async def test_an_image_of_twenty_five_megabytes_goes_through_whole(assets: Assets, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(CONTENT * 25)
    asset_id = new_id()
    await assets.put(asset_id, PNG, Blob(path, path.stat().st_size))
    asset = await assets.read(asset_id, PNG)
    assert asset is not None
    assert asset.size == 25 * len(CONTENT)
    assert await content_of(asset) == CONTENT * 25


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [
        (0, 1, 0, 1),
        (1000, 300_000, 1000, 300_000),
        (len(CONTENT) - 5, None, len(CONTENT) - 5, len(CONTENT)),
        (None, 7, 0, 7),
        (5, len(CONTENT) + 100, 5, len(CONTENT)),
        (len(CONTENT), None, len(CONTENT), len(CONTENT)),
        (len(CONTENT) + 9, len(CONTENT) + 10, len(CONTENT), len(CONTENT)),
        (7, 3, 7, 7),
    ],
)
async def test_a_part_is_read_exactly(
    assets: Assets, blob: Blob, start: int | None, end: int | None, first: int, last: int
) -> None:
    asset_id = new_id()
    await assets.put(asset_id, PNG, blob)
    part = await assets.read(asset_id, PNG, start, end)
    assert part is not None
    assert (part.size, part.start, part.end) == (len(CONTENT), first, last)
    assert await content_of(part) == CONTENT[first:last]


@pytest.mark.parametrize("name", ["../../secret", "", "probes/x", "2026013107-../../../etc/passwd"])
async def test_a_name_that_is_no_id_reaches_no_file(assets: Assets, blob: Blob, name: str) -> None:
    assert await assets.head(name, PNG) is None
    assert await assets.read(name, PNG) is None
    assert await assets.head(name, PNG) is None
    with pytest.raises(ValueError, match="id"):
        await assets.put(name, PNG, blob)


async def kept(assets: Assets, ids: list[str]) -> list[bool]:
    return [await assets.head(asset_id, PNG) is not None for asset_id in ids]


async def test_the_janitor_deletes_what_is_old_and_nothing_else(assets: Assets, blob: Blob) -> None:
    next_hour = NOW // HOUR_S * HOUR_S + HOUR_S
    ids = [new_id(next_hour - hours * HOUR_S) for hours in (0, 1, 30, 200)]
    for asset_id in ids:
        await assets.put(asset_id, PNG, blob)
    keep_s = 25 * HOUR_S
    assert await assets.sweep(NOW, keep_s) == 0
    assert await assets.sweep(NOW - 60 + keep_s, keep_s) == 0, "all were written just now, whatever their ids say"
    assert await assets.sweep(next_hour + HOUR_S - 1 + keep_s, keep_s) == 3, "the last one's hour is not over"
    assert await kept(assets, ids) == [True, False, False, False]
    assert await assets.sweep(next_hour + HOUR_S + keep_s, keep_s) == 1
    assert await kept(assets, ids) == [False] * 4


async def test_a_sweep_is_bounded_and_the_next_goes_on(store: ObjectStore, blob: Blob) -> None:
    assets = Assets(store, sweep_limit=10)
    for hours in (50, 50, 50, 50, 51, 52, 53, 54, 55, 55, 55, 55):
        await assets.put(new_id(NOW - hours * HOUR_S), PNG, blob)
    later = NOW + 50 * HOUR_S
    assert [await assets.sweep(later, HOUR_S) for _ in range(3)] == [10, 2, 0]


async def test_two_janitors_at_once_do_no_harm(assets: Assets, blob: Blob) -> None:
    ids = [new_id(NOW - 50 * HOUR_S) for _ in range(30)]
    for asset_id in ids:
        await assets.put(asset_id, PNG, blob)
    later = NOW + 50 * HOUR_S
    await asyncio.gather(*(assets.sweep(later, HOUR_S) for _ in range(3)))
    await assets.sweep(later, HOUR_S)
    assert not any(await kept(assets, ids))


async def test_a_check_leaves_nothing_behind(store: ObjectStore, assets: Assets) -> None:
    await assets.check()
    assert await obstore.list(store).collect_async() == []


async def test_a_presigned_link_opens_the_image_without_a_key(s3: ObjectStore, blob: Blob) -> None:
    assets, asset_id = Assets(s3), new_id()
    await assets.put(asset_id, PNG, blob)
    link = await assets.presigned(asset_id, PNG, 60)
    async with httpx2.AsyncClient(trust_env=False) as client:
        reply = await client.get(link)
    assert reply.status_code == 200
    assert reply.content == CONTENT
    assert reply.headers["content-type"] == "image/png"
    assert reply.headers["cache-control"] == "private"
    assert "s3cret" not in link


AZURE = {"account_name": "acct", "account_key": "c2VjcmV0"}


async def test_azure_signs_links_offline_within_container_and_prefix() -> None:
    asset_id = new_id()
    link = await Assets(open_store("az://box/some/prefix", AZURE)).presigned(asset_id, ImageFormat.WEBP, 60)
    assert link.startswith("https://acct.blob.core.windows.net/box/some/prefix/images/")
    assert f"{asset_id}.webp?" in link
    assert "sig=" in link
    assert "c2VjcmV0" not in link


async def test_a_directory_makes_no_links(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="link"):
        await Assets(open_store(f"file://{tmp_path}", {})).presigned(new_id(), PNG, 60)


class FlakyServer:
    """Answers every request with the next of its statuses, the last for ever; 0 means no answer at all."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.requests: list[str] = []
        self.endpoint = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.requests.append(head.split()[0].decode())
            lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            await reader.readexactly(int(lengths[0].split(b":")[1]) if lengths else 0)
            status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
            if status == 0:
                await reader.read()
            text = (
                b"<DeleteResult><Deleted><Key>k</Key></Deleted></DeleteResult>"
                if status == 200
                else b"<Error><AWSAccessKeyId>testing</AWSAccessKeyId></Error>"
            )
            writer.write(b'HTTP/1.1 %d x\r\netag: "e"\r\nconnection: close\r\n' % status)
            writer.write(b"content-length: %d\r\n\r\n" % len(text) + text)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


StartFlaky = Callable[..., Awaitable[FlakyServer]]


@pytest.fixture
async def flaky() -> AsyncIterator[StartFlaky]:
    servers: list[asyncio.Server] = []

    async def start(*statuses: int) -> FlakyServer:
        behaviour = FlakyServer(*statuses)
        server = await asyncio.start_server(behaviour.serve, "127.0.0.1", 0)
        servers.append(server)
        behaviour.endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return behaviour

    yield start
    for server in servers:
        server.close()
        await server.wait_closed()


async def test_a_put_that_fails_twice_succeeds_at_the_third_try(flaky: StartFlaky, blob: Blob) -> None:
    server = await flaky(503, 500, 200)
    await Assets(open_store("s3://bucket", s3_options(server.endpoint))).put(new_id(), PNG, blob)
    assert server.requests == ["PUT"] * 3


async def test_a_store_that_keeps_failing_is_unavailable_after_three_tries(flaky: StartFlaky, blob: Blob) -> None:
    server = await flaky(503)
    assets = Assets(open_store("s3://bucket", s3_options(server.endpoint)))
    with pytest.raises(StoreUnavailable) as caught:
        await assets.put(new_id(), PNG, blob)
    assert server.requests == ["PUT"] * 3
    assert "503" in str(caught.value)
    assert not {"testing", "127.0.0.1"} & set(re.split(r"[^\w.]+", str(caught.value)))
    assert "\n" not in str(caught.value)
    for attempt in (assets.check(), assets.head(new_id(), PNG), assets.sweep(NOW, HOUR_S)):
        with pytest.raises(StoreUnavailable):
            await attempt


async def test_a_store_that_never_answers_is_given_up(flaky: StartFlaky, blob: Blob) -> None:
    server = await flaky(0)
    assets = Assets(open_store("s3://bucket", s3_options(server.endpoint)), try_s=0.2)
    started = time.monotonic()
    with pytest.raises(StoreUnavailable, match="TimeoutError"):
        await assets.put(new_id(), PNG, blob)
    assert time.monotonic() - started < 5


async def test_a_store_that_lets_the_second_writer_win_fails_the_check(
    flaky: StartFlaky,
) -> None:
    server = await flaky(200)
    with pytest.raises(StoreUnavailable, match="two writers"):
        await Assets(open_store("s3://bucket", s3_options(server.endpoint))).check()


async def test_a_missing_bucket_is_an_unavailable_store(s3_endpoint: str, blob: Blob) -> None:
    assets = Assets(open_store("s3://nobody-made-me", s3_options(s3_endpoint)))
    with pytest.raises(StoreUnavailable):
        await assets.put(new_id(), PNG, blob)
    with pytest.raises(StoreUnavailable):
        await assets.check()


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("images", {}),
        ("/var/lib/images", {}),
        ("file://images", {}),
        ("file:///", {}),
        ("ftp://host/images", {}),
        ("https://host/images", {}),
        ("s3://bucket", {"no_such_option": "s3cret"}),
    ],
)
def test_an_address_that_means_nothing_is_refused(url: str, options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"store|directory") as caught:
        open_store(url, options)
    assert "s3cret" not in str(caught.value)


def root_of(store: ObjectStore) -> Path:
    assert isinstance(store, LocalStore)
    assert store.prefix
    return store.prefix


async def test_a_new_directory_is_private(tmp_path: Path) -> None:
    root = root_of(open_store(f"file://{tmp_path}/images", {}))
    assert root.stat().st_mode & 0o777 == 0o700


async def test_a_directory_on_the_same_disk_takes_an_image_without_copying_it(tmp_path: Path, blob: Blob) -> None:
    store = open_store(f"file://{tmp_path}/images", {})
    name = new_id()
    await Assets(store).put(name, PNG, blob)
    kept = root_of(store) / "images" / name[:10] / f"{name}.png"
    assert kept.stat().st_ino == blob.path.stat().st_ino
    blob.path.unlink()
    assert kept.read_bytes() == CONTENT


async def test_a_directory_on_another_disk_takes_a_copy(tmp_path: Path) -> None:
    store, name = open_store(f"file://{tmp_path}/images", {}), new_id()
    with NamedTemporaryFile(dir="/dev/shm") as elsewhere:
        elsewhere.write(CONTENT)
        elsewhere.flush()
        await Assets(store).put(name, PNG, Blob(Path(elsewhere.name), len(CONTENT)))
    kept = root_of(store) / "images" / name[:10] / f"{name}.png"
    assert kept.read_bytes() == CONTENT


async def spooled(spool: Spool, content: bytes) -> Blob:
    writer = SpoolWriter(spool)
    writer.open()
    writer.add(content)
    blob = writer.close()
    await writer.flush()
    return writer.told(blob)


async def test_what_is_wanted_at_once_is_read_from_memory_and_then_from_the_disk(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    store = open_store(f"file://{tmp_path}/images", {})
    assets, asset_id = Assets(store, spool.room), new_id()
    blob = await spooled(spool, CONTENT)
    await assets.put(asset_id, PNG, blob, read_soon=True)
    spool.remove([blob.path])
    kept = root_of(store) / "images" / asset_id[:10] / f"{asset_id}.png"
    assert kept.read_bytes() == CONTENT
    kept.write_bytes(CONTENT[::-1])  # to tell which of the two was read
    part = await assets.read(asset_id, PNG, 5, 10)
    assert await content_of(part) == CONTENT[::-1][5:10]
    first = await assets.read(asset_id, PNG)
    assert first is not None
    assert abs(first.last_modified - time.time()) < 60
    assert await content_of(first) == CONTENT
    assert await content_of(await assets.read(asset_id, PNG)) == CONTENT[::-1]
    spool.close()


async def test_an_image_that_leaves_memory_in_the_middle_of_a_reply_is_read_on_from_the_disk(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    assets, asset_id = Assets(open_store(f"file://{tmp_path}/images", {}), spool.room), new_id()
    blob = await spooled(spool, CONTENT)
    await assets.put(asset_id, PNG, blob, read_soon=True)
    readers = [await assets.read(asset_id, PNG) for _ in range(2)]  # the first to end frees it
    iterators = [reader.chunks for reader in readers if reader]
    begun = await anext(iterators[0])
    assert await content_of(readers[1]) == CONTENT
    assert spool.room.facts_of(f"images/{asset_id[:10]}/{asset_id}.png") is None
    assert begun + b"".join([chunk async for chunk in iterators[0]]) == CONTENT
    spool.close()


async def test_what_nobody_waits_for_or_was_there_before_does_not_stay_in_memory(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    assets, first, second = Assets(open_store(f"file://{tmp_path}/images", {}), spool.room), new_id(), new_id()
    for asset_id, read_soon in ((first, False), (second, True), (second, True)):
        blob = await spooled(spool, CONTENT)
        await assets.put(asset_id, PNG, blob, read_soon=read_soon)
        spool.remove([blob.path])
    assert spool.room.facts_of(f"images/{first[:10]}/{first}.png") is None
    assert [spool.room.place() is not None for _ in range(8)] == [True] * 7 + [False]
    spool.close()


async def test_an_hour_that_was_swept_is_made_again(tmp_path: Path, blob: Blob) -> None:
    store = open_store(f"file://{tmp_path}/images", {})
    assets, one, two = Assets(store), new_id(), new_id()
    await assets.put(one, PNG, blob)
    shutil.rmtree(root_of(store) / "images" / one[:10])
    await assets.put(two, PNG, blob)
    assert await content_of(await assets.read(two, PNG)) == CONTENT


async def test_what_a_crash_in_the_middle_of_a_put_left_is_swept_with_its_hour(tmp_path: Path, blob: Blob) -> None:
    store = open_store(f"file://{tmp_path}/images", {})
    assets, old = Assets(store), new_id(NOW - 50 * HOUR_S)
    await assets.put(old, PNG, blob)
    hour = root_of(store) / "images" / old[:10]
    (hour / f"{new_id()}.png#1").write_bytes(CONTENT[:10])
    assert await assets.sweep(NOW + 50 * HOUR_S, HOUR_S) == 1
    assert not hour.exists()


async def test_a_directory_that_cannot_be_written_is_an_unavailable_store(tmp_path: Path, blob: Blob) -> None:
    store = open_store(f"file://{tmp_path}/images", {})
    (root_of(store) / "images").write_text("a file where the directory should be")
    with pytest.raises(StoreUnavailable, match="Not a directory"):
        await Assets(store).put(new_id(), PNG, blob)


async def test_a_reader_sees_a_whole_image_or_none(tmp_path: Path) -> None:
    assets = Assets(open_store(f"file://{tmp_path}/images", {}))
    path = tmp_path / "large"
    path.write_bytes(CONTENT * 8)
    ids = [new_id() for _ in range(10)]
    puts = asyncio.gather(*(assets.put(asset_id, PNG, Blob(path, 8 * len(CONTENT))) for asset_id in ids))
    seen = set[int]()
    while not puts.done():
        for asset_id in ids:
            facts = await assets.head(asset_id, PNG)
            seen.add(facts.size if facts else 0)
    await puts
    assert seen <= {0, 8 * len(CONTENT)}


async def test_an_image_that_vanishes_while_it_is_read_is_an_unavailable_store(tmp_path: Path, blob: Blob) -> None:
    store = open_store(f"file://{tmp_path}/images", {})
    assets, asset_id = Assets(store), new_id()
    await assets.put(asset_id, PNG, blob)
    asset = await assets.read(asset_id, PNG)
    (root_of(store) / "images" / asset_id[:10] / f"{asset_id}.png").unlink()
    with pytest.raises(StoreUnavailable):
        await content_of(asset)
