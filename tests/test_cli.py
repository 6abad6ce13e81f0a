import asyncio
import json
import shutil
import signal
import socket
import sys
import urllib.request
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway import __version__
from gateway.cli import commands
from gateway.cli_sandbox import DEMO_KEY
from gateway.policies.key_format import digest, looks_mistyped
from gateway.settings.documents import schema_text
from tests.settings.samples import SMALL, load_text

CONFIG = Path(__file__).parents[1] / "config"
START_S = 60  # a second on an idle machine
NO_KEYS = SMALL[: SMALL.index("keys:")]


async def run(*arguments: str | Path) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", *map(str, arguments), stdout=PIPE, stderr=PIPE, env={}
    )
    async with asyncio.timeout(START_S):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


@contextmanager
def taken_port() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield str(server.getsockname()[1])


def free_port() -> str:
    with taken_port() as port:
        return port


async def line_with(process: Process, word: str) -> str:
    assert process.stdout is not None
    said: list[str] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(START_S):
            while line := (await process.stdout.readline()).decode():
                said.append(line)
                if word in line:
                    return line
    raise AssertionError(f"ended ({process.returncode}) or silent, without {word!r}, after: {''.join(said)}")


@pytest.fixture
def sandbox_config(tmp_path: Path) -> Path:
    """The shipped sandbox configuration in a place of its own, so that its store is not the repository's."""
    return Path(shutil.copytree(CONFIG, tmp_path / "config")) / "sandbox.yaml"


@asynccontextmanager
async def serving(config: Path, sandbox_port: str) -> AsyncIterator[tuple[Process, str]]:
    arguments = ("--public-port", "0", "--admin-port", "0", "--sandbox-port", sandbox_port)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "serve", "--config", config, "--with-sandbox", *arguments),
        stdout=PIPE,
        stderr=STDOUT,
    )
    try:
        yield process, (await line_with(process, "Ready")).split()[1]
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def made_image(api: str, key: str) -> bytes:
    body = json.dumps({"model": "imagen-3", "prompt": "a gate", "size": "256x256"}).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{api}/images/generations", body, headers)
    with urllib.request.urlopen(request, timeout=START_S) as reply:
        url = json.load(reply)["data"][0]["url"]
    with urllib.request.urlopen(url, timeout=START_S) as reply:
        data: bytes = reply.read()
    return data


async def until_free(port: str) -> None:
    async with asyncio.timeout(START_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", int(port))
            except ConnectionRefusedError:
                return
            writer.close()
            await asyncio.sleep(0.02)


def test_a_new_key_is_shown_once_and_its_lines_make_the_gateway_accept_it(tmp_path: Path) -> None:
    result = CliRunner().invoke(commands, ["keys", "new", "--id", "web-team", "--tenant", "acme"])
    assert result.exit_code == 0
    key, _, rest = result.stdout.partition("\n")
    assert key.startswith("sk-samurai-")
    assert not looks_mistyped(key)
    assert key not in rest
    lines = rest[rest.index("  - id") :]
    settings = load_text(f"{NO_KEYS}tenants: {{acme: {{}}}}\nkeys:\n{lines}", tmp_path)
    assert (settings.callers[digest(key)].key_id, settings.callers[digest(key)].tenant) == ("web-team", "acme")


def test_a_new_key_has_a_name_by_itself_and_no_two_are_alike(tmp_path: Path) -> None:
    outputs = [CliRunner().invoke(commands, ["keys", "new"]).stdout for _ in range(2)]
    assert outputs[0].splitlines()[0] != outputs[1].splitlines()[0]
    lines = "".join(output[output.index("  - id") :] for output in outputs)
    assert len({key.caller.key_id for key in load_text(f"{NO_KEYS}keys:\n{lines}", tmp_path).keys}) == 2


def test_a_name_that_the_configuration_would_refuse_is_refused_at_once() -> None:
    result = CliRunner().invoke(commands, ["keys", "new", "--id", "web team"])
    assert result.exit_code == 2
    assert "sk-samurai-" not in result.output


def test_schema_and_version_print_what_they_say() -> None:
    assert CliRunner().invoke(commands, ["schema"]).stdout == schema_text()
    assert CliRunner().invoke(commands, ["version"]).stdout == f"{__version__}\n"


async def test_a_broken_configuration_ends_with_78_and_all_faults_on_stderr(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(NO_KEYS.replace("0.05", "0"))
    code, out, err = await run("serve", "--config", path)
    assert (code, out) == (78, "")
    assert err.splitlines()[0] == f"{path} has 3 faults:"
    assert [line.strip().split(": ")[0] for line in err.splitlines()[1:]] == ["line 1", "line 2", "line 6"]
    assert "environment variable OPENAI_API_KEY is not set" in err


async def test_a_taken_port_is_told_with_the_option_that_moves_it(sandbox_config: Path) -> None:
    with taken_port() as port:
        code, _, err = await run("serve", "--config", sandbox_config, "--public-port", port, "--admin-port", "0")
        assert (code, "--public-port" in err, port in err) == (1, True, True)
        code, _, err = await run("serve", "--config", sandbox_config, "--with-sandbox", "--sandbox-port", port)
        assert (code, "--sandbox-port" in err, port in err) == (1, True, True)
        code, _, err = await run("sandbox", "--port", port)
        assert (code, "--port" in err, port in err) == (1, True, True)
        assert "Traceback" not in err


async def test_two_ports_of_one_number_are_refused(sandbox_config: Path) -> None:
    code, _, err = await run("serve", "--config", sandbox_config, "--public-port", "8081")
    assert code == 2
    assert "must differ" in err


async def test_serve_with_the_sandbox_makes_an_image_with_the_demo_key_and_ends_cleanly(sandbox_config: Path) -> None:
    sandbox_port = free_port()
    async with serving(sandbox_config, sandbox_port) as (process, api):
        assert DEMO_KEY in await line_with(process, "Demo key")
        image = await asyncio.to_thread(made_image, api, DEMO_KEY)
        assert image.startswith(b"\x89PNG")
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(START_S):
            assert process.stdout is not None
            await process.stdout.read()
            assert await process.wait() == 0
        await until_free(sandbox_port)
    assert (sandbox_config.parents[1] / ".samurai" / "images").is_dir()


async def test_the_sandbox_does_not_outlive_a_gateway_that_was_killed(sandbox_config: Path) -> None:
    sandbox_port = free_port()
    async with serving(sandbox_config, sandbox_port) as (process, _):
        process.kill()
        await process.wait()
        await until_free(sandbox_port)
    with socket.create_server(("127.0.0.1", int(sandbox_port))) as server:
        assert server.getsockname()[1] == int(sandbox_port)
