"""The sandbox as a process beside the gateway: started before it, ended after it, and never left behind."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256

from gateway.policies.key_format import new_key

__all__ = ["DEMO_KEY", "SandboxFailed", "end_with_parent", "sandbox_beside"]

DEMO_KEY = new_key(sha256(b"samurai sandbox demo key").digest())
"""The key that config/sandbox.yaml accepts, and no other configuration."""

_START_S = 20.0  # it takes one; a busy machine may take more
_STOP_S = 5.0
_POLL_S = 0.02


class SandboxFailed(Exception):  # noqa: N818  it reads as the sentence that it is
    """The sandbox did not start; the message says what can be done."""


@contextmanager
def sandbox_beside(host: str, port: int) -> Iterator[None]:
    """Run the sandbox for the length of a block. Raises SandboxFailed when it does not start.

    It has a session of its own, since a Ctrl-C is for the gateway, which still needs its vendors while it drains.
    """
    if _answers(host, port):
        raise SandboxFailed(f"cannot start the sandbox: {host}:{port} is taken; choose another with --sandbox-port")
    command = [sys.executable, "-m", "gateway", "sandbox", "--host", host, "--port", str(port), "--until-stdin-ends"]
    with subprocess.Popen(  # noqa: S603  our own program
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            _wait_until_ready(process, host, port)
            yield
        finally:
            _end(process)


def end_with_parent() -> None:
    """From now on, end this process when its standard input ends, as it does when its parent is gone."""
    threading.Thread(target=_wait_for_end_of_input, daemon=True).start()


def _wait_for_end_of_input() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _wait_until_ready(process: subprocess.Popen[bytes], host: str, port: int) -> None:
    deadline = time.monotonic() + _START_S
    while not _answers(host, port):
        if process.poll() is not None:
            raise SandboxFailed(f"the sandbox on {host}:{port} (--sandbox-port) ended at once")
        if time.monotonic() > deadline:
            raise SandboxFailed(f"the sandbox on {host}:{port} did not answer in {_START_S:.0f} s")
        time.sleep(_POLL_S)


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
