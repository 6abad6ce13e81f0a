"""The least installation with vendors, from its first key to its end: what NOTES.txt says and what the cluster does."""

import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
import yaml

from tests.chart.charts import mapping, rendered
from tests.processes import PATIENT, SAMURAI, START_DEADLINE_S, STOP_DEADLINE_S, child, environment, sandbox

pytestmark = pytest.mark.slow

MOUNTED = "/etc/samurai"
# The Secret, as README.md has it made; the words are those that the sandbox takes.
SECRET = {
    "REPLICATE_API_TOKEN": "r8_sandbox",
    "OPENAI_API_KEY": "sk-sandbox-openai",
    "IDEOGRAM_API_KEY": "ideogram-sandbox",
    "SAMURAI_ADMIN_TOKEN": "0123456789abcdef0123456789abcdef",
}
VENDORS = {"replicate": "/replicate/v1", "openai": "/openai/v1", "ideogram": "/ideogram"}
COMMAND_DEADLINE_S = 60.0


@dataclass(frozen=True)
class Installed:
    """A gateway of the minimal values: its mounted configuration, and where its two ports are."""

    mount: Path
    public: str
    admin: str
    process: "subprocess.Popen[str]" = field(repr=False)

    def run(self, command: list[str]) -> "subprocess.CompletedProcess[str]":
        """A command in the gateway's container: its environment, its files, its loopback."""
        name, *arguments = command
        assert name == "samurai"
        here = [argument.replace(MOUNTED, str(self.mount)) for argument in arguments]
        return subprocess.run(
            [*SAMURAI, *here],
            env=environment() | SECRET | {"SAMURAI_ADMIN_URL": f"http://{self.admin}"},
            capture_output=True,
            text=True,
            timeout=COMMAND_DEADLINE_S,
            check=False,
        )


def mount(folder: Path, data: Mapping[str, str], edition: str) -> None:
    """Put a ConfigMap there as the kubelet does: links through a link, which is swapped when there is a new edition."""
    inner = folder / f"..{edition}"
    inner.mkdir(parents=True)
    for name, text in data.items():
        (inner / name).write_text(text)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    (folder / "..data_tmp").symlink_to(inner.name)
    (folder / "..data_tmp").rename(folder / "..data")


def config_for(folder: Path, sandbox_url: str) -> str:
    """The rendered configuration, with the sandbox in the place of the vendors, and for a busy machine."""
    config = mapping(rendered("minimal").one("ConfigMap", "-config")["data"]["gateway.yaml"])
    for name, path in VENDORS.items():
        config["accounts"][name]["base_url"] = f"{sandbox_url}{path}"
    config["redis"]["timeout"] = PATIENT
    return yaml.safe_dump(config).replace("/var/lib/samurai", str(folder / "state"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    folder = tmp_path_factory.mktemp("installed")
    with ExitStack() as stack:
        data = {"gateway.yaml": config_for(folder, stack.enter_context(sandbox()))}
        mount(folder / "etc", data, "first")
        arguments = [text.replace(MOUNTED, str(folder / "etc")) for text in rendered("minimal").container["args"]]
        places = ["--host", "127.0.0.1", "--public-port", "0", "--admin-port", "0"]
        program = ("env", *(f"{name}={value}" for name, value in SECRET.items()), *SAMURAI)
        process, output = stack.enter_context(child(*arguments, *places, program=program))
        ready = output.wait_for(r"Ready: http://(\S+)/v1 for clients, http://(\S+) for", START_DEADLINE_S)
        yield Installed(folder / "etc", ready[1], ready[2], process)


def notes(pattern: str) -> str:
    """What NOTES.txt has there, its continued lines as one."""
    found = re.search(pattern, rendered("minimal").notes.replace("\\\n", " "), re.MULTILINE)
    assert found is not None
    return found[1]


def test_the_key_and_the_curl_line_of_the_notes_make_an_image(installed: Installed) -> None:
    made = installed.run(shlex.split(notes(r"exec samurai-0 -c gateway -- (samurai keys create .+)\)$")))
    assert made.returncode == 0, made.stdout + made.stderr
    key = made.stdout.removesuffix("\n")
    assert re.fullmatch(r"sk-samurai-\w+", key), "which the shell's $(…) takes as it is"
    curl, url, *options = shlex.split(notes(r"^ *(curl .+)$").replace("$SAMURAI_KEY", key))
    assert curl == "curl"
    given = list(zip(options[::2], options[1::2], strict=True))
    reply = httpx2.post(
        url.replace("127.0.0.1:8080", installed.public),
        headers=dict(value.split(": ") for option, value in given if option == "-H"),
        content=next(value for option, value in given if option == "-d"),
        timeout=60,
    )
    assert reply.status_code == 200, reply.text
    link = urlsplit(reply.json()["data"][0]["url"])
    assert link.netloc == "samurai.images.svc:80"
    here = notes(r"from here, put (\S+) before its path").replace("127.0.0.1:8080", installed.public)
    assert httpx2.get(f"{here}{link.path}?{link.query}", timeout=60).headers["content-type"].startswith("image/")


def test_what_runs_before_the_end_drains_the_gateway_also_when_its_configuration_was_changed_under_it(
    installed: Installed,
) -> None:
    """The last of those that share the gateway. An upgrade writes the ConfigMap first, and ends the pods later."""
    grace_s = rendered("minimal").gateway["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    mount(installed.mount, {"gateway.yaml": (installed.mount / "gateway.yaml").read_text()}, "second")
    begun = time.monotonic()
    done = installed.run(rendered("minimal").container["lifecycle"]["preStop"]["exec"]["command"])
    assert (done.returncode, done.stdout) == (0, f"gateway {installed.process.pid}: drained\n"), done.stderr
    reply = httpx2.get(f"http://{installed.admin}/readyz")
    assert (reply.status_code, reply.json()["status"]) == (503, "draining")
    installed.process.send_signal(signal.SIGTERM)
    assert installed.process.wait(STOP_DEADLINE_S) == 0
    assert time.monotonic() - begun < grace_s
