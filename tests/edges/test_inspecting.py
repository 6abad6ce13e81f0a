import time
from pathlib import Path

import pytest

from gateway.domain.picture import BadImage, Blob, ImageFormat, ImageInfo, Size
from gateway.edges.inspecting import inspect
from tests.pictures import encoded, photo


def blob_of(directory: Path, data: bytes) -> Blob:
    path = directory / "spooled"
    path.write_bytes(data)
    return Blob(path, len(data))


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_whole_picture_is_described_and_left_in_place(tmp_path: Path) -> None:
    blob = blob_of(tmp_path, encoded(photo(96, 64), "PNG"))
    assert await inspect(blob) == ImageInfo(ImageFormat.PNG, Size(96, 64))
    assert blob.path.exists()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (encoded(photo(96, 64), "PNG")[:-9], "truncated"),
        (encoded(photo(96, 64), "JPEG") + b"<svg/>", "bytes after the picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
        (b"", "not a picture"),
    ],
)
async def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, data: bytes, reason: str) -> None:
    assert await inspect(blob_of(tmp_path, data)) == BadImage(reason)


async def test_nothing_at_all_was_delivered(tmp_path: Path) -> None:
    assert await inspect(Blob(tmp_path / "never written", 0)) == BadImage("not a picture")


async def test_a_file_that_is_shorter_than_was_told_is_truncated(tmp_path: Path) -> None:
    blob = blob_of(tmp_path, encoded(photo(96, 64), "PNG"))
    assert await inspect(Blob(blob.path, blob.length + 1)) == BadImage("truncated")


async def test_a_file_that_is_gone_is_our_own_fault(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await inspect(Blob(tmp_path / "gone", 10))


async def test_two_megabytes_take_milliseconds_and_no_descriptors(tmp_path: Path) -> None:
    blob = blob_of(tmp_path, encoded(photo(1200, 1200), "PNG", compress_level=1))
    assert blob.length > 2_000_000
    before, durations = open_descriptors(), []
    for _ in range(20):
        started = time.perf_counter()
        assert isinstance(await inspect(blob), ImageInfo)
        durations.append(time.perf_counter() - started)
    assert min(durations) < 0.05  # some 3 ms alone; the bound only shows that no pixel is decoded
    assert open_descriptors() <= before + 1
