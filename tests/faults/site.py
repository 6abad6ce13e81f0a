"""Replicas that come and go beside one that stays; they share one Redis, one image store and one sandbox."""

import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from tests.faults.deployment import Counters, eventually, samples_in
from tests.processes import SAMURAI, START_DEADLINE_S, Running, child, gateway
from tests.replicas import administer, replica_settings
from tests.servers import Server, running_server, valkey_binary

LEASE_S = 3.0
TAKEN_UP_S = LEASE_S * 7 / 6  # a lease, and the sixth of one between two looks
SLACK_S = 10.0  # for a busy machine
HASTY_S = 4.0  # the deadline of the routes called `…-hasty`
PACE = "0.15"
BRINGING_UP_S = 5.0  # how long a call is held by its vendor: longer than it takes to kill its sender
RETRY = {"x-stainless-retry-count": "1"}
UNDER_WAY = {"put": {"status": "processing", "output": None}}


@dataclass(frozen=True)
class Site:
    """The replica that stays, the vendors, and what further replicas need."""

    stays: Running
    redis: Server
    folder: Path
    vendors: str
    pool: ThreadPoolExecutor = field(repr=False)

    @contextmanager
    def another(
        self, name: str, drain: dict[str, str] | None = None, program: Sequence[str] = SAMURAI
    ) -> Iterator[Running]:
        """A replica beside the one that stays; `program` is what runs."""
        settings = settings_of(self.folder, name, self.redis, self.vendors)
        settings["server"]["drain"] |= drain or {}
        with gateway(self.folder / name, settings, self.vendors, program=program) as running:
            try:
                yield running
            finally:
                if running.process.poll() is None:
                    running.process.send_signal(signal.SIGCONT)

    def ask(
        self, running: Running, prompt: str, headers: dict[str, str] | None = None, **fields: Any
    ) -> httpx2.Response:
        body = {"model": "flux-schnell", "prompt": prompt, "size": "256x256", "response_format": "b64_json"} | fields
        sent = {"authorization": f"Bearer {running.key}"} | (headers or {})
        return httpx2.post(f"{running.base_url}/v1/images/generations", headers=sent, json=body, timeout=60)

    def begin(
        self, running: Running, prompt: str, headers: dict[str, str] | None = None, **fields: Any
    ) -> "Future[httpx2.Response]":
        """Ask, and come back when the vendor has got the call for it."""
        before = len(self.calls())
        asked = self.pool.submit(self.ask, running, prompt, headers, **fields)
        eventually(lambda: len(self.calls()) > before)
        return asked

    def calls(self, operation: str = "create") -> list[dict[str, Any]]:
        """The calls of one operation that the vendors have read."""
        every = httpx2.get(f"{self.vendors}/sandbox/calls").raise_for_status().json()["calls"]
        bodiless = operation != "create"
        return [call for call in every if call["operation"] == operation and (bodiless or call["body"] is not None)]

    def charges(self) -> list[int]:
        """Images of each charge, oldest first."""
        return [entry["images"] for entry in self.stays.ledger()["entries"]]

    def script(self, vendor: str, then: dict[str, Any], operation: str = "create", times: int | None = 1) -> None:
        self.stays.script(vendor=vendor, operation=operation, then=then, times=times)

    def begin_endless(self, running: Running, prompt: str, images: int = 1) -> "Future[httpx2.Response]":
        """Ask for work at Replicate that looks unfinished until `let_go`; back when it was looked at."""
        self.script("replicate", UNDER_WAY)
        self.script("replicate", UNDER_WAY, "poll", times=None)
        polls = self.polls()
        asked = self.begin(running, prompt, n=images)
        eventually(lambda: self.polls() > polls)
        return asked

    def polls(self) -> int:
        return len(self.calls("poll"))

    def let_go(self) -> None:
        """Everything as usual again."""
        httpx2.delete(f"{self.vendors}/sandbox/scripts").raise_for_status()


def settings_of(folder: Path, name: str, redis: Server, vendors: str) -> dict[str, Any]:
    settings = replica_settings(folder / name, redis.url, vendors)
    settings["store"] = {"url": f"file://{folder}/images", "signing_key": {"file": str(folder / "signing.key")}}
    settings["idempotency"] = {"lease": f"{LEASE_S:g}s", "spool": str(folder / name / "journal")}
    settings["keys"][0]["limits"] = {}
    settings["server"]["drain"] = {"delay": "0s"}
    # Each row is looked at by itself: what a row teaches the breaker is not to decide the next one
    settings["resilience"] = {"breaker": {"failures": 1.0, "over": 100_000, "cooldown": "1ms"}, "retry_budget": 1.0}
    models = settings["models"]
    predict = {"dialect": "vertex_predict", "model": "imagen-3.0-generate-002"}  # several images a call, unlike Gemini
    models["imagen-predict"] = {"targets": [deepcopy(models["imagen-3"]["targets"][0]) | predict]}
    for model in ("flux-schnell", "dall-e-3", "ideogram-v3", "imagen-3"):
        models[f"{model}-hasty"] = deepcopy(models[model]) | {"deadline": f"{HASTY_S:g}s"}
    return settings


@contextmanager
def built_site(folder: Path) -> Iterator[Site]:
    """The replica that stays, running, with everything that it stands on."""
    (folder / "signing.key").write_text("k" * 40)
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(8))
        redis = stack.enter_context(running_server(valkey_binary()))
        _, output = stack.enter_context(
            child("sandbox", "--port", "0", "--unlimited", "--speak-retired", "--pace", PACE)
        )
        vendors = output.wait_for(r"(http://127\.0\.0\.1:\d+)", START_DEADLINE_S)[1]
        settings = settings_of(folder, "stays", redis, vendors)
        stays = stack.enter_context(gateway(folder / "stays", settings, vendors))
        yield Site(stays, redis, folder, vendors, pool)


def counters(running: Running) -> Counters:
    return samples_in(httpx2.get(f"{running.admin_url}/metrics", timeout=10).raise_for_status().text)


def total(running: Running, name: str, **labels: str) -> float:
    """One metric's sum over the samples with these labels."""
    samples = counters(running).items()
    return sum(figure for (found, has), figure in samples if found == name and labels.items() <= set(has))


def recovered(running: Running, outcome: str) -> float:
    return total(running, "samurai_operations_recovered_total", outcome=outcome)


def pictures(reply: httpx2.Response) -> list[str]:
    """The images of a reply that must be a good one."""
    assert reply.status_code == 200, reply.text
    return [image["b64_json"] for image in reply.json()["data"]]


def unknown_at(running: Running) -> set[str]:
    """The operations whose outcome nobody knows."""
    listed = administer(running, "GET", "/admin/operations?state=unknown").raise_for_status().json()["operations"]
    return {one["operation"] for one in listed}


def refusal(reply: httpx2.Response) -> tuple[int, str, str | None]:
    assert reply.status_code != 200
    return reply.status_code, reply.json()["error"]["code"], reply.headers.get("x-should-retry")
