"""Lifts images out of a JSON reply while it arrives, so that megabytes of base64 never become a Python string.

A reply is searched for quote-free runs of 4 KiB, one backward search per 4 KiB, all at memchr's speed. A run that
begins a string and holds base64 (plain or as a `data:` URI) is decoded piece by piece into a spool file; in the
text stands a marker instead. Everything else passes unchanged.
"""

import re
from collections.abc import AsyncIterable

import pybase64

from gateway.domain.exchange import LIFTED
from gateway.domain.picture import Blob
from gateway.edges.spool import Spool, SpoolWriter

__all__ = ["BodyRefused", "Lifter", "lift"]

_LONG_BYTES = 4096
_DOUBT_BYTES = 256 * 1024  # up to here a string that turns out to be no base64 can still be given back as it was
_TEXT_LIMIT_BYTES = 2 << 20  # of all that is not lifted; a vendor's JSON without its images is a hundredth of it

_MARKER = LIFTED.replace("\x00", "\\u0000").encode()
_AFTER_A_STRING = frozenset(b",:]} \t\r\n")
_BACKSLASH, _PAD = ord("\\"), ord("=")
_DATA_URI = re.compile(rb"data:[^,\"]{0,200};base64,")
_CUT_ESCAPE = re.compile(rb"\\(?:u[0-9A-Fa-f]{0,3})?\Z")
# How JSON writers may spell the base64 alphabet: PHP escapes the slash, .NET the plus sign, some the equals sign.
_SPELLINGS = tuple((rf"\u00{code}".encode(), bytes.fromhex(code)) for code in ("2b", "2B", "2f", "2F", "3d", "3D"))


class BodyRefused(Exception):  # noqa: N818  (a verdict about a body, caught by name where it becomes a Fault)
    """The reply is larger than it may be, or an image in it is broken."""


async def lift(chunks: AsyncIterable[bytes], spool: Spool, limit_bytes: int) -> tuple[bytes, tuple[Blob, ...]]:
    """The reply's text with markers, and the images lifted out of it, in the order of their markers.

    Raises BodyRefused beyond `limit_bytes` or when an image is not base64 to its end, OSError when the disk will
    not; then nothing stays behind.
    """
    writer = SpoolWriter(spool)
    lifter = Lifter(writer, limit_bytes)
    try:
        async for chunk in chunks:
            lifter.feed(chunk)
            if writer.is_full:
                await writer.flush()
        text, blobs = lifter.finish()
        if blobs:
            await writer.flush()
        return text, tuple(map(writer.told, blobs))
    except BaseException:
        writer.discard()
        raise


