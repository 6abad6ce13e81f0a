"""`samurai doctor` as a person and as a program meet it."""

import asyncio
import json
import os
import pty
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import commands
from gateway.doctor.purchases import PROMPT
from gateway.sandbox.options import OPENAI_KEY
from gateway.sandbox.server import Sandbox
from tests.doctor.deployments import ROUTES, doctor, document, written
from tests.processes import environment


@pytest.fixture
def config(tmp_path: Path, vendors: Sandbox, redis_url: str) -> Path:
    return written(document(tmp_path, vendors.base_url, redis_url), tmp_path)


async def test_a_healthy_deployment_ends_with_0_and_buys_nothing(config: Path, vendors: Sandbox) -> None:
    code, out, err = await doctor(config)
    assert (code, err) == (0, "")
    assert "failed" not in out
    assert {line.split()[0] for line in out.splitlines()[:-2]} == {"ok", "warning"}  # the retired model's
    assert "\x1b" not in out
    assert vendors.ledger.charges == []


async def test_a_wrong_credential_ends_with_1_and_is_not_printed(
    tmp_path: Path, vendors: Sandbox, redis_url: str
) -> None:
    settings = document(tmp_path, vendors.base_url, redis_url)
    (tmp_path / "key").write_text("sk-canary-wrong-credential-0001")
    settings["accounts"]["openai"]["api_key"] = {"file": str(tmp_path / "key")}
    code, out, err = await doctor(written(settings, tmp_path), "--json")
    assert (code, err) == (1, "")
    report = json.loads(out)
    assert report["ok"] is False
    assert [check["subject"] for check in report["checks"] if check["status"] == "failed"] == ["account openai"]
    assert "canary" not in out
    assert OPENAI_KEY not in out


async def test_a_broken_configuration_ends_with_78_and_tells_all_faults(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text("accounts:\n  a: {vendor: replicate}\nmodels: {}\nkey: 1\n")
    code, out, _ = await doctor(path)
    assert code == 78
    told = [line for line in out.splitlines() if line.startswith("failed")]
    assert len(told) >= 3
    result = CliRunner().invoke(commands, ["doctor", "--config", str(path), "--json"])
    assert result.exit_code == 78
    assert len(json.loads(result.stdout)["checks"]) == len(told)


async def test_a_terminal_gets_colour(tmp_path: Path) -> None:
    missing = tmp_path / "none.yaml"
    primary, secondary = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "doctor", "--config", str(missing)), stdout=secondary, env=environment()
    )
    os.close(secondary)
    shown = await asyncio.to_thread(os.read, primary, 65536)
    assert await process.wait() == 78
    os.close(primary)
    assert b"\x1b[31mfailed" in shown


async def test_buying_tells_the_price_saves_the_replies_and_ends_with_0(
    config: Path, tmp_path: Path, vendors: Sandbox
) -> None:
    code, out, err = await doctor(config, "--buy", "--yes", "--save", str(tmp_path / "saved"))
    assert (code, "failed" in out) == (0, False)
    assert "6 to buy, for at most $0.393 by the price table." in err
    assert vendors.ledger.images_charged() == len(ROUTES)
    assert len(list((tmp_path / "saved").rglob("*.json"))) == len(ROUTES) + 1


async def test_a_drifted_field_ends_with_1_and_its_name(config: Path, vendors: Sandbox) -> None:
    then = {"rename": {"data.*.seed": "noise"}}
    vendors.state.script("ideogram", operation="create", match={"prompt": PROMPT}, then=then)
    code, out, _ = await doctor(config, "--buy", "--yes", "--model", "ideogram-v3")
    assert code == 1
    assert [line.split()[:4] for line in out.splitlines() if line.startswith("failed")] == [
        ["failed", "reply", "ideogram-v3", "create"]
    ]
    assert "missing: data[].seed; new: data[].noise" in out
    assert vendors.ledger.images_charged() == 1


async def test_nothing_is_bought_where_nobody_can_be_asked(config: Path, vendors: Sandbox) -> None:
    code, out, err = await doctor(config, "--buy")
    assert code == 1
    assert "--yes buys without asking" in out
    assert "at most $0.393" in err
    assert vendors.ledger.charges == []


async def test_nothing_is_bought_from_an_account_that_is_ill(tmp_path: Path, vendors: Sandbox, redis_url: str) -> None:
    vendors.state.script("replicate", operation="account", then={"status": 401, "body": {}}, times=None)
    config = written(document(tmp_path, vendors.base_url, redis_url), tmp_path)
    code, out, _ = await doctor(config, "--buy", "--yes", "--model", "flux-schnell", "--json")
    assert code == 1
    assert "not bought" in [check["subject"] for check in json.loads(out)["checks"]]
    assert vendors.ledger.charges == []


@pytest.mark.parametrize("arguments", [("--model", "flux-schnell"), ("--save", "here"), ("--buy", "--model", "none")])
def test_options_that_make_no_sense_are_refused(arguments: tuple[str, ...], tmp_path: Path, redis_url: str) -> None:
    config = written(document(tmp_path, "http://127.0.0.1:1", redis_url), tmp_path)
    result = CliRunner().invoke(commands, ["doctor", "--config", str(config), *arguments])
    assert result.exit_code == 2
    assert "--model" in result.stderr
