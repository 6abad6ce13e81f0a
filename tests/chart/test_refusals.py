"""Values that would not work, or not keep what they promise, are refused before anything is installed."""

from dataclasses import dataclass
from typing import Any

import helm_python as helm
import pytest

from tests.chart.charts import merged, render, values_of

HA = {"replicaCount": 3}
EXTERNAL = {"redis": {"mode": "external", "external": {"hosts": ["redis:6379"]}}}
OBJECT = {"store": {"mode": "object", "url": "s3://images"}}
SCALABLE = merged(EXTERNAL, OBJECT)


@dataclass(frozen=True)
class Case:
    """Values over the minimal ones, and what the refusal must say: where, and what is wanted."""

    name: str
    says: tuple[str, ...]
    values: dict[str, Any]


CASES = (
    # Spelling and kinds.
    Case("an unknown name", ("replicas",), {"replicas": 2}),
    Case("an unknown name below", ("'/image'", "tags"), {"image": {"tags": "1"}}),
    Case("a number as text", ("'/replicaCount'", "integer"), {"replicaCount": "2"}),
    Case("no replica", ("'/replicaCount'", "minimum"), {"replicaCount": 0}),
    Case("an image without a name", ("'/image/repository'",), {"image": {"repository": ""}}),
    Case("a digest that is none", ("'/image/digest'", "sha256"), {"image": {"digest": "latest"}}),
    Case("an unknown pull policy", ("'/image/pullPolicy'", "IfNotPresent"), {"image": {"pullPolicy": "Sometimes"}}),
    Case("an unknown Redis", ("'/redis/mode'", "embedded"), {"redis": {"mode": "builtin"}}),
    Case("a label that is no text", ("'/podLabels/a'", "string"), {"podLabels": {"a": 1}}),
    Case("a port beyond all", ("'/service/port'", "65,535"), {"service": {"port": 70000}}),
    Case("a size that is none", ("'/persistence/size'", "pattern"), {"persistence": {"size": "much"}}),
    Case("a network that is none", ("cidrs/0'",), {"networkPolicy": {"egress": {"https": {"cidrs": ["internet"]}}}}),
    Case("a container without memory", ("'/resources/limits'", "memory"), {"resources": {"limits": {"memory": None}}}),
    # The gateway's own configuration.
    Case("an unknown setting", ("'/config/logging'", "levle"), {"config": {"logging": {"levle": "info"}}}),
    Case(
        "a secret in the open", ("openai/api_key'", "object"), {"config": {"accounts": {"openai": {"api_key": "sk-1"}}}}
    ),
    Case("a duration that is none", ("deadline'",), {"config": {"models": {"dall-e-3": {"deadline": "3 minutes"}}}}),
    Case(
        "a Redis beside the chart's",
        ("'/config/redis/url'", "use redis.mode"),
        {"config": {"redis": {"url": "redis://r"}}},
    ),
    Case(
        "a store beside the chart's",
        ("'/config/store/url'", "use store.mode"),
        {"config": {"store": {"url": "s3://b"}}},
    ),
    Case(
        "a port beside the chart's", ("public/port'", "service.port"), {"config": {"server": {"public": {"port": 80}}}}
    ),
    Case("no model", ("'/config'", "models"), {"config": {"models": None}}),
    # Secrets.
    Case("no Secret", ("'/existingSecret'", "minLength"), {"existingSecret": ""}),
    Case("two Secrets", ("'/existingSecret'",), {"externalSecret": {"enabled": True}}),
    Case(
        "an operator without a store",
        ("secretStoreRef/name'", "minLength"),
        {"existingSecret": "", "externalSecret": {"enabled": True, "data": [{"secretKey": "A"}]}},
    ),
    Case("a variable that is none", ("my-key",), {"existingSecretKeys": {"my-key": "x"}}),
    # High availability that is none.
    Case("replicas with a Redis each", ("'/redis/mode'", "'external'"), merged(HA, OBJECT)),
    Case(
        "replicas over a trial's Valkey",
        ("'/redis/mode'", "'external'"),
        merged(HA, OBJECT, {"redis": {"mode": "valkey"}}),
    ),
    Case("replicas with images each", ("'/store/mode'", "'object'", "'sharedVolume'"), merged(HA, EXTERNAL)),
    Case("an autoscaler over one volume", ("'/store/mode'",), merged(EXTERNAL, {"autoscaling": {"enabled": True}})),
    Case(
        "KEDA over an embedded Valkey",
        ("'/redis/mode'", "'external'"),
        merged(OBJECT, {"keda": {"enabled": True, "serverAddress": "http://p:9090"}}),
    ),
    Case(
        "replicas of a sandbox", ("'/sandbox/enabled'", "false"), merged(HA, SCALABLE, {"sandbox": {"enabled": True}})
    ),
    Case("a journal without a volume", ("'/sandbox/enabled'", "true"), {"persistence": {"enabled": False}}),
    Case(
        "spools lost by replicas",
        ("'/sandbox/enabled'",),
        merged(HA, SCALABLE, {"persistence": {"enabled": False}}),
    ),
    Case(
        "two scalers",
        ("'/autoscaling/enabled'", "false"),
        merged(
            SCALABLE, {"autoscaling": {"enabled": True}, "keda": {"enabled": True, "serverAddress": "http://p:9090"}}
        ),
    ),
    Case("KEDA without Prometheus", ("'/keda/serverAddress'",), merged(SCALABLE, {"keda": {"enabled": True}})),
    Case(
        "an autoscaler that goes by nothing",
        ("'/autoscaling/targetOperationsInFlight'", "minimum"),
        merged(SCALABLE, {"autoscaling": {"enabled": True, "targetCPU": 0}}),
    ),
    # Redis and the store.
    Case("an external Redis nowhere", ("'/redis/external/hosts'", "minItems"), {"redis": {"mode": "external"}}),
    Case(
        "hosts that are ignored",
        ("'/redis/external/hosts'", "maxItems"),
        {"redis": {"external": {"hosts": ["r:6379"]}}},
    ),
    Case(
        "sentinels of nothing",
        ("'/redis/external/service'", "minLength"),
        merged(EXTERNAL, {"redis": {"external": {"topology": "sentinel"}}}),
    ),
    Case(
        "a database of a cluster",
        ("'/redis/external/database'", "0"),
        merged(EXTERNAL, {"redis": {"external": {"topology": "cluster", "database": 2}}}),
    ),
    Case(
        "a password in a host",
        ("'/redis/external/hosts/0'", "pattern"),
        {"redis": {"mode": "external", "external": {"hosts": ["user:secret@redis:6379"]}}},
    ),
    Case(
        "an authority without TLS",
        ("'/redis/external/tls/enabled'", "true"),
        merged(EXTERNAL, {"redis": {"external": {"tls": {"caSecret": {"name": "ca"}}}}}),
    ),
    Case(
        "money that every pod could change",
        ("'/valkey/passwordSecret/name'", "minLength"),
        {"redis": {"mode": "valkey"}, "networkPolicy": {"enabled": False}},
    ),
    Case("a memory that is none", ("'/valkey/maxMemory'", "pattern"), {"valkey": {"maxMemory": "384Mi"}}),
    Case("an object store nowhere", ("'/store/url'", "s3|gs|az"), {"store": {"mode": "object"}}),
    Case("an object store's address unused", ("'/store/url'",), {"store": {"url": "s3://images"}}),
    Case("a directory's own links", ("'/config/store/links'", "proxy"), {"config": {"store": {"links": "presigned"}}}),
    # Security.
    Case("root", ("'/podSecurityContext/runAsNonRoot'", "true"), {"podSecurityContext": {"runAsNonRoot": False}}),
    Case("user 0", ("'/securityContext/runAsUser'", "minimum"), {"securityContext": {"runAsUser": 0}}),
    Case(
        "capabilities",
        ("'/securityContext/capabilities/add/0'",),
        {"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}},
    ),
    Case("a writable root", ("readOnlyRootFilesystem'",), {"securityContext": {"readOnlyRootFilesystem": False}}),
    Case(
        "a role without a name",
        ("'/workloadIdentity/eks/roleArn'", "arn:aws"),
        {"workloadIdentity": {"provider": "eks"}},
    ),
    # Ways in, and time.
    Case("a folder of no runbooks", ("'/prometheusRule/runbooks'",), {"prometheusRule": {"runbooks": "docs"}}),
    Case("an ingress for nobody", ("'/ingress/hosts'", "minItems"), {"ingress": {"enabled": True}}),
    Case(
        "a route of no gateway",
        ("'/httpRoute/parentRefs'",),
        {"httpRoute": {"enabled": True, "hostnames": ["a.example"]}},
    ),
    Case("a kill while draining", ("terminationGracePeriodSeconds", "210"), {"terminationGracePeriodSeconds": 60}),
    Case(
        "a drain shorter than an image",
        ("server.drain.deadline", "600s"),
        {"config": {"server": {"drain": {"deadline": "200s"}}, "models": {"dall-e-3": {"deadline": "10m"}}}},
    ),
    Case(
        "a proxy that hangs up",
        ("ingress.timeoutSeconds", "180s"),
        {"ingress": {"enabled": True, "hosts": ["a.example"], "timeoutSeconds": 60}},
    ),
    Case("nobody could call", ("config.keys", "admin.token"), {"config": {"server": {"admin": {"token": None}}}}),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_would_not_work_is_refused_with_the_place_and_what_is_wanted(case: Case) -> None:
    with pytest.raises(helm.HelmError) as refusal:
        render(merged(values_of("minimal"), case.values))
    assert [word for word in case.says if word not in str(refusal.value)] == [], str(refusal.value)


def test_the_same_values_without_their_fault_are_taken() -> None:
    fine = merged(values_of("minimal"), HA, SCALABLE, {"ingress": {"enabled": True, "hosts": ["a.example"]}})
    assert render(fine).gateway["spec"]["replicas"] == 3
    taken = {"config": {"server": {"admin": {"token": None}}, "keys": [{"id": "a", "sha256": "1" * 64}]}}
    assert "token" not in render(merged(values_of("minimal"), taken)).config["server"]["admin"]
