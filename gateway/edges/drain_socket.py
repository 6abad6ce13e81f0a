"""How `samurai drain` reaches the gateways of a configuration on this host, and nobody else does.

Every gateway process listens on a unix socket of its own in a directory that only its user may enter; whoever can
connect is that user, or root, on this very host. No port, no proxy and no token is in between.
"""

import asyncio
import os
import socket
import stat
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

import orjson

__all__ = ["DrainReport", "DrainSocket", "ask_to_drain", "run_directory", "sockets_of"]

_TELL_EVERY_S = 0.2
_SILENCE_S = 10.0  # fifty reports; a loop that is held up as long is as good as gone
_NAME_DIGITS = 16
_ORDER = b"drain\n"
_PATH_LIMIT_BYTES = 107 if sys.platform == "linux" else 103  # sockaddr_un's 108 or 104, less the final zero


@dataclass(frozen=True, slots=True)
class DrainReport:
    """How far a gateway's draining has come. `is_late`: its own deadline has passed with work left."""

    pid: int
    in_flight: int
    is_drained: bool
    is_late: bool


class DrainSocket:
    """Listens for `samurai drain`. `begin` starts draining, once or again; `report` tells how far it has come."""

    def __init__(self, config: Path, begin: Callable[[], None], report: Callable[[], DrainReport]) -> None:
        self._path = run_directory() / f"{_name_of(config)}-{os.getpid()}.sock"
        self._begin, self._report = begin, report
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen from now on. Raises OSError; its text tells what to change."""
        if (length := len(os.fsencode(self._path))) > _PATH_LIMIT_BYTES:
            problem = f"{length} bytes are too many for the path of a unix socket, which may have {_PATH_LIMIT_BYTES}"
            raise OSError(f"{self._path}: {problem}; set TMPDIR to a directory with a shorter name")
        for path in run_directory().glob("*.sock"):
            _clear_if_dead(path)
        self._path.unlink(missing_ok=True)  # of a process that had our number before us
        self._server = await asyncio.start_unix_server(self._serve, self._path)
        self._path.chmod(0o600)

    async def stop(self) -> None:
        """Listen no more. Who is still listening to us hears the end."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ValueError):  # the latter: a line without an end
            if await reader.readline() != _ORDER:  # somebody who only looks whether we are there
                writer.close()
                return
            self._begin()
            async for report in self._reports():
                writer.write(orjson.dumps(asdict(report)) + b"\n")
                await writer.drain()
        writer.close()

    async def _reports(self) -> AsyncIterator[DrainReport]:
        while True:
            report = self._report()
            yield report
            if report.is_drained or report.is_late:
                return
            await asyncio.sleep(_TELL_EVERY_S)


def run_directory() -> Path:
    """Where this user's sockets are, mode 0700. Raises OSError where somebody else has put something there."""
    directory = Path(tempfile.gettempdir()) / f"samurai-run-{os.getuid()}"
    with suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{directory} is not a directory that only this user may enter")
    return directory


def sockets_of(config: Path) -> dict[int, Path]:
    """The sockets of all gateways that were started with the configuration file `config`, by process id."""
    found = run_directory().glob(f"{_name_of(config)}-*.sock")
    return {int(path.stem.rpartition("-")[2]): path for path in found}


def ask_to_drain(path: Path) -> Iterator[DrainReport]:
    """Tell the gateway behind `path` to drain, and hear how it does, blocking; ends early when it is gone.

    Yields nothing where no gateway listens any more; what it left behind is removed.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_SILENCE_S)
        try:
            connection.connect(str(path))
            connection.sendall(_ORDER)
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except OSError:
            return
        with connection.makefile("rb") as lines, suppress(OSError):
            for line in lines:
                yield DrainReport(**orjson.loads(line))


def _clear_if_dead(path: Path) -> None:
    """A process that was killed leaves its socket behind."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(0.1)
        try:
            connection.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except OSError:
            return


def _name_of(config: Path) -> str:
    # Links are not followed: Kubernetes swaps the one that a mounted configuration is behind when its content changes,
    # and the gateway must be found by the name that it was started with.
    absolute = os.path.abspath(config)  # noqa: PTH100  Path.resolve() would follow them
    return sha256(os.fsencode(absolute)).hexdigest()[:_NAME_DIGITS]
