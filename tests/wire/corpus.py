"""The framing corpus: what clients, broken clients and attackers send, and what may come of it.

`executed` lists every request that an app may run. `/smuggled` stands for the request an attacker hides.
"""

from dataclasses import dataclass

from tests.wire.harness import Call

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
ROOT_GET: Call = ("GET", "/", b"")
ROOT_POST: Call = ("POST", "/", b"hello")


@dataclass(frozen=True)
class Case:
    """`code` is the envelope's code where the server must refuse; None where it answers nothing or serves."""

    name: str
    payload: bytes
    executed: tuple[Call, ...] = ()
    code: str | None = None
    stays_open: bool = False
    half_close: bool = False
    status: int = 400

    @property
    def must_work(self) -> bool:
        return self.code is None and bool(self.executed)


def get(*fields: bytes, line: bytes = b"GET / HTTP/1.1", host: bytes | None = b"Host: a") -> bytes:
    lines = [line, *([host] if host is not None else []), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def post(*fields: bytes, body: bytes = b"hello", line: bytes = b"POST / HTTP/1.1") -> bytes:
    return get(*fields, line=line) + body


def chunked(body: bytes, *fields: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked", *fields, body=body)


CHUNK = b"5\r\nhello\r\n0\r\n\r\n"
CL5 = b"Content-Length: 5"
TE = b"Transfer-Encoding: chunked"
HIDDEN = b"0\r\n\r\n" + SMUGGLED
CL_HIDDEN = b"Content-Length: %d" % len(HIDDEN)
MULTI_CL = b"Content-Length: %d" % len(SMUGGLED)


def refused(name: str, payload: bytes, code: str = "invalid_value", *executed: Call, status: int = 400) -> Case:
    return Case(name, payload, executed, code, status=status)


def served(name: str, payload: bytes, *executed: Call, stays_open: bool = True) -> Case:
    return Case(name, payload, executed, stays_open=stays_open)


def cut(name: str, payload: bytes) -> Case:
    return Case(name, payload, half_close=True)


LENGTH_AND_CODING = (
    refused("CL.TE", post(CL_HIDDEN, TE, body=HIDDEN)),
    refused("TE.CL", post(TE, b"Content-Length: 4", body=b"5c\r\n" + SMUGGLED)),
    refused("CL.TE with a tab", post(CL_HIDDEN, b"Transfer-Encoding:\tchunked", body=HIDDEN)),
    refused("CL.TE in capitals", post(CL_HIDDEN, b"TRANSFER-ENCODING: CHUNKED", body=HIDDEN)),
    refused("TE.TE", post(TE, b"Transfer-Encoding: identity", body=HIDDEN), "duplicate_header"),
    refused("TE.TE equal", post(TE, TE, body=HIDDEN), "duplicate_header"),
    refused("TE xchunked", post(b"Transfer-Encoding: xchunked", body=HIDDEN), "unsupported_encoding"),
    refused("TE gzip, chunked", post(b"Transfer-Encoding: gzip, chunked", body=HIDDEN), "unsupported_encoding"),
    refused("TE chunked, identity", post(b"Transfer-Encoding: chunked, identity", body=HIDDEN), "unsupported_encoding"),
    refused("TE quoted", post(b'Transfer-Encoding: "chunked"', body=HIDDEN), "unsupported_encoding"),
    refused("TE with vertical tab", post(b"Transfer-Encoding: \x0bchunked", body=HIDDEN)),
    refused("TE with obs-fold", post(b"Transfer-Encoding:\r\n chunked", body=HIDDEN)),
    refused("HTTP/1.0 with TE", post(TE, line=b"POST / HTTP/1.0", body=CHUNK + SMUGGLED)),
    refused("CL twice, equal", post(CL5, CL5), "duplicate_header"),
    refused("CL twice, different", post(MULTI_CL, b"Content-Length: 0", body=SMUGGLED), "duplicate_header"),
    refused("CL list", post(b"Content-Length: 5, 5")),
    refused("CL negative", post(b"Content-Length: -5")),
    refused("CL with plus", post(b"Content-Length: +5")),
    refused("CL with space inside", post(b"Content-Length: 5 5")),
    refused("CL hexadecimal", post(b"Content-Length: 0x5")),
    refused("CL overflows 64 bits", post(b"Content-Length: 18446744073709551621")),
    refused("CL empty", post(b"Content-Length:")),
)

HEADER_SYNTAX = (
    refused("obs-fold", get(b"X-A: b\r\n c")),
    refused("first header folded", get(host=b" Host: a")),
    refused("bare LF between headers", b"GET / HTTP/1.1\nHost: a\n\n" + SMUGGLED),
    refused("bare LF after one header", b"GET / HTTP/1.1\r\nHost: a\nX-A: b\r\n\r\n"),
    refused("bare CR in a value", get(b"X-A: b\rX-B: c")),
    refused("NUL in a value", get(b"X-A: b\x00c")),
    refused("NUL in a name", get(b"X-\x00A: b")),
    refused("control character in a value", get(b"X-A: b\x01c")),
    refused("space before colon", post(b"Content-Length : 5")),
    refused("tab before colon", post(b"Transfer-Encoding\t: chunked", body=HIDDEN)),
    refused("no colon", get(b"X-A")),
    refused("empty name", get(b": b")),
    refused("non-ASCII name", get(b"X-\xe9: b")),
    refused("10,000 headers", get(*(b"X-%d: b" % i for i in range(10_000))), "request_too_large"),
    refused("101 headers", get(*(b"X-%d: b" % i for i in range(100))), "request_too_large"),
    refused("5 MB header", get(b"X-A: " + b"b" * 5_000_000), "request_too_large"),
)

TARGETS = (
    refused("no Host", get(host=None)),
    refused("two Hosts", get(b"Host: b"), "duplicate_header"),
    refused("two Hosts, equal", get(b"Host: a"), "duplicate_header"),
    refused("empty Host", get(host=b"Host:")),
    refused("Host list", get(host=b"Host: a, b")),
    refused("Host with path", get(host=b"Host: a/b")),
    refused("Host with user", get(host=b"Host: u@a")),
    refused("absolute-form, other Host", get(line=b"GET http://b/ HTTP/1.1")),
    refused("absolute-form, user in it", get(line=b"GET http://a@b/ HTTP/1.1")),
    refused("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    refused("HTTP/0.9", b"GET /\r\n\r\n"),
    refused("HTTP/1.10", get(line=b"GET / HTTP/1.10")),
    refused("HTTP/3.1", get(line=b"GET / HTTP/3.1")),
    refused("two spaces in the request line", get(line=b"GET  / HTTP/1.1")),
    refused("tabs in the request line", get(line=b"GET\t/\tHTTP/1.1")),
    refused("lower-case method", get(line=b"get / HTTP/1.1")),
    refused("unknown method", get(line=b"FROBNICATE / HTTP/1.1")),
    refused("non-ASCII target", get(line=b"GET /\xff HTTP/1.1")),
    refused("request line of 9 KB", get(line=b"GET /" + b"a" * 9000 + b" HTTP/1.1"), "request_too_large"),
    refused("CONNECT", get(line=b"CONNECT a:443 HTTP/1.1") + SMUGGLED, "method_not_allowed", status=405),
    refused("TLS on the plain port", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
)

BODIES = (
    refused("chunk size 0x5", chunked(b"0x5\r\nhello\r\n0\r\n\r\n")),
    refused("chunk size -5", chunked(b"-5\r\nhello\r\n0\r\n\r\n")),
    refused("chunk size +5", chunked(b"+5\r\nhello\r\n0\r\n\r\n")),
    refused("chunk size with space", chunked(b"5 \r\nhello\r\n0\r\n\r\n")),
    refused("chunk size empty", chunked(b"\r\nhello\r\n0\r\n\r\n")),
    refused("chunk size overflows 64 bits", chunked(b"10000000000000005\r\nhello\r\n0\r\n\r\n")),
    refused("chunk with bare LF", chunked(b"5\nhello\n0\n\n" + SMUGGLED)),
    refused("last chunk with bare LF", chunked(b"5\r\nhello\r\n0\n\n" + SMUGGLED)),
    refused("chunk longer than its size", chunked(b"3\r\nhello\r\n0\r\n\r\n" + SMUGGLED)),
    refused("chunk without its end", chunked(b"5\r\nhello0\r\n\r\n" + SMUGGLED)),
    refused("chunk extension with bare LF", chunked(b"5;a\nhello\r\n0\r\n\r\n" + SMUGGLED)),
    refused("chunk extension of 64 KB", chunked(b"5;" + b"a" * 65536 + b"\r\nhello\r\n0\r\n\r\n"), "request_too_large"),
    refused("trailers of 64 KB", chunked(b"5\r\nhello\r\n0\r\nA: " + b"a" * 65536 + b"\r\n\r\n"), "request_too_large"),
    refused("CL in the trailers", chunked(b"5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n")),
    cut("sized body half-closed", post(b"Content-Length: 500")),
    cut("chunked body half-closed", chunked(b"5\r\nhello\r\n")),
    cut("chunk half-closed inside", chunked(b"50\r\nhello")),
    cut("end of input in the headers", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Le"),
    cut("end of input in the request line", b"GET /smu"),
    refused("garbage after a good request", get() + b"\x00garbage\r\n\r\n", "invalid_value", ROOT_GET),
    refused("garbage after a good body", post(CL5, body=b"hellogarbage\r\n\r\n"), "invalid_value", ROOT_POST),
    refused("garbage after good chunks", chunked(CHUNK + b"x\r\n\r\n"), "invalid_value", ROOT_POST),
)

GOOD = (
    served("GET", get(), ROOT_GET),
    served("POST", post(CL5), ROOT_POST),
    served("two pipelined GETs", get() + get(line=b"GET /2 HTTP/1.1"), ROOT_GET, ("GET", "/2", b"")),
    served("pipelined POST and GET", post(CL5) + get(), ROOT_POST, ROOT_GET),
    served("pipelined chunks and GET", chunked(CHUNK) + get(), ROOT_POST, ROOT_GET),
    served("chunked", chunked(CHUNK), ROOT_POST),
    served("chunks with extension", chunked(b"5;a=b\r\nhello\r\n0\r\n\r\n"), ROOT_POST),
    served("empty lines inside chunks", chunked(b"8\r\n\r\n\r\n\r\n\r\n\r\n0\r\n\r\n"), ("POST", "/", b"\r\n" * 4)),
    served("trailers", chunked(b"5\r\nhello\r\n0\r\nX-A: b\r\nHost: b\r\n\r\n"), ROOT_POST),
    served("Upgrade: h2c POST", post(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", CL5), ROOT_POST),
    served("Upgrade: h2c chunked", chunked(CHUNK, b"Connection: Upgrade", b"Upgrade: h2c"), ROOT_POST),
    served("Upgrade: websocket", get(b"Connection: Upgrade", b"upgrade: websocket") + get(), ROOT_GET, ROOT_GET),
    served("Expect: 100-continue", post(b"Expect: 100-continue", CL5), ROOT_POST),
    served("request inside a body", post(MULTI_CL, body=SMUGGLED), ("POST", "/", SMUGGLED)),
    served("GET with a body", get(MULTI_CL) + SMUGGLED, ("GET", "/", SMUGGLED)),
    served("underscored header", post(b"Transfer_Encoding: chunked", CL5), ROOT_POST),
    served("CL with white space around", post(b"Content-Length: \t5 "), ROOT_POST),
    served("Latin-1 value", get(b"X-A: caf\xe9"), ROOT_GET),
    served("absolute-form, same Host", get(line=b"GET http://A/ HTTP/1.1"), ROOT_GET),
    served("empty line before a request", get() + b"\r\n" + get(), ROOT_GET, ROOT_GET),
    served("100 headers", get(*(b"X-%d: b" % i for i in range(99))), ROOT_GET),
    served("Connection: close", get(b"Connection: close"), ROOT_GET, stays_open=False),
    served("HTTP/1.0 without Host", get(line=b"GET / HTTP/1.0", host=None), ROOT_GET, stays_open=False),
    served("request after Connection: close", get(b"Connection: close") + SMUGGLED, ROOT_GET, stays_open=False),
)

CORPUS = (*LENGTH_AND_CODING, *HEADER_SYNTAX, *TARGETS, *BODIES, *GOOD)
