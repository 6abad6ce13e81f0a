"""Two gateways, the sandbox, one Valkey and a Prometheus on this machine, and the trouble they are put into.

A minute of the rules is a second here: `shortened` divides every span of time in them by sixty.
"""

import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import yaml

from gateway.policies.key_format import digest
from tests.observability.prometheus import Prometheus, running_prometheus
from tests.processes import PATIENT, ROOT, Running, gateway, sandbox, sandbox_settings
from tests.servers import Server, running_server, valkey_binary

__all__ = ["Site", "Traffic", "shortened", "site"]

RULES = ROOT / "helm/rules/samurai.yaml"
_A_LOOK_S = 3.0  # Prometheus looks once a second
_SHORTER = {"m": "s", "h": "m"}
_KEYS = {
    "web-team": {"requests_per_minute": 100_000, "images_per_minute": 100_000},
    "batch": {"requests_per_minute": 100_000, "images_per_minute": 100_000},
    "trial": {"requests_per_minute": 3},
    "spender": {},
}
_PRICE = 0.01
_BUDGET_IMAGES = 4
_TROUBLED = {  # an account of its own for every kind of trouble, so that the others stay well
    "ideogram-revoked": ("ideogram", "ideogram_v3", "ideogram-v3"),
    "replicate-unpaid": ("replicate", "replicate_predictions", "black-forest-labs/flux-schnell"),
    "openai-retired": ("openai", "openai_images", "dall-e-3"),
    "vertex-failing": ("vertex", "vertex_generate_content", "gemini-3.1-flash-image"),
    "replicate-choosy": ("replicate", "replicate_predictions", "black-forest-labs/flux-schnell"),
    "openai-flaky": ("openai", "openai_images", "gpt-image-2"),
    "openai-slow": ("openai", "openai_images", "gpt-image-2"),
    "openai-narrow": ("openai", "openai_images", "gpt-image-2"),
    "ideogram-queued": ("ideogram", "ideogram_v2", "ideogram-3"),  # well, and the only one that has to be polled
}
_IMPATIENT_S = 1.2  # less than what is slow takes
_SCRIPTS: tuple[dict[str, Any], ...] = (
    {"vendor": "ideogram", "then": {"error": "ideogram.unauthorized_401"}, "match": {"prompt": "revoked"}},
    {"vendor": "replicate", "then": {"error": "replicate.no_credit_402"}, "match": {"prompt": "unpaid"}},
    {"vendor": "openai", "then": {"error": "openai.dead_model"}, "match": {"prompt": "retired"}},
    {"vendor": "vertex", "then": {"error": "vertex.internal_500"}, "match": {"prompt": "failing"}},
    {"vendor": "replicate", "then": {"error": "replicate.input_422"}, "match": {"prompt": "choosy"}},
    {"vendor": "openai", "then": {"wire": "close_after_read", "charged": True}, "match": {"prompt": "flaky"}},
    {"vendor": "openai", "then": {"latency_s": 1.5}, "match": {"prompt": "slow"}},
    {"vendor": "vertex", "then": {"error": "vertex.unavailable_503"}, "match": {"prompt": "again"}},
    {"vendor": "replicate", "then": {"error": "replicate.throttled_low_credit_429"}, "match": {"prompt": "hasty"}},
)


def shortened(rules: Mapping[str, Any]) -> dict[str, Any]:
    """The same rules with every span of time a sixtieth as long."""

    def shorter(span: re.Match[str]) -> str:
        unit = span[3]
        return f"{span[1]}{int(span[2]) * 24}m" if unit == "d" else f"{span[1]}{span[2]}{_SHORTER[unit]}"

    text = yaml.safe_dump(dict(rules), width=10_000)
    spans = re.compile(r"(\[|offset |for: )(\d+)([mhd])\b")
    made: dict[str, Any] = yaml.safe_load(spans.sub(shorter, text))
    return made


def secret_of(key: str) -> str:
    """The secret of a key of the site; good for these processes alone."""
    return f"secret-of-{key}-0001"


