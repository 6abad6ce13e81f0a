"""Real Redis and Valkey servers for tests, on a private unix socket or a free loopback port."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from gateway.edges.embedded_valkey import find_server

START_DEADLINE_S = 10.0


def valkey_binary() -> str:
    """The server of the `embedded` extra, or whatever the machine has."""
    return find_server()


def redis_binary() -> str | None:
    """The system's own Redis, as the second engine; None where it is not installed."""
    return shutil.which("redis-server")


def admin_of(**where: Any) -> Any:
    """The library's blocking client, whose types are too patchy to be of use here."""
    return redis.Redis(**where)


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Server:
    """A running server process; `path` is its socket, `port` its TCP port or 0."""

    process: "subprocess.Popen[bytes]"
    directory: Path
    port: int

    @property
    def path(self) -> Path:
        return self.directory / "s.sock"

    @property
    def url(self) -> str:
        return f"unix://{self.path}"

    def admin(self) -> Any:
        """A plain blocking client, for looking and for breaking things."""
        return admin_of(unix_socket_path=str(self.path))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)


@contextmanager
def running_server(binary: str, *options: str, port: int = 0, config: str | None = None) -> Iterator[Server]:
    """A fresh, empty server with extra `options` (and a `config` file's text), ended without mercy afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="srv-"))
    command = [binary]
    if config is not None:
        (directory / "server.conf").write_text(config)
        command.append(str(directory / "server.conf"))
    else:
        command += ["--save", ""]
    command += ["--port", str(port), "--bind", "127.0.0.1", "--unixsocket", str(directory / "s.sock")]
    command += ["--dir", str(directory), "--logfile", str(directory / "log"), *options]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    server = Server(process, directory, port)
    try:
        _wait_until_listening(server)
        yield server
    finally:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)
        server.kill()
        shutil.rmtree(directory, ignore_errors=True)


def _wait_until_listening(server: Server) -> None:
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline:
        with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
            probe.connect(str(server.path))
            return
        assert server.process.poll() is None, (server.directory / "log").read_text()
        time.sleep(0.002)
    raise AssertionError("the test's server did not start")


@dataclass
class Wire:
    """A connection-by-connection relay in front of a server. While `loses_replies`, it cuts instead of answering."""

    path: Path
    loses_replies: bool = False

    @property
    def url(self) -> str:
        return f"unix://{self.path}"


@asynccontextmanager
async def wire_to(server: Server) -> AsyncIterator[Wire]:
    """A relay to `server` whose replies can be lost after the command was carried out."""
    wire = Wire(server.directory / "wire.sock")
    tasks: set[asyncio.Task[None]] = set()

    async def relay(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        reader, to_server = await asyncio.open_unix_connection(str(server.path))

        async def commands() -> None:
            while data := await client.read(65536):
                to_server.write(data)

        forward = asyncio.create_task(commands())
        try:
            while (data := await reader.read(65536)) and not wire.loses_replies:
                to_client.write(data)
        finally:
            forward.cancel()
            to_client.close()
            to_server.close()
            tasks.discard(task)

    listener = await asyncio.start_unix_server(relay, str(wire.path))
    try:
        yield wire
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
