"""What has to hold between the objects of a release."""

import re
from typing import Any

import pytest

from tests.chart.charts import SETS, Object, Rendered, component, containers, merged, pods, render, rendered, values_of

SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
HOUR = re.compile(r"^(\d+)(ms|s|m|h)$")
SEVERAL = [
    name
    for name in SETS
    if name in ("ha-sentinel", "cluster-tls", "gke-workload-identity", "gateway-api", "keda", "full")
]


def seconds(text: str) -> float:
    match = HOUR.match(text)
    assert match is not None, text
    return int(match[1]) * SECONDS[match[2]]


def longest_deadline(one: Rendered) -> float:
    return max(seconds(model.get("deadline", "180s")) for model in one.config["models"].values())


def matches(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return selector.items() <= labels.items()


def pod_labels(one: Rendered) -> dict[str, dict[str, str]]:
    found = {each["metadata"]["name"]: each["spec"]["template"]["metadata"]["labels"] for each in one.of("StatefulSet")}
    return found | {each["metadata"]["name"]: each["metadata"]["labels"] for each in one.of("Pod")}


def ports_of(spec: Object) -> set[Any]:
    ports = [port for container in containers(spec) for port in container.get("ports", [])]
    return {port["name"] for port in ports} | {port["containerPort"] for port in ports}


@pytest.mark.parametrize("name", SETS)
def test_a_kill_comes_only_after_the_longest_request_and_the_drain(name: str) -> None:
    one = rendered(name)
    drain = one.config["server"]["drain"]
    delay, deadline = seconds(drain["delay"]), seconds(drain["deadline"])
    assert deadline >= longest_deadline(one)
    assert one.gateway["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= delay + deadline + 5
    command = one.container["lifecycle"]["preStop"]["exec"]["command"]
    assert command == ["samurai", "drain", *one.container["args"][1:]], "of the same configuration that is served"


@pytest.mark.parametrize("name", SETS)
def test_proxies_wait_longer_than_the_longest_request(name: str) -> None:
    one = rendered(name)
    longest = longest_deadline(one)
    for route in one.of("HTTPRoute"):
        [rule] = route["spec"]["rules"]
        assert all(seconds(value) > longest for value in rule["timeouts"].values())
        assert "retry" not in rule
    for ingress in one.of("Ingress"):
        figures = [
            int(figure)
            for text in ingress["metadata"]["annotations"].values()
            for figure in re.findall(r"\d{3,}", text)
        ]
        assert figures
        assert [figure for figure in figures if figure <= longest] == []


def test_nginx_streams_and_never_asks_a_second_replica() -> None:
    annotations = rendered("full").one("Ingress")["metadata"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/proxy-buffering"] == "off"
    assert annotations["nginx.ingress.kubernetes.io/proxy-next-upstream"] == "off"
    assert annotations["cert-manager.io/cluster-issuer"] == "letsencrypt"


@pytest.mark.parametrize("name", SETS)
def test_every_selector_finds_the_pods_that_it_means_and_no_others(name: str) -> None:
    one = rendered(name)
    labels = pod_labels(one)
    specs = dict(pods(one))
    for each in one.of("StatefulSet"):
        assert [pod for pod in labels if matches(each["spec"]["selector"]["matchLabels"], labels[pod])] == [
            each["metadata"]["name"]
        ]
        assert each["spec"]["serviceName"] in [service["metadata"]["name"] for service in one.of("Service")]
    for service in one.of("Service"):
        [pod] = [pod for pod in labels if matches(service["spec"]["selector"], labels[pod])]
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports_of(specs[pod])
    for policy in one.of("NetworkPolicy"):
        [pod] = [pod for pod in labels if matches(policy["spec"]["podSelector"]["matchLabels"], labels[pod])]
        assert pod.removesuffix("-test") in (
            policy["metadata"]["name"],
            policy["metadata"]["name"].removesuffix("-test"),
        )
    for budget in one.of("PodDisruptionBudget"):
        assert matches(budget["spec"]["selector"]["matchLabels"], labels[one.gateway["metadata"]["name"]])
    for spread in one.gateway["spec"]["template"]["spec"]["topologySpreadConstraints"]:
        assert matches(spread["labelSelector"]["matchLabels"], labels[one.gateway["metadata"]["name"]])


@pytest.mark.parametrize("name", SETS)
def test_every_mount_has_its_volume_and_every_volume_is_mounted(name: str) -> None:
    one = rendered(name)
    claims = {each["metadata"]["name"]: each["spec"].get("volumeClaimTemplates", []) for each in one.of("StatefulSet")}
    for pod, spec in pods(one):
        volumes = {volume["name"] for volume in spec.get("volumes", [])}
        volumes |= {claim["metadata"]["name"] for claim in claims.get(pod, [])}
        mounts = {mount["name"] for container in containers(spec) for mount in container.get("volumeMounts", [])}
        assert mounts == volumes
        for volume in spec.get("volumes", []):
            assert "sizeLimit" in volume.get("emptyDir", {"sizeLimit": ""}), volume["name"]


@pytest.mark.parametrize("name", SETS)
def test_the_journal_lies_on_a_volume_that_outlives_its_replica(name: str) -> None:
    one = rendered(name)
    spec = one.gateway["spec"]
    if one.values.get("sandbox", {}).get("enabled"):
        return
    assert {"name": "state", "mountPath": "/var/lib/samurai"} in one.container["volumeMounts"]
    assert [claim["metadata"]["name"] for claim in spec["volumeClaimTemplates"]] == ["state"]
    assert spec["persistentVolumeClaimRetentionPolicy"]["whenScaled"] == "Retain"


@pytest.mark.parametrize("name", SEVERAL)
def test_several_replicas_share_redis_and_images(name: str) -> None:
    one = rendered(name)
    assert one.config["redis"]["url"] == {"env": "REDIS_URL"}
    store = one.config["store"]
    if store["url"].startswith("file:"):
        [mount] = [mount for mount in one.container["volumeMounts"] if mount["mountPath"] == "/var/lib/samurai/images"]
        [volume] = [
            each for each in one.gateway["spec"]["template"]["spec"]["volumes"] if each["name"] == mount["name"]
        ]
        claim = one.one("PersistentVolumeClaim")
        assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
        assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    else:
        assert store["signing_key"] == {"env": "SAMURAI_SIGNING_KEY"}
    assert one.one("PodDisruptionBudget")["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_one_replica_has_no_budget_that_would_block_the_drain_of_its_node() -> None:
    assert rendered("minimal").of("PodDisruptionBudget") == []


def test_a_scaler_has_the_replicas_to_itself() -> None:
    full, keda, fixed = rendered("full"), rendered("keda"), rendered("ha-sentinel")
    assert (len(full.of("HorizontalPodAutoscaler")), len(full.of("ScaledObject"))) == (1, 0)
    assert (len(keda.of("HorizontalPodAutoscaler")), len(keda.of("ScaledObject"))) == (0, 1)
    assert "replicas" not in full.gateway["spec"] | keda.gateway["spec"]
    assert fixed.gateway["spec"]["replicas"] == 3
    for scaler in (*full.of("HorizontalPodAutoscaler"), *keda.of("ScaledObject")):
        target = scaler["spec"]["scaleTargetRef"]
        wanted = full if scaler["kind"] == "HorizontalPodAutoscaler" else keda
        assert target == {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": wanted.gateway["metadata"]["name"]}
    query = keda.one("ScaledObject")["spec"]["triggers"][0]["metadata"]["query"]
    assert query == 'sum(samurai_operations_in_flight{namespace="images",service="samurai-replicas"})'


def test_prometheus_finds_every_replica_also_while_it_drains() -> None:
    one = rendered("keda")
    monitor = one.one("ServiceMonitor")["spec"]
    [service] = [
        each for each in one.of("Service") if matches(monitor["selector"]["matchLabels"], each["metadata"]["labels"])
    ]
    assert service["metadata"]["name"] == "samurai-replicas"
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert monitor["endpoints"][0]["port"] in [port["name"] for port in service["spec"]["ports"]]


@pytest.mark.parametrize("name", SETS)
def test_the_second_port_is_on_no_public_service(name: str) -> None:
    for service in rendered(name).of("Service"):
        if any(port["targetPort"] == "admin" for port in service["spec"]["ports"]):
            assert service["spec"]["clusterIP"] == "None"


@pytest.mark.parametrize("name", SETS)
def test_out_there_is_only_dns_https_redis_and_what_was_named(name: str) -> None:
    one = rendered(name)
    policy = next(each for each in one.of("NetworkPolicy") if component(each) == "gateway")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert all(rule.get("ports") for rule in policy["egress"])
    open_ports = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    named = {
        "minimal": set(),
        "sandbox": {6379},
        "ha-sentinel": {6379, 26379},
        "cluster-tls": {6380},
        "gke-workload-identity": {6378, 80, 988},
        "gateway-api": {6379},
        "keda": {6379, 6390},
        "air-gapped": {6379, 9000},
        "full": {6379, 8443, 4318},
    }[name]
    assert open_ports == {53, 443} | named


def test_private_networks_are_not_part_of_the_internet() -> None:
    policy = next(each for each in rendered("minimal").of("NetworkPolicy") if component(each) == "gateway")["spec"]
    [https] = [rule for rule in policy["egress"] if rule["ports"] == [{"protocol": "TCP", "port": 443}]]
    four, six = (peer["ipBlock"] for peer in https["to"])
    assert {"10.0.0.0/8", "169.254.0.0/16"} <= set(four["except"])
    assert set(six["except"]) == {"fc00::/7", "fe80::/10"}


def test_valkey_lets_only_the_gateways_in_and_goes_nowhere() -> None:
    one = rendered("air-gapped")
    policy = next(each for each in one.of("NetworkPolicy") if component(each) == "valkey")["spec"]
    [rule] = policy["ingress"]
    assert [
        matches(rule["from"][0]["podSelector"]["matchLabels"], labels) for labels in pod_labels(one).values()
    ].count(True) == 1
    assert policy["egress"] == []
    valkey = next(each for each in one.of("StatefulSet") if component(each) == "valkey")
    arguments = valkey["spec"]["template"]["spec"]["containers"][0]["args"]
    assert arguments[arguments.index("--maxmemory-policy") + 1] == "noeviction"
    assert arguments[arguments.index("--appendonly") + 1] == "yes"
    assert arguments[arguments.index("--requirepass") + 1] == "$(VALKEY_PASSWORD)"


def test_valkey_refuses_to_write_before_its_memory_ends() -> None:
    valkey = next(each for each in rendered("air-gapped").of("StatefulSet") if component(each) == "valkey")
    [container] = valkey["spec"]["template"]["spec"]["containers"]
    limit, most = (
        container["resources"]["limits"]["memory"],
        container["args"][container["args"].index("--maxmemory") + 1],
    )
    assert (limit[-2:], most[-2:]) == ("Mi", "mb")
    assert int(most[:-2]) <= 0.75 * int(limit[:-2])


def test_only_the_gateway_runs_under_the_account_that_may_use_the_store() -> None:
    for name in SETS:
        one = rendered(name)
        account = one.gateway["spec"]["template"]["spec"]["serviceAccountName"]
        others = [spec for pod, spec in pods(one) if pod != one.gateway["metadata"]["name"]]
        assert others
        assert account != "default"
        assert [spec for spec in others if spec.get("serviceAccountName", "default") != "default"] == []


def test_alerts_lead_to_runbooks_where_the_installer_has_them() -> None:
    def links(values: dict[str, Any]) -> list[str]:
        made = render(merged(values_of("minimal"), {"prometheusRule": {"enabled": True} | values}))
        rules = [rule for group in made.one("PrometheusRule")["spec"]["groups"] for rule in group["rules"]]
        return [rule["annotations"]["runbook_url"] for rule in rules if "alert" in rule]

    plain, whole = links({}), links({"runbooks": "https://git.example.com/blob/main/"})
    assert len(plain) > 15
    assert whole == [f"https://git.example.com/blob/main/{link}" for link in plain]


def test_the_logs_of_helm_test_can_be_had_when_it_is_over() -> None:
    """Helm fetches them at the end: a pod that is deleted because it succeeded has none."""
    assert (
        rendered("minimal").one("Pod")["metadata"]["annotations"]["helm.sh/hook-delete-policy"]
        == "before-hook-creation"
    )


def test_without_the_internet_every_image_is_one_of_the_own_registry_by_its_digest() -> None:
    images = [container["image"] for _, spec in pods(rendered("air-gapped")) for container in containers(spec)]
    assert len(images) == 3
    assert all(image.startswith("registry.internal/") and "@sha256:" in image for image in images)
    assert all(spec["imagePullSecrets"] for _, spec in pods(rendered("air-gapped")))


def test_identity_without_keys_is_an_annotation() -> None:
    def account(name: str) -> dict[str, str]:
        found: dict[str, str] = rendered(name).one("ServiceAccount")["metadata"]["annotations"]
        return found

    assert account("gke-workload-identity") == {
        "iam.gke.io/gcp-service-account": "samurai@my-project.iam.gserviceaccount.com"
    }
    assert account("ha-sentinel") == {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/samurai"}
    assert account("cluster-tls") == {"azure.workload.identity/client-id": "01234567-89ab-cdef-0123-456789abcdef"}
    azure = pod_labels(rendered("cluster-tls"))["samurai"]
    assert azure["azure.workload.identity/use"] == "true"
    assert "azure.workload.identity/use" not in pod_labels(rendered("ha-sentinel"))["samurai"]


def test_a_changed_configuration_restarts_the_gateways_where_that_is_wanted() -> None:
    def sums(values: dict[str, Any]) -> list[str]:
        return [
            render(merged(values, {"config": {"logging": {"level": level}}}))
            .gateway["spec"]["template"]["metadata"]["annotations"]
            .get("checksum/config")
            for level in ("info", "info", "debug")
        ]

    first, again, changed = sums(values_of("minimal"))
    assert first == again != changed
    assert sums(values_of("minimal") | {"rolloutOnConfigChange": False}) == [None] * 3


def test_secrets_are_the_users_the_operators_or_named_one_by_one() -> None:
    assert rendered("minimal").container["envFrom"] == [{"secretRef": {"name": "samurai-keys"}}]
    made = rendered("full").one("ExternalSecret")
    assert made["spec"]["target"]["name"] == "pictures"
    assert {"secretRef": {"name": "pictures"}} in rendered("full").container["envFrom"]
    mapped = rendered("cluster-tls").container
    assert "envFrom" not in mapped
    assert {
        "name": "OPENAI_API_KEY",
        "valueFrom": {"secretKeyRef": {"name": "samurai", "key": "openai-key"}},
    } in mapped["env"]


def test_extras_arrive_where_they_belong() -> None:
    one = rendered("full")
    spec = one.gateway["spec"]["template"]["spec"]
    assert [container["name"] for container in containers(spec)] == ["before", "gateway", "beside"]
    assert {"name": "HTTPS_PROXY", "value": "http://proxy.example.com:3128"} in one.container["env"]
    assert one.one("ConfigMap", "-more")["data"] == {"release": "samurai"}
    assert all(each["metadata"]["labels"]["team"] == "media" for each in one.objects if "labels" in each["metadata"])
    assert one.gateway["spec"]["template"]["metadata"]["annotations"]["reloader.stakater.com/auto"] == "true"


def test_the_sandbox_starts_before_the_gateway_and_ends_after_it() -> None:
    [sandbox] = rendered("sandbox").gateway["spec"]["template"]["spec"]["initContainers"]
    assert (sandbox["name"], sandbox["restartPolicy"]) == ("sandbox", "Always")
    assert rendered("minimal").gateway["spec"]["template"]["spec"].get("initContainers") is None
