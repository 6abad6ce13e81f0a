"""Who is measured: each one started as its users start it, before the same mock vendor."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.asking import Ask
from bench.nginx import StartError, proxy
from gateway.policies.key_format import digest, new_key
from tests.processes import ROOT, SAMURAI, environment

__all__ = ["Contestant", "Way", "awaited_line", "bare", "direct", "gateway", "program", "settings"]

_START_S = 60.0
_STOP_S = 20.0
_KEY = new_key(bytes(32))
_NATIVE = "gpt-image-2"
_LIMITLESS = 1_000_000_000  # limits are counted, but never reached
_CROWD = 20_000  # calls in flight at one account; else they would begin with eight


@dataclass(frozen=True, slots=True)
class Way:
    """A route of a measurement: `name` is the gateway's model, and the mock vendor's first folder."""

    name: str
    passthrough: bool = False
    vendor: str = "openai"
    model: str = _NATIVE


@dataclass(frozen=True, slots=True)
class Contestant:
    """Somebody who answers. `pid` is the head of its processes; 0 for the vendor itself."""

    name: str
    pid: int
    port: int
    headers: Mapping[str, str]
    path: str = "/v1/images/generations"
    """`{way}` in it stands for the route's name."""
    admin_url: str = ""

    def ask(self, way: str, **fields: object) -> Ask:
        """A request for an image by the route `way`."""
        headers = {name: text.replace("{way}", way) for name, text in self.headers.items()}
        body: dict[str, object] = {"model": way, "prompt": "a samurai at a gate", "n": 1, "size": "1024x1024"}
        return Ask(self.port, self.path.replace("{way}", way), headers, body | fields)


def direct(vendor_port: int) -> Contestant:
    """The vendor, asked without anybody between."""
    return Contestant("direct", 0, vendor_port, {}, "/{way}/v1/images/generations")


@contextmanager
def bare(folder: Path, vendor_port: int, *, buffering: bool = True) -> Iterator[Contestant]:
    """nginx as a bare proxy: the limit."""
    name = "nginx" if buffering else "nginx unbuffered"
    with proxy(folder / name.replace(" ", "-"), vendor_port, buffering=buffering) as nginx:
        yield Contestant(name, nginx.pid, nginx.port, {}, "/{way}/v1/images/generations")


def settings(folder: Path, vendor_port: int, ways: Sequence[Way]) -> dict[str, Any]:
    """The gateway's configuration: everything on, limits counted in the embedded Valkey but never reached."""
    (folder / "token").write_text("made-up")
    accounts: dict[str, Any] = {}
    for way in ways:
        base = f"http://127.0.0.1:{vendor_port}/{way.name}/v1"
        accounts[way.name] = {"vendor": way.vendor, "api_key": {"file": str(folder / "token")}, "base_url": base}
        accounts[way.name]["pacing"] = {  # else the limits that the vendor publishes hold
            "requests_per_minute": _LIMITLESS,
            "images_in_flight": _LIMITLESS,
            "initial_calls_in_flight": _CROWD,
        }
    return {
        "server": {
            "public": {"host": "127.0.0.1", "port": 0, "base_url": None},
            "admin": {"host": "127.0.0.1", "port": 0},
            "drain": {"delay": "1ms", "deadline": "5s"},
        },
        "redis": {"url": "embedded://", "timeout": "2s"},
        "store": {"url": f"file://{folder}/images"},
        "accounts": accounts,
        "models": {way.name: _route(way) for way in ways},
        "keys": [
            {
                "id": "bench",
                "sha256": digest(_KEY),
                "limits": {"requests_per_minute": _LIMITLESS, "images_per_minute": _LIMITLESS},
            }
        ],
        "admission": {"loop_lag": "10m", "queue_time": "10m", "connections": 20_000},
    }


def _route(way: Way) -> dict[str, Any]:
    target = {"account": way.name, "dialect": "openai_images", "model": way.model, "price": {"per_image": 0.01}}
    if way.vendor == "replicate":
        target |= {"dialect": "replicate_predictions", "model": "black-forest-labs/flux-schnell"}
    return {"targets": [target], "passthrough_url": way.passthrough}


@contextmanager
def gateway(
    folder: Path, document: Mapping[str, Any], *arguments: str, before: Sequence[str] = ()
) -> Iterator[Contestant]:
    """This project's gateway as a process, its log in a file; `before` goes before its command."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "gateway.yaml"
    path.write_text(yaml.safe_dump(dict(document)))
    command = [*before, *SAMURAI, "serve", "--config", str(path), *arguments]
    ready = r"Ready: http://[^ ]*:(\d+)/v1 for clients, (\S+) for"
    with program(folder, command, environment() | {"PYTHONPATH": str(ROOT)}) as process:
        found = awaited_line(folder / "log", ready, process)
        headers = {"authorization": f"Bearer {_KEY}"}
        yield Contestant("gateway", process.pid, int(found[1]), headers, admin_url=found[2])


@contextmanager
def program(folder: Path, command: Sequence[str], variables: Mapping[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """A process at the head of a group of its own, its output in `folder`/log, surely ended afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, env=dict(variables), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        _end(process)


def awaited_line(log: Path, ready: str, process: "subprocess.Popen[bytes]") -> re.Match[str]:
    """The first match in a program's log, waited for. Raises StartError if the program ends, or none comes."""
    end = time.monotonic() + _START_S
    while time.monotonic() < end:
        if match := re.search(ready, log.read_text(errors="replace")):
            return match
        if process.poll() is not None:
            break
        time.sleep(0.005)
    raise StartError(f"it did not start:\n{log.read_text(errors='replace')[-2000:]}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
