"""Where one HTTP/1.1 request ends and the next begins: the strict reading of a header block, as a pure function.

The parser below the server reads the same bytes again. Request smuggling lives on two readers that disagree, so
everything on which readers are known to disagree is refused here instead of being interpreted.
"""

import re
from dataclasses import dataclass

from gateway.domain.errors import ErrorCode, RequestError

__all__ = ["Head", "HeadLimits", "check_unfinished", "read_head"]

_REQUEST_LINE = re.compile(rb"([A-Z][A-Z-]{0,19}) ([!-~]+) HTTP/1\.([01])\r\n")
_FIELDS = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*\r\n)*\r\n")
_HOST = re.compile(rb"[a-z0-9._~%:\[\]-]+")
_LENGTH = re.compile(rb"[0-9]{1,15}")
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)")
_UPGRADE = re.compile(rb"(?<=\r\n)upgrade:[^\r\n]*\r\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """The largest header block: all bytes with its request line, the request line alone, and how many fields."""

    block_bytes: int = 16 * 1024
    line_bytes: int = 8 * 1024
    fields: int = 100


@dataclass(frozen=True, slots=True)
class Head:
    """A header block that has one meaning only. `block` is what the parser is fed: the same, without `Upgrade`.

    `body_bytes` is the declared length of the body, 0 for none; a chunked body has none declared.
    """

    block: bytes
    body_bytes: int
    chunked: bool


def read_head(block: bytes, limits: HeadLimits) -> Head:
    """Read a header block up to and including its empty line. Raises RequestError for anything ambiguous."""
    line = _REQUEST_LINE.match(block)
    if line is None:
        raise _malformed("The request line is malformed.")
    if line.end() > limits.line_bytes or len(block) > limits.block_bytes:
        raise _too_large(limits)
    if line[1] == b"CONNECT":
        raise RequestError(
            ErrorCode.METHOD_NOT_ALLOWED, "CONNECT is not served here.", headers={"allow": "GET, HEAD, POST"}
        )
    if _FIELDS.fullmatch(block, line.end()) is None:
        raise _malformed("A header line is malformed.")
    if block.count(b"\r\n") - 2 > limits.fields:  # without the request line's and the empty line's
        raise _too_large(limits)
    lowered = block.lower()
    newer = line[3] == b"1"
    _check_host(_the_only(b"host", lowered), line[2].lower(), required=newer)
    length = _the_only(b"content-length", lowered)
    coding = _the_only(b"transfer-encoding", lowered)
    if coding is not None:
        _check_coding(coding, length, newer=newer)
    elif length is not None and _LENGTH.fullmatch(length) is None:
        raise _malformed("Content-Length is not a number.")
    fed = _UPGRADE.sub(b"", block) if b"\r\nupgrade:" in lowered else block
    return Head(fed, int(length or b"0"), chunked=coding is not None)


def check_unfinished(start: bytes, limits: HeadLimits) -> None:
    """Refuse the first bytes of a header block as early as they show that it cannot become a good one."""
    if len(start) > limits.block_bytes or (len(start) > limits.line_bytes and b"\r\n" not in start):
        raise _too_large(limits)
    if not start[:1].isupper():
        raise _malformed("The request line is malformed.")


def _the_only(name: bytes, block: bytes) -> bytes | None:
    """The value of a field in a well-formed block in lower case; None where there is no such field."""
    mark = b"\r\n" + name + b":"
    at = block.find(mark)
    if at < 0:
        return None
    start = at + len(mark)
    if block.find(mark, start) >= 0:
        raise RequestError(ErrorCode.DUPLICATE_HEADER, f"The header {name.decode()} was sent twice.")
    return block[start : block.index(b"\r\n", start)].strip(b" \t")


def _check_host(host: bytes | None, target: bytes, *, required: bool) -> None:
    if host is None and not required:
        return
    if host is None or _HOST.fullmatch(host) is None:
        raise _malformed("Exactly one valid Host header is needed.")
    absolute = _ABSOLUTE.match(target)
    if absolute is not None and absolute[1] != host:
        raise _malformed("The request target names another host than the Host header.")


def _check_coding(coding: bytes, length: bytes | None, *, newer: bool) -> None:
    if not newer:
        raise _malformed("HTTP/1.0 has no Transfer-Encoding.")
    if length is not None:
        raise _malformed("Content-Length and Transfer-Encoding exclude each other.")
    if coding != b"chunked":
        raise RequestError(ErrorCode.UNSUPPORTED_ENCODING, "The only transfer coding served here is chunked.")


def _malformed(message: str) -> RequestError:
    return RequestError(ErrorCode.INVALID_VALUE, message)


def _too_large(limits: HeadLimits) -> RequestError:
    return RequestError(
        ErrorCode.REQUEST_TOO_LARGE,
        f"The header block is limited to {limits.block_bytes} bytes and {limits.fields} fields,"
        f" its first line to {limits.line_bytes} bytes.",
    )
