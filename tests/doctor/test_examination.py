"""Everything that is looked at for nothing: against real vendors' stand-ins, a real Valkey, and what is broken."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gateway.doctor.examination import examine
from gateway.doctor.findings import Finding, Status
from gateway.sandbox.server import Sandbox
from gateway.vendors import dialects
from tests.doctor.deployments import document, settings_of
from tests.servers import free_port, running_server, valkey_binary

TODAY = date(2026, 11, 22)


@pytest.fixture
def config(tmp_path: Path, vendors: Sandbox, redis_url: str) -> dict[str, Any]:
    return document(tmp_path, vendors.base_url, redis_url)


async def findings(config: dict[str, Any], folder: Path) -> list[Finding]:
    return list((await examine(settings_of(config, folder), dialects(), TODAY)).findings)


def about(found: list[Finding], subject: str) -> list[Finding]:
    return [finding for finding in found if finding.subject == subject]


def failed(found: list[Finding]) -> list[str]:
    return [finding.subject for finding in found if finding.status is Status.FAILED]


async def test_a_healthy_deployment_fails_in_nothing_and_nothing_is_bought(
    config: dict[str, Any], tmp_path: Path, vendors: Sandbox
) -> None:
    found = await findings(config, tmp_path)
    assert failed(found) == []
    for name in ("replicate", "openai", "ideogram", "vertex"):
        assert [each.status for each in about(found, f"account {name}")] == [Status.OK]
    assert vendors.ledger.charges == []
    assert {call.operation for call in vendors.state.calls if call.vendor == "replicate"} == {"account"}


async def test_each_free_call_is_made_once_for_all_models_of_an_account(
    config: dict[str, Any], tmp_path: Path, vendors: Sandbox
) -> None:
    await findings(config, tmp_path)
    asked = [(call.vendor, call.path) for call in vendors.state.calls if call.vendor != "google"]
    assert sorted(vendor for vendor, _ in asked) == ["ideogram", "openai", "replicate", "vertex"]


async def test_a_wrong_credential_is_told_by_its_account_and_never_shown(
    config: dict[str, Any], tmp_path: Path
) -> None:
    key = tmp_path / "wrong.token"
    key.write_text("sk-canary-wrong-credential-0001")
    config["accounts"]["openai"]["api_key"] = {"file": str(key)}
    found = await findings(config, tmp_path)
    assert failed(found) == ["account openai"]
    (finding,) = about(found, "account openai")
    assert "not accepted, status 401" in finding.seen
    assert "canary-wrong" not in repr(found)


async def test_a_google_credential_that_cannot_be_had_is_told_and_vertex_is_not_asked(
    config: dict[str, Any], tmp_path: Path, vendors: Sandbox
) -> None:
    vendors.state.script("google", then={"status": 404, "body": {}}, times=None)
    found = await findings(config, tmp_path)
    assert failed(found) == ["credential vertex"]
    assert about(found, "account vertex") == []
    assert not [call for call in vendors.state.calls if call.vendor == "vertex"]


async def test_a_vendor_that_cannot_be_reached_is_told(config: dict[str, Any], tmp_path: Path) -> None:
    config["accounts"]["replicate"]["base_url"] = f"http://127.0.0.1:{free_port()}/v1"
    found = await findings(config, tmp_path)
    assert failed(found) == ["account replicate"]
    assert "not reachable" in about(found, "account replicate")[0].seen


@pytest.mark.parametrize(
    ("then", "status", "seen"),
    [
        ({"status": 402, "body": {"title": "no credit"}}, Status.FAILED, "cannot pay, status 402: no credit"),
        ({"status": 403, "body": {"detail": "not yours"}}, Status.FAILED, "not accepted, status 403: not yours"),
        ({"status": 429, "body": {"detail": "slow down"}}, Status.WARNING, "takes no more calls just now"),
        ({"status": 404, "body": {"detail": "no such thing"}}, Status.WARNING, "the free call is refused"),
        ({"status": 503, "body": {}}, Status.FAILED, "unwell, status 503"),
        ({"mangle": "html"}, Status.FAILED, "not the vendor's API, status 200"),
        ({"status": 302, "body": {}}, Status.FAILED, "not the vendor's API, status 302"),
        ({"wire": "reset_after_read"}, Status.FAILED, "no usable answer"),
    ],
)
async def test_what_a_free_call_answers_is_judged(
    then: dict[str, Any], status: Status, seen: str, config: dict[str, Any], tmp_path: Path, vendors: Sandbox
) -> None:
    vendors.state.script("replicate", operation="account", then=then, times=None)
    (finding,) = about(await findings(config, tmp_path), "account replicate")
    assert finding.status is status
    assert seen in finding.seen


async def test_retired_models_are_told_with_their_day(config: dict[str, Any], tmp_path: Path) -> None:
    config["models"]["dall-e-3"]["targets"][0] |= {"model": "dall-e-3", "parameters": {}}
    found = await findings(config, tmp_path)
    for route, day in (("dall-e-3", "2026-05-12"), ("imagen-old", "2026-06-30")):
        (finding,) = about(found, f"model {route}")
        assert finding.status is Status.WARNING  # not the vendor's own address: the server may still have it
        assert day in finding.seen


async def test_a_model_that_the_vendors_list_announces_to_end_is_told(
    config: dict[str, Any], tmp_path: Path, vendors: Sandbox
) -> None:
    listed = [{"id": "gpt-image-2", "object": "model", "shutdown_date": "2027-01-02"}]
    body = {"object": "list", "data": listed}
    vendors.state.script("openai", operation="models", then={"status": 200, "body": body})
    (finding,) = about(await findings(config, tmp_path), "model dall-e-3")
    assert finding.status is Status.WARNING
    assert "2027-01-02, in 41 days" in finding.seen


async def test_a_redis_that_is_away_is_told(config: dict[str, Any], tmp_path: Path) -> None:
    config["redis"] = {"url": f"redis://127.0.0.1:{free_port()}"}
    found = await findings(config, tmp_path)
    assert failed(found) == ["redis"]
    assert about(found, "redis")[0].advice == "start it, or correct redis.url"


async def test_a_redis_that_cannot_be_written_to_is_told(config: dict[str, Any], tmp_path: Path) -> None:
    with running_server(valkey_binary(), "--replicaof", "127.0.0.1 1") as server:
        config["redis"] = {"url": server.url}
        found = await findings(config, tmp_path)
    assert failed(found) == ["redis"]
    assert "replica" in about(found, "redis")[0].advice


async def test_a_redis_that_may_forget_is_a_warning(config: dict[str, Any], tmp_path: Path) -> None:
    with running_server(valkey_binary(), "--maxmemory-policy", "allkeys-lru") as server:
        config["redis"] = {"url": server.url}
        found = about(await findings(config, tmp_path), "redis")
    assert [finding.status for finding in found] == [Status.OK, Status.WARNING]
    assert "allkeys-lru" in found[1].seen


async def test_a_redis_that_does_not_tell_its_policy_is_a_note(config: dict[str, Any], tmp_path: Path) -> None:
    with running_server(valkey_binary(), "--user", "default", "on", "nopass", "~*", "+@all", "-info") as server:
        config["redis"] = {"url": server.url}
        found = about(await findings(config, tmp_path), "redis")
    assert [finding.status for finding in found] == [Status.OK, Status.NOTE]
    assert "noeviction" in found[1].advice


async def test_an_embedded_redis_is_started_for_a_moment(config: dict[str, Any], tmp_path: Path) -> None:
    config["redis"] = {"url": "embedded://"}
    assert [finding.status for finding in about(await findings(config, tmp_path), "redis")] == [Status.OK]


async def test_a_store_that_cannot_be_written_to_is_told(config: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where a directory should be")
    config["store"] = {"url": f"file://{tmp_path}/taken/images"}
    found = await findings(config, tmp_path)
    assert failed(found) == ["store", "signing key"]
    assert all(finding.advice for finding in found if finding.status is Status.FAILED)
