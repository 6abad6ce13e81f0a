"""The two listening ports of the process, on the event loop that is already running."""

import asyncio
import errno
import logging
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import Self

from starlette.types import ASGIApp
from uvicorn import Config
from uvicorn.server import ServerState

from gateway.protocol import HardenedProtocol
from gateway.transport import Port, Terms

__all__ = ["Address", "CannotListen", "PortTaken", "Server", "reserve"]

_BACKLOG = 2048
_ADMIN_CONNECTIONS = 1000


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. Port 0 lets the system choose. `option` is the setting's name, for messages.

    `shared`: other processes of the same user listen there, too, and the system deals the connections out.
    """

    host: str
    port: int
    option: str
    shared: bool = False


class CannotListen(Exception):  # noqa: N818  # it reads as the sentence that it is
    """An address is not to be had; `reason` is the system's word for it."""

    def __init__(self, address: Address, reason: str) -> None:
        super().__init__(f"cannot listen on {address.host}:{address.port} ({address.option}): {reason}")
        self.host = address.host
        self.port = address.port
        self.option = address.option


class PortTaken(CannotListen):
    """Another process listens there."""


@dataclass(slots=True)
class _Listener:
    socket: socket.socket
    port: Port
    address: tuple[str, int]
    state: ServerState = field(default_factory=ServerState)
    server: asyncio.Server | None = None

    def close(self) -> None:
        if self.server is not None:
            self.server.close()
        self.socket.close()


class Server:
    """A public and an admin port. `bind` first, so that a taken port is known before anything else is started.

    Signals are the caller's business, and so is the lifespan of the apps.
    """

    def __init__(self, listeners: tuple[_Listener, _Listener]) -> None:
        self._public, self._admin = self._listeners = listeners
        self._clock: asyncio.Task[None] | None = None

    @classmethod
    def bind(
        cls,
        public: Address,
        admin: Address,
        terms: Terms | None = None,
        refused: Callable[[str], None] = lambda _: None,
    ) -> Self:
        """Take both ports. Raises PortTaken or CannotListen. `refused` is told why connections are refused."""
        terms = terms or Terms()
        sockets: list[socket.socket] = []
        try:
            for address in (public, admin):
                sockets.append(_listen(address))  # noqa: PERF401  # what was opened must be known when the next fails
        except CannotListen:
            _close_all(sockets)
            raise
        admin_terms = replace(terms, connections=min(terms.connections, _ADMIN_CONNECTIONS))
        return cls(
            (
                _Listener(sockets[0], Port(terms, refused), _name_of(sockets[0])),
                _Listener(sockets[1], Port(admin_terms, refused), _name_of(sockets[1])),
            )
        )

    @property
    def public_address(self) -> tuple[str, int]:
        """Host and real port of the public side."""
        return self._public.address

    @property
    def admin_address(self) -> tuple[str, int]:
        """Host and real port of the second side."""
        return self._admin.address

    @property
    def connections(self) -> int:
        """How many public connections are open."""
        return len(self._public.state.connections)

    @property
    def requests(self) -> int:
        """How many public requests are being answered."""
        return len(self._public.state.tasks)

    async def start(self, public: ASGIApp, admin: ASGIApp) -> None:
        """Serve both apps from now on."""
        self._clock = asyncio.create_task(_keep_date(tuple(listener.state for listener in self._listeners)))
        for listener, app in zip(self._listeners, (public, admin), strict=True):
            listener.server = await _serve(app, listener)

    def announce_drain(self) -> None:
        """Keep listening, but say `connection: close` on every public reply, so that clients go elsewhere."""
        self._public.port.draining = True

    async def drain(self, deadline_s: float) -> bool:
        """Take no new public connections, let running requests finish. True when all did before the deadline."""
        self.announce_drain()
        self._public.close()
        for connection in list(self._public.state.connections):
            connection.shutdown()
        with suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                await self._public.port.empty.wait()
                await _finish(self._public.state)
        return not self._public.state.connections and not self._public.state.tasks

    async def stop(self) -> None:
        """Close everything now. What is still running is cut off and cancelled."""
        if self._clock is not None:
            self._clock.cancel()
            with suppress(asyncio.CancelledError):
                await self._clock
        for listener in self._listeners:
            listener.close()
            for connection in list(listener.state.connections):
                connection.transport.abort()
            for task in listener.state.tasks:
                task.cancel()
            await listener.port.empty.wait()
            await _finish(listener.state)


def reserve(address: Address) -> socket.socket:
    """Hold a port for processes that are to share it, and keep everybody else out. Raises PortTaken or CannotListen.

    Nobody comes to this socket: it does not listen. `getsockname` tells which port it is.
    """
    if address.port:
        _listen(replace(address, shared=False)).close()  # whoever listens there would go on, and share
    return _bound(replace(address, shared=True))


def _listen(address: Address) -> socket.socket:
    listening = _bound(address)
    try:
        listening.listen(_BACKLOG)  # only a listening socket keeps others from binding the same port
    except OSError as error:
        listening.close()
        raise _cannot(address, error) from error
    return listening


def _bound(address: Address) -> socket.socket:
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CannotListen(address, error.strerror or "unknown address") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if address.shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(place)
        bound.setblocking(False)  # noqa: FBT003  # the standard library's own signature
    except OSError as error:
        bound.close()
        raise _cannot(address, error) from error
    return bound


def _cannot(address: Address, error: OSError) -> CannotListen:
    if error.errno == errno.EADDRINUSE:
        return PortTaken(address, "the port is taken; choose another one")
    return CannotListen(address, error.strerror or "unknown reason")


def _name_of(listening: socket.socket) -> tuple[str, int]:
    host, port = listening.getsockname()[:2]
    return str(host), int(port)


def _close_all(sockets: Sequence[socket.socket]) -> None:
    for opened in sockets:
        opened.close()


async def _serve(app: ASGIApp, listener: _Listener) -> asyncio.Server:
    config = Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        proxy_headers=False,
        server_header=False,
    )
    config.load()
    return await asyncio.get_running_loop().create_server(
        lambda: HardenedProtocol(config, listener.state, listener.port), sock=listener.socket, backlog=_BACKLOG
    )


async def _keep_date(states: Sequence[ServerState]) -> None:
    while True:
        date = formatdate(time.time(), usegmt=True).encode()
        for state in states:
            state.default_headers = [(b"date", date)]
        await asyncio.sleep(1)


async def _finish(state: ServerState) -> None:
    if state.tasks:
        await asyncio.wait(state.tasks)
