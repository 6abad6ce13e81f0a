"""What came back, read as it comes: status, length, and every byte of the images, without keeping them."""

from collections.abc import Sequence

import orjson

__all__ = ["Images", "Reply"]

_HEAD_END = b"\r\n\r\n"
_MARK = b'"b64_json":"'
_KEPT_BYTES = 65_536  # a reply of links is smaller


class Images:
    """Compares base64 images inside a JSON reply with those expected, in their order, while they arrive."""

    def __init__(self, expected: Sequence[bytes]) -> None:
        self._expected = expected
        self._tail = b""
        self._at = -1
        self.found = 0
        self.wrong = False

    @property
    def right(self) -> bool:
        """Whether all that was expected came, and nothing else."""
        return not self.wrong and self._at < 0 and self.found == len(self._expected)

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        while data and not self.wrong:
            data = self._search(data) if self._at < 0 else self._compare(data)

    def _search(self, data: bytes) -> bytes:
        joined = self._tail + data
        place = joined.find(_MARK)
        if place < 0:
            self._tail = joined[-len(_MARK) + 1 :]
            return b""
        self._tail, self._at = b"", 0
        self.wrong = self.found >= len(self._expected)
        return joined[place + len(_MARK) :]

    def _compare(self, data: bytes) -> bytes:
        expected = self._expected[self.found]
        span = min(len(data), len(expected) - self._at)
        if data[:span] != expected[self._at : self._at + span]:
            self.wrong = True
            return b""
        self._at += span
        if self._at < len(expected) or span == len(data):
            return b""
        self.wrong = data[span : span + 1] != b'"'
        self.found, self._at = self.found + 1, -1
        return data[span:]


class Reply:
    """One HTTP reply. Without `images` the body is kept and must hold `links` items with a link."""

    def __init__(self, images: Images | None = None, links: int = 1) -> None:
        self.status = 0
        self.length = 0
        self.done = False
        self.closes = False
        self.body = bytearray()
        self._images = images
        self._links = links
        self._head = b""
        self._left = 0  # of the body, or of the chunk
        self._chunked = self._last = False
        self._between = b""

    @property
    def right(self) -> bool:
        """Whether it is the reply that was asked for."""
        if not self.done or self.status != 200:
            return False
        if self._images is not None:
            return self._images.right
        try:
            items = orjson.loads(self.body)["data"]
            return len(items) == self._links and all(item["url"].startswith("http") for item in items)
        except (ValueError, KeyError, TypeError, AttributeError):
            return False

    def feed(self, data: bytes) -> None:
        """Take the next bytes from the wire."""
        if not self.status:
            data = self._read_head(data)
        if self._chunked:
            self._take_chunks(data)
        elif self.status:
            self._take(data[: self._left])
            self.done = self._left == 0

    def _read_head(self, data: bytes) -> bytes:
        head, end, rest = (self._head + data).partition(_HEAD_END)
        if not end:
            self._head = head
            return b""
        lines = head.decode("latin-1").split("\r\n")
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        self.status = int(lines[0].split()[1])
        self._chunked = fields.get("transfer-encoding", "").lower() == "chunked"
        self._left = 0 if self._chunked else int(fields.get("content-length", "0"))
        self.closes = fields.get("connection", "").lower() == "close"
        return rest

    def _take(self, data: bytes) -> None:
        self._left -= len(data)
        self.length += len(data)
        if self._images is not None:
            self._images.feed(data)
        elif len(self.body) < _KEPT_BYTES:
            self.body += data

    def _take_chunks(self, data: bytes) -> None:
        """Chunks, of which each is framed by a line before it and an empty line after it."""
        while data and not self.done:
            if self._last:
                self._between += data
                self.done = self._between.startswith(b"\r\n") or b"\r\n\r\n" in self._between  # after trailers, if any
                return
            if self._left:
                span = min(self._left, len(data))
                self._take(data[:span] if span < len(data) else data)
                data = data[span:]
                continue
            line, end, rest = (self._between + data).lstrip(b"\r\n").partition(b"\r\n")
            if not end:
                self._between = line
                return
            self._between, data = b"", rest
            self._left = int(line.partition(b";")[0], 16)
            self._last = self._left == 0