@dataclass
class Site:
    """All of it, running."""

    one: Running
    two: Running
    redis: Server
    prometheus: Prometheus
    folder: Path
    client: httpx2.Client

    def ask(self, model: str, prompt: str, key: str = "web-team", *, second: bool = False, **more: Any) -> int:
        """One request; the status, 0 where there was no answer."""
        running, headers = self.two if second else self.one, {"authorization": f"Bearer {secret_of(key)}"}
        headers |= more.pop("headers", {})
        patience_s = more.pop("patience_s", 30)
        body = {"model": model, "prompt": f"a lighthouse, {prompt}", "size": "1024x1024"} | more
        try:
            url = f"{running.base_url}/v1/images/generations"
            reply = self.client.post(url, headers=headers, json=body, timeout=patience_s)
        except httpx2.TransportError:
            return 0
        return reply.status_code

    def until_watched(self, deadline_s: float) -> None:
        """Wait until Prometheus has seen both gateways, and has got over not having seen any."""
        end = time.monotonic() + deadline_s
        while True:
            now = time.time()
            both = self.prometheus.query_range("count(samurai_build_info) == 2", now, now, 1.0)
            if both and "SamuraiAbsent" not in self.prometheus.firing():
                return
            assert time.monotonic() < end, "Prometheus does not see both gateways"
            time.sleep(0.2)

    def until_firing(self, wanted: set[str], deadline_s: float) -> set[str]:
        """All alerts that fired until each of `wanted` had; fails when they do not within `deadline_s`."""
        seen: set[str] = set()
        end = time.monotonic() + deadline_s
        while not wanted <= seen:
            assert time.monotonic() < end, f"never fired: {wanted - seen}"
            seen |= self.prometheus.firing()
            time.sleep(0.2)
        return seen


class Traffic:
    """Requests in the background, by a few threads, until the block ends."""

    def __init__(self, *works: Callable[[], Any]) -> None:
        self._works = works
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._repeat, args=(work,), daemon=True) for work in works]

    def _repeat(self, work: Callable[[], Any]) -> None:
        while not self._ended.is_set():
            work()
            self._ended.wait(0.1)

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(40)


def healthy(site: Site) -> Traffic:
    """What callers usually want, with their usual mistakes."""
    turns = iter(range(1_000_000))

    def usual() -> None:
        number = next(turns)
        model = ("flux-schnell", "dall-e-3", "ideogram-v3", "imagen-3")[number % 4]
        site.ask(model, "at dawn", n=1 + number % 2, size="512x512" if number % 3 == 0 else "1024x1024")

    def other() -> None:
        site.ask("flux-1.1-pro", "at night", "batch", second=True)
        site.ask("on-ideogram-queued", "at noon", "batch")

    def mistaken() -> None:
        site.ask("dall-e-3", "at noon", size="7x7")
        site.ask("nonsense", "at noon")
        time.sleep(0.5)

    return Traffic(usual, other, mistaken)


def troubled(site: Site) -> Traffic:
    """What goes wrong at vendors, at limits, and at callers."""

    def at_vendors() -> None:
        for account in ("ideogram-revoked", "replicate-unpaid", "openai-retired", "openai-flaky"):
            site.ask(f"on-{account}", account.partition("-")[2])

    def failing() -> None:
        site.ask("two-targets", "choosy")
        for _ in range(4):
            site.ask("on-vertex-failing", "failing")

    def in_vain() -> None:
        site.ask("imagen-3", "again", patience_s=3)
        site.ask("flux-schnell", "hasty", patience_s=3)
        site.ask("flux-schnell", "small", "trial")
        site.client.get(f"{site.one.base_url}/v1/models", timeout=10)

    def spending() -> None:
        site.ask("flux-schnell", "small", "spender")
        site.ask("dall-e-3", "at dusk", headers={"idempotency-key": "the-same-again"})

    def impatient() -> None:
        site.ask("on-openai-slow", "slow", patience_s=0.3)
        host, _, port = site.one.base_url.removeprefix("http://").rpartition(":")
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(b"this is no HTTP\r\n\r\n")
            connection.recv(1024)
        time.sleep(0.5)

    def too_late() -> None:
        site.ask("too-late", "slow")

    def crowding() -> None:
        site.ask("on-openai-narrow", "slow")

    def too_much() -> None:
        site.ask("on-openai-slow", "slow", second=True)

    return Traffic(at_vendors, failing, in_vain, spending, impatient, too_late, *[crowding] * 3, *[too_much] * 4)


def _holding_up(process: Any) -> Callable[[], None]:
    """Stop a process again and again, so that its loop comes late."""

    def hold() -> None:
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.6)
        process.send_signal(signal.SIGCONT)
        time.sleep(0.5)

    return hold


