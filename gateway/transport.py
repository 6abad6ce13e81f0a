"""The way out to a client: closes so that the last reply is read, and gives up on readers that do not read."""

import asyncio
from asyncio import TimerHandle
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from gateway.framing import HeadLimits

__all__ = ["Deadline", "Departure", "Port", "SoftTransport", "Terms"]

_LINGER_BYTES = 1024 * 1024
_LEAST_BYTES_PER_S = 1024  # a reader slower than that is taken for a stalled one


@dataclass(frozen=True, slots=True)
class Terms:
    """What a connection may do. Times are in seconds; `connections` is per port.

    `idle_s` runs before a connection's first byte, `keep_alive_s` between requests, `head_s` over a header block,
    `body_s` over a body (longer than the endpoint's own deadline, which answers better), `write_s` between signs of
    progress of a reader, `linger_s` over the goodbye to a client that is still sending.
    """

    head: HeadLimits = field(default_factory=HeadLimits)
    idle_s: float = 10.0
    head_s: float = 10.0
    body_s: float = 35.0
    keep_alive_s: float = 75.0  # longer than the 60 s after which most load balancers drop an idle connection
    write_s: float = 60.0
    linger_s: float = 2.0
    connections: int = 10_000


class Port:
    """What the connections of one port share: the terms, whether the port is draining, and who listens.

    `refused` is told why a connection was refused below the app: connections, header_timeout, body_timeout, framing,
    too_large or slow_reader.
    """

    def __init__(self, terms: Terms, refused: Callable[[str], None]) -> None:
        self.terms = terms
        self.refused = refused
        self.draining = False
        self.empty = asyncio.Event()
        self.empty.set()

    def joined(self) -> None:
        """Note a new connection."""
        self.empty.clear()

    def left(self, remaining: int) -> None:
        """Note that a connection has ended and `remaining` are still there."""
        if remaining == 0:
            self.empty.set()


class Departure:
    """The end of one client's wait, of which it hears who has asked to: once, and at once where it was over before."""

    __slots__ = ("_acts", "_is_over")

    def __init__(self) -> None:
        self._is_over = False
        self._acts: tuple[Callable[[], None], ...] = ()

    def then(self, act: Callable[[], None]) -> None:
        """Call `act` when the client waits no more."""
        if self._is_over:
            act()
        else:
            self._acts += (act,)

    def tell(self) -> None:
        """It has hung up, or has its answer."""
        self._is_over = True
        acts, self._acts = self._acts, ()
        for act in acts:
            act()


class Deadline:
    """One act at a time, to be done when its time is up. Moving it later, as every request does, costs no timer."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._act: Callable[[], None] | None = None
        self._due_s = 0.0
        self._rings_s = 0.0
        self._timer: TimerHandle | None = None

    def set(self, wait_s: float, act: Callable[[], None]) -> None:
        """Do `act` in `wait_s` seconds, in place of what was set before."""
        self._act = act
        self._due_s = self._loop.time() + wait_s
        if self._timer is None or self._rings_s > self._due_s:
            self._wind()

    def clear(self) -> None:
        """Do nothing."""
        self._act = None

    def end(self) -> None:
        """Do nothing, ever again."""
        self._act = None
        if self._timer is not None:
            self._timer.cancel()

    def _wind(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_s = self._due_s
        self._timer = self._loop.call_at(self._due_s, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._act is None:
            return
        if self._loop.time() < self._due_s:
            self._wind()
            return
        act, self._act = self._act, None
        act()


class SoftTransport(asyncio.Transport):
    """A transport for uvicorn to write to, around the loop's own.

    `close` first lets a client that is still sending read the reply (else the kernel resets the connection and the
    reply with it). A client that takes less than a kilobyte per second over `write_s` is cut off. `on_close` is
    called once when closing begins and says whether the client is still sending.
    """

    def __init__(self, real: asyncio.BaseTransport, port: Port, on_close: Callable[[], bool]) -> None:
        super().__init__()
        self._real = cast(asyncio.Transport, real)  # uvloop's has all the methods and another class
        self._port = port
        self._on_close = on_close
        self._loop = asyncio.get_running_loop()
        self._closing = False
        self._written_bytes = 0
        self._taken_bytes = 0
        self._discarded_bytes = 0
        self._linger: TimerHandle | None = None
        self._watch: TimerHandle | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send `data`, in order, without waiting."""
        self._written_bytes += len(data)
        self._real.write(data)

    def close(self) -> None:
        """Begin the end of the connection; it is closed when the client has what was written, or will not take it."""
        if self._closing:
            return
        self._closing = True
        still_sending = self._on_close()
        if self._real.is_closing():
            return
        self.watch()
        if still_sending:
            self._real.write_eof()
            self._real.resume_reading()
            self._linger = self._loop.call_later(self._port.terms.linger_s, self._real.close)
        else:
            self._real.close()

    def abort(self) -> None:
        """Reset the connection now."""
        self._closing = True
        self._on_close()
        self._real.abort()

    def lost(self) -> None:
        """Stop all clocks: the connection has gone."""
        self._closing = True
        self._on_close = lambda: False  # the protocol and this would hold each other until the collector comes
        for timer in (self._linger, self._watch):
            if timer is not None:
                timer.cancel()

    def discard(self, length: int) -> None:
        """Count bytes that nobody will read; too many of them end the goodbye."""
        self._discarded_bytes += length
        if self._discarded_bytes > _LINGER_BYTES:
            self._real.close()

    def watch(self) -> None:
        """See to it that the client takes what has been written."""
        if self._watch is None and self._real.get_write_buffer_size() > 0:
            self._taken_bytes = self._written_bytes - self._real.get_write_buffer_size()
            self._watch = self._loop.call_later(self._port.terms.write_s, self._check_progress)

    def _check_progress(self) -> None:
        self._watch = None
        waiting = self._real.get_write_buffer_size()
        taken = self._written_bytes - waiting - self._taken_bytes
        if waiting > 0 and taken < _LEAST_BYTES_PER_S * self._port.terms.write_s:
            self._port.refused("slow_reader")
            self.abort()
        else:
            self.watch()

    # Everything else is the loop's own

    def is_closing(self) -> bool:
        """Whether the connection is ending."""
        return self._closing or self._real.is_closing()

    def pause_reading(self) -> None:
        """Take no more bytes in for now."""
        if not self._real.is_closing():
            self._real.pause_reading()

    def resume_reading(self) -> None:
        """Take bytes in again."""
        if not self._real.is_closing():
            self._real.resume_reading()

    def get_write_buffer_size(self) -> int:
        """How many bytes the kernel has not yet taken."""
        return self._real.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the loop's transport knows about itself."""
        return self._real.get_extra_info(name, default)
