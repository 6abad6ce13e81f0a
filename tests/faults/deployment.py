"""One gateway before the sandbox's four vendors, with routes for every way in which a vendor can be out of reach."""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from tests.faults.relay import Relay, relay_to
from tests.processes import PATIENT, Running, gateway, sandbox, sandbox_settings
from tests.servers import Server, free_port, running_server, valkey_binary

__all__ = ["ALL", "DEADLINE_S", "Deployment", "Seen", "Vendor", "deployed", "eventually", "samples_in"]

DEADLINE_S = 20.0
TOKENLESS = 4  # Vertex accounts that no test has used yet
HASTY_S = 1.0  # how long a call to a `-hasty` account may take to answer
HASTY_DEADLINE_S = 2.0  # and how long all of it may take
SLACK_S = 5.0  # for a busy machine
_SAMPLE = re.compile(r"^(samurai_\w+?)(\{.*\})? (\S+)$")
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_STRANGE = ("http:", "https:", "sandbox", "api key", "r8_", "traceback")


@dataclass(frozen=True)
class Vendor:
    """A vendor as clients see it: a model, what an image costs, and where in a reply the images stand."""

    name: str
    model: str
    native: str
    usd: float
    images_at: str
    links: bool

    @property
    def other(self) -> str:
        """Who serves `<model>-pair` when this vendor does not."""
        return "openai" if self.name == "ideogram" else "ideogram"


ALL = (
    Vendor("replicate", "flux-1.1-pro", "black-forest-labs/flux-1.1-pro", 0.04, "output", links=True),
    Vendor("openai", "dall-e-3", "gpt-image-2", 0.07, "data", links=False),
    Vendor("ideogram", "ideogram-v3", "ideogram-v3", 0.06, "data", links=True),
    Vendor("vertex", "imagen-3", "gemini-3.1-flash-image", 0.04, "candidates", links=False),
)
Counters = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


@dataclass(frozen=True)
class Seen:
    """What one request led to. `creates` and `charged` are over all vendors.

    `told` counts ended calls by their code, `answered` answers by theirs: a call may go on after its answer.

    `paid_usd` is what the gateway says in its reply, `None` where it says nothing.
    """

    reply: httpx2.Response = field(repr=False)
    creates: int
    charged: int
    told: Mapping[str, int]
    answered: Mapping[str, int]
    moved: Mapping[str, float]
    calls: tuple[dict[str, Any], ...] = field(repr=False, default=())

    @property
    def status(self) -> int:
        return self.reply.status_code

    @property
    def code(self) -> str:
        """`ok`, or the envelope's code; an envelope that is not as it should be is a failure by itself."""
        if self.status == 200:
            return "ok"
        error = self.reply.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert self.reply.headers["x-request-id"]
        assert not [word for word in _STRANGE if word in error["message"].lower()]
        return str(error["code"])

    @property
    def retry(self) -> str | None:
        return self.reply.headers.get("x-should-retry")

    @property
    def is_hasty(self) -> bool:
        """Whether the answer came within a `-hasty` route's deadline."""
        return self.reply.elapsed.total_seconds() < HASTY_DEADLINE_S + SLACK_S

    @property
    def served_by(self) -> str:
        return str(self.reply.headers["x-samurai-served-by"])

    def on(self, operation: str) -> int:
        """How many calls of `operation` reached the vendors."""
        return sum(call["operation"] == operation for call in self.calls)


