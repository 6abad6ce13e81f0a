"""The project's own Dockerfile, built without a daemon on a base that is made here, and run without one."""

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
from ast import literal_eval
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.processes import ROOT, STOP_DEADLINE_S, Output

TOOLS = ("buildah", "mmdebstrap")
BASE = "localhost/samurai-base"
NAME = "localhost/samurai-gateway"
SIZES = ROOT / "build" / "image.json"  # what `make image` measured last; `make bench` publishes it
BUILD_DEADLINE_S = 1200.0  # two shared cores, and everything is downloaded
_SUITE = "bookworm"
_PACKAGES = "python3-minimal,python3-venv,ca-certificates"
_INDEX_OPTIONS = ("index-url", "extra-index-url", "trusted-host", "cert", "proxy", "timeout")
_LEFT_BEHIND_S = 15.0


def missing() -> str:
    """Why an image cannot be built here; empty when it can."""
    absent = [tool for tool in TOOLS if shutil.which(tool) is None]
    if absent:
        return f"not installed: {', '.join(absent)}"
    return "" if os.geteuid() == 0 else "building without a daemon needs root"


def run(*command: str) -> str:
    """What the command printed; fails with all of it."""
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=BUILD_DEADLINE_S, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Builder:
    """Buildah with storage of its own below `folder`."""

    folder: Path

    def __call__(self, *arguments: str) -> str:
        return run(*self.command(*arguments))

    def command(self, *arguments: str) -> list[str]:
        store, state = self.folder / "store", self.folder / "run"
        return ["buildah", "--storage-driver", "vfs", "--root", str(store), "--runroot", str(state), *arguments]

    def make_base(self, archive: Path) -> None:
        """A small Debian with Python, as the image that the Dockerfile starts from."""
        if not archive.exists():
            run("mmdebstrap", "--quiet", "--variant=apt", f"--include={_PACKAGES}", _SUITE, str(archive))
        container = self("from", "scratch").strip()
        self("add", container, str(archive))
        self("commit", "--rm", container, BASE)

    def make_image(self, pip_conf: Path) -> None:
        """What `docker build .` makes. The host's package index and its certificates are lent, for the build only."""
        self(
            *("bud", "--isolation", "chroot", "--build-arg", f"BASE={BASE}", "--build-arg", "REVISION=of-the-test"),
            *("--secret", f"id=pip,src={pip_conf}", "--volume", "/etc/ssl/certs:/etc/ssl/certs:ro"),
            *("--tag", NAME, "--file", str(ROOT / "Dockerfile"), str(ROOT)),
        )

    @contextmanager
    def container(self, image: str = NAME) -> Iterator[tuple[str, Path]]:
        """A container of the image: its name, and where its files are."""
        name = self("from", image).strip()
        try:
            yield name, Path(self("mount", name).strip())
        finally:
            self("rm", name)


@dataclass(frozen=True)
class Bytes:
    """What an image's files are, as they are fetched and as they are unpacked."""

    packed: int
    unpacked: int

    @classmethod
    def of(cls, builder: Builder, name: str) -> "Bytes":
        """Of everything in the image `name`, its base included."""
        with builder.container(name) as (_, root):
            files = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
            unpacked = sum(path.lstat().st_size for path in files)
        pushed = builder.folder / "pushed"
        builder("push", "--quiet", name, f"oci:{pushed}")
        packed = sum(path.stat().st_size for path in (pushed / "blobs").rglob("*") if path.is_file())
        shutil.rmtree(pushed)
        return cls(packed, unpacked)

    def above(self, base: "Bytes") -> "Bytes":
        """What it adds to `base`."""
        return Bytes(self.packed - base.packed, self.unpacked - base.unpacked)


@dataclass(frozen=True)
class Image:
    """The built image: its `config` as the OCI format has it, and the bytes of its layers above the base's."""

    builder: Builder
    config: Mapping[str, Any]
    history: str
    base: Bytes
    own: Bytes

    @classmethod
    def of(cls, builder: Builder) -> "Image":
        seen = json.loads(builder("inspect", "--type", "image", NAME))
        base = Bytes.of(builder, BASE)
        own = Bytes.of(builder, NAME).above(base)
        return cls(builder, seen["OCIv1"]["config"], json.dumps(seen), base, own)

    def keep_sizes(self) -> None:
        """Write them down for the bench."""
        SIZES.parent.mkdir(exist_ok=True)
        SIZES.write_text(json.dumps({"own": asdict(self.own), "base": asdict(self.base)}) + "\n")


def lend_index(path: Path) -> list[str]:
    """Write the pip settings of this machine that a build needs to `path`; the addresses in them."""
    listed = run(sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list")
    parser = configparser.RawConfigParser()
    parser.add_section("global")
    addresses: list[str] = []
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        option = name.rpartition(".")[2]
        text = str(literal_eval(value))
        urls = re.findall(r"https?://\S+", text)
        if option in _INDEX_OPTIONS and (urls or "://" not in text):
            parser.set("global", option, "\n".join(urls) or text)
            addresses += urls
    with path.open("w") as file:
        parser.write(file)
    return addresses


@contextmanager
def started(
    image: Image,
    container: str,
    *arguments: str,
    program: Sequence[str] = (),
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[tuple["subprocess.Popen[str]", Output]]:
    """The image's entry point (or `program`) as its own user, with `arguments` in the place of its CMD."""
    config = image.config
    given = [*config["Env"], *(f"{name}={value}" for name, value in environment.items())]
    settings = [part for pair in given for part in ("--env", pair)]
    command = [
        "run",
        "--isolation",
        "chroot",
        "--user",
        config["User"],
        "--workingdir",
        config["WorkingDir"],
        *settings,
    ]
    process = subprocess.Popen(
        image.builder.command(*command, container, "--", *(program or config["Entrypoint"]), *arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    output = Output(process)
    try:
        yield process, output
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(STOP_DEADLINE_S + _LEFT_BEHIND_S)
        output.join()
        assert process.stdout is not None
        process.stdout.close()
