"""The threat model's rule: no request without a good key costs more than a hundred times itself."""

import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gateway.policies.key_format import new_key
from tests.processes import Running, gateway, sandbox_settings
from tests.replicas import NO_VENDORS

MOST = 100
TIMES = 30
KEY = b"Authorization: Bearer " + new_key(bytes(32)).encode()
DEEP = b"[" * 32_768 + b"]" * 32_768


def get(target: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join([b"GET " + target + b" HTTP/1.1", b"Host: a", b"Connection: close", *fields, b"", b""])


def post(*fields: bytes, body: bytes = b"{}") -> bytes:
    lines = [b"POST /v1/images/generations HTTP/1.1", b"Host: a", b"Connection: close", *fields]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])


REQUESTS: Mapping[str, bytes] = {
    "a malformed header": b"GET / HTTP/1.1\r\nHost: a\r\n x\r\n\r\n",
    "nothing at this address": get(b"/nothing"),
    "a wrong key": post(KEY),
    "a forged link": get(
        b"/v1/images/files/2026010100-" + b"A" * 22 + b".png?expires=99999999999&signature=" + b"A" * 43
    ),
    "15 kB of headers": post(KEY, b"X-A: " + b"a" * 15_000),
    "a body of 64 KiB": post(KEY, body=DEEP),
    "/llms.txt": get(b"/llms.txt"),
}
"""`/openapi.json` is the one exception, and told."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A gateway that nobody else's wrong keys are counted at."""
    folder = tmp_path_factory.mktemp("hundredfold")
    with gateway(folder, sandbox_settings(folder, NO_VENDORS)) as process:
        yield process


def answer(running: Running, request: bytes) -> int:
    """Send a request, hear it out, and count the bytes of the answer."""
    where = urlsplit(running.base_url)
    received = 0
    with socket.create_connection((where.hostname, where.port), timeout=15) as connection:
        connection.sendall(request)
        while piece := connection.recv(65_536):
            received += len(piece)
    return received


def processor_ns(process_id: int) -> int:
    """The processor time that all threads of a process have had."""
    tasks = Path(f"/proc/{process_id}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks)


@pytest.mark.parametrize("name", REQUESTS)
def test_the_answer_to_a_stranger_is_never_a_hundred_times_as_long_as_the_request(running: Running, name: str) -> None:
    assert 0 < answer(running, REQUESTS[name]) <= MOST * len(REQUESTS[name])


def test_no_request_of_a_stranger_takes_a_hundred_times_the_processor_of_another(running: Running) -> None:
    taken = {}
    for name, request in REQUESTS.items():
        before = processor_ns(running.process.pid)
        for _ in range(TIMES):
            answer(running, request)
        taken[name] = processor_ns(running.process.pid) - before
    assert max(taken.values()) <= MOST * min(taken.values()), taken
