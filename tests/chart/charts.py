"""The chart as real Helm renders it, for each set of values in helm/ci."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import helm_python as helm
import yaml

from tests.processes import ROOT

CHART = ROOT / "helm"
NAMESPACE, RELEASE = "images", "samurai"
SETS = tuple(sorted(path.stem.removesuffix("-values") for path in (CHART / "ci").glob("*-values.yaml")))

Object = dict[str, Any]


class StrictLoader(yaml.SafeLoader):
    """YAML as Kubernetes' strict decoding takes it: a name stands once in a mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {name for name in names if names.count(name) > 1}
        assert not twice, f"{node.start_mark}: {twice} given twice"
        return super().construct_mapping(node, deep)


@dataclass(frozen=True)
class Rendered:
    """What an installation with these values would make."""

    values: Mapping[str, Any] = field(repr=False)
    objects: tuple[Object, ...] = field(repr=False)
    notes: str = field(repr=False)

    def of(self, kind: str) -> list[Object]:
        """The objects of a kind."""
        return [one for one in self.objects if one["kind"] == kind]

    def one(self, kind: str, end: str = "") -> Object:
        """The only object of a kind whose name ends so."""
        [found] = [one for one in self.of(kind) if one["metadata"]["name"].endswith(end)]
        return found

    @property
    def gateway(self) -> Object:
        """The gateways' StatefulSet."""
        [found] = [one for one in self.of("StatefulSet") if component(one) == "gateway"]
        return found

    @property
    def container(self) -> Object:
        """The gateway's container."""
        return next(one for one in self.gateway["spec"]["template"]["spec"]["containers"] if one["name"] == "gateway")

    @property
    def config(self) -> dict[str, Any]:
        """The gateway's configuration."""
        return mapping(self.one("ConfigMap", "-config")["data"]["gateway.yaml"])


def values_of(name: str) -> dict[str, Any]:
    """A set of values of helm/ci."""
    return mapping((CHART / f"ci/{name}-values.yaml").read_text())


@cache
def rendered(name: str) -> Rendered:
    """The chart with a set of values of helm/ci."""
    return render(values_of(name))


def render(values: Mapping[str, Any], chart: Path = CHART) -> Rendered:
    """The chart with these values. Raises HelmError where an installation would be refused."""
    with helm.Chart.load(chart) as loaded:
        loaded.validate_schema(dict(values))
        texts = loaded.render(dict(values), name=RELEASE, namespace=NAMESPACE)
    notes = next(text for path, text in texts.items() if path.endswith("NOTES.txt"))
    manifests = [text for path, text in sorted(texts.items()) if path.endswith(".yaml")]
    return Rendered(values, tuple(one for text in manifests for one in documents(text)), notes)


def documents(text: str) -> Iterator[Object]:
    """The objects in a rendered template."""
    for one in yaml.load_all(text, StrictLoader):
        if one is not None:
            yield one


def mapping(text: str) -> dict[str, Any]:
    """The mapping that is written there; an empty one where there is nothing."""
    return yaml.load(text, StrictLoader) or {}


def component(one: Object) -> str:
    """Which part of the release an object belongs to."""
    name: str = one["metadata"]["labels"]["app.kubernetes.io/component"]
    return name


def merged(*tables: Mapping[str, Any]) -> dict[str, Any]:
    """Values over values, as Helm puts them."""
    result: dict[str, Any] = {}
    for table in tables:
        for name, value in table.items():
            below = result.get(name)
            if isinstance(below, Mapping) and isinstance(value, Mapping):
                result[name] = merged(below, value)
            else:
                result[name] = value
    return result


def pods(one: Rendered) -> list[tuple[str, Object]]:
    """The name and specification of every pod that there will be."""
    templates = [(each["metadata"]["name"], each["spec"]["template"]["spec"]) for each in one.of("StatefulSet")]
    return templates + [(each["metadata"]["name"], each["spec"]) for each in one.of("Pod")]


def containers(spec: Object) -> list[Object]:
    """All containers of a pod, whenever they run."""
    return [*spec.get("initContainers", []), *spec["containers"]]
