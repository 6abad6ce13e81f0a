"""Clients that are broken, hostile or just unlucky, against a running gateway: rows 6 to 9, 14 to 24 and 34 to 38.

What they may cost is asserted everywhere: nothing, for every request that is refused.
"""

import asyncio
import gzip
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.faults.deployment import Counters, Deployment, eventually
from tests.wire.corpus import CORPUS, Case
from tests.wire.harness import Heard, talk

PATH = b"/v1/images/generations"
MODEL = "flux-schnell"
GOOD: Mapping[str, Any] = {"model": MODEL, "prompt": "a lighthouse", "size": "256x256"}
HOSTILE = [case for case in CORPUS if b"/smuggled" in case.payload and not case.must_work]


def request_of(
    scene: Deployment, *fields: bytes, body: bytes | None = None, key: bool = True, line: bytes = b"POST %b HTTP/1.1"
) -> bytes:
    """A generation request as it goes over the wire; a good one unless told otherwise."""
    payload = json.dumps(GOOD).encode() if body is None else body
    lines = [line % PATH, b"Host: gateway", b"Content-Type: application/json"]
    if key:
        lines.append(b"Authorization: Bearer " + scene.running.key.encode())
    if not any(field.lower().startswith((b"transfer-encoding", b"content-length")) for field in fields):
        lines.append(b"Content-Length: %d" % len(payload))
    return b"\r\n".join([*lines, *fields]) + b"\r\n\r\n" + payload


def say(scene: Deployment, payload: bytes, *, enough: int | None = None, patience_s: float = 15.0) -> Heard:
    port = urlsplit(scene.running.base_url).port
    assert port is not None
    return asyncio.run(talk(port, [payload], enough=enough, patience_s=patience_s))


def nothing_was_bought(scene: Deployment) -> bool:
    return scene.charged() == 0 and scene.calls() == ()


def requests_told(counters: Counters, code: str) -> float:
    return sum(
        figure
        for (name, labels), figure in counters.items()
        if name == "samurai_requests_total" and ("code", code) in labels
    )


def refusals_told(counters: Counters, reason: str) -> float:
    return counters.get(("samurai_connections_refused_total", frozenset({("reason", reason)})), 0.0)


def post(scene: Deployment, body: bytes, headers: Mapping[str, str] | None = None) -> httpx2.Response:
    own = {"authorization": f"Bearer {scene.running.key}", "content-type": "application/json"}
    return scene.client.post(scene.running.base_url + PATH.decode(), content=body, headers=own | dict(headers or {}))


def refused(scene: Deployment, body: bytes, code: str, param: str | None = None) -> None:
    """`body` is answered with 400 and this code, costs nothing, and is counted."""
    before = requests_told(scene.counters(), code)
    reply = post(scene, body)
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (400, code, param), body[:200]
    assert error["type"] == "invalid_request_error"
    assert nothing_was_bought(scene)
    eventually(lambda: requests_told(scene.counters(), code) == before + 1)


def body_with(**fields: Any) -> bytes:
    return json.dumps(dict(GOOD) | fields).encode()


@pytest.mark.parametrize(
    ("field", "code"),
    [
        (b"Authorization: Bearer sk-other", "duplicate_header"),
        (b"authorization: Basic YTpi", "duplicate_header"),
    ],
)
def test_f006_two_authorizations_are_refused_whichever_is_good(scene: Deployment, field: bytes, code: str) -> None:
    heard = say(scene, request_of(scene, field), enough=1)
    assert (heard.replies.statuses, heard.replies.envelope()["code"]) == ([400], code)
    assert nothing_was_bought(scene)


@pytest.mark.parametrize(
    ("hosts", "code"),
    [(b"", "invalid_value"), (b"Host: a\r\nHost: a", "duplicate_header"), (b"Host: a\r\nHost: b", "duplicate_header")],
)
def test_f007_no_host_and_two_hosts_are_refused(scene: Deployment, hosts: bytes, code: str) -> None:
    before = refusals_told(scene.counters(), "framing")
    payload = request_of(scene).replace(b"Host: gateway\r\n", hosts + b"\r\n" if hosts else b"")
    heard = say(scene, payload)
    assert (heard.replies.statuses, heard.replies.envelope()["code"]) == ([400], code)
    assert heard.closed
    assert nothing_was_bought(scene)
    assert refusals_told(scene.counters(), "framing") == before + 1


@pytest.mark.parametrize("case", HOSTILE, ids=lambda case: case.name)
def test_f008_no_hidden_request_reaches_the_gateway(scene: Deployment, case: Case) -> None:
    """The corpus has many more of these, on the server alone: here a hidden request would be one that pays."""
    inner = request_of(scene)
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    payload = case.payload.replace(smuggled, inner)
    length = re.compile(rb"Content-Length: %d\b" % len(smuggled))
    payload = length.sub(b"Content-Length: %d" % len(inner), payload)
    hidden_length = re.compile(rb"Content-Length: %d\b" % (len(smuggled) + 5))
    payload = hidden_length.sub(b"Content-Length: %d" % (len(inner) + 5), payload)
    heard = say(scene, payload)
    assert heard.closed
    assert 200 not in heard.replies.statuses
    assert nothing_was_bought(scene)


