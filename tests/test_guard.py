import asyncio
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from gateway.access import ClientGone
from gateway.domain.errors import ErrorCode, RequestError
from gateway.guard import Guard, GuardLimits, client_address, read_body

Pair = tuple[bytes, bytes]
HOST: Pair = (b"host", b"a")
DECISIVE = ["authorization", "Authorization", "host", "content-length", "content-type", "idempotency-key"]
DECISIVE += ["x-samurai-partial", "x-samurai-anything"]
TRUSTED = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


def scope_of(*headers: Pair, version: str = "1.1", peer: str = "198.51.100.7") -> Scope:
    return {
        "type": "http",
        "method": "POST",
        "http_version": version,
        "headers": list(headers),
        "client": (peer, 50000),
    }


async def pass_through(scope: Scope, limits: GuardLimits | None = None) -> bool:
    reached = False

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal reached
        reached = True

    async def receive() -> Message:
        raise AssertionError("the guard must not touch the body")

    async def send(message: Message) -> None:
        raise AssertionError("the guard must not answer")

    await Guard(app, limits)(scope, receive, send)
    return reached


async def refusal_of(scope: Scope, limits: GuardLimits | None = None) -> RequestError:
    with pytest.raises(RequestError) as caught:
        await pass_through(scope, limits)
    return caught.value


@pytest.mark.parametrize("text", DECISIVE)
async def test_a_header_that_decides_may_come_once(text: str) -> None:
    name = text.encode()
    others = () if name == b"host" else (HOST,)

    assert await pass_through(scope_of(*others, (name, b"1")))
    twice = await refusal_of(scope_of(*others, (name, b"1"), (name.lower(), b"1")))
    assert twice.code is ErrorCode.DUPLICATE_HEADER
    assert text.lower() in twice.message


async def test_other_headers_may_come_twice() -> None:
    assert await pass_through(scope_of(HOST, (b"accept", b"a"), (b"accept", b"b")))


@pytest.mark.parametrize(("version", "allowed"), [("1.0", True), ("1.1", False), ("2", False)])
async def test_only_http_1_0_may_do_without_host(version: str, allowed: bool) -> None:
    if allowed:
        assert await pass_through(scope_of(version=version))
    else:
        assert (await refusal_of(scope_of(version=version))).code is ErrorCode.INVALID_VALUE


async def test_header_limits_are_inclusive() -> None:
    limits = GuardLimits(header_bytes=20, headers=3)

    assert await pass_through(scope_of(HOST, (b"x", b"y" * 13), (b"", b"")), limits)
    assert (await refusal_of(scope_of(HOST, (b"x", b"y" * 15)), limits)).code is ErrorCode.REQUEST_TOO_LARGE
    many = [(b"x", b"y")] * 3
    assert (await refusal_of(scope_of(HOST, *many), limits)).code is ErrorCode.REQUEST_TOO_LARGE


@pytest.mark.parametrize(
    ("length", "code"),
    [
        (b"65536", None),
        (b"000065536", None),
        (b"65537", ErrorCode.REQUEST_TOO_LARGE),
        (b"9" * 5000, ErrorCode.REQUEST_TOO_LARGE),
        (b"-1", ErrorCode.INVALID_VALUE),
        (b"0x10", ErrorCode.INVALID_VALUE),
        (b"", ErrorCode.INVALID_VALUE),
        ("٣".encode(), ErrorCode.INVALID_VALUE),
    ],
)
async def test_an_announced_body_is_judged_before_it_is_read(length: bytes, code: ErrorCode | None) -> None:
    scope = scope_of(HOST, (b"content-length", length))
    if code is None:
        assert await pass_through(scope)
        return
    refusal = await refusal_of(scope)
    assert refusal.code is code
    assert refusal.headers["connection"] == "close"


async def test_http_2_has_no_connection_header() -> None:
    refusal = await refusal_of(scope_of(HOST, (b"content-length", b"65537"), version="2"))

    assert "connection" not in refusal.headers


@pytest.mark.parametrize(("coding", "allowed"), [(b"identity", True), (b"gzip", False), (b"br, identity", False)])
async def test_compressed_bodies_are_refused_unread(coding: bytes, allowed: bool) -> None:
    scope = scope_of(HOST, (b"content-encoding", coding))
    if allowed:
        assert await pass_through(scope)
    else:
        assert (await refusal_of(scope)).code is ErrorCode.UNSUPPORTED_ENCODING


async def test_what_is_not_http_is_none_of_its_business() -> None:
    assert await pass_through({"type": "lifespan"})


def arriving(*messages: Message) -> Receive:
    waiting = list(messages)

    async def receive() -> Message:
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    return receive