@dataclass(frozen=True)
class Deployment:
    """A running gateway, its Redis and its vendors."""

    running: Running
    redis: Server
    folder: Path
    client: httpx2.Client = field(repr=False)
    relay: Relay

    def counters(self) -> Counters:
        """Every sample of the gateway's metrics."""
        return samples_in(self.client.get(f"{self.running.admin_url}/metrics").raise_for_status().text)

    def calm(self) -> None:
        """Nothing is scripted or charged, and nothing was learnt of any account."""
        self.relay.disarm()
        self.forget("ledger", "calls", "scripts")
        with self.redis.admin() as admin:
            admin.flushall()

    def forget(self, *what: str) -> None:
        """Empty these books of the sandbox."""
        for book in what:
            self.client.delete(f"{self.running.sandbox_url}/sandbox/{book}").raise_for_status()

    def sandbox(self, book: str) -> Any:
        """One of the sandbox's books as it is now."""
        return self.client.get(f"{self.running.sandbox_url}/sandbox/{book}").raise_for_status().json()

    def charged(self) -> int:
        """Images that the vendors billed."""
        return int(self.sandbox("ledger")["totals"]["images_charged"])

    def ask(self, model: str, headers: Mapping[str, str] | None = None, **fields: Any) -> httpx2.Response:
        return self.client.post(
            f"{self.running.base_url}/v1/images/generations",
            headers={"authorization": f"Bearer {self.running.key}"} | dict(headers or {}),
            json={"model": model, "prompt": "a lighthouse", "size": "1024x1024"} | fields,
        )

    def provoke(self, model: str, headers: Mapping[str, str] | None = None, **fields: Any) -> Seen:
        """Ask once, and look at everything that it led to."""
        self.forget("ledger", "calls")
        before = self.counters()
        reply = self.ask(model, headers, **fields)
        answered = ("samurai_requests_total", "model", model)
        eventually(lambda: _risen(before, self.counters(), *answered) >= 1)  # told after the reply's last byte
        after = self.counters()
        calls = self.calls()
        return Seen(
            reply,
            creates=sum(call["operation"] == "create" for call in calls),
            charged=self.charged(),
            told=_by_code("samurai_vendor_calls_total", before, after, model),
            answered=_by_code("samurai_requests_total", before, after, model),
            moved=_all_risen(before, after),
            calls=calls,
        )

    def calls(self) -> tuple[dict[str, Any], ...]:
        """Every request that reached the vendors."""
        return tuple(self.sandbox("calls")["calls"])

    def script(self, vendor: str, then: Mapping[str, Any], operation: str = "create", times: int | None = None) -> None:
        """Make a vendor misbehave, for ever unless told how often."""
        behaviour = {"vendor": vendor, "operation": operation, "then": dict(then), "times": times}
        added = self.client.post(f"{self.running.sandbox_url}/sandbox/scripts", json=behaviour)
        assert added.status_code == 201, added.text

    def uses_left(self) -> int:
        """How often the scripts in force may still be used."""
        return sum(script["times"] for script in self.sandbox("scripts")["scripts"])


def samples_in(exposition: str) -> Counters:
    """The samples of Prometheus's text form."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for line in exposition.splitlines():
        if sample := _SAMPLE.match(line):
            found[sample[1], frozenset(_LABEL.findall(sample[2] or ""))] = float(sample[3])
    return found


def eventually(condition: Callable[[], bool], within_s: float = 15.0) -> None:
    """Wait until `condition` holds; fails when it does not in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)


def _risen(before: Counters, after: Counters, name: str, label: str, value: str) -> float:
    return sum(
        figure - before.get(sample, 0.0)
        for sample, figure in after.items()
        if sample[0] == name and (label, value) in sample[1]
    )


def _by_code(name: str, before: Counters, after: Counters, model: str) -> Mapping[str, int]:
    codes = {value for _, labels in after for label, value in labels if label == "code"}
    told = {}
    for code in codes:
        sample_risen = sum(
            figure - before.get(sample, 0.0)
            for sample, figure in after.items()
            if sample[0] == name and {("code", code), ("model", model)} <= sample[1]
        )
        if sample_risen:
            told[code] = int(sample_risen)
    return told


def _all_risen(before: Counters, after: Counters) -> Mapping[str, float]:
    risen: dict[str, float] = {}
    for (name, labels), figure in after.items():
        if change := figure - before.get((name, labels), 0.0):
            risen[name] = risen.get(name, 0.0) + change
    return risen


