import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.edges.file_watch import FileWatch

SOON_S = 10.0
QUICK = {"every_s": 0.01, "settle_s": 0.05}


def replaced(file: Path, text: str) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(file)


def swapped_link(file: Path, text: str) -> None:
    """As a Kubernetes mount does it: the directory that the file is seen through is another one at once."""
    folder = file.parent
    (folder / "..2").mkdir()
    (folder / "..2/file").write_text(text)
    (folder / "..data_tmp").symlink_to("..2")
    (folder / "..data_tmp").rename(folder / "..data")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "..1").mkdir()
    (tmp_path / "..1/file").write_text("one")
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "file").symlink_to("..data/file")
    return tmp_path / "file"


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.write_text("two"),
        lambda file: replaced(file, "two"),
        lambda file: swapped_link(file, "one"),
        lambda file: file.unlink(),
        os.utime,
    ],
)
async def test_every_way_of_changing_a_file_is_noticed(file: Path, change: Callable[[Path], object]) -> None:
    watch = FileWatch([file], **QUICK)
    news = asyncio.create_task(watch.changed())
    await asyncio.sleep(0.05)
    assert not news.done()
    change(file)
    await asyncio.wait_for(news, SOON_S)
    watch.saw(await watch.look(), [file])
    again = asyncio.create_task(watch.changed())
    await asyncio.sleep(0.05)
    assert not again.done()
    again.cancel()


async def test_a_file_that_is_still_being_written_is_not_news_yet(file: Path) -> None:
    watch = FileWatch([file], every_s=0.01, settle_s=0.5)
    news = asyncio.create_task(watch.changed())
    with file.open("w") as stream:
        for part in range(10):
            stream.write(f"part {part} of the whole")
            stream.flush()
            await asyncio.sleep(0.02)
            assert not news.done()
    await asyncio.wait_for(news, SOON_S)


async def test_a_file_that_appears_is_noticed_and_so_is_one_that_is_followed_later(tmp_path: Path) -> None:
    missing, other = tmp_path / "missing", tmp_path / "other"
    watch = FileWatch([missing], **QUICK)
    missing.write_text("here")
    await asyncio.wait_for(watch.changed(), SOON_S)
    watch.saw(await watch.look(), [missing, other])
    other.write_text("here")
    await asyncio.wait_for(watch.changed(), SOON_S)
