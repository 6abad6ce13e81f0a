"""Budgets and usage as a client and an operator see them, through the program itself."""

import csv
import io
import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.processes import PATIENT, SAMURAI, Running, environment, gateway, sandbox, sandbox_settings
from tests.servers import Server, running_server, valkey_binary


@pytest.fixture(scope="module")
def redis() -> Iterator[Server]:
    with running_server(valkey_binary()) as server:
        yield server


@pytest.fixture(scope="module")
def vendors() -> Iterator[str]:
    with sandbox() as url:
        yield url


def started(folder: Path, vendors: str, redis: Server, key: dict[str, Any], **more: Any) -> Any:
    settings = sandbox_settings(folder, vendors)
    settings["redis"] = {"url": redis.url, "timeout": PATIENT}
    settings["keys"][0] |= key
    return gateway(folder, settings | more, vendors)


def ask(running: Running, model: str = "flux-1.1-pro", **fields: Any) -> httpx2.Response:
    return httpx2.post(
        f"{running.base_url}/v1/images/generations",
        headers={"authorization": f"Bearer {running.key}"},
        json={"model": model, "prompt": "a lighthouse"} | fields,
        timeout=60,
    )


def usage_of(folder: Path, *options: str) -> str:
    command = [*SAMURAI, "usage", "--config", str(folder / "gateway.yaml"), *options]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=60, check=True)
    return ended.stdout


@pytest.mark.slow
def test_a_budget_of_ten_cents_buys_two_images_of_four_and_the_books_say_so(
    tmp_path: Path, vendors: str, redis: Server
) -> None:
    with started(tmp_path, vendors, redis, {"id": "poor", "budget": {"per_day": 0.10}}) as running:
        assert [ask(running).status_code for _ in range(2)] == [200, 200]
        refused = ask(running)
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "insufficient_quota"
        assert refused.headers["x-should-retry"] == "false"
        midnight = 86_400 - datetime.now(UTC).timestamp() % 86_400
        assert abs(int(refused.headers["retry-after"]) - midnight) < 5
        assert "0.04 US dollars" in refused.json()["error"]["message"]
        assert running.ledger()["totals"]["images_charged"] == 2
    (row,) = json.loads(usage_of(tmp_path, "--json", "--by", "key"))["usage"]
    assert (row["key"], row["requests"], row["refused_budget"]) == ("poor", 2, 1)
    assert (row["delivered"], row["billed"], row["cost_microusd"]) == (2, 2, 80_000)
    table = usage_of(tmp_path)
    assert "0.08" in table
    assert "poor" in table
    rows = list(csv.DictReader(io.StringIO(usage_of(tmp_path, "--csv", "--by", "tenant,vendor"))))
    assert {row["vendor"] for row in rows} == {"", "replicate/black-forest-labs/flux-1.1-pro"}


@pytest.mark.slow
def test_unpaid_failures_cost_no_budget_and_unknown_outcomes_stay_in_suspense(
    tmp_path: Path, vendors: str, redis: Server
) -> None:
    key = {"id": "careful", "tenant": "acme", "limits": {"per_user": {"images_per_minute": 2}}}
    tenants = {"acme": {"budget": {"total": 0.10}}}
    with started(tmp_path, vendors, redis, key, tenants=tenants) as running:
        running.reset()
        running.script(vendor="vertex", operation="create", then={"refuse": "block_reason"})
        unpaid = ask(running, "imagen-3", user="eve")
        running.script(vendor="replicate", operation="create", then={"error": "replicate.server_500", "charged": True})
        unknown = ask(running)
        assert (unpaid.status_code, unknown.status_code) == (400, 500)
        assert ask(running, user="eve", n=1).status_code == 200
        running.reset()
        refused = ask(running)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "insufficient_quota")
        assert "retry-after" not in refused.headers
        limited = [ask(running, "flux-schnell", user="mallory", n=2) for _ in range(2)]
        assert [one.status_code for one in limited] == [200, 429]
        assert limited[1].json()["error"]["code"] == "rate_limit_images"
        assert ask(running, "flux-schnell", user="alice", n=2).status_code == 200
    told = json.loads(usage_of(tmp_path, "--json", "--by", "key,tenant"))
    (row,) = [one for one in told["usage"] if one["key"] == "careful"]
    assert (row["content_refusals"], row["refused_budget"], row["refused_images"]) == (1, 1, 1)
    (suspended,) = told["suspense"]
    assert (suspended["kind"], suspended["microusd"]) == ("unknown", 40_000)
    assert suspended["note"] == "careful flux-1.1-pro"
