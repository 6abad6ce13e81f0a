import json
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.testing import capture_logs

from gateway.access import Access, ClientGone, ReplyCutShort, new_request_id
from gateway.domain.errors import ErrorCode, RequestError

SECRET_QUERY = b"expires=1&signature=abcdef"


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    structlog.reset_defaults()
    with capture_logs() as captured:
        yield captured


async def answers(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"he", "more_body": True})
    await send({"type": "http.response.body", "body": b"llo"})


def raises(error: Exception, *, after_start: bool = False) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if after_start:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise error

    return app


async def serve(app: ASGIApp, *headers: tuple[bytes, bytes], clock: Any = None) -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("the wrapper is body-blind")

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/v1/images/files/x.png",
        "query_string": SECRET_QUERY,
        "headers": list(headers),
    }
    wrapped = Access(app, clock) if clock else Access(app)
    await wrapped(scope, receive, send)
    return sent


def header(sent: list[Message], name: bytes) -> list[bytes]:
    return [value for key, value in sent[0]["headers"] if key == name]


@pytest.mark.parametrize("kept", [b"a", b"req_1.2-3", b"x" * 128])
async def test_a_well_formed_request_id_is_kept(kept: bytes) -> None:
    assert header(await serve(answers, (b"x-request-id", kept)), b"x-request-id") == [kept]


@pytest.mark.parametrize(
    "sent", [[], [b""], [b"x" * 129], [b"a b"], [b"a\r\nb"], [b"\xc3\xa9"], [b"a\n"], [b"a", b"b"]]
)
async def test_any_other_request_id_is_replaced(sent: list[bytes]) -> None:
    (given_id,) = header(await serve(answers, *((b"x-request-id", value) for value in sent)), b"x-request-id")

    assert given_id.startswith(b"req_")
    assert len(given_id) == 36


def test_request_ids_do_not_repeat() -> None:
    assert len({new_request_id() for _ in range(1000)}) == 1000


async def test_every_reply_has_one_id_and_its_time() -> None:
    ticks = iter([0.0, 0.25, 0.5, 0.75, 1.0])
    sent = await serve(raises(RequestError(ErrorCode.INVALID_JSON, "no")), clock=lambda: next(ticks))

    assert len(header(sent, b"x-request-id")) == 1
    assert header(sent, b"openai-processing-ms") == [b"250"]


async def test_a_request_error_becomes_its_envelope() -> None:
    error = RequestError(ErrorCode.RATE_LIMIT_IMAGES, "slow down", retry_after_ms=1500)
    sent = await serve(raises(error))

    assert sent[0]["status"] == 429
    assert header(sent, b"retry-after") == [b"2"]
    assert json.loads(sent[1]["body"])["error"]["code"] == "rate_limit_images"


@pytest.mark.parametrize(
    ("wait_ms", "should_retry", "told"),
    [
        (1, None, [b"true"]),
        (60_000, None, [b"true"]),
        (60_001, None, [b"false"]),
        (1_500, False, [b"false"]),
        (90_000, True, [b"true"]),
        (None, None, []),
    ],
)
async def test_who_is_told_to_wait_is_told_whether_to_try_again_by_itself(
    wait_ms: int | None, should_retry: bool | None, told: list[bytes]
) -> None:
    error = RequestError(ErrorCode.RATE_LIMIT_REQUESTS, "wait", retry_after_ms=wait_ms, should_retry=should_retry)
    assert header(await serve(raises(error)), b"x-should-retry") == told


async def test_any_other_failure_is_ours_and_says_nothing_of_itself(lines: list[Any]) -> None:
    sent = await serve(raises(ValueError("the prompt was: a secret garden")))

    assert sent[0]["status"] == 500
    assert json.loads(sent[1]["body"])["error"] == {
        "message": "The gateway failed. This is our fault.",
        "type": "server_error",
        "param": None,
        "code": "internal_error",
    }
    assert [line["event"] for line in lines] == ["internal error", "request"]
    assert lines[0]["exc_info"] is True


@pytest.mark.parametrize("error", [RequestError(ErrorCode.UPSTREAM_ERROR, "late"), ZeroDivisionError()])
async def test_a_failure_after_the_start_breaks_the_reply_off(error: Exception, lines: list[Any]) -> None:
    with pytest.raises(ReplyCutShort):
        await serve(raises(error, after_start=True))

    assert lines[-1]["event"] == "request"
    assert lines[-1]["code"] in ("upstream_error", "internal_error")


async def test_a_client_that_has_gone_is_not_answered(lines: list[Any]) -> None:
    assert await serve(raises(ClientGone())) == []
    assert (lines[0]["status"], lines[0]["code"]) == (499, "client_gone")


async def test_the_line_tells_what_the_app_knew_and_never_the_query(lines: list[Any]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        known = {"route": "/v1/images/files/{name}", "key_id": "web", "model": "flux-schnell", "client": "192.0.2.1"}
        scope["state"].update(known, prompt="a secret garden")
        await answers(scope, receive, send)

    await serve(app, (b"x-request-id", b"abc"))

    (line,) = lines
    assert line.pop("duration_ms") >= 0
    assert line == {
        "event": "request",
        "log_level": "info",
        "request_id": "abc",
        "method": "GET",
        "status": 200,
        "bytes": 5,
        "route": "/v1/images/files/{name}",
        "key_id": "web",
        "model": "flux-schnell",
        "client": "192.0.2.1",
    }


async def test_what_is_not_http_passes_through() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def nothing(*_: Any) -> Any:
        raise AssertionError

    await Access(app)({"type": "lifespan"}, nothing, nothing)
    assert seen == ["lifespan"]