def test_f009_an_offer_to_speak_h2c_changes_nothing(scene: Deployment) -> None:
    offer = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")
    heard = say(scene, request_of(scene, *offer), enough=1)
    assert heard.replies.statuses == [200]
    assert len(json.loads(heard.replies.bodies[0])["data"]) == 1
    assert scene.charged() == 1


@pytest.mark.parametrize(
    "fields",
    [(b"Content-Length: 70000",), (b"Content-Length: 99999999999999999999",), (b"Transfer-Encoding: chunked",)],
    ids=["announced", "absurd", "endless"],
)
def test_f014_a_body_above_the_limit_is_refused_before_more_is_read(
    scene: Deployment, fields: tuple[bytes, ...]
) -> None:
    chunk = b"1000\r\n" + b" " * 4096 + b"\r\n"
    heard = say(scene, request_of(scene, *fields, body=chunk * 600))
    assert heard.closed
    assert heard.replies.statuses == [400]
    assert heard.replies.envelope()["code"] in ("request_too_large", "invalid_value")
    assert nothing_was_bought(scene)


def test_f014_the_limit_is_64_kib_to_the_byte(scene: Deployment) -> None:
    body = json.dumps(dict(GOOD)).encode()
    full = body + b" " * (64 * 1024 - len(body))
    assert post(scene, full).status_code == 200
    scene.calm()
    reply = post(scene, full + b" ")
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "request_too_large")
    assert reply.headers["connection"] == "close"
    assert nothing_was_bought(scene)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "gzip, identity"])
def test_f015_a_compressed_body_is_refused_unread(scene: Deployment, coding: str) -> None:
    reply = post(scene, gzip.compress(b" " * 50_000_000), {"content-encoding": coding})
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "unsupported_encoding")
    assert nothing_was_bought(scene)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"a"',
        b"7",
        b"{",
        b'{"a":}',
        b"model=flux",
        b"\xff\xfe{}",
        b"\xef\xbb\xbf",
        b"{}{}",
        b"\x00",
    ],
)
def test_f016_what_is_no_json_object_is_refused(scene: Deployment, body: bytes) -> None:
    refused(scene, body, "invalid_json")


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 30_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b'{"n": ' + b"9" * 5_000 + b"}",
        b'{"n": NaN}',
        b'{"n": -Infinity}',
        b'{"n": 1e400, "model": "flux-schnell", "prompt": "a"}',
    ],
    ids=["arrays", "objects", "digits", "NaN", "Infinity", "1e400"],
)
def test_f017_json_made_to_break_parsers_is_refused_like_any_other(scene: Deployment, body: bytes) -> None:
    reply = post(scene, body)
    assert reply.status_code == 400
    assert reply.json()["error"]["code"] in ("invalid_json", "invalid_value")
    assert nothing_was_bought(scene)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"n":1,"n":10}', "n"),
        (b'{"prompt":"a","pr\\u006fmpt":"b"}', "prompt"),
        (b'{"a":{"b":1,"b":1}}', "b"),
    ],
)
def test_f018_a_key_given_twice_is_refused_at_any_depth(scene: Deployment, body: bytes, param: str) -> None:
    refused(scene, body, "duplicate_key", param)


@pytest.mark.parametrize("prompt", ['"\\ud800"', '"a\\udfffb"'])
def test_f019_half_a_character_is_refused(scene: Deployment, prompt: str) -> None:
    refused(scene, b'{"model":"flux-schnell","prompt":%b}' % prompt.encode(), "invalid_value", "prompt")


@pytest.mark.parametrize(
    "prompt", ["a\x00b", "a\x07\x1bb", "\u202eabc", "a\r\nX-Evil: 1", "\U0001f3f4\u200d\u2620", "e\u0301"]
)
def test_f019_other_odd_characters_reach_the_vendor_unchanged(scene: Deployment, prompt: str) -> None:
    assert scene.ask(MODEL, prompt=prompt).status_code == 200
    (call,) = (call for call in scene.calls() if call["operation"] == "create")
    assert call["body"]["input"]["prompt"] == prompt
    assert scene.charged() == 1


@pytest.mark.parametrize("letter", ["a", "\U0001f3d4", "e\u0301"[1:]])
def test_f020_prompts_are_measured_in_code_points(scene: Deployment, letter: str) -> None:
    assert scene.ask(MODEL, prompt="x" + letter * 999).status_code == 200
    scene.calm()
    refused(scene, body_with(prompt="x" + letter * 1000), "invalid_value", "prompt")


@pytest.mark.parametrize("n", ["0", "11", "-1", '"1"', "1.5", "true", "false", "[]", "1e2", "10.5"])
def test_f021_an_n_that_is_none_is_refused(scene: Deployment, n: str) -> None:
    body = body_with(n="?").replace(b'"?"', n.encode())
    refused(scene, body, "invalid_value", "n")


