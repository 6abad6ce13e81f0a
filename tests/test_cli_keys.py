"""`samurai keys` and `samurai audit` against a running gateway."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import commands
from gateway.cli_administration import members_of
from tests.processes import Running
from tests.replicas import ADMIN_TOKEN, replica, status
from tests.servers import running_server, valkey_binary

runner = CliRunner()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with (
        running_server(valkey_binary()) as server,
        replica(tmp_path_factory.mktemp("gateway"), server.url) as gateway,
    ):
        yield gateway


def samurai(running: Running, *arguments: str, token: str = ADMIN_TOKEN) -> Result:
    environment = {"SAMURAI_ADMIN_TOKEN": token, "SAMURAI_ADMIN_URL": running.admin_url, "COLUMNS": "200"}
    return runner.invoke(commands, list(arguments), env=environment)


def said(running: Running, *arguments: str) -> str:
    result = samurai(running, *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_key_lives_its_life_on_the_command_line(running: Running) -> None:
    wish = ("tenant=acme", "models=flux-schnell,dall-e-3", "limits.images_per_minute=60", "budget.per_day=10.5")
    secret = said(running, "keys", "create", "--id", "web", *wish, "metadata.team=web", "expires_at=+720h").strip()
    assert status(running, secret) == 200
    assert "images_per_minute=60" in said(running, "keys", "show", "web")
    said(running, "keys", "update", "web", "limits.per_user.requests_per_minute=3", "priority=9", "metadata.team=null")
    key = json.loads(said(running, "keys", "show", "web", "--json"))
    assert (key["priority"], key["metadata"], key["models"]) == (9, {}, ["flux-schnell", "dall-e-3"])
    assert (key["limits"]["images_per_minute"], key["limits"]["per_user"]["requests_per_minute"]) == (60, 3)
    assert key["budget"]["per_day"] == 10.5
    fresh = said(running, "keys", "rotate", "web", "--overlap", "0s").strip()
    assert (status(running, fresh), status(running, secret)) == (200, 401)
    said(running, "keys", "disable", "web")
    assert status(running, fresh) == 401
    said(running, "keys", "enable", "web")
    assert status(running, fresh) == 200
    table = said(running, "keys", "list").splitlines()
    assert table[0].split() == ["ID", "STATE", "TENANT", "MODELS", "LIMITS", "BUDGET", "EXPIRES", "SOURCE"]
    assert [line.split()[0] for line in table[1:]] == ["demo", "web"]
    said(running, "keys", "delete", "web")
    assert status(running, fresh) == 401
    assert [key["id"] for key in json.loads(said(running, "keys", "list", "--json"))["keys"]] == ["demo"]


def test_the_audit_log_as_a_table_and_as_lines(running: Running) -> None:
    said(running, "keys", "create", "--id", "audited")
    said(running, "keys", "update", "audited", "priority=1")
    entries = [json.loads(line) for line in said(running, "audit", "--json").splitlines()]
    mine = [entry for entry in entries if entry["key_id"] == "audited"]
    assert [entry["action"] for entry in mine] == ["create", "update"]
    assert "admin" not in {entry["who"] for entry in mine}
    table = [line.split() for line in said(running, "audit", "--since", mine[0]["id"]).splitlines()]
    assert table[0] == ["AT", "WHO", "FROM", "ACTION", "KEY", "CHANGED"]
    assert table[1][3:] == ["update", "audited", "priority"]


def test_a_token_can_come_from_a_file(running: Running, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{ADMIN_TOKEN}\n")
    assert samurai(running, "keys", "list", "--token-file", str(file), token="").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("keys", "show", "nobody"), "There is no such key."),
        (("keys", "create", "models=no-such-model"), "`models` names a model that the configuration has not."),
        (("keys", "create", "colour=blue"), "There is no `colour` here."),
        (("keys", "disable", "demo"), "This key stands in the configuration file and is changed there."),
        (("keys", "list", "--admin-url", "http://127.0.0.1:9"), "does not answer"),
        (("keys", "list", "--admin-url", "not an address"), "does not answer"),
        (("keys", "list", "--token-file", "/nowhere/token"), "cannot be read"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(running: Running, arguments: tuple[str, ...], sentence: str) -> None:
    result = samurai(running, *arguments)
    assert result.exit_code == 1
    assert sentence in result.stderr
    assert result.stdout == ""


def test_another_server_is_told_from_a_gateway(running: Running) -> None:
    result = samurai(running, "keys", "list", "--admin-url", f"{running.admin_url}/metrics")
    assert result.exit_code == 1
    assert "is no gateway's second port" in result.stderr


@pytest.mark.parametrize("token", ["", "wrong-token", "tökén"])
def test_without_the_token_nothing_is_done(running: Running, token: str) -> None:
    result = samurai(running, "keys", "list", token=token)
    assert result.exit_code == 1
    assert "token" in result.stderr


@pytest.mark.parametrize(
    "arguments", [("keys", "update", "web"), ("keys", "create", "tenant"), ("keys", "show", "a/../b")]
)
def test_what_makes_no_sense_is_refused_before_it_is_sent(arguments: tuple[str, ...]) -> None:
    assert runner.invoke(commands, [*arguments]).exit_code == 2


@pytest.mark.parametrize(
    ("settings", "members"),
    [
        (["tenant=123"], {"tenant": "123"}),
        (["metadata.a.b=7"], {"metadata": {"a.b": "7"}}),
        (["limits=null"], {"limits": None}),
        (["limits.burst=null", "limits.concurrent=2"], {"limits": {"burst": None, "concurrent": 2}}),
        (["budget.per_day=0.5", "priority=7"], {"budget": {"per_day": 0.5}, "priority": 7}),
        (["models=*"], {"models": ["*"]}),
        (["may_route=true"], {"may_route": True}),
        (["expires_at=2030-01-01"], {"expires_at": "2030-01-01"}),
        (["metadata.note=a=b"], {"metadata": {"note": "a=b"}}),
    ],
)
def test_settings_become_members(settings: list[str], members: dict[str, object]) -> None:
    assert members_of(settings) == members
