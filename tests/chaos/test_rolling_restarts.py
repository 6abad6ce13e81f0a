"""Replicas are restarted one after another under load, behind nginx: not one request fails, though nobody retries.

As a cluster does it, a replica is told to end, and at about the same time taken out of the balancer. The long form is
`python -m tests.chaos.test_rolling_restarts 50`.
"""

import asyncio
import json
import random
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
import yaml

from tests.chaos.generations.pages import RESTARTS, write_page
from tests.processes import ROOT, SAMURAI, START_DEADLINE_S, child, demo_key, environment, sandbox_settings
from tests.servers import free_port, running_server, valkey_binary

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
MODELS = {"flux-schnell": 4, "flux-1.1-pro": 4, "dall-e-3": 1, "ideogram-v3": 1, "imagen-3": 1}
REPLICAS, CLIENTS = 3, 6
DRAIN = {"delay": "5s", "deadline": "60s"}
NOTICED_S = (0.0, 1.0)  # until the balancer is told; that and its reload, on a busy machine, within the delay
READY_S, ENDED_S = 60.0, 90.0
PACE = "0.05"

CONFIG = """
daemon off; worker_processes 1; pid nginx.pid; error_log stderr error; user root;
events {{ worker_connections 512; }}
http {{
  access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u;
  scgi_temp_path s;
  upstream replicas {{ {servers} keepalive 8; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://replicas; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $http_host; proxy_next_upstream off; proxy_read_timeout 120s;
    }}
  }}
}}
"""


@dataclass
class Balancer:
    """nginx, in a directory of its own."""

    folder: Path
    port: int = field(default_factory=free_port)

    def lead_to(self, ports: Sequence[int]) -> None:
        """Write down where to go; `reload` puts it in force."""
        servers = " ".join(f"server 127.0.0.1:{port} max_fails=0;" for port in ports)
        (self.folder / "nginx.conf").write_text(CONFIG.format(servers=servers, port=self.port))

    async def reload(self) -> None:
        done = await asyncio.create_subprocess_exec(*self.command, "-s", "reload")
        assert await done.wait() == 0

    @property
    def command(self) -> tuple[str, ...]:
        return (NGINX, "-p", str(self.folder), "-c", "nginx.conf", "-e", "stderr")


@contextmanager
def balanced(folder: Path, ports: Sequence[int]) -> Iterator[Balancer]:
    folder.mkdir()
    balancer = Balancer(folder)
    balancer.lead_to(ports)
    with child(program=balancer.command) as (_, output):
        deadline = time.monotonic() + START_DEADLINE_S
        while not (folder / "nginx.pid").exists():
            assert time.monotonic() < deadline, "nginx does not start"
            time.sleep(0.02)
        yield balancer
    sys.stdout.writelines(line for line in output.lines if "[error]" in line)


