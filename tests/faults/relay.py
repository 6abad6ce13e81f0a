"""A relay before the sandbox that ends kept connections at the worst moment: as the next paid call is being sent."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Relay", "relay_to"]

Ending = Literal["unread", "read"]
_PIECE_BYTES = 1 << 16


@dataclass
class Relay:
    """Passes everything on, until it is told otherwise. `posts` counts paid calls that came, `met` those it cut off."""

    port: int
    posts: int = 0
    met: int = 0
    _armed: Ending | None = None
    _open: list[socket.socket] = field(default_factory=list, repr=False)
    _turn: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def arm(self, ending: Ending) -> None:
        """End the next kept connection that a POST comes on: unread by the vendor, or read and then unanswered."""
        with self._turn:
            self.posts, self.met, self._armed = 0, 0, ending

    def disarm(self) -> None:
        with self._turn:
            self._armed = None

    def close_idle(self) -> None:
        """End all connections in good order, as vendors do with those that have been quiet."""
        with self._turn:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def takes(self, data: bytes, *, kept: bool) -> Ending | None:
        """What is to become of the connection that `data` came on; None to pass it on."""
        with self._turn:
            if not data.startswith(b"POST "):
                return None
            self.posts += 1
            ending = self._armed if kept else None
            if ending is not None:
                self._armed, self.met = None, self.met + 1
            return ending

    def serve(self, client: socket.socket, vendor_port: int) -> None:
        """One connection, to its end."""
        with client, socket.create_connection(("127.0.0.1", vendor_port)) as vendor:
            with self._turn:
                self._open.append(client)
            replies = _Replies(client, vendor)
            answers = threading.Thread(target=replies.run, daemon=True)
            answers.start()
            with suppress(OSError):
                while data := client.recv(_PIECE_BYTES):
                    ending = self.takes(data, kept=replies.passed > 0)
                    replies.withheld = ending is not None
                    if ending != "unread":
                        vendor.sendall(data)
                    if ending is not None:
                        if ending == "read":
                            replies.came.wait(10)
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        break
            with self._turn:
                self._open.remove(client)
            with suppress(OSError):
                vendor.shutdown(socket.SHUT_RDWR)
            answers.join()


@dataclass
class _Replies:
    """The way back. `came` is set by a reply that is withheld."""

    client: socket.socket
    vendor: socket.socket
    passed: int = 0
    withheld: bool = False
    came: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        with suppress(OSError):
            while data := self.vendor.recv(_PIECE_BYTES):
                if self.withheld:
                    self.came.set()
                    continue
                self.client.sendall(data)
                self.passed += 1
            if not self.withheld:
                self.client.shutdown(socket.SHUT_WR)


@contextmanager
def relay_to(vendor_port: int) -> Iterator[Relay]:
    """A running relay, ended with all its connections."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        relay = Relay(listener.getsockname()[1])
        threads: list[threading.Thread] = []

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    threads.append(threading.Thread(target=relay.serve, args=(client, vendor_port), daemon=True))
                    threads[-1].start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield relay
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            relay.close_idle()
            for thread in threads:
                thread.join()
