"""A deployment of all six dialects in front of the sandbox, as settings and as a file."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from gateway.settings.groups import Settings
from gateway.settings.loading import load
from gateway.vendors import dialects
from tests.processes import environment, sandbox_settings

__all__ = ["ROUTES", "doctor", "document", "settings_of", "written"]

_DEADLINE_S = 60.0  # two seconds on an idle machine
ROUTES: Mapping[str, str] = {
    "flux-schnell": "replicate_predictions",
    "dall-e-3": "openai_images",
    "ideogram-v3": "ideogram_v3",
    "ideogram-3": "ideogram_v2",
    "imagen-3": "vertex_generate_content",
    "imagen-old": "vertex_predict",
}


def document(folder: Path, sandbox_url: str, redis_url: str) -> dict[str, Any]:
    """A configuration with one route for each dialect; a sandbox that speaks retired models serves all."""
    settings = sandbox_settings(folder, sandbox_url)
    settings["redis"] = {"url": redis_url}
    settings["models"]["ideogram-3"] = _route("ideogram", "ideogram_v2", "ideogram-3")
    settings["models"]["imagen-old"] = _route("vertex", "vertex_predict", "imagen-3.0-generate-002")
    settings["models"] = {name: settings["models"][name] for name in ROUTES}
    return settings


def _route(account: str, dialect: str, model: str) -> dict[str, Any]:
    return {"targets": [{"account": account, "dialect": dialect, "model": model, "price": {"per_image": 0.05}}]}


def written(settings: Mapping[str, Any], folder: Path) -> Path:
    """The configuration as a file."""
    path = folder / "gateway.yaml"
    path.write_text(yaml.safe_dump(dict(settings)))
    return path


def settings_of(settings: Mapping[str, Any], folder: Path) -> Settings:
    """The configuration as the program uses it."""
    return load(written(settings, folder), {}, {name: dialect.vendor for name, dialect in dialects().items()})


async def doctor(config: Path, *arguments: str) -> tuple[int | None, str, str]:
    """Run `samurai doctor`: its exit code, what it printed, and what it said on stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "doctor", "--config", str(config), *arguments),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        env=environment(),
    )
    async with asyncio.timeout(_DEADLINE_S):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()
