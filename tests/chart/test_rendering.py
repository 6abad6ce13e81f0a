"""Real Helm renders and lints every set of values, and Kubernetes' own schemas take every object."""

import shutil
import tarfile
from pathlib import Path

import helm_python as helm
import kubernetes_validate
import pytest

from tests.chart.charts import CHART, NAMESPACE, SETS, Object, render, rendered, values_of

VERSIONS = ("1.29", "1.34", "1.37")  # the oldest of Chart.yaml's kubeVersion, one between, the newest published
NOT_KUBERNETES = ("monitoring.coreos.com/", "gateway.networking.k8s.io/", "keda.sh/", "external-secrets.io/")
WANTED = {
    "minimal",
    "full",
    "sandbox",
    "ha-sentinel",
    "cluster-tls",
    "gke-workload-identity",
    "gateway-api",
    "keda",
    "air-gapped",
}


def problems(one: Object, version: str) -> str:
    try:
        kubernetes_validate.validate(one, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{one['kind']}/{one['metadata']['name']}: {error.message} at {list(error.path)}"
    return ""


def test_the_promised_sets_of_values_are_there() -> None:
    assert set(SETS) >= WANTED


@pytest.mark.parametrize("name", SETS)
def test_a_set_of_values_lints_without_a_word(name: str) -> None:
    report = helm.lint(CHART, values_of(name), strict=True, namespace=NAMESPACE)
    assert report["messages"] == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", SETS)
def test_every_object_is_strictly_valid(name: str, version: str) -> None:
    own = [one for one in rendered(name).objects if not one["apiVersion"].startswith(NOT_KUBERNETES)]
    assert len(own) >= 7
    assert [found for one in own if (found := problems(one, version))] == []


def test_a_misspelt_name_would_be_noticed() -> None:
    [policy] = [one for one in rendered("minimal").of("NetworkPolicy") if one["metadata"]["name"] == "samurai"]
    assert not problems(policy, VERSIONS[0])
    assert "policyType" in problems(policy | {"spec": policy["spec"] | {"policyType": []}}, VERSIONS[0])


@pytest.mark.parametrize("name", SETS)
def test_no_two_objects_are_one(name: str) -> None:
    names = [(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in rendered(name).objects]
    assert len(names) == len(set(names))


def test_a_long_name_stays_within_what_kubernetes_takes() -> None:
    everything = render(values_of("full") | {"fullnameOverride": "a" * 70})
    names = [one["metadata"]["name"] for one in everything.objects]
    assert max(map(len, names)) <= 63
    assert max(len(one["metadata"]["name"]) for one in everything.of("StatefulSet")) <= 52, "its revisions' label is 63"


def test_the_packaged_chart_holds_what_it_serves_and_no_more(tmp_path: Path) -> None:
    archive = helm.package(CHART, destination=tmp_path)
    with tarfile.open(archive) as opened:
        names = {Path(name).relative_to("samurai").as_posix() for name in opened.getnames()}
    parts = {
        path.relative_to(CHART).as_posix() for folder in ("dashboards", "rules") for path in CHART.glob(f"{folder}/*")
    }
    assert names >= parts | {"values.schema.json", "README.md", "files/make_image.py", "templates/NOTES.txt"}
    assert not [name for name in names if name.startswith("ci/")]


def test_dashboards_and_rules_are_whatever_lies_in_their_folders(tmp_path: Path) -> None:
    chart = tmp_path / "helm"
    shutil.copytree(CHART, chart)
    (chart / "dashboards/another.json").write_text('{"title": "{{ not a template }}"}\n')
    (chart / "rules/another.yaml").write_text('groups: [{name: another, rules: [{record: "a:b", expr: "1"}]}]\n')
    switches = {"dashboards": {"enabled": True}, "prometheusRule": {"enabled": True}}
    made = render(values_of("minimal") | switches, chart)
    another = made.one("ConfigMap", "-another")
    assert another["data"] == {"samurai-another.json": '{"title": "{{ not a template }}"}'}
    assert another["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert another["metadata"]["annotations"] == {"grafana_folder": "Samurai Gateway"}
    assert "another" in [group["name"] for group in made.one("PrometheusRule")["spec"]["groups"]]
    assert len([one for one in made.of("ConfigMap") if "grafana_dashboard" in one["metadata"]["labels"]]) == len(
        list(chart.glob("dashboards/*.json"))
    )
