"""The image that the Dockerfile makes: what is in it, what is not, and that it makes an image of the other kind."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from gateway.domain.picture import ImageFormat, ImageInfo, Size
from gateway.policies.image_header import read_header
from tests.image.building import Image, started
from tests.processes import ROOT, START_DEADLINE_S, STOP_DEADLINE_S, Output, demo_key
from tests.servers import free_port

NOBODY = "65532:65532"
SANDBOX = "/usr/share/samurai/config/sandbox.yaml"
HELM_TEST_DEADLINE_S = 180.0
OWN_BYTES = 250 * 2**20  # the program and its packages; 151 MiB as of version 0.1.0
WRITABLE = ("tmp", "var/lib/samurai", "dev", "proc", "sys", "run")


@dataclass(frozen=True)
class Served:
    """A gateway that runs in a container: its name, its files, and where its two ports answer."""

    container: str
    root: Path
    process: "subprocess.Popen[str]"
    output: Output
    url: str
    admin: str
    port: int


@pytest.fixture(scope="module")
def served(image: Image) -> Iterator[Served]:
    with serving(image) as served:
        yield served


@contextmanager
def serving(image: Image) -> Iterator[Served]:
    with image.builder.container() as (name, root):
        port = free_port()
        ports = ("--public-port", "0", "--admin-port", "0", "--sandbox-port", str(port))
        with started(image, name, "serve", "--config", SANDBOX, "--with-sandbox", *ports) as (process, output):
            ready = output.wait_for(r"Ready: (\S+)/v1 for clients, (\S+) for", START_DEADLINE_S)
            yield Served(name, root, process, output, ready[1], ready[2], port)


def test_the_gateway_in_it_makes_an_image(served: Served) -> None:
    reply = httpx2.post(
        f"{served.url}/v1/images/generations",
        json={"model": "flux-schnell", "prompt": "a gate", "size": "256x256"},
        headers={"authorization": f"Bearer {demo_key()}"},
        timeout=60,
    )
    assert reply.status_code == 200, reply.text
    picture = httpx2.get(reply.json()["data"][0]["url"], timeout=60)
    assert read_header(picture.content) == ImageInfo(ImageFormat.PNG, Size(256, 256))


def test_it_runs_as_a_user_without_a_name_and_without_rights(served: Served) -> None:
    states = [Path(f"/proc/{pid}/status").read_text() for pid in _processes(served.port)]
    assert len(states) == 2  # the gateway, and the sandbox that it started
    assert all(re.search(r"^Uid:(\t65532){4}$", state, re.MULTILINE) for state in states)
    assert all(re.search(r"^CapEff:\t0+$", state, re.MULTILINE) for state in states)


def test_it_writes_nowhere_but_where_volumes_are_mounted(image: Image, served: Served) -> None:
    test_the_gateway_in_it_makes_an_image(served)
    fresh = [
        path
        for path in served.root.rglob("*")
        if not path.is_symlink() and path.lstat().st_uid == 65532 and not _is_within(path, served.root, WRITABLE)
    ]
    assert fresh == []
    assert list((served.root / "var/lib/samurai/images").rglob("*.png"))


def test_sigterm_ends_it_in_order(image: Image) -> None:
    with serving(image) as served:
        (gateway,) = [pid for pid in _processes(served.port) if b"\0serve\0" in _arguments(pid)]
        os.kill(gateway, signal.SIGTERM)
        assert served.process.wait(STOP_DEADLINE_S) == 0
        assert '"event":"drained"' in served.output.join()
        assert _processes(served.port) == []


def test_the_hook_that_the_chart_runs_before_the_end_finds_the_gateway(image: Image) -> None:
    with serving(image) as served:
        assert "command: [samurai, drain, --config," in (ROOT / "helm/templates/_pod.tpl").read_text()
        with started(image, served.container, "drain", "--config", SANDBOX, program=["samurai"]) as (hook, output):
            assert hook.wait(STOP_DEADLINE_S) == 0, output.join()
        assert re.search(r"^gateway \d+: drained$", output.join(), re.MULTILINE)
        assert httpx2.get(f"{served.admin}/readyz").status_code == 503


def test_what_helm_test_runs_makes_an_image_with_nothing_but_the_image(image: Image, served: Served) -> None:
    program = ["/opt/samurai/bin/python3", "-c", (ROOT / "helm/files/make_image.py").read_text()]
    given = {
        "PUBLIC": served.url.removeprefix("http://"),
        "ADMIN": served.admin.removeprefix("http://"),
        "RELEASE_IS_A_SANDBOX": "false",
        "PORTS": " ".join(str(free_port()) for _ in range(3)),
    }
    with (
        image.builder.container() as (name, _),
        started(image, name, program=program, environment=given) as (pod, output),
    ):
        assert pod.wait(HELM_TEST_DEADLINE_S) == 0, output.join()
        assert "made an image of" in output.join()


def test_the_configuration_it_starts_with_says_what_is_missing(image: Image) -> None:
    with (
        image.builder.container() as (name, _),
        started(image, name, *image.config["Cmd"]) as (process, output),
    ):
        process.wait(START_DEADLINE_S)
        assert process.returncode != 0
        assert "REPLICATE_API_TOKEN" in output.join()


def test_what_it_declares_is_what_a_strict_cluster_wants(image: Image) -> None:
    config = image.config
    assert config["User"] == NOBODY
    assert config["Entrypoint"] == ["/opt/samurai/bin/samurai"]  # the program itself: no shell between signal and it
    assert sorted(config["ExposedPorts"]) == ["8080/tcp", "8081/tcp"]
    assert config["StopSignal"] in ("SIGTERM", "15")
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert config["Labels"]["org.opencontainers.image.revision"] == "of-the-test"
    assert "Healthcheck" not in image.history


def test_it_carries_no_installer_no_tests_and_nothing_editable(image: Image) -> None:
    with image.builder.container() as (_, root):
        packages = next((root / "opt/samurai/lib").glob("python3*/site-packages"))
        names = {path.name for path in packages.iterdir()}
    assert "gateway" in names
    assert "opentelemetry" in names
    assert names.isdisjoint({"pip", "setuptools", "hatchling", "tests", "pytest"})
    assert not [name for name in names if "editable" in name]


def test_nothing_that_was_lent_to_the_build_is_left_in_it(image: Image, lent_addresses: list[str]) -> None:
    with image.builder.container() as (_, root):
        texts = [
            path for folder in ("etc", "opt", "usr/share/samurai", "var/lib/samurai") for path in _texts(root / folder)
        ]
        assert len(texts) > 500
        assert not [path for path in texts for url in lent_addresses if url.encode() in path.read_bytes()]
        assert not (root / "etc/pip.conf").exists()
    assert not [url for url in lent_addresses if url in image.history]


def test_it_is_not_larger_than_it_must_be(image: Image, capsys: pytest.CaptureFixture[str]) -> None:
    image.keep_sizes()
    with capsys.disabled():
        sys.stdout.write(f"\nimage, above its base: {image.own}; the base: {image.base}\n")
    assert image.own.unpacked < OWN_BYTES
    assert image.own.packed < image.own.unpacked


def _is_within(path: Path, root: Path, folders: tuple[str, ...]) -> bool:
    return any(path.is_relative_to(root / folder) for folder in folders)


def _texts(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]


def _processes(port: int) -> list[int]:
    """The container's processes that were started with this sandbox port, which nobody else uses."""
    found = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return [
        pid
        for pid in found
        if _arguments(pid).startswith(b"/opt/samurai/bin/python") and b"\0%d\0" % port in _arguments(pid)
    ]


def _arguments(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has ended in the meantime
        return b""
