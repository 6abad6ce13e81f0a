"""Suspense, usage and end users as an administrator sees them, through the program itself, on two replicas."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner

from gateway.cli import commands
from tests.processes import Running, sandbox
from tests.replicas import ADMIN_TOKEN, administer, created, replica, until
from tests.servers import running_server, valkey_binary

pytestmark = pytest.mark.slow

runner = CliRunner()


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Running]]:
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "other")]
    with (
        sandbox() as vendors,
        running_server(valkey_binary()) as server,
        replica(folders[0], server.url, vendors) as one,
        replica(folders[1], server.url, vendors) as other,
    ):
        yield one, other


def ask(running: Running, secret: str, model: str = "flux-1.1-pro", **fields: Any) -> httpx2.Response:
    return httpx2.post(
        f"{running.base_url}/v1/images/generations",
        headers={"authorization": f"Bearer {secret}"},
        json={"model": model, "prompt": "a lighthouse"} | fields,
        timeout=60,
    )


def samurai(running: Running, *arguments: str) -> str:
    environment = {"SAMURAI_ADMIN_TOKEN": ADMIN_TOKEN, "SAMURAI_ADMIN_URL": running.admin_url, "COLUMNS": "200"}
    result = runner.invoke(commands, list(arguments), env=environment)
    assert result.exit_code == 0, result.output
    return result.stdout


def in_suspense(running: Running, key_id: str) -> list[dict[str, Any]]:
    listed = json.loads(samurai(running, "suspense", "list", "--json"))["suspense"]
    return [one for one in listed if one["note"].startswith(f"{key_id} ")]


def test_money_in_suspense_is_settled_by_the_bill_and_comes_back(replicas: tuple[Running, Running]) -> None:
    one, other = replicas
    _, secret = created(one, id="careful", budget={"total": 0.08})
    until(lambda: administer(other, "GET", "/admin/keys/careful").status_code == 200)
    charged = {"error": "replicate.server_500", "charged": True}
    one.script(vendor="replicate", operation="create", then=charged)
    assert ask(one, secret).status_code == 500
    one.reset()
    (waiting,) = in_suspense(one, "careful")
    assert (waiting["kind"], waiting["cost_usd"]) == ("unknown", "0.04")
    assert ask(one, secret).status_code == 200
    assert ask(one, secret).json()["error"]["code"] == "insufficient_quota"
    samurai(one, "suspense", "settle", waiting["operation"], "--nothing")
    assert in_suspense(other, "careful") == []
    assert ask(one, secret).status_code == 200
    path = f"/admin/suspense/{waiting['operation']}"
    assert administer(other, "POST", path, {"billed": 0.01}).status_code == 404
    entry = administer(one, "GET", "/admin/audit?limit=1000").json()["entries"][-1]
    assert (entry["action"], entry["key_id"], entry["after"]["billed_microusd"]) == ("settle-suspense", "careful", 0)
    assert "billed_microusd" in samurai(one, "audit").splitlines()[-1]


def test_what_a_refused_call_may_have_cost_is_in_suspense_though_its_image_was_made_after_all(
    replicas: tuple[Running, Running],
) -> None:
    one, _ = replicas
    _, secret = created(one, id="lucky", budget={"total": 1})
    one.reset()
    words = {"role": "model", "parts": [{"text": "I can't draw that: it is against the safety guidelines."}]}
    body = {"candidates": [{"index": 0, "finishReason": "STOP", "content": words}]}
    one.script(vendor="vertex", operation="create", times=1, then={"status": 200, "body": body})
    served = ask(one, secret, "imagen-3", n=2, user="lucky")
    one.reset()
    assert (served.status_code, len(served.json()["data"])) == (200, 2)
    assert served.headers["x-samurai-cost-usd"] == "0.08"
    (waiting,) = in_suspense(one, "lucky")
    assert (waiting["kind"], waiting["cost_usd"]) == ("unknown", "0.04")


@pytest.mark.parametrize("body", [{}, {"billed": -1}, {"billed": "1"}, {"billed": 1, "why": "x"}, {"billed": None}])
def test_a_settlement_that_is_not_as_documented_is_refused(
    replicas: tuple[Running, Running], body: dict[str, Any]
) -> None:
    assert administer(replicas[0], "POST", "/admin/suspense/op_0", body).status_code == 400


def test_usage_tells_what_was_booked_as_json_and_as_csv(replicas: tuple[Running, Running]) -> None:
    one, other = replicas
    _, secret = created(one, id="buyer")
    assert ask(one, secret, n=2).status_code == 200

    def row() -> dict[str, Any]:
        usage = administer(other, "GET", "/admin/usage?by=key,vendor").json()["usage"]
        (found,) = [row for row in usage if row["key"] == "buyer"]
        return dict(found)

    assert (row()["vendor"], row()["requests"], row()["delivered"]) == (
        "replicate/black-forest-labs/flux-1.1-pro",
        1,
        2,
    )
    assert row()["cost_microusd"] == 80_000
    reply = administer(one, "GET", "/admin/usage?by=key,vendor&format=csv")
    assert reply.headers["content-type"].startswith("text/csv")
    (line,) = [line for line in csv.DictReader(io.StringIO(reply.text)) if line["key"] == "buyer"]
    assert line == {name: str(value) for name, value in row().items()}
    assert administer(one, "GET", "/admin/usage?from=1999-01-01&to=1999-01-31").json()["usage"] == []


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("by=colour", "by"),
        ("from=yesterday", "from"),
        ("to=0001-01-01", "to"),
        ("from=2026-02-01&to=2026-01-01", "from"),
        ("from=1999-01-01&to=2026-01-01", "from"),
        ("format=xml", "format"),
        ("colour=red", "query"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(replicas: tuple[Running, Running], query: str, param: str) -> None:
    reply = administer(replicas[0], "GET", f"/admin/usage?{query}")
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


def test_a_refused_end_user_is_listed_blocked_and_unblocked(replicas: tuple[Running, Running]) -> None:
    one, _ = replicas
    _, secret = created(one, id="shop")
    one.reset()
    one.script(vendor="vertex", operation="create", then={"refuse": "block_reason"})
    assert ask(one, secret, "imagen-3", user="eve@example.com").status_code == 400
    one.reset()
    listed = administer(one, "GET", "/admin/users").json()
    (eve,) = [user for user in listed["users"] if user["key_id"] == "shop"]
    assert (eve["content_refusals"], eve["blocked_since"]) == (1, None)
    samurai(one, "users", "block", "shop", eve["user_hash"], "--hash")
    refused = ask(one, secret, user="eve@example.com")
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["param"]) == (400, "invalid_value", "user")
    assert "blocked" in error["message"]
    assert refused.headers["x-should-retry"] == "false"
    assert one.ledger()["totals"]["images_charged"] == 0
    assert ask(one, secret, user="bob").status_code == 200
    assert eve["user_hash"] in samurai(one, "users", "list").splitlines()[1]
    samurai(one, "users", "unblock", "shop", "eve@example.com")
    assert ask(one, secret, user="eve@example.com").status_code == 200
    entries = administer(one, "GET", "/admin/audit?limit=1000")
    actions = [entry["action"] for entry in entries.json()["entries"] if entry["key_id"] == "shop"]
    assert actions == ["create", "block-user", "unblock-user"]
    assert "eve@example.com" not in entries.text + "".join(one.output.lines)
    assert eve["user_hash"] not in httpx2.get(f"{one.admin_url}/metrics").text


def test_a_block_list_is_known_on_every_replica(replicas: tuple[Running, Running]) -> None:
    one, other = replicas
    created(one, id="app")
    body = {"key_id": "app", "user_hash": "0" * 32}
    assert administer(one, "POST", "/admin/users/block", body).json()["changed"] is True
    assert administer(other, "POST", "/admin/users/block", body).json()["changed"] is False
    assert administer(other, "GET", "/admin/users?limit=1").json()["users"][0]["user_hash"] == "0" * 32


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"key_id": "demo"}, 400),
        ({"key_id": "demo", "user": ""}, 400),
        ({"key_id": "demo", "user": "a", "user_hash": "0" * 32}, 400),
        ({"key_id": "demo", "user_hash": "eve"}, 400),
        ({"key_id": "a b", "user": "eve"}, 400),
        ({"user": "eve"}, 400),
        ({"key_id": "demo", "user": "eve", "why": "x"}, 400),
        ({"key_id": "nobody", "user": "eve"}, 404),
    ],
)
def test_an_end_user_that_is_not_told_as_documented_is_not_blocked(
    replicas: tuple[Running, Running], body: dict[str, str], status: int
) -> None:
    assert administer(replicas[0], "POST", "/admin/users/block", body).status_code == status
