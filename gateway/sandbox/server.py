"""Serves the sandbox on a real socket: inside the loop of a test, or as a program of its own."""

import asyncio
import contextlib
import errno
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import uvicorn

from gateway.sandbox.app import sandbox_app
from gateway.sandbox.ledger import Ledger
from gateway.sandbox.options import SandboxOptions
from gateway.sandbox.state import State
from gateway.sandbox.wire import OpenProtocol

__all__ = ["PortTakenError", "Sandbox", "running_sandbox", "serve_sandbox"]

_BACKLOG = 2048
_KEEP_ALIVE_S = 75
_LAST_WORDS_S = 5.0


class PortTakenError(Exception):
    """The address is in use by another program."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(
            f"{host}:{port} is already in use: stop the program there or choose another port for the sandbox"
        )


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A running sandbox: where it is, and what it remembers."""

    base_url: str
    state: State

    @property
    def ledger(self) -> Ledger:
        """The payment ledger, up to date."""
        return self.state.ledger

    def service_account(self) -> dict[str, str]:
        """The JSON key file for this sandbox's Google."""
        return self.state.google.service_account(self.base_url, self.state.options.project)


class _Server(uvicorn.Server):
    """Uvicorn without signal handlers of its own, that tells when it listens and ends without lingering."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self._over = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to whoever runs the loop."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        self.listening.set()

    async def main_loop(self) -> None:
        """Keep the Date header fresh until `end` is called."""
        while not self._over.is_set():
            await self.on_tick(0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), 1.0)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Cut every connection, also the stalled ones, and let what still runs come to its end."""
        for listener in (*self.servers, *(sockets or ())):
            listener.close()
        for connection in list(self.server_state.connections):
            transport = getattr(connection, "transport", None)
            if transport is not None:
                transport.abort()
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=_LAST_WORDS_S)

    def end(self) -> None:
        """Leave the main loop."""
        self._over.set()


@contextlib.asynccontextmanager
async def running_sandbox(
    options: SandboxOptions | None = None, *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[Sandbox]:
    """A sandbox in this event loop for as long as the block runs. Port 0 takes a free one."""
    state = State(options=options or SandboxOptions())
    listener = _listener(host, port)
    config = uvicorn.Config(
        sandbox_app(state),
        http=OpenProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve([listener]))
    try:
        await server.listening.wait()
        yield Sandbox(f"http://{host}:{listener.getsockname()[1]}", state)
    finally:
        state.clock.stop()
        server.end()
        await serving
        await state.webhooks.aclose()


async def serve_sandbox(
    host: str, port: int, options: SandboxOptions | None = None, on_ready: Callable[[Sandbox], None] | None = None
) -> None:
    """Serve until SIGINT or SIGTERM. Raises PortTakenError when the port is in use."""
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, over.set)
    try:
        async with running_sandbox(options, host=host, port=port) as sandbox:
            if on_ready is not None:
                on_ready(sandbox)
            await over.wait()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _listener(host: str, port: int) -> socket.socket:
    # Named as TCP, since asyncio turns Nagle's delay off only where the socket says what it is
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as fault:
        listener.close()
        if fault.errno == errno.EADDRINUSE:
            raise PortTakenError(host, port) from None
        raise
    listener.listen(_BACKLOG)
    listener.settimeout(0)
    return listener
