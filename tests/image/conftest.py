"""One image for all tests of this directory: it takes a minute or two to build."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.building import Builder, Image, lend_index, missing


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("image")
    yield folder
    shutil.rmtree(folder)  # gigabytes


@pytest.fixture(scope="session")
def lent_addresses(folder: Path) -> list[str]:
    """The package indexes that the build may use and nobody may find in the image."""
    return lend_index(folder / "pip.conf")


@pytest.fixture(scope="session")
def image(folder: Path, lent_addresses: list[str]) -> Image:
    """The Dockerfile's image. SAMURAI_IMAGE_BASE names an archive of a base to use, or to make where there is none."""
    if reason := missing():
        pytest.skip(reason)
    builder = Builder(folder)
    builder.make_base(Path(os.environ.get("SAMURAI_IMAGE_BASE", folder / "base.tar")))
    builder.make_image(folder / "pip.conf")
    return Image.of(builder)
