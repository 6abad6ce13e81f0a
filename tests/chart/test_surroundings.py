"""What a release is to its surroundings: the address that links begin with, the disk it lies on, what it is given."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import helm_python as helm
import pytest

from gateway.settings.loading import load
from gateway.vendors import dialects
from tests.chart.charts import CHART, SETS, Rendered, containers, mapping, merged, render, rendered, values_of
from tests.chart.test_settings import environment_of

OBJECT = {"store": {"mode": "object", "url": "s3://images"}}
MONITORED = {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}
BYTES = {"k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "MiB": 2**20}


def minimal(*more: Mapping[str, Any]) -> Rendered:
    return render(merged(values_of("minimal"), *more))


def number_of(quantity: str) -> float:
    found = re.fullmatch(r"([0-9.]+)([A-Za-z]+)", quantity)
    assert found is not None, quantity
    return float(found[1]) * BYTES[found[2]]


def base_url(one: Rendered) -> str:
    url: str = one.config["server"]["public"]["base_url"]
    return url


def hints(one: Rendered) -> list[str]:
    """What NOTES.txt ends with, a line each."""
    _, mark, after = one.notes.partition("Worth a look:")
    return [" ".join(text.split()) for text in after.split("\n* ")[1:]] if mark else []


@pytest.mark.parametrize("name", SETS)
def test_images_on_their_way_never_outgrow_the_volume_whose_limit_kills_the_pod(name: str, tmp_path: Path) -> None:
    """A gateway sees how much the node's disk has free, and not the limit of the emptyDir on it."""
    one = rendered(name)
    for text_name, text in one.one("ConfigMap", "-config")["data"].items():
        (tmp_path / text_name).write_text(text)
    settings = load(tmp_path / "gateway.yaml", environment_of(one), {key: it.vendor for key, it in dialects().items()})
    place = "/tmp" if settings.store.directory is None else str(settings.store.directory.parent)
    mount = next(each["name"] for each in one.container["volumeMounts"] if each["mountPath"] == place)
    volumes = {each["name"]: each for each in one.gateway["spec"]["template"]["spec"]["volumes"]}
    if mount in volumes:
        assert settings.admission.spool_bytes is not None
        limit = number_of(volumes[mount]["emptyDir"]["sizeLimit"])
        assert limit / 3 < settings.admission.spool_bytes <= limit / 2
    else:
        assert settings.admission.spool_bytes is None, "a volume of its own tells what is free"


@pytest.mark.parametrize(
    ("limit", "spool"), [("4Gi", "2048MiB"), ("1.5Gi", "768MiB"), ("3G", "1430MiB"), ("500M", "238MiB")]
)
def test_a_limit_is_understood_in_every_unit(limit: str, spool: str) -> None:
    assert minimal(OBJECT, {"tmp": {"sizeLimit": limit}}).config["admission"] == {"spool": spool}


def test_a_pod_that_may_fill_the_nodes_disk_asks_for_so_much_of_it() -> None:
    assert "ephemeral-storage" not in minimal().container["resources"]["requests"]
    assert minimal(OBJECT).container["resources"]["requests"]["ephemeral-storage"] == "4Gi"
    mine = {"resources": {"limits": {"ephemeral-storage": "3Gi"}}}
    assert "ephemeral-storage" not in minimal(OBJECT, mine).container["resources"]["requests"]


def test_what_is_said_of_admission_stays_as_it_is_where_it_fits() -> None:
    mine = {"admission": {"spool": "512MiB", "loop_lag": "100ms"}}
    assert minimal(OBJECT, {"config": mine}).config["admission"] == mine["admission"]
    with pytest.raises(helm.HelmError, match=r"config\.admission\.spool is 4GiB, .* emptyDir of 4Gi"):
        minimal(OBJECT, {"config": {"admission": {"spool": "4GiB"}}})


def test_links_begin_with_the_first_host_that_is_one() -> None:
    ingress = {"ingress": {"enabled": True, "hosts": ["*.example.com", "images.example.com"]}}
    assert base_url(minimal(ingress)) == "http://images.example.com"
    route = {"httpRoute": {"enabled": True, "parentRefs": [{"name": "a"}], "hostnames": ["*.a.example", "b.example"]}}
    assert base_url(minimal(route)) == "https://b.example"
    wild = {"ingress": {"enabled": True, "hosts": ["*.example.com"]}}
    assert base_url(minimal(wild, route)) == "https://b.example"
    with pytest.raises(helm.HelmError, match=r"config\.server\.public\.base_url is needed"):
        minimal(wild)


def test_clients_addresses_are_kept_where_that_was_asked_for() -> None:
    assert rendered("full").one("Service", "pictures")["spec"]["externalTrafficPolicy"] == "Local"
    port = minimal({"service": {"type": "NodePort"}}).one("Service", "samurai")["spec"]
    assert port["externalTrafficPolicy"] == "Cluster"
    assert "externalTrafficPolicy" not in rendered("minimal").one("Service", "samurai")["spec"], "refused there"