def part(body: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=8))
def test_a_body_is_the_sum_of_its_parts(parts: list[bytes]) -> None:
    messages = [part(body, more=index < len(parts) - 1) for index, body in enumerate(parts)]

    assert asyncio.run(read_body(arriving(*messages), 160, 5.0)) == b"".join(parts)


async def test_a_body_may_reach_the_limit_and_not_pass_it() -> None:
    assert await read_body(arriving(part(b"12345", more=False)), 5, 5.0) == b"12345"
    with pytest.raises(RequestError) as caught:
        await read_body(arriving(part(b"123", more=True), part(b"456", more=True)), 5, 5.0)
    assert caught.value.code is ErrorCode.REQUEST_TOO_LARGE


async def test_a_disconnect_before_the_end_is_never_a_body() -> None:
    with pytest.raises(ClientGone):
        await read_body(arriving(part(b'{"n": 1}', more=True), {"type": "http.disconnect"}), 100, 5.0)


async def test_a_body_that_does_not_end_is_refused_at_the_deadline() -> None:
    async with asyncio.timeout(5):  # a deadline that does not hold is to fail here, and not to hang
        with pytest.raises(RequestError) as caught:
            await read_body(arriving(part(b"1", more=True)), 100, 0.02)
    assert caught.value.code is ErrorCode.REQUEST_TIMEOUT
    assert caught.value.headers["connection"] == "close"


XFF = b"x-forwarded-for"


@pytest.mark.parametrize(
    ("peer", "headers", "expected"),
    [
        ("198.51.100.7", [], "198.51.100.7"),
        ("198.51.100.7", [(XFF, b"192.0.2.1")], "198.51.100.7"),
        ("198.51.100.7", [(b"forwarded", b"for=192.0.2.1")], "198.51.100.7"),
        ("10.0.0.1", [(XFF, b"192.0.2.1")], "192.0.2.1"),
        ("10.0.0.1", [(XFF, b"1.1.1.1, 192.0.2.1")], "192.0.2.1"),
        ("10.0.0.1", [(XFF, b"1.1.1.1, 192.0.2.1, 10.9.9.9")], "192.0.2.1"),
        ("10.0.0.1", [(XFF, b"1.1.1.1"), (XFF, b"192.0.2.1")], "192.0.2.1"),
        ("10.0.0.1", [(XFF, b"10.1.1.1, 10.2.2.2")], "10.1.1.1"),
        ("10.0.0.1", [(XFF, b"192.0.2.1, nonsense")], "10.0.0.1"),
        ("10.0.0.1", [(XFF, b"192.0.2.1, nonsense, 10.2.2.2")], "10.2.2.2"),
        ("10.0.0.1", [(XFF, b"")], "10.0.0.1"),
        ("10.0.0.1", [(XFF, b"192.0.2.1:4711")], "192.0.2.1"),
        ("10.0.0.1", [(XFF, b"[2001:db8::1]:4711")], "2001:db8::1"),
        ("10.0.0.1", [(XFF, b"::ffff:192.0.2.1")], "192.0.2.1"),
        ("::ffff:10.0.0.1", [(XFF, b"192.0.2.1")], "192.0.2.1"),
        ("fd00::1", [(XFF, b"2001:db8::1")], "2001:db8::1"),
        ("10.0.0.1", [(b"forwarded", b'for=1.1.1.1, For="[2001:db8::1]:80";proto=https')], "2001:db8::1"),
        ("10.0.0.1", [(b"forwarded", b"proto=https;by=10.0.0.1")], "10.0.0.1"),
        ("10.0.0.1", [(b"forwarded", b"for=_hidden")], "10.0.0.1"),
        ("10.0.0.1", [(b"forwarded", b"for=1.1.1.1"), (XFF, b"192.0.2.1")], "192.0.2.1"),
        ("testclient", [(XFF, b"192.0.2.1")], "testclient"),
    ],
)
def test_the_clients_address_is_the_rightmost_hop_that_is_not_ours(
    peer: str, headers: list[Pair], expected: str
) -> None:
    assert client_address(scope_of(*headers, peer=peer), TRUSTED) == expected


def test_a_server_that_does_not_know_its_peer_gives_no_address() -> None:
    assert client_address({"type": "http", "headers": [(XFF, b"192.0.2.1")], "client": None}, TRUSTED) == ""


@given(st.ip_addresses(), st.lists(st.text(max_size=30), max_size=5))
def test_an_untrusted_peer_cannot_choose_its_address(peer: Any, claims: list[str]) -> None:
    headers = [(XFF, claim.encode("utf-8")) for claim in claims]
    scope = scope_of(*headers, peer=str(peer))

    assert client_address(scope, []) == client_address(scope_of(peer=str(peer)), [])
