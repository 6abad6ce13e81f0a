"""Requests that are refused before, or instead of, being one for a generation: each is counted once, by its code."""

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.faults.deployment import eventually, samples_in
from tests.processes import Running, gateway, sandbox_settings
from tests.replicas import NO_VENDORS

GENERATIONS = b"POST /v1/images/generations HTTP/1.1\r\nHost: g\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("gateway")
    with gateway(folder, sandbox_settings(folder, NO_VENDORS)) as process:
        yield process


def counted(running: Running) -> dict[tuple[str, str, str], float]:
    """Requests by model, status and code, those that there were."""
    samples = samples_in(httpx2.get(f"{running.admin_url}/metrics").text)
    found = {}
    for (name, pairs), figure in samples.items():
        if name == "samurai_requests_total" and figure:
            labels = dict(pairs)
            found[labels["model"], labels["status"], labels["code"]] = figure
    return found


def send(running: Running, request: bytes) -> int:
    """The status that these bytes are answered with."""
    port = urlsplit(running.base_url).port
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(request)
        reply = connection.recv(4096)
    return int(reply.split(b" ", 2)[1])


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        (b"GET /v1/nowhere HTTP/1.1\r\nHost: g\r\n\r\n", 404, "not_found"),
        (b"GET /v1/images/files/none.png HTTP/1.1\r\nHost: g\r\n\r\n", 404, "not_found"),
        (b"GET /v1/images/generations HTTP/1.1\r\nHost: g\r\n\r\n", 405, "method_not_allowed"),
        (b"DELETE /v1/models HTTP/1.1\r\nHost: g\r\n\r\n", 405, "method_not_allowed"),
        (b"GET /v1/models HTTP/1.1\r\nHost: g\r\n\r\n", 401, "missing_api_key"),
        (b"GET /v1/models HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer sk-no\r\n\r\n", 401, "invalid_api_key"),
        (GENERATIONS + b"Content-Length: 999999\r\n\r\n", 400, "request_too_large"),
        (GENERATIONS + b"Content-Encoding: gzip\r\nContent-Length: 0\r\n\r\n", 400, "unsupported_encoding"),
        (GENERATIONS + b"Authorization: a\r\nAuthorization: b\r\nContent-Length: 0\r\n\r\n", 400, "duplicate_header"),
        (GENERATIONS + b"Content-Length: 2\r\n\r\n{}", 401, "missing_api_key"),  # told by the endpoint, and not twice
    ],
)
def test_what_is_refused_is_counted_once_by_its_status_and_code(
    running: Running, request_bytes: bytes, status: int, code: str
) -> None:
    before = counted(running)
    assert send(running, request_bytes) == status
    expected = before | {("other", str(status), code): before.get(("other", str(status), code), 0.0) + 1}
    eventually(lambda: counted(running) == expected)


@pytest.mark.parametrize(
    ("request_bytes", "reason"),
    [
        (GENERATIONS + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}", "framing"),
        (b"GET / HTTP/1.1\r\n\r\n", "framing"),
        (b"GET / HTTP/1.1\r\nHost: g\r\n" + b"x-a: b\r\n" * 120 + b"\r\n", "too_large"),
    ],
)
def test_what_never_becomes_a_request_is_counted_as_a_connection(
    running: Running, request_bytes: bytes, reason: str
) -> None:
    def refused() -> float:
        samples = samples_in(httpx2.get(f"{running.admin_url}/metrics").text)
        return samples["samurai_connections_refused_total", frozenset({("reason", reason)})]

    before = refused()
    assert send(running, request_bytes) == 400
    eventually(lambda: refused() == before + 1)


def test_guessing_keys_at_any_address_is_counted_when_it_is_slowed_down(running: Running) -> None:
    wrong = {"authorization": "Bearer sk-guess"}
    before = counted(running).get(("other", "429", "too_many_attempts"), 0.0)
    statuses = [httpx2.get(f"{running.base_url}/v1/models", headers=wrong).status_code for _ in range(30)]
    slowed = statuses.count(429)
    assert slowed > 0
    eventually(lambda: counted(running).get(("other", "429", "too_many_attempts"), 0.0) == before + slowed)


def test_what_is_served_elsewhere_than_at_the_endpoint_is_not_counted(running: Running) -> None:
    before = counted(running)
    assert httpx2.get(f"{running.base_url}/llms.txt").status_code == 200
    assert httpx2.get(f"{running.base_url}/v1/models", headers={"authorization": f"Bearer {running.key}"}).status_code
    assert counted(running) == before