def test_f021_one_point_nought_is_one(scene: Deployment) -> None:
    assert post(scene, body_with(n="?").replace(b'"?"', b"1.0")).status_code == 200
    assert scene.charged() == 1


@pytest.mark.parametrize(
    ("fields", "status", "code", "param"),
    [
        ({"model": "flux-9"}, 404, "model_not_found", "model"),
        ({"model": "../../etc/passwd"}, 404, "model_not_found", "model"),
        ({"size": "1x1"}, 400, "invalid_value", "size"),
        ({"size": "1024X1024"}, 400, "invalid_value", "size"),
        ({"response_format": "png"}, 400, "invalid_value", "response_format"),
    ],
)
def test_f022_unknown_values_are_refused_by_name(
    scene: Deployment, fields: dict[str, str], status: int, code: str, param: str
) -> None:
    reply = post(scene, body_with(**fields))
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (status, code, param)
    assert nothing_was_bought(scene)


@pytest.mark.parametrize("name", ["num_outputs", "disable_safety_checker", "webhook", "__proto__", "input"])
def test_f023_fields_nobody_knows_are_refused_and_never_forwarded(scene: Deployment, name: str) -> None:
    refused(scene, body_with(**{name: True}), "unknown_parameter", name)


def test_f024_nothing_a_caller_writes_forges_a_header_or_a_log_line(scene: Deployment) -> None:
    evil = 'x\r\nSet-Cookie: a=b\r\n\r\n{"event":"forged"}\n'
    for fields in ({"user": evil}, {"model": evil}, {"size": evil}, {evil: 1}):
        reply = post(scene, body_with(**fields))
        assert "set-cookie" not in reply.headers
        assert reply.status_code in (200, 400, 404)
    heard = say(scene, request_of(scene, b"X-Request-Id: a\nSet-Cookie: a=b"))
    assert heard.replies.statuses == [400]
    logged = [line for line in scene.running.output.lines if "forged" in line]
    assert all(json.loads(line).get("event") != "forged" for line in logged)


def test_f034_links_that_were_guessed_or_altered_are_just_not_found(scene: Deployment) -> None:
    link = scene.ask(MODEL).json()["data"][0]["url"]
    whole = urlsplit(link)
    assert scene.client.get(link).status_code == 200
    name = whole.path.rpartition("/")[2]
    altered = [
        link.replace("signature=", "signature=A"),
        link.replace(whole.query, ""),
        re.sub(r"expires=\d+", "expires=99999999999", link),
        re.sub(r"expires=\d+", "expires=1", link),
        link.replace(name, name[::-1]),
        link.replace(name, "../" + name),
        link.replace(name, "%2e%2e%2f" + name),
        link.replace(name, ""),
        link.replace(".png", ".svg"),
    ]
    for url in altered:
        reply = scene.client.get(url)
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found"), url


def test_f035_thousands_of_ranges_cost_no_more_than_one_whole_image(scene: Deployment) -> None:
    link = scene.ask(MODEL).json()["data"][0]["url"]
    whole = scene.client.get(link).content
    many = "bytes=" + ",".join(f"{at}-{at}" for at in range(1500))
    reply = scene.client.get(link, headers={"range": many})
    assert (reply.status_code, reply.content) == (200, whole)
    too_many = "bytes=" + ",".join("0-" for _ in range(10_000))
    assert scene.client.get(link, headers={"range": too_many}).status_code == 400
    assert scene.client.get(link, headers={"range": "bytes=0-7"}).content == whole[:8]


def test_f036_a_thousand_pipelined_requests_are_served_in_turn(scene: Deployment) -> None:
    one = b"GET /llms.txt HTTP/1.1\r\nHost: a\r\n\r\n"
    heard = say(scene, one * 1000, enough=1000, patience_s=30)
    assert heard.replies.statuses == [200] * 1000


def test_f037_a_forwarded_address_from_a_stranger_is_not_believed(scene: Deployment) -> None:
    """Wrong keys are counted by address: whoever could make addresses up could guess without end."""
    replies = []
    for number in range(40):
        headers = {"authorization": "Bearer sk-guess", "x-forwarded-for": f"198.51.100.{number}"}
        replies.append(scene.client.get(f"{scene.running.base_url}/v1/models", headers=headers))
    assert replies[-1].status_code == 429
    assert replies[-1].json()["error"]["code"] == "too_many_attempts"
    assert int(replies[-1].headers["retry-after"]) >= 1
    assert scene.ask(MODEL, {"x-forwarded-for": "127.0.0.1"}).status_code == 200  # a right key always passes


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"])
def test_f038_another_method_is_told_the_right_one(scene: Deployment, method: str) -> None:
    line = method.encode() + b" %b HTTP/1.1"
    if method == "CONNECT":
        heard = say(scene, b"CONNECT gateway:443 HTTP/1.1\r\nHost: gateway:443\r\n\r\n")
    else:
        heard = say(scene, request_of(scene, line=line, body=b""), enough=1 if method != "HEAD" else None, patience_s=2)
    assert heard.replies.statuses == [405]
    if method != "CONNECT":
        assert heard.replies.headers[0]["allow"] == "POST"
    assert nothing_was_bought(scene)
