"""The peers: LiteLLM's proxy and Portkey's gateway, from their registries' packages, in environments of their own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml

from bench.contestants import Contestant, program
from bench.nginx import await_port
from tests.processes import ROOT
from tests.servers import free_port

__all__ = ["NAMES", "TRAITS", "MissingError", "install", "litellm", "portkey", "versions"]

_HOME = ROOT / "build" / "bench"
_LITELLM, _PORTKEY = _HOME / "litellm", _HOME / "portkey"
_PORTKEY_PACKAGE = _PORTKEY / "node_modules" / "@portkey-ai" / "gateway"
_START_S = 120.0  # LiteLLM takes its time
_MASTER_KEY = "sk-bench-0123456789"

NAMES = ("litellm", "portkey")
TRAITS = {
    "nginx": "passes bytes on; no keys, limits, journal or logs; replies are buffered, by its default in files",
    "nginx unbuffered": "the same with `proxy_buffering off`",
    "gateway": "keys, limits and pacing in its embedded Valkey, a journal on disk and in Valkey, money, metrics, "
    "access log, images stored and checked",
    "litellm": "its master key, metrics off; no database, no Redis: no limits, budgets, journal or spend log",
    "portkey": "no keys, limits, journal or log: it routes by request headers",
}
"""What each one does while it is measured."""


class MissingError(Exception):
    """A peer that cannot be measured here; the message says why."""


def install() -> dict[str, str]:
    """Install what is not there yet, by pip and npm; what could not be, with the reason."""
    failed = {}
    wanted: dict[str, tuple[Path, Sequence[Sequence[str]]]] = {
        "litellm": (
            _LITELLM / "bin" / "litellm",
            (
                (sys.executable, "-m", "venv", str(_LITELLM)),
                (str(_LITELLM / "bin" / "pip"), "install", "--quiet", "litellm[proxy]"),
            ),
        ),
        "portkey": (
            _PORTKEY_PACKAGE / "build" / "start-server.js",
            ((shutil.which("npm") or "npm", "install", "--no-fund", "--prefix", str(_PORTKEY), "@portkey-ai/gateway"),),
        ),
    }
    for name, (result, commands) in wanted.items():
        if result.exists():
            continue
        try:
            for command in commands:
                subprocess.run(command, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as problem:
            failed[name] = (getattr(problem, "stderr", "") or str(problem)).strip().splitlines()[-1]
    return failed


@contextmanager
def litellm(folder: Path, vendor_port: int, ways: Sequence[str]) -> Iterator[Contestant]:
    """LiteLLM's proxy, one worker, as its page on production says, but without a database. Raises MissingError."""
    command = _LITELLM / "bin" / "litellm"
    if not command.exists():
        raise MissingError("pip could not install litellm[proxy]")
    folder = folder / "litellm"
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(_litellm_config(vendor_port, ways)))
    port = free_port()
    line = [str(command), "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    variables = _variables() | {
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it loads its price list from the internet at start
    }
    with program(folder, line, variables) as process:
        await_port(port, process, _START_S)
        yield Contestant("litellm", process.pid, port, {"authorization": f"Bearer {_MASTER_KEY}"})


def _litellm_config(vendor_port: int, ways: Sequence[str]) -> Mapping[str, object]:
    models = [
        {
            "model_name": way,
            "litellm_params": {
                "model": "openai/dall-e-2",  # a model of its price list that takes n and response_format
                "api_base": f"http://127.0.0.1:{vendor_port}/{way}/v1",
                "api_key": "made-up",
            },
        }
        for way in ways
    ]
    return {
        "model_list": models,
        "litellm_settings": {"request_timeout": 600, "set_verbose": False},
        "general_settings": {"master_key": _MASTER_KEY},
    }


@contextmanager
def portkey(folder: Path, vendor_port: int) -> Iterator[Contestant]:
    """Portkey's gateway; the vendor's address comes with each request. Raises MissingError."""
    server = _PORTKEY_PACKAGE / "build" / "start-server.js"
    node = shutil.which("node")
    if node is None or not server.exists():
        raise MissingError("node is missing" if node is None else "npm could not install @portkey-ai/gateway")
    port = free_port()
    line = [node, str(server), f"--port={port}", "--headless"]
    variables = _variables() | {"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"}
    headers = {
        "authorization": "Bearer made-up",
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"http://127.0.0.1:{vendor_port}/{{way}}/v1",
    }
    with program(folder / "portkey", line, variables) as process:
        await_port(port, process, _START_S)
        yield Contestant("portkey", process.pid, port, headers)


def _variables() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}


def versions() -> dict[str, str]:
    """The releases that are installed, of those that are."""
    found = {}
    if (_PORTKEY_PACKAGE / "package.json").exists():
        found["portkey"] = json.loads((_PORTKEY_PACKAGE / "package.json").read_text())["version"]
    for path in _LITELLM.glob("lib/python*/site-packages/litellm-*.dist-info"):
        found["litellm"] = path.name.removeprefix("litellm-").removesuffix(".dist-info")
    return found
