"""The program as a user runs it, started on free loopback ports, with the sandbox behind it."""

import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import yaml

from tests.canaries import leaks

ROOT = Path(__file__).resolve().parent.parent
SAMURAI = (sys.executable, "-m", "gateway")
START_DEADLINE_S = 30.0  # two shared, noisy cores
STOP_DEADLINE_S = 20.0
PATIENT = "2s"  # for Redis where no outage is meant: a busy machine must not look like one


class Output:
    """A child's output, read by a thread so that its pipe never fills, and kept."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.lines: list[str] = []
        self._fresh: queue.Queue[str | None] = queue.Queue()
        self._thread = threading.Thread(target=self._read, args=(process,), daemon=True)
        self._thread.start()

    def _read(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.lines.append(line)
            self._fresh.put(line)
        self._fresh.put(None)

    def wait_for(self, pattern: str, deadline_s: float) -> re.Match[str]:
        """The first match of `pattern` in a new line."""
        end = time.monotonic() + deadline_s
        while (left_s := end - time.monotonic()) > 0:
            try:
                line = self._fresh.get(timeout=left_s)
            except queue.Empty:
                break
            if line is None:
                break
            if match := re.search(pattern, line):
                return match
        raise AssertionError(f"no line matched {pattern!r} in:\n{''.join(self.lines)}")

    def join(self) -> str:
        """Everything, once the child has ended."""
        self._thread.join(STOP_DEADLINE_S)
        return "".join(self.lines)


@dataclass(frozen=True)
class Running:
    """A running gateway with its sandbox."""

    process: "subprocess.Popen[str]"
    output: Output = field(repr=False)
    base_url: str
    admin_url: str
    sandbox_url: str
    key: str = field(repr=False)

    def ledger(self) -> dict[str, Any]:
        """The sandbox's payment ledger."""
        reply: dict[str, Any] = httpx2.get(f"{self.sandbox_url}/sandbox/ledger").raise_for_status().json()
        return reply

    def script(self, **behaviour: Any) -> None:
        """Make the sandbox misbehave."""
        httpx2.post(f"{self.sandbox_url}/sandbox/scripts", json=behaviour).raise_for_status()

    def reset(self) -> None:
        """Forget what was charged, called and scripted."""
        for what in ("ledger", "scripts", "calls"):
            httpx2.delete(f"{self.sandbox_url}/sandbox/{what}").raise_for_status()


def environment() -> dict[str, str]:
    """The child's environment: nothing that a vendor's key or a proxy could hide in."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "SYSTEMROOT")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"PYTHONUNBUFFERED": "1"}


@contextmanager
def child(
    *arguments: str, cwd: Path | None = None, program: Sequence[str] = SAMURAI
) -> Iterator[tuple["subprocess.Popen[str]", Output]]:
    """A `samurai` process that is surely ended afterwards; `program` starts it in another way.

    Whatever it was started for, no secret may be in what it said.
    """
    process = subprocess.Popen(
        [*program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment() | {"PYTHONPATH": str(ROOT)},
        cwd=cwd,
        start_new_session=True,
    )
    output = Output(process)
    try:
        yield process, output
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_DEADLINE_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        leaked = leaks(output.join())
        assert process.stdout is not None
        process.stdout.close()
        assert leaked == set(), "a secret, or a prompt, is in what a process said"


@contextmanager
def sandbox() -> Iterator[str]:
    """A sandbox process without the vendors' rate limits; its base URL."""
    with child("sandbox", "--port", "0", "--unlimited") as (_, output):
        yield output.wait_for(r"(http://127\.0\.0\.1:\d+)", START_DEADLINE_S)[1]


def sandbox_settings(folder: Path, sandbox_url: str) -> dict[str, Any]:
    """The shipped sandbox configuration, its vendors at `sandbox_url` and its state below `folder`."""
    text = (ROOT / "config/sandbox.yaml").read_text().replace("127.0.0.1:8090", sandbox_url.removeprefix("http://"))
    settings: dict[str, Any] = yaml.safe_load(text)
    settings["store"] = {"url": f"file://{folder}/images"}
    settings["redis"] = {"url": "embedded://", "timeout": PATIENT}
    settings["server"]["public"] |= {"port": 0, "base_url": None}
    settings["server"]["admin"] |= {"port": 0}
    for account in settings["accounts"].values():
        if isinstance(account.get("api_key"), Mapping):
            account["api_key"] = {"file": str(ROOT / "config" / account["api_key"]["file"])}
    return settings


def demo_key() -> str:
    """The fixed key that config/sandbox.yaml names in a comment."""
    match = re.search(r"sk-samurai-[0-9A-Za-z]{36}", (ROOT / "config/sandbox.yaml").read_text())
    assert match is not None
    return match[0]


@contextmanager
def gateway(
    folder: Path, settings: Mapping[str, Any], sandbox_url: str = "", *, program: Sequence[str] = SAMURAI
) -> Iterator[Running]:
    """A gateway process with these settings."""
    path = folder / "gateway.yaml"
    path.write_text(yaml.safe_dump(dict(settings)))
    with child("serve", "--config", str(path), program=program) as (process, output):
        ready = output.wait_for(r"Ready: (\S+)/v1 for clients, (\S+) for", START_DEADLINE_S)
        yield Running(process, output, ready[1], ready[2], sandbox_url, demo_key())
