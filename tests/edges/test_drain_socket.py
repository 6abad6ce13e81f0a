import asyncio
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.edges.drain_socket import DrainReport, DrainSocket, ask_to_drain, run_directory, sockets_of


@pytest.fixture(autouse=True)
def _own_sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="ds-") as folder:  # short: a socket's path has 107 characters at most
        monkeypatch.setattr("tempfile.tempdir", folder)
        yield


async def test_every_report_is_heard_until_the_last_one(tmp_path: Path) -> None:
    begun: list[bool] = []
    reports = iter([DrainReport(7, 2, False, False), DrainReport(7, 1, False, False), DrainReport(7, 0, True, False)])
    door = DrainSocket(tmp_path / "a.yaml", lambda: begun.append(True), lambda: next(reports))
    await door.start()
    ((_, path),) = sockets_of(tmp_path / "a.yaml").items()
    heard = await asyncio.to_thread(lambda: list(ask_to_drain(path)))
    await door.stop()
    assert begun == [True]
    assert [report.in_flight for report in heard] == [2, 1, 0]
    assert sockets_of(tmp_path / "a.yaml") == {}


async def test_another_configurations_gateways_are_not_found(tmp_path: Path) -> None:
    door = DrainSocket(tmp_path / "a.yaml", lambda: None, lambda: DrainReport(1, 0, True, False))
    await door.start()
    try:
        assert sockets_of(tmp_path / "b.yaml") == {}
        assert len(sockets_of(tmp_path / "x/../a.yaml")) == 1
    finally:
        await door.stop()


async def test_a_configuration_whose_link_was_swapped_is_still_the_one_that_was_started_with(tmp_path: Path) -> None:
    """As Kubernetes mounts a ConfigMap: the file is a link through a link, and the inner one changes."""
    for edition in ("first", "second"):
        (tmp_path / edition).mkdir()
        (tmp_path / edition / "gateway.yaml").touch()
    (tmp_path / "..data").symlink_to("first")
    config = tmp_path / "gateway.yaml"
    config.symlink_to("..data/gateway.yaml")
    door = DrainSocket(config, lambda: None, lambda: DrainReport(1, 0, True, False))
    await door.start()
    try:
        (tmp_path / "fresh").symlink_to("second")
        (tmp_path / "fresh").rename(tmp_path / "..data")
        assert config.resolve().parent.name == "second"
        assert len(sockets_of(config)) == 1
    finally:
        await door.stop()


async def test_a_directory_too_long_for_a_socket_is_said_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for length, fits in ((40, True), (80, False)):
        folder = Path(tempfile.gettempdir()) / ("d" * length)
        folder.mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(folder))
        door = DrainSocket(tmp_path / "a.yaml", lambda: None, lambda: DrainReport(1, 0, True, False))
        if fits:
            await door.start()
            await door.stop()
        else:
            with pytest.raises(
                OSError, match=r"d{80}/.+ bytes are too many .+; set TMPDIR to a directory with a shorter"
            ):
                await door.start()
        monkeypatch.setattr("tempfile.tempdir", str(folder.parent))


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o707])
def test_a_directory_that_others_may_enter_is_not_used(tmp_path: Path, mode: int) -> None:
    run_directory().chmod(mode)
    with pytest.raises(PermissionError):
        run_directory()


def test_a_link_in_place_of_the_directory_is_not_used(tmp_path: Path) -> None:
    real = run_directory()
    real.rename(tmp_path / "elsewhere")
    real.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError):
        run_directory()


async def test_who_only_looks_drains_nothing_and_what_the_dead_left_is_cleared_away_at_a_start(tmp_path: Path) -> None:
    begun: list[bool] = []
    report = DrainReport(1, 0, True, False)
    first = DrainSocket(tmp_path / "a.yaml", lambda: begun.append(True), lambda: report)
    await first.start()
    dead = run_directory() / "0123456789abcdef-1.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(dead))
    second = DrainSocket(tmp_path / "b.yaml", lambda: None, lambda: report)
    await second.start()
    _, writer = await asyncio.open_unix_connection(sockets_of(tmp_path / "a.yaml").popitem()[1])
    writer.write(b"look\n")
    await writer.drain()
    writer.close()
    ((_, path),) = sockets_of(tmp_path / "b.yaml").items()
    assert list(await asyncio.to_thread(lambda: list(ask_to_drain(path)))) == [report]
    assert not dead.exists()
    assert begun == []
    assert len(sockets_of(tmp_path / "a.yaml")) == 1
    await first.stop()
    await second.stop()