@dataclass
class Replica:
    """One gateway process after another on the same two ports."""

    folder: Path
    port: int
    admin_port: int
    process: "subprocess.Popen[bytes] | None" = None

    async def start(self) -> None:
        """Begin, and wait until it says that it is ready."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                (*SAMURAI, "serve", "--config", str(self.folder / "gateway.yaml")),
                stdout=log,
                stderr=log,
                env=environment() | {"PYTHONPATH": str(ROOT)},
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_S
        async with httpx2.AsyncClient() as client:
            while True:
                with suppress(httpx2.TransportError):
                    if (await client.get(f"http://127.0.0.1:{self.admin_port}/readyz")).status_code == 200:
                        return
                assert time.monotonic() < deadline, (self.folder / "log").read_text()[-3000:]
                await asyncio.sleep(0.05)

    def tell_to_end(self) -> None:
        assert self.process is not None
        self.process.terminate()

    async def ended(self) -> int:
        """Its exit status, once it is gone."""
        assert self.process is not None
        return await asyncio.to_thread(self.process.wait, ENDED_S)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@dataclass
class Load:
    """Callers who never retry. A connection for each call: a reload of nginx itself cuts those that stand idle."""

    url: str
    dice: random.Random
    is_over: bool = False
    answers: Counter[str] = field(default_factory=Counter)

    async def call_on(self, number: int) -> None:
        http = httpx2.AsyncClient(limits=httpx2.Limits(max_keepalive_connections=0), timeout=120)
        async with openai.AsyncOpenAI(base_url=self.url, api_key=demo_key(), max_retries=0, http_client=http) as sdk:
            while not self.is_over:
                self.answers[await self._answer(sdk, f"restart {number} {sum(self.answers.values())}")] += 1

    async def _answer(self, sdk: openai.AsyncOpenAI, prompt: str) -> str:
        model, count = self.dice.choices(list(MODELS), list(MODELS.values()))[0], self.dice.randint(1, 2)
        try:
            reply = await sdk.images.generate(model=model, prompt=prompt, n=count, size="256x256")
        except openai.APIError as error:
            return f"{type(error).__name__} {error.message}"[:200]
        return "ok" if len(reply.data or []) == count else "short"


@asynccontextmanager
async def replicas_behind_nginx(folder: Path) -> AsyncIterator[tuple[Balancer, list[Replica]]]:
    with sandbox_at_pace() as vendors, running_server(valkey_binary()) as redis:
        async with AsyncExitStack() as stack:
            replicas = [_replica(folder, number, vendors, redis.url) for number in range(REPLICAS)]
            for one in replicas:
                stack.callback(one.kill)
                await one.start()
            balancer = stack.enter_context(balanced(folder / "nginx", [one.port for one in replicas]))
            yield balancer, replicas


@contextmanager
def sandbox_at_pace() -> Iterator[str]:
    with child("sandbox", "--port", "0", "--unlimited", "--pace", PACE) as (_, output):
        yield output.wait_for(r"(http://127\.0\.0\.1:\d+)", START_DEADLINE_S)[1]


def _replica(folder: Path, number: int, vendors: str, redis_url: str) -> Replica:
    one = Replica(folder / str(number), free_port(), free_port())
    one.folder.mkdir()
    settings: dict[str, Any] = sandbox_settings(folder, vendors)
    settings["redis"]["url"] = redis_url
    settings["server"]["public"]["port"], settings["server"]["admin"]["port"] = one.port, one.admin_port
    settings["server"]["drain"] = DRAIN
    settings["keys"][0]["limits"] = {}
    settings["idempotency"] = {"spool": str(one.folder / "spool")}
    settings["accounts"]["replicate"]["pacing"] = {"requests_per_minute": 1_000_000}
    (one.folder / "gateway.yaml").write_text(yaml.safe_dump(settings))
    return one


async def restarted(replica: Replica, replicas: Sequence[Replica], balancer: Balancer, dice: random.Random) -> int:
    """One restart; the exit status of the old process."""
    replica.tell_to_end()
    await asyncio.sleep(dice.uniform(*NOTICED_S))
    balancer.lead_to([one.port for one in replicas if one is not replica])
    await balancer.reload()
    status = await replica.ended()
    await replica.start()
    balancer.lead_to([one.port for one in replicas])
    await balancer.reload()
    return status


async def rolled(seed: str, restarts: int) -> tuple[Counter[str], Counter[int]]:
    """The answers under load, and the exit statuses."""
    dice, statuses = random.Random(seed), Counter[int]()
    folder = Path(tempfile.mkdtemp(prefix="rolling-"))
    async with replicas_behind_nginx(folder) as (balancer, replicas):
        load = Load(f"http://127.0.0.1:{balancer.port}/v1", random.Random(dice.random()))
        callers = [asyncio.create_task(load.call_on(number)) for number in range(CLIENTS)]
        try:
            for number in range(restarts):
                statuses[await restarted(replicas[number % REPLICAS], replicas, balancer, dice)] += 1
        finally:
            load.is_over = True
            await asyncio.gather(*callers)
    shutil.rmtree(folder)
    return load.answers, statuses


def _told(restarts: int) -> dict[str, Any]:
    seed, began = secrets.token_hex(4), time.monotonic()
    answers, statuses = asyncio.run(rolled(seed, restarts))
    sys.stdout.write(
        f"seed {seed}: {restarts} restarts in {time.monotonic() - began:.0f} s, {answers.total()} requests, "
        f"{answers.total() - answers['ok']} failed: {dict(answers)}; exit statuses {dict(statuses)}\n"
    )
    failed, bad_exits = answers.total() - answers["ok"], restarts - statuses[0]
    return {
        "seed": seed,
        "restarts": restarts,
        "requests": answers.total(),
        "failed": failed,
        "bad_exits": bad_exits,
        "seconds": round(time.monotonic() - began),
    }


@pytest.mark.slow
def test_a_rolling_restart_under_load_fails_no_request() -> None:
    told = _told(3)
    assert told["requests"] > 10
    assert (told["failed"], told["bad_exits"]) == (0, 0)


if __name__ == "__main__":
    RESTARTS.parent.mkdir(exist_ok=True)
    RESTARTS.write_text(json.dumps(_told(int(sys.argv[1]))))
    write_page()