def test_the_notes_say_the_address_that_was_configured() -> None:
    one = minimal({"config": {"server": {"public": {"base_url": "https://pictures.example.com"}}}})
    assert "curl https://pictures.example.com/v1/images/generations" in one.notes
    assert "port-forward" not in one.notes
    assert "for clients in the cluster" not in one.notes


def test_the_notes_tell_what_only_the_installer_can_know() -> None:
    assert hints(rendered("minimal")) == []
    assert "helm test samurai -n images" in rendered("minimal").notes
    assert "helm test" not in minimal({"tests": {"enabled": False}}).notes
    outside = hints(minimal({"service": {"type": "LoadBalancer"}}))
    assert [text for text in outside if "config.server.public.base_url" in text] == outside != []
    monitored = hints(minimal(MONITORED))
    assert ["metricsFrom" in text for text in monitored] == [True, False]
    assert "prometheusRule.runbooks" in monitored[1]
    balanced = {"ingress": {"enabled": True, "controller": "alb", "hosts": ["a.example"]}}
    assert ["8081" in text for text in hints(minimal(balanced))] == [True]


def test_the_notes_are_silent_where_all_is_said() -> None:
    said = {
        "service": {"type": "LoadBalancer"},
        "config": {"server": {"public": {"base_url": "https://a.example"}}},
        "networkPolicy": {"ingress": {"metricsFrom": [{"podSelector": {}}]}},
        "prometheusRule": {"enabled": True, "runbooks": "https://git.example.com/blob/main/"},
    }
    assert hints(minimal(MONITORED, said)) == []


def test_a_container_of_ones_own_is_as_restricted_as_ours_unless_it_says_otherwise() -> None:
    one = minimal(
        {
            "extraContainers": [{"name": "beside", "image": "b:1"}],
            "extraInitContainers": [{"name": "before", "image": "b:1", "securityContext": {"runAsUser": 5}}],
        }
    )
    found = {each["name"]: each for each in containers(one.gateway["spec"]["template"]["spec"])}
    ours = found["gateway"]["securityContext"]
    assert found["beside"]["securityContext"] == ours
    assert found["before"]["securityContext"] == ours | {"runAsUser": 5}
    loose = {"name": "a", "image": "b:1", "securityContext": {"readOnlyRootFilesystem": False}}
    [last] = containers(minimal({"extraContainers": [loose]}).gateway["spec"]["template"]["spec"])[1:]
    assert last["securityContext"] == ours | {"readOnlyRootFilesystem": False}


def test_what_the_readme_says_of_gkes_gateway_fits_the_chart() -> None:
    readme = (CHART / "README.md").read_text()
    [example] = [text for text in re.findall(r"^```yaml\n(.*?)^```", readme, re.M | re.S) if "GCPBackendPolicy" in text]
    one = minimal(mapping(example))
    [route] = one.of("HTTPRoute")
    service = route["spec"]["rules"][0]["backendRefs"][0]["name"]
    policies = [*one.of("GCPBackendPolicy"), *one.of("HealthCheckPolicy")]
    assert [policy["spec"]["targetRef"]["name"] for policy in policies] == [service] * 2
    patience_s = policies[0]["spec"]["default"]["timeoutSec"]
    assert f"{patience_s}s" == route["spec"]["rules"][0]["timeouts"]["request"]
    asked = policies[1]["spec"]["default"]["config"]["httpHealthCheck"]
    assert asked["requestPath"] == one.container["readinessProbe"]["httpGet"]["path"]
    assert {"name": "admin", "containerPort": asked["port"]} in one.container["ports"]


def test_the_metric_that_the_readme_has_adapted_is_the_one_that_the_autoscaler_asks_for() -> None:
    [series] = re.findall(r"seriesQuery: '(\w+)\{", (CHART / "README.md").read_text())
    [scaler] = rendered("full").of("HorizontalPodAutoscaler")
    assert series in [each["pods"]["metric"]["name"] for each in scaler["spec"]["metrics"] if "pods" in each]


@pytest.mark.parametrize("port", [80, 8080])
def test_helm_test_may_reach_the_service_by_its_own_port(port: int) -> None:
    """AWS's network plugin looks at the Service's address and port, before they become the pod's."""
    one = minimal({"service": {"port": port}})
    [policy] = [each for each in one.of("NetworkPolicy") if each["metadata"]["name"].endswith("-test")]
    assert [rule["port"] for rule in policy["spec"]["egress"][1]["ports"]] == list(dict.fromkeys([8080, 8081, port]))


@pytest.mark.parametrize("name", SETS)
def test_network_policies_name_ports_by_their_numbers(name: str) -> None:
    """Some network plugins know no names of ports, least of all on the way out."""
    for policy in rendered(name).of("NetworkPolicy"):
        rules = [*policy["spec"].get("ingress", []), *policy["spec"].get("egress", [])]
        ports = [port["port"] for rule in rules for port in rule["ports"]]
        assert [port for port in ports if not isinstance(port, int)] == []
