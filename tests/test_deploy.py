"""The compose file and what it mounts agree with each other, with the image and with the shipped configuration."""

import inspect
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.cli_serve import serve
from tests.observability.prometheus import PROMTOOL, needs_prometheus
from tests.processes import ROOT

DEPLOY = ROOT / "deploy"
THE_USERS_OWN = "${SAMURAI_CONFIG:-./gateway.yaml}"


class _Loader(yaml.SafeLoader):
    """Safe, and knows compose's own tag for a list that replaces another."""


def _replacing(loader: _Loader, node: yaml.Node) -> list[Any]:
    assert isinstance(node, yaml.SequenceNode)
    return loader.construct_sequence(node, deep=True)


_Loader.add_constructor("!override", _replacing)


def _read(path: str) -> Any:
    return yaml.load((DEPLOY / path).read_text(), _Loader)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = _read("compose.yaml")["services"]
    return found


def _mounts(service: dict[str, Any]) -> dict[str, str]:
    """What is mounted, by where it shows up."""
    return {mount["target"]: mount["source"] for mount in service.get("volumes", ())}


def _seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def test_every_file_and_directory_that_is_mounted_is_there(services: dict[str, Any]) -> None:
    bound = [mount for service in services.values() for mount in service["volumes"] if mount["type"] == "bind"]
    assert len(bound) == 5
    assert all(mount["read_only"] for mount in bound)
    ours = [mount["source"] for mount in bound if mount["source"] != THE_USERS_OWN]
    assert [source for source in ours if not (DEPLOY / source).exists()] == []


def test_every_volume_is_declared(services: dict[str, Any]) -> None:
    used = {
        mount["source"] for service in services.values() for mount in service["volumes"] if mount["type"] == "volume"
    }
    assert used == set(_read("compose.yaml")["volumes"])


def test_prometheus_finds_its_rules_and_the_second_port(services: dict[str, Any]) -> None:
    settings, mounts = _read("prometheus.yml"), _mounts(services["prometheus"])
    assert set(settings["rule_files"]) <= set(mounts)
    assert services["prometheus"]["command"][0] == "--config.file=/etc/prometheus/prometheus.yml"
    (job,) = settings["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    admin = yaml.safe_load((ROOT / "config/gateway.yaml").read_text())["server"]["admin"]
    assert (found["names"], found["port"], job["metrics_path"]) == (["gateway"], admin["port"], "/metrics")
    assert admin["host"] == "0.0.0.0"


@needs_prometheus
def test_prometheus_itself_takes_its_configuration_with_the_rules(services: dict[str, Any], tmp_path: Path) -> None:
    text = (DEPLOY / "prometheus.yml").read_text()
    for target, source in _mounts(services["prometheus"]).items():
        text = text.replace(target, str((DEPLOY / source).resolve()))
    (tmp_path / "prometheus.yml").write_text(text)
    command = [PROMTOOL, "check", "config", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"[1-9]\d* rules found", done.stdout)


def test_grafana_finds_the_dashboards_and_prometheus(services: dict[str, Any]) -> None:
    mounts = _mounts(services["grafana"])
    provisioning = DEPLOY / mounts["/etc/grafana/provisioning"]
    (provider,) = yaml.safe_load((provisioning / "dashboards/samurai.yaml").read_text())["providers"]
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yaml").read_text())["datasources"]
    dashboards = list((DEPLOY / mounts[provider["options"]["path"]]).glob("*.json"))
    assert len(dashboards) >= 3
    assert source["url"] == "http://prometheus:9090"
    assert source["isDefault"]
    assert source["type"] == "prometheus"
    assert all("${datasource}" in _sources(path) for path in dashboards)  # the default one, until a person chooses
    assert {uid for path in dashboards for uid in _sources(path)} <= {"${datasource}", "-- Grafana --", source["uid"]}


def _sources(dashboard: Path) -> set[str]:
    """The uids of the data sources that a dashboard asks."""
    text = json.dumps(json.loads(dashboard.read_text()))
    return set(re.findall(r'"datasource": \{[^}]*"uid": "([^"]+)"', text))


def test_nothing_is_published_beyond_this_machine_and_the_second_port_not_at_all(services: dict[str, Any]) -> None:
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert sorted(published) == ["127.0.0.1:3000:3000", "127.0.0.1:8080:8080", "127.0.0.1:9090:9090"]


def test_the_gateway_may_do_nothing_but_its_work(services: dict[str, Any]) -> None:
    gateway = services["gateway"]
    assert gateway["read_only"]
    assert gateway["cap_drop"] == ["ALL"]
    assert all("no-new-privileges:true" in service["security_opt"] for service in services.values())


def test_the_gateway_may_finish_what_it_began(services: dict[str, Any]) -> None:
    drain = yaml.safe_load((ROOT / "config/gateway.yaml").read_text())["server"]["drain"]
    grace_s = _seconds(services["gateway"]["stop_grace_period"])
    assert grace_s > _seconds(drain["delay"]) + _seconds(drain["deadline"])


def test_money_is_kept_on_disk_and_never_evicted(services: dict[str, Any]) -> None:
    command = services["valkey"]["command"]
    assert command[command.index("--appendonly") + 1] == "yes"
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
    assert services["gateway"]["environment"]["REDIS_URL"] == "redis://valkey:6379/0"


@pytest.mark.parametrize("path", ["compose.yaml", "sandbox.yaml"])
def test_the_gateway_is_started_with_options_that_there_are(path: str) -> None:
    command = _read(path)["services"]["gateway"]["command"]
    known = {f"--{name.replace('_', '-')}" for name in inspect.signature(serve).parameters}
    assert command[0] == "serve"
    assert {word for word in command if word.startswith("--")} <= known


def test_the_images_paths_are_those_that_the_compose_files_use() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    config = _read("sandbox.yaml")["services"]["gateway"]["command"][2]
    assert "COPY config /usr/share/samurai/config\n" in dockerfile
    assert (ROOT / "config" / Path(config).relative_to("/usr/share/samurai/config")).exists()
    assert 'CMD ["serve", "--config", "/etc/samurai/gateway.yaml"]' in dockerfile
    assert "USER 65532:65532" in dockerfile


def test_every_image_is_named_with_its_version(services: dict[str, Any]) -> None:
    foreign = [service["image"] for name, service in services.items() if name != "gateway"]
    assert all(re.search(r":v?\d+\.\d+\.\d+", image) for image in foreign)
