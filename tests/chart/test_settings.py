"""The configuration that the chart renders, read by the gateway itself in the environment that the chart gives it."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import certifi
import pytest
import yaml

from gateway.edges.redis_clients import client_for, close
from gateway.settings.groups import Settings
from gateway.settings.loading import load
from gateway.vendors import dialects
from tests.chart.charts import CHART, SETS, Rendered, merged, render, rendered, values_of
from tests.processes import ROOT

EXPANDED = re.compile(r"\$\(([A-Z_]+)\)")
SHIPPED = {
    "REPLICATE_API_TOKEN",
    "OPENAI_API_KEY",
    "IDEOGRAM_API_KEY",
    "SAMURAI_ADMIN_TOKEN",
    "SAMURAI_SIGNING_KEY",
}  # what README.md says a Secret holds


def references(value: Any) -> Iterator[str]:
    """The environment variables that a configuration refers to."""
    if isinstance(value, dict):
        if set(value) == {"env"}:
            yield value["env"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def environment_of(one: Rendered) -> dict[str, str]:
    """The gateway's environment, where every Secret's entry is a long word."""
    found: dict[str, str] = {}
    for source in one.container.get("envFrom", []):
        if "secretRef" in source:
            found |= {name: f"from-secret-{name.lower():-<40}" for name in SHIPPED}
    for entry in one.container.get("env", []):
        text = entry.get("value")
        if text is None:
            secret = entry["valueFrom"]["secretKeyRef"]
            text = "rediss://r:6378" if "url" in secret["key"] else f"word-of-{secret['key']:-<40}"
        found[entry["name"]] = EXPANDED.sub(lambda match: found[match[1]], text)
    return found


def settings_of(one: Rendered, folder: Path) -> Settings:
    """The files of the ConfigMap, loaded by the real loader."""
    for name, text in one.one("ConfigMap", "-config")["data"].items():
        (folder / name).write_text(text)
    return load(folder / "gateway.yaml", environment_of(one), {name: one.vendor for name, one in dialects().items()})


@pytest.mark.parametrize("name", SETS)
def test_the_gateway_takes_the_configuration_without_a_warning(name: str, tmp_path: Path) -> None:
    settings = settings_of(rendered(name), tmp_path)
    assert settings.warnings == ()
    assert (settings.server.public_port, settings.server.admin_port) == (8080, 8081)
    assert settings.server.base_url.startswith("http")
    assert settings.callers or settings.server.admin_token, "somebody can call"


@pytest.mark.parametrize("name", SETS)
def test_every_secret_that_the_configuration_names_is_there_and_no_other(name: str) -> None:
    one = rendered(name)
    wanted, given = set(references(one.config)), environment_of(one)
    assert wanted <= given.keys()
    mapped = one.values.get("existingSecretKeys", {})
    assert set(mapped) <= wanted


@pytest.mark.parametrize("name", [name for name in SETS if "redis" in values_of(name)])
async def test_the_address_of_redis_is_one_that_the_client_understands(name: str) -> None:
    url = environment_of(rendered(name))["REDIS_URL"].replace("/etc/samurai-redis/ca.crt", certifi.where())
    assert "$(" not in url
    await close(client_for(url, connect_s=1, max_connections=1))


def test_addresses_of_redis_are_spelt_as_documented() -> None:
    urls = {
        name: next(entry["value"] for entry in rendered(name).container["env"] if entry["name"] == "REDIS_URL")
        for name in ("ha-sentinel", "cluster-tls", "full", "keda", "gateway-api", "air-gapped", "sandbox")
    }
    assert urls == {
        "ha-sentinel": "redis+sentinel://samurai:$(REDIS_PASSWORD)@sentinel-0.redis:26379,sentinel-1.redis:26379,"
        "sentinel-2.redis:26379/mymaster/1?sentinel_password=$(REDIS_SENTINEL_PASSWORD)",
        "cluster-tls": "rediss+cluster://:$(REDIS_PASSWORD)@redis-0.example.com:6380,redis-1.example.com:6380,"
        "redis-2.example.com:6380?ssl_ca_certs=/etc/samurai-redis/ca.crt",
        "full": "rediss://samurai:$(REDIS_PASSWORD)@redis.example.com:6379/0?ssl_ca_certs=/etc/samurai-redis/ca.crt",
        "keda": "rediss://:$(REDIS_PASSWORD)@redis.example.com:6390/0",
        "gateway-api": "redis://redis.redis.svc/0",
        "air-gapped": "redis://:$(REDIS_PASSWORD)@samurai-valkey:6379/0",
        "sandbox": "redis://samurai-valkey:6379/0",
    }


@pytest.mark.parametrize("name", SETS)
def test_a_password_is_there_before_the_address_that_holds_it(name: str) -> None:
    seen: set[str] = set()
    for entry in rendered(name).container.get("env", []):
        assert set(EXPANDED.findall(entry.get("value", ""))) <= seen
        seen.add(entry["name"])


def test_what_the_chart_fills_in_gives_way_to_what_is_written() -> None:
    mine = {
        "server": {
            "public": {"base_url": "https://pictures.example.com"},
            "drain": {"delay": "1s", "deadline": "500s"},
        },
        "redis": {"replicas_max": 9, "on_failure": "closed"},
        "store": {"signing_key": {"file": "/keys/signing"}, "keep": "30h"},
    }
    config = render(merged(values_of("ha-sentinel"), {"config": mine})).config
    assert config["server"]["public"]["base_url"] == "https://pictures.example.com"
    assert config["server"]["drain"] == {"delay": "1s", "deadline": "500s"}
    assert config["redis"] == {"url": {"env": "REDIS_URL"}, "replicas_max": 9, "on_failure": "closed"}
    assert config["store"] == {
        "url": "s3://acme-images/samurai",
        "signing_key": {"file": "/keys/signing"},
        "keep": "30h",
    }


def test_numbers_stay_whole() -> None:
    assert rendered("full").config["tenants"]["acme"]["limits"]["images_per_minute"] == 2_000_000


def test_limits_know_how_many_replicas_may_share_them() -> None:
    most = {name: rendered(name).config["redis"]["replicas_max"] for name in ("minimal", "ha-sentinel", "full", "keda")}
    assert most == {"minimal": 1, "ha-sentinel": 3, "full": 12, "keda": 40}


def test_the_sandbox_is_that_of_the_repository() -> None:
    ours = yaml.safe_load((CHART / "files/sandbox.yaml").read_text())
    theirs = yaml.safe_load((ROOT / "config/sandbox.yaml").read_text())
    for name, account in theirs["accounts"].items():
        if "api_key" in account:
            token = ROOT / "config" / account["api_key"]["file"]
            account["api_key"] = {"file": f"{name}.token"}
            assert rendered("sandbox").one("ConfigMap", "-config")["data"][f"{name}.token"] == token.read_text().strip()
    assert ours == {part: theirs[part] for part in ("accounts", "models", "keys")}


def test_no_key_in_the_file_is_needed_where_administration_makes_them(tmp_path: Path) -> None:
    assert rendered("minimal").config["keys"] == []
    settings = settings_of(rendered("minimal"), tmp_path)
    assert not settings.callers
    assert settings.server.admin_token is not None


def test_the_shipped_models_are_those_of_the_repository() -> None:
    ours = yaml.safe_load((CHART / "values.yaml").read_text())["config"]
    theirs = yaml.safe_load((ROOT / "config/gateway.yaml").read_text())
    for part in ("accounts", "models"):
        assert ours[part] == {name: theirs[part][name] for name in ours[part]}
    assert set(theirs["models"]) - set(ours["models"]) == {"imagen-3"}, "which needs a project of yours"


def test_the_icon_is_a_picture() -> None:
    icon = yaml.safe_load((CHART / "Chart.yaml").read_text())["icon"]
    assert b"<svg" in base64.b64decode(icon.partition("base64,")[2])


def test_the_schema_names_every_value_and_no_other() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    shared = {"global"}  # Helm's own
    assert schema["properties"].keys() - shared == values.keys()
    for name, part in schema["properties"].items():
        if part.get("additionalProperties") is False:
            assert part["properties"].keys() == values[name].keys(), name
