import asyncio
import os
import stat
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from gateway.domain.picture import BadImage, ImageFormat, ImageInfo, Size
from gateway.edges.direct import write_past_cache
from gateway.edges.room import PLACE_BYTES
from gateway.edges.spool import Spool, SpoolWriter


def files_in(parent: Path) -> list[str]:
    return sorted(path.name for path in parent.rglob("*") if path.is_file() and path.name != "lock")


async def test_pieces_become_one_private_file(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    writer = SpoolWriter(spool)
    writer.open()
    for piece in (b"one ", b"two ", b"three"):
        writer.add(piece)
    blob = writer.close()
    await writer.flush()
    assert (blob.path.read_bytes(), blob.length) == (b"one two three", 13)
    assert stat.S_IMODE(blob.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(blob.path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "spool").stat().st_mode) == 0o700
    spool.close()
    assert not blob.path.exists()


async def test_several_files_keep_their_own_bytes_however_often_they_are_flushed(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    writer = SpoolWriter(spool)
    blobs = []
    for number in range(4):
        writer.open()
        for part in range(3):
            writer.add(b"%d%d" % (number, part))
            if number % 2:
                await writer.flush()
        blobs.append(writer.close())
    await writer.flush()
    assert [blob.path.read_bytes() for blob in blobs] == [b"%d0%d1%d2" % (n, n, n) for n in range(4)]
    assert spool.buffered_bytes == 0
    spool.close()


async def test_thousands_of_small_pieces_are_written_whole(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    writer = SpoolWriter(spool)
    writer.open()
    pieces = [os.urandom(7) for _ in range(3000)]
    for piece in pieces:
        writer.add(piece)
    await writer.flush()
    assert writer.close().path.read_bytes() == b"".join(pieces)
    spool.close()


async def test_it_is_full_earlier_when_many_gather_at_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    writers = [SpoolWriter(spool) for _ in range(100)]
    for writer in writers:
        writer.open()
        writer.add(bytes(400_000))
    assert spool.buffered_bytes == 40_000_000
    assert [writer.is_full for writer in writers] == [True] * 100
    for writer in writers[1:]:
        writer.discard()
    assert spool.buffered_bytes == 400_000
    assert [writer.is_full for writer in writers] == [False] * 100
    writers[0].discard()
    spool.close()


async def test_a_dropped_file_leaves_nothing_and_the_others_stay(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    writer = SpoolWriter(spool)
    writer.open()
    writer.add(b"kept")
    kept = writer.close()
    writer.open()
    writer.add(b"dropped")
    await writer.flush()
    writer.add(b"more")
    writer.drop()
    await writer.flush()
    assert kept.path.read_bytes() == b"kept"
    assert files_in(tmp_path) == [kept.path.name]
    assert spool.buffered_bytes == 0
    spool.close()


async def test_a_write_that_is_cancelled_half_way_leaves_no_file_behind(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    held_up, later = tmp_path / "pipe", spool.new_path()
    os.mkfifo(held_up)
    task = asyncio.create_task(spool.append([(held_up, [b"x"]), (later, [b"y"])]))
    await asyncio.sleep(0.05)  # the thread waits for somebody to read from the pipe
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    spool.remove([later])
    with held_up.open("rb") as reader:
        assert await asyncio.to_thread(reader.read) == b"x"
    async with asyncio.timeout(5):
        while files_in(tmp_path) or held_up.exists():
            await asyncio.sleep(0.005)
    spool.close()
    assert not later.exists()


async def test_a_full_disk_is_an_error_and_not_a_short_file(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with pytest.raises(OSError, match="No space left"):
        await spool.append([(Path("/dev/full"), [b"x" * 10_000])])
    spool.close()


async def test_what_comes_in_as_a_whole_is_looked_at_and_lies_in_memory_until_it_is_removed(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    writer = SpoolWriter(spool)
    picture = BytesIO()
    Image.effect_noise((600, 500), 50).save(picture, "PNG")
    contents = [picture.getvalue(), b"no picture", b"part of one"]
    blobs = []
    for number, content in enumerate(contents):
        writer.open()
        for start in range(0, len(content), 70_001):
            writer.add(content[start : start + 70_001])
            if number == 2:
                await writer.flush()
        blobs.append(writer.close())
    await writer.flush()
    whole, other, part = map(writer.told, blobs)
    assert [blob.path.read_bytes() for blob in blobs] == contents
    assert [blob.info for blob in (whole, other, part)] == [
        ImageInfo(ImageFormat.PNG, Size(600, 500)),
        BadImage("not a picture"),
        None,
    ]
    names = [str(blob.path) for blob in blobs]
    assert [spool.room.facts_of(name) is not None for name in names] == [True, True, False]
    assert b"".join(spool.room.chunks(names[0])) == contents[0]
    spool.remove([other.path])
    assert spool.room.facts_of(names[1]) is None
    spool.close()


async def test_more_than_memory_has_room_for_goes_to_the_disk_alone(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    blobs = []
    for size in (PLACE_BYTES + 1, *[1000] * 9):
        writer = SpoolWriter(spool)
        writer.open()
        writer.add(bytes(size))
        blobs.append(writer.close())
        await writer.flush()
    kept = [spool.room.facts_of(str(blob.path)) is not None for blob in blobs]
    assert kept == [False, *[True] * 8, False]
    assert [blob.path.stat().st_size for blob in blobs] == [blob.length for blob in blobs]
    spool.close()


async def test_a_disk_that_cannot_be_written_past_the_cache_is_written_through_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for _ in range(20):  # and the place in memory is free again each time
        with pytest.raises(OSError, match="No space left"):
            await spool.append([(Path("/dev/full"), [b"x" * 10_000])], {Path("/dev/full"): 10_000})
    assert spool.room.place() is not None
    place = spool.room.place()
    assert place is not None
    assert not write_past_cache(Path("/dev/null"), place, 10)
    spool.close()


async def test_a_whole_file_whose_write_is_cancelled_leaves_neither_file_nor_place(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    pipes = [tmp_path / f"pipe {number}" for number in range(4)]  # one holds up each thread, until somebody reads
    for pipe in pipes:
        os.mkfifo(pipe)
    held_up = [asyncio.create_task(spool.append([(pipe, [b"x"])])) for pipe in pipes]
    await asyncio.sleep(0)
    paths = [spool.new_path() for _ in range(8)]
    task = asyncio.create_task(spool.append([(path, [b"x"]) for path in paths], dict.fromkeys(paths, 1)))
    await asyncio.sleep(0)
    assert spool.room.place() is None
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for pipe in pipes:
        with pipe.open("rb") as reader:
            assert await asyncio.to_thread(reader.read) == b"x"
        pipe.unlink()
    await asyncio.gather(*held_up)
    assert [spool.room.place() is not None for _ in range(9)] == [True] * 8 + [False]
    assert files_in(tmp_path) == []
    spool.close()


def test_what_a_dead_process_left_is_removed_and_what_a_living_one_holds_is_not(tmp_path: Path) -> None:
    script = (
        f"import os; from pathlib import Path; from gateway.edges.spool import Spool; Spool(Path({str(tmp_path)!r})); "
    )
    subprocess.run([sys.executable, "-c", script + "os._exit(0)"], check=True)
    assert len(list(tmp_path.iterdir())) == 1
    living = Spool(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    other = Spool(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    living.close()
    other.close()
    assert list(tmp_path.iterdir()) == []