class Lifter:
    """The scanner: bytes go in as they come, split anywhere."""

    def __init__(self, writer: SpoolWriter, limit_bytes: int) -> None:
        self._writer = writer
        self._limit_bytes = limit_bytes
        self._taken_bytes = 0
        self._text: list[bytes] = []
        self._text_bytes = 0
        self._blobs: list[Blob] = []
        self._image: _Image | None = None
        self._held = b""  # seen, and not yet let through
        self._at = -1  # where in `_held` the present run begins: at a quote, if `_is_quote`
        self._is_quote = False

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes. Raises BodyRefused."""
        self._taken_bytes += len(chunk)
        if self._taken_bytes > self._limit_bytes:
            raise BodyRefused(f"more than {self._limit_bytes} bytes")
        data, at = chunk, 0
        while at < len(data):
            data, at = self._skim(data, at) if self._image is None else self._decode(self._image, data, at)

    def finish(self) -> tuple[bytes, tuple[Blob, ...]]:
        """The text and the images, after the last bytes. A string that never ended is given back as it is."""
        if self._image is not None:
            self._give_back(self._image)
        self._let_through(self._held)
        self._held = b""
        return b"".join(self._text), tuple(self._blobs)

    def _skim(self, data: bytes, start: int) -> tuple[bytes, int]:
        """Look for the next image: the data and where its content begins, or nothing left."""
        if self._held or start:
            data = self._held + data[start:]
        at, is_quote = self._at, self._is_quote
        while (end := at + 1 + _LONG_BYTES) <= len(data):
            last = data.rfind(b'"', at + 1, end)
            if last >= 0:
                at, is_quote = last, True
            elif is_quote and _may_open(data, at):
                self._let_through(data[:at])
                self._held, self._at, self._is_quote = b"", -1, False
                return data, self._begin(data, at + 1)
            else:
                at, is_quote = at + _LONG_BYTES, False
        # The byte before a quote is kept too: it tells an escaped quote from a real one.
        keep = max(at - 1, 0)
        self._let_through(data[:keep])
        self._held, self._at, self._is_quote = data[keep:], at - keep, is_quote
        return b"", 0

    def _begin(self, data: bytes, start: int) -> int:
        prefix = _DATA_URI.match(data, start)
        content = prefix.end() if prefix else start
        self._image = _Image(data[start:content])
        self._writer.open()
        return content

    def _decode(self, image: "_Image", data: bytes, start: int) -> tuple[bytes, int]:
        quote = data.find(b'"', start)
        end = len(data) if quote < 0 else quote
        escaped = data.find(b"\\", start, end) >= 0
        try:
            for piece in image.take(memoryview(data)[start:end], escaped=escaped, is_last=quote >= 0):
                self._writer.add(piece)
        except ValueError:
            self._give_back(image)
            return data, end
        if quote < 0:
            return b"", 0
        self._image = None
        self._let_through(b'"%s%d"' % (_MARKER, len(self._blobs)))
        self._blobs.append(self._writer.close())
        return data, quote + 1

    def _give_back(self, image: "_Image") -> None:
        """It was an ordinary long string after all."""
        if image.raw is None:
            raise BodyRefused("a long string is not base64 to its end")
        self._image = None
        self._writer.drop()
        text = b'"' + b"".join(image.raw)
        self._let_through(text[:-1])
        self._held, self._at, self._is_quote = text[-1:], 0, False

    def _let_through(self, piece: bytes) -> None:
        self._text_bytes += len(piece)
        if self._text_bytes > _TEXT_LIMIT_BYTES:
            raise BodyRefused(f"more than {_TEXT_LIMIT_BYTES} bytes of text")
        self._text.append(piece)


class _Image:
    """One base64 string on its way through. `raw` is all of it so far, None once that is too much to keep."""

    __slots__ = ("_carry", "_cut", "_is_padded", "_raw_bytes", "raw")

    def __init__(self, prefix: bytes) -> None:
        self.raw: list[bytes | memoryview] | None = [prefix]
        self._raw_bytes = len(prefix)
        self._carry = b""  # up to three characters that do not make whole bytes yet
        self._cut = b""  # an escape sequence, split between two pieces
        self._is_padded = False

    def take(self, piece: memoryview, *, escaped: bool, is_last: bool) -> list[bytes]:
        """The bytes that this piece adds. Raises ValueError when it is not base64."""
        self._keep(piece)
        text = self._unescaped(piece, is_last=is_last) if escaped or self._cut else piece
        decoded = []
        if self._carry:
            missing = 4 - len(self._carry)
            self._carry += text[:missing]
            text = text[missing:]
            if len(self._carry) == 4:
                decoded.append(self._decoded(self._carry))
                self._carry = b""
        whole = len(text) & ~3
        if whole:
            decoded.append(self._decoded(text[:whole]))
        self._carry += text[whole:]
        if is_last and self._carry:
            decoded.append(self._decoded(self._carry.ljust(4, b"=")))
        return decoded

    def _keep(self, piece: memoryview) -> None:
        self._raw_bytes += len(piece)
        if self._raw_bytes > _DOUBT_BYTES:
            self.raw = None
        elif self.raw is not None:
            self.raw.append(piece)

    def _decoded(self, text: bytes | memoryview) -> bytes:
        if self._is_padded:
            raise ValueError("base64 goes on after its padding")
        self._is_padded = text[-1] == _PAD
        decoded: bytes = pybase64.b64decode(text, validate=True)
        return decoded

    def _unescaped(self, piece: memoryview, *, is_last: bool) -> bytes:
        text = self._cut + bytes(piece)
        self._cut = b""
        cut = None if is_last else _CUT_ESCAPE.search(text, max(0, len(text) - 6))
        if cut:
            text, self._cut = text[: cut.start()], text[cut.start() :]
        text = text.replace(b"\\/", b"/")
        for spelling, character in _SPELLINGS if b"\\" in text else ():
            text = text.replace(spelling, character)
        return text


def _may_open(data: bytes, quote: int) -> bool:
    """Whether the quote at `quote` opens a string, given what JSON allows on either side of one."""
    escaped = quote > 0 and data[quote - 1] == _BACKSLASH
    return not escaped and data[quote + 1] not in _AFTER_A_STRING