@contextmanager
def deployed(folder: Path, tls: Mapping[str, int]) -> Iterator[Deployment]:
    """The deployment; `tls` are ports of servers whose certificates are not to be trusted, by name."""
    with ExitStack() as stack:
        sandbox_url = stack.enter_context(sandbox())
        redis = stack.enter_context(running_server(valkey_binary()))
        relay = stack.enter_context(relay_to(int(sandbox_url.rpartition(":")[2])))
        settings = sandbox_settings(folder, sandbox_url)
        settings["redis"] = {"url": redis.url, "timeout": PATIENT}
        settings["server"]["drain"] = {"delay": "0s"}
        settings["keys"][0]["limits"] = {}
        # Each row is looked at by itself: what a row teaches the breaker is not to decide the next one
        settings["resilience"] = {"breaker": {"failures": 1.0, "over": 100_000, "cooldown": "1ms"}, "retry_budget": 1.0}
        away = {
            "refused": f"http://127.0.0.1:{free_port()}",
            "nowhere": "https://no-such-host.invalid",
            **{name: f"https://127.0.0.1:{port}" for name, port in tls.items()},
        }
        for vendor in ALL:
            _add_routes(settings, vendor, away)
            _add_relayed(settings, vendor, sandbox_url, relay)
        for number in range(TOKENLESS):
            _add_tokenless(settings, number)
        running = stack.enter_context(gateway(folder, settings, sandbox_url))
        client = stack.enter_context(httpx2.Client(timeout=60))
        yield Deployment(running, redis, folder, client, relay)


def _add_routes(settings: dict[str, Any], vendor: Vendor, away: Mapping[str, str]) -> None:
    accounts, models = settings["accounts"], settings["models"]
    models[vendor.model]["deadline"] = f"{DEADLINE_S:g}s"
    own = models[vendor.model]["targets"][0]
    fallback = next(one for one in ALL if one.name == vendor.other)
    second = models[fallback.model]["targets"][0]
    accounts[f"{vendor.name}-hasty"] = deepcopy(accounts[vendor.name]) | {"timeout": f"{HASTY_S:g}s"}
    models[f"{vendor.model}-hasty"] = _route(own | {"account": f"{vendor.name}-hasty"}, deadline_s=HASTY_DEADLINE_S)
    models[f"{vendor.model}-pair"] = _route(own, second)
    for name, url in away.items():
        accounts[f"{vendor.name}-{name}"] = deepcopy(accounts[vendor.name]) | {"base_url": url}
        target = own | {"account": f"{vendor.name}-{name}"}
        models[f"{vendor.model}-{name}"] = _route(target)
        models[f"{vendor.model}-{name}-pair"] = _route(target, second)


def _add_relayed(settings: dict[str, Any], vendor: Vendor, sandbox_url: str, relay: Relay) -> None:
    """A route whose vendor is reached through the relay."""
    accounts, models, name = settings["accounts"], settings["models"], f"{vendor.name}-relayed"
    url = accounts[vendor.name]["base_url"].replace(sandbox_url, relay.url)
    accounts[name] = deepcopy(accounts[vendor.name]) | {"base_url": url}
    models[f"{vendor.model}-relayed"] = _route(models[vendor.model]["targets"][0] | {"account": name})


def _add_tokenless(settings: dict[str, Any], number: int) -> None:
    """Routes whose Vertex account has no token yet: each account is good for one test."""
    accounts, models, name = settings["accounts"], settings["models"], f"vertex-tokenless-{number}"
    accounts[name] = deepcopy(accounts["vertex"])
    own = models["imagen-3"]["targets"][0] | {"account": name}
    models[f"imagen-3-tokenless-{number}"] = _route(own)
    models[f"imagen-3-tokenless-{number}-pair"] = _route(own, models["ideogram-v3"]["targets"][0])


def _route(*targets: dict[str, Any], deadline_s: float = DEADLINE_S) -> dict[str, Any]:
    return {"targets": list(deepcopy(targets)), "deadline": f"{deadline_s:g}s"}