def break_the_store(site: Site) -> None:
    """Put a file where the second gateway's images were."""
    images = site.folder / "two" / "images"
    images.rename(images.with_name("images-away"))
    images.write_text("not a directory")


def break_the_configuration(site: Site) -> None:
    """Give the first gateway a file that makes no sense."""
    path = site.folder / "one" / "gateway.yaml"
    path.write_text(path.read_text() + "\nnonsense: true\n")
    site.one.process.send_signal(signal.SIGHUP)


def let_redis_forget(site: Site) -> None:
    """Set an eviction policy, and have the gateways look."""
    site.redis.admin().config_set("maxmemory-policy", "allkeys-lru")
    for running in (site.one, site.two):
        httpx2.get(f"{running.admin_url}/readyz", timeout=10)


def ask_without_redis(site: Site) -> None:
    """A few requests that the first gateway decides by itself, and whose money has to wait; then a look at it."""
    for _ in range(3):
        site.ask("flux-schnell", "in the dark", patience_s=20)
    time.sleep(_A_LOOK_S)


def hold_up_the_loop(site: Site) -> Traffic:
    """Hold the first gateway up again and again until the block ends."""
    return Traffic(_holding_up(site.one.process))


def _settings(folder: Path, redis: Server, sandbox_url: str) -> dict[str, Any]:
    settings = sandbox_settings(folder, sandbox_url)
    settings["redis"] = {"url": redis.url, "timeout": PATIENT}
    settings["server"]["drain"] = {"delay": "0s", "deadline": "5s"}
    settings["metrics"] = {"per_key": True}
    settings["keys"] = [
        {"id": name, "sha256": digest(secret_of(name)), "models": ["*"], "limits": limits}
        for name, limits in _KEYS.items()
    ]
    settings["keys"][-1]["budget"] = {"per_day": _PRICE * _BUDGET_IMAGES}
    settings["admission"] = {"loop_lag": "60s"}
    target = {"price": {"per_image": _PRICE}}
    for name, (vendor, dialect, model) in _TROUBLED.items():
        settings["accounts"][name] = dict(settings["accounts"][vendor])
        settings["models"][f"on-{name}"] = {
            "targets": [{"account": name, "dialect": dialect, "model": model, **target}]
        }
    settings["models"]["flux-schnell"]["targets"][0] |= target
    settings["models"]["two-targets"] = {
        "targets": [settings["models"][f"on-{name}"]["targets"][0] for name in ("replicate-choosy", "openai-slow")]
    }
    settings["models"]["too-late"] = {
        **settings["models"]["on-openai-slow"],
        "deadline": f"{_IMPATIENT_S * 1000:.0f}ms",
    }
    for account in settings["accounts"].values():
        account["pacing"] = {"requests_per_minute": 100_000, "images_in_flight": 1_000}
    settings["accounts"]["openai-narrow"]["pacing"]["images_in_flight"] = 1
    settings["models"]["on-openai-narrow"]["deadline"] = "2s"
    return settings


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    """The whole site. The second gateway has room for one request at a time, and whatever the first has."""
    with ExitStack() as stack:
        redis = stack.enter_context(running_server(valkey_binary(), "--maxmemory-policy", "noeviction"))
        sandbox_url = stack.enter_context(sandbox())
        running = []
        for name, more in (("one", {}), ("two", {"memory": "1MB"})):
            (folder / name).mkdir(parents=True)
            settings = _settings(folder / name, redis, sandbox_url)
            settings["admission"] |= more
            running.append(stack.enter_context(gateway(folder / name, settings, sandbox_url)))
        targets = [one.admin_url.removeprefix("http://") for one in running]
        rules = shortened(yaml.safe_load(RULES.read_text()))
        prometheus = stack.enter_context(running_prometheus(folder / "prometheus", targets, rules, every="1s"))
        client = stack.enter_context(httpx2.Client(limits=httpx2.Limits(max_connections=50)))
        yield Site(running[0], running[1], redis, prometheus, folder, client)


def script_trouble(site: Site) -> None:
    """Have the sandbox's vendors fail for whoever asks for it by a word in the prompt."""
    for script in _SCRIPTS:
        site.one.script(**script, operation="create", times=None)
