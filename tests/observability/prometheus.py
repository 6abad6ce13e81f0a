"""A real Prometheus on a free loopback port, and its tool; the Debian package `prometheus` brings both."""

import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from tests.servers import free_port

__all__ = ["PROMTOOL", "Prometheus", "needs_prometheus", "running_prometheus"]

SERVER = shutil.which("prometheus") or ""
PROMTOOL = shutil.which("promtool") or ""
START_DEADLINE_S = 30.0
STOP_DEADLINE_S = 15.0

needs_prometheus = pytest.mark.skipif(
    not (SERVER and PROMTOOL), reason="needs prometheus and promtool (Debian package prometheus)"
)


@dataclass(frozen=True)
class Prometheus:
    """A running server."""

    url: str
    client: httpx2.Client

    def query_range(self, expr: str, start: float, end: float, step_s: float) -> list[dict[str, Any]]:
        """The series of an expression between two moments (Unix seconds). Fails where Prometheus does not take it."""
        parameters: dict[str, Any] = {"query": expr, "start": start, "end": end, "step": step_s}
        body = self.client.get(f"{self.url}/api/v1/query_range", params=parameters, timeout=20).json()
        assert body["status"] == "success", (expr, body)
        series: list[dict[str, Any]] = body["data"]["result"]
        return series

    def firing(self) -> set[str]:
        """The names of the alerts that fire now."""
        reply = self.client.get(f"{self.url}/api/v1/alerts", timeout=10).raise_for_status().json()
        return {one["labels"]["alertname"] for one in reply["data"]["alerts"] if one["state"] == "firing"}


@contextmanager
def running_prometheus(
    folder: Path, targets: Sequence[str], rules: Mapping[str, Any], *, every: str = "500ms"
) -> Iterator[Prometheus]:
    """A fresh server that scrapes `targets` (host:port) and evaluates `rules`, ended afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rules.yaml").write_text(yaml.safe_dump(dict(rules)))
    scrape = {"job_name": "samurai", "static_configs": [{"targets": list(targets)}]}
    config = {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": [str(folder / "rules.yaml")],
        "scrape_configs": [scrape],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    port = free_port()
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                SERVER,
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=warn",
            ],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        with httpx2.Client() as client:
            server = Prometheus(f"http://127.0.0.1:{port}", client)
            _wait_until_ready(server, process, folder / "prometheus.log")
            yield server
    finally:
        process.terminate()
        try:
            process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(server: Prometheus, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if server.client.get(f"{server.url}/-/ready", timeout=2).status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"Prometheus did not get ready:\n{log.read_text()}")
