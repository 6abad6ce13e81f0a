"""One client connection: uvicorn's protocol, behind a gate that lets one well-formed request at a time reach it.

The gate cuts the incoming bytes into header blocks and bodies, so that limits and deadlines hold before the parser
sees anything, `Upgrade` cannot make it drop a body, and pipelined requests wait their turn in one bounded buffer. A
body's end is never computed twice: the parser says when it has seen it, and the two must agree.
"""

import asyncio
from enum import Enum, auto
from typing import cast

import httptools
from uvicorn import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from gateway.access import new_request_id
from gateway.domain.errors import ErrorCode, RequestError
from gateway.envelope import error_reply
from gateway.framing import check_unfinished, read_head
from gateway.transport import Deadline, Departure, Port, SoftTransport

__all__ = ["HardenedProtocol"]

_EMPTY_LINE = b"\r\n\r\n"
_CHUNK_OVERHEAD_BYTES = 16 * 1024  # chunk extensions and trailers: what a header block may weigh
_CHUNK_OVERHEAD_FACTOR = 8  # a chunk of one byte weighs six on the wire


class _Stage(Enum):
    HEAD = auto()
    SIZED_BODY = auto()
    CHUNKED_BODY = auto()
    CLOSING = auto()


class _Flow(FlowControl):
    """uvicorn's, whose event is made once a client does not keep up: an event weighs more than all the rest of it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.read_paused = self.write_paused = False

    async def drain(self) -> None:
        if self.write_paused:
            await super().drain()

    def pause_writing(self) -> None:
        if not self.write_paused:
            self._is_writable_event = asyncio.Event()
        super().pause_writing()


class HardenedProtocol(HttpToolsProtocol):
    """The server's end of one connection. Faults in framing are answered here, with our envelope, and end it."""

    # Beside uvicorn's own 28 names these are too many for instances to share one table of them (CPython: 30).
    __slots__ = (
        *("_port", "_terms", "_inbox", "_scanned", "_skipped", "_stage", "_feeding_head", "_complete", "_remaining"),
        *("_raw_bytes", "_payload_bytes", "_tail", "_may_stay_open", "_deadline", "_departure", "_wire"),
    )

    def __init__(self, config: Config, server_state: ServerState, port: Port) -> None:
        super().__init__(config=config, server_state=server_state, app_state={})
        del self.pipeline  # nothing ever waits in it: the gate lets one request at a time pass
        self._drop_parser()
        self._port = port
        self._terms = port.terms
        self._inbox = bytearray()
        self._scanned = 0
        self._skipped = False
        self._stage = _Stage.HEAD
        self._feeding_head = False
        self._complete = True
        self._remaining = 0
        self._raw_bytes = 0
        self._payload_bytes = 0
        self._tail = b""
        self._may_stay_open = True
        self._deadline = Deadline(self.loop)
        self._departure = Departure()
        self._wire: SoftTransport | None = None

    # The connection's life

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin with the connection's idle deadline, or end at once where there are too many."""
        self._wire = SoftTransport(transport, self._port, self._on_close)
        super().connection_made(self._wire)
        self.flow = _Flow(self._wire)
        self._port.joined()
        if len(self.connections) > self._terms.connections:
            self._port.refused("connections")
            self._wire.abort()
            return
        self._deadline.set(self._terms.idle_s, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the app and the port that the client has gone."""
        self._stage = _Stage.CLOSING
        self._deadline.end()
        if self._wire is not None:
            self._wire.lost()
        super().connection_lost(exc)
        self._departure.tell()
        self._port.left(len(self.connections))

    def shutdown(self) -> None:
        """Close now if idle, else after the reply under way."""
        if self._busy:
            self.cycle.keep_alive = self._may_stay_open = False
        elif not self._inbox:
            self.transport.close()

    def pause_writing(self) -> None:
        """Stop the app and start watching the reader."""
        super().pause_writing()
        if self._wire is not None:
            self._wire.watch()

    @property
    def _busy(self) -> bool:
        cycle = cast("RequestResponseCycle | None", self.cycle)  # uvicorn types it as never None
        return cycle is not None and not cycle.response_complete

    def _on_close(self) -> bool:
        """Whether the client is still sending, so that a reply would be lost in a reset without a soft end."""
        unread = not self._complete or bool(self._inbox)
        self._stage = _Stage.CLOSING
        self._deadline.clear()
        self._inbox.clear()
        return unread

    # Bytes in

    def data_received(self, data: bytes) -> None:
        """Take what has come in, as far as it may be taken now."""
        if self._stage is _Stage.CLOSING:
            if self._wire is not None:
                self._wire.discard(len(data))
            return
        if self._stage is _Stage.HEAD and not self._inbox and not self._busy:
            self._deadline.set(self._terms.head_s, self._refuse_late_head)
        self._inbox += data
        self._advance()
        self._wait_if_idle()

    def _wait_if_idle(self) -> None:
        if self._stage is _Stage.HEAD and not self._inbox and not self._busy:
            self._deadline.set(self._terms.keep_alive_s, self.transport.close)

    def _advance(self) -> None:
        try:
            while self._inbox and self._stage is not _Stage.CLOSING:
                if self._stage is not _Stage.HEAD:
                    self._take_body()
                elif self._busy:
                    self.flow.pause_reading()
                    return
                elif not self._take_head():
                    return
        except RequestError as error:
            self._refuse(error, "too_large" if error.code is ErrorCode.REQUEST_TOO_LARGE else "framing")
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(RequestError(ErrorCode.INVALID_VALUE, "The request is not valid HTTP/1.1."), "framing")

    def _take_head(self) -> bool:
        if self._inbox.startswith(b"\r\n") and not self._skipped:
            del self._inbox[:2]  # RFC 9112 §2.2: an empty line before the request line is ignored; one, not many
            self._skipped = True
            self._scanned = 0
        end = self._inbox.find(_EMPTY_LINE, max(0, self._scanned - 3))
        if end < 0:
            self._scanned = len(self._inbox)
            if self._inbox and self._inbox != b"\r":
                check_unfinished(bytes(self._inbox), self._terms.head)
            return False
        self._scanned = 0
        self._skipped = False
        block = bytes(self._inbox[: end + 4])
        del self._inbox[: end + 4]
        self._complete = False
        head = read_head(block, self._terms.head)
        self._remaining = head.body_bytes
        self._raw_bytes = self._payload_bytes = 0
        self._tail = b""
        self._deadline.clear()
        self._feeding_head = True
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(head.block)
        self._feeding_head = False
        if self._complete:
            self._drop_parser()
            return True
        if not head.chunked and head.body_bytes == 0:
            raise RequestError(ErrorCode.INVALID_VALUE, "The request is not valid HTTP/1.1.")
        self._stage = _Stage.CHUNKED_BODY if head.chunked else _Stage.SIZED_BODY
        self._deadline.set(self._terms.body_s, self._refuse_late_body)
        return True

    def _take_body(self) -> None:
        cut = min(len(self._inbox), self._remaining) if self._stage is _Stage.SIZED_BODY else self._end_of_chunks()
        piece = bytes(self._inbox[:cut])
        del self._inbox[:cut]
        self._remaining -= cut
        self._raw_bytes += cut
        self._tail = piece[-3:] if cut >= 3 else (self._tail + piece)[-3:]
        self.parser.feed_data(piece)
        if self._stage is _Stage.CHUNKED_BODY:
            if self._raw_bytes > _CHUNK_OVERHEAD_BYTES + _CHUNK_OVERHEAD_FACTOR * self._payload_bytes:
                raise RequestError(ErrorCode.REQUEST_TOO_LARGE, "The chunked body is mostly not body.")
        elif self._stage is _Stage.SIZED_BODY and self._complete != (self._remaining == 0):
            raise RequestError(ErrorCode.INVALID_VALUE, "The request is not valid HTTP/1.1.")
        if self._complete and self._stage is not _Stage.CLOSING:
            self._stage = _Stage.HEAD
            self._deadline.clear()
            self._drop_parser()

    def _drop_parser(self) -> None:
        """It is needed for as long as a request comes in, not while its images are made."""
        self.parser = None  # type: ignore[assignment]  # as uvicorn does where a connection is lost

    def _end_of_chunks(self) -> int:
        """How far to feed: a chunked body can end only with an empty line, so each one is a place to ask."""
        straddling = (self._tail + self._inbox[:3]).find(_EMPTY_LINE) if self._tail else -1
        if straddling >= 0:
            return straddling + 4 - len(self._tail)
        end = self._inbox.find(_EMPTY_LINE)
        return len(self._inbox) if end < 0 else end + 4

    # The parser's calls

    def on_message_begin(self) -> None:
        """A message begins only where the gate says so."""
        if not self._feeding_head:
            raise RequestError(ErrorCode.INVALID_VALUE, "The request is not valid HTTP/1.1.")
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Start the app. A reply that begins before the body has come in whole says `connection: close`."""
        self.scope["state"]["departure"] = self._departure = Departure()
        super().on_headers_complete()
        self.headers = []  # trailers are appended to this list, which nobody reads
        self._may_stay_open = self.cycle.keep_alive and not self._port.draining
        self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Pass a part of the body on."""
        self._payload_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note the end of the request."""
        self._complete = True
        if not self.cycle.response_started:
            self.cycle.keep_alive = self._may_stay_open
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Take the next request that is waiting, else wait for one."""
        self.server_state.total_requests += 1
        self._departure.tell()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self._inbox:
            self._deadline.set(self._terms.head_s, self._refuse_late_head)
            self._advance()
        self._wait_if_idle()

    # Refusals

    def _refuse_late_head(self) -> None:
        self._refuse(RequestError(ErrorCode.REQUEST_TIMEOUT, "The headers did not arrive in time."), "header_timeout")

    def _refuse_late_body(self) -> None:
        self._refuse(RequestError(ErrorCode.REQUEST_TIMEOUT, "The body did not arrive in time."), "body_timeout")

    def _refuse(self, error: RequestError, reason: str) -> None:
        """Answer below the app and close. An app that is waiting for the body hears of a disconnect instead."""
        self._port.refused(reason)
        self._complete = False
        if self._busy:
            if self.cycle.response_started:
                self.transport.abort()
                return
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        status, headers, body = error_reply(error, new_request_id())
        fields = [*self.server_state.default_headers, *headers, (b"connection", b"close")]
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in fields)
        self.transport.write(STATUS_LINE[status] + lines + b"\r\n" + body)
        self.transport.close()
