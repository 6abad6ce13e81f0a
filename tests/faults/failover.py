"""A gateway whose routes have a primary (OpenAI) and a fallback (Ideogram), each scene with accounts of its own.

What one scene teaches about an account (breaker, budget, pace) therefore decides nothing in another.
"""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from gateway.policies.key_format import RANDOM_BYTES, digest, new_key
from tests.faults.deployment import samples_in
from tests.processes import Running, gateway, sandbox, sandbox_settings
from tests.servers import free_port

__all__ = ["COOLDOWN_S", "FALLBACK", "HASTY_S", "PRIMARY", "SLACK_S", "TIMID_KEY", "Answer", "House", "built"]

PRIMARY, FALLBACK = "openai/gpt-image-2", "ideogram/ideogram-v3"
PRICE_USD = {"openai": 0.07, "ideogram": 0.06}
COOLDOWN_S = 1.0
SLACK_S = 5.0  # for a busy machine, where no time is what is shown
HASTY_S = 2.0  # how long an account's call may take to answer where a scene waits for that
_DEADLINE = "30s"
_TOKEN = "the-token-of-the-failover-tests"


@dataclass(frozen=True)
class Answer:
    """A reply, and how long it took."""

    reply: httpx2.Response = field(repr=False)
    seconds: float

    @property
    def status(self) -> int:
        return self.reply.status_code

    @property
    def code(self) -> str:
        return "ok" if self.status == 200 else str(self.reply.json()["error"]["code"])

    @property
    def retry(self) -> str | None:
        return self.reply.headers.get("x-should-retry")

    @property
    def served_by(self) -> str:
        return str(self.reply.headers["x-samurai-served-by"])

    @property
    def cost_usd(self) -> float:
        return float(self.reply.headers["x-samurai-cost-usd"])


@dataclass(frozen=True)
class House:
    """The running gateway and its sandbox."""

    running: Running
    client: httpx2.Client = field(repr=False)

    def ask(self, model: str, headers: Mapping[str, str] | None = None, key: str = "", **fields: Any) -> Answer:
        started = time.monotonic()
        reply = self.client.post(
            f"{self.running.base_url}/v1/images/generations",
            headers={"authorization": f"Bearer {key or self.running.key}"} | dict(headers or {}),
            json={"model": model, "prompt": "a lighthouse"} | fields,
        )
        return Answer(reply, time.monotonic() - started)

    def ask_many(self, model: str, times: int, at_once: int = 8) -> list[Answer]:
        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(lambda _: self.ask(model), range(times)))

    def script(self, vendor: str, times: int | None = None, prompt: str | None = None, **then: Any) -> None:
        match = {"prompt": prompt}
        self.running.script(vendor=vendor, operation="create", then=then, times=times, match=match)

    def heal(self) -> None:
        """Everything as usual at the vendors; what they saw and charged is kept."""
        self.client.delete(f"{self.running.sandbox_url}/sandbox/scripts").raise_for_status()

    def creates(self, vendor: str | None = None) -> int:
        """Paid calls that reached the vendors."""
        calls = self.client.get(f"{self.running.sandbox_url}/sandbox/calls").json()["calls"]
        return sum(call["operation"] == "create" and vendor in (None, call["vendor"]) for call in calls)

    def charged(self) -> tuple[int, int]:
        """Images that the primary's and the fallback's vendor billed."""
        by_vendor = self.running.ledger()["totals"]["by_vendor"]
        return by_vendor["openai"]["images_charged"], by_vendor["ideogram"]["images_charged"]

    def metric(self, name: str, **labels: str) -> float:
        text = self.client.get(f"{self.running.admin_url}/metrics").raise_for_status().text
        wanted = set(labels.items())
        return sum(figure for (found, of), figure in samples_in(text).items() if found == name and wanted <= of)

    def usage(self) -> dict[tuple[str, str], dict[str, Any]]:
        """The books, by model and vendor."""
        reply = self.client.get(
            f"{self.running.admin_url}/admin/usage?by=model,vendor", headers={"authorization": f"Bearer {_TOKEN}"}
        )
        return {(row["model"], row["vendor"]): row for row in reply.raise_for_status().json()["usage"]}


_USUAL = (
    *("limited", "limited-for-long", "both-limited", "odd-waits", "one-500", "one-503", "back", "reset"),
    *("slow-headers", "cut", "malformed", "too-long", "filtered", "flapping", "accounts"),
    *("storm", "storm-500", "throttled", "bad-callers", "unpaid", "probe", "chosen", "hint", "no-hurry", "healthy"),
)
_UNUSUAL: Mapping[str, dict[str, Any]] = {
    "silent": {"timeout": f"{HASTY_S:g}s"},
    "stalls": {"deadline": "4s"},
    "hung": {"timeout": f"{HASTY_S:g}s"},
    "filtered-on": {"on_refusal": "next_target"},
    "cheapest": {"strategy": "cheapest"},
    "weighted": {"strategy": "weighted"},
    "least-busy": {"strategy": "least_busy"},
}
TIMID_KEY = new_key(bytes(range(RANDOM_BYTES)))
"""A key that may not choose by whom it is served."""


@contextmanager
def built(folder: Path) -> Iterator[House]:
    """The gateway with a route for each scene, and one whose primary is not there at all."""
    with sandbox() as sandbox_url:
        settings = sandbox_settings(folder, sandbox_url)
        token = folder / "token"
        token.write_text(_TOKEN)
        settings["server"]["admin"]["token"] = {"file": str(token)}
        settings["keys"][0] |= {"limits": {}, "may_route": True}
        settings["keys"].append({"id": "timid", "sha256": digest(TIMID_KEY)})
        settings["resilience"] = {"breaker": {"cooldown": f"{round(COOLDOWN_S * 1000)}ms"}}
        for scene in _USUAL:
            _add_scene(settings, scene, {})
        for scene, options in _UNUSUAL.items():
            _add_scene(settings, scene, options)
        _add_scene(settings, "gone", {})
        settings["accounts"]["openai-gone"]["base_url"] = f"http://127.0.0.1:{free_port()}"
        with gateway(folder, settings, sandbox_url) as running, httpx2.Client(timeout=60) as client:
            yield House(running, client)


def _add_scene(settings: dict[str, Any], scene: str, options: Mapping[str, Any]) -> None:
    accounts, targets = settings["accounts"], []
    for vendor, model, weight in (("openai", "dall-e-3", 3), ("ideogram", "ideogram-v3", 1)):
        accounts[f"{vendor}-{scene}"] = deepcopy(accounts[vendor])
        own = {"account": f"{vendor}-{scene}", "weight": weight, "price": {"per_image": PRICE_USD[vendor]}}
        targets.append(deepcopy(settings["models"][model]["targets"][0]) | own)
    if "timeout" in options:
        accounts[f"openai-{scene}"]["timeout"] = options["timeout"]
    route = {name: value for name, value in options.items() if name != "timeout"}
    settings["models"][scene] = {"deadline": _DEADLINE, "targets": targets} | route
