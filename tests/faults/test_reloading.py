"""A configuration that changes while requests are served: rows 49, 50 and 51."""

import itertools
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from gateway.policies.key_format import digest, new_key
from tests.faults.deployment import eventually, samples_in
from tests.processes import ROOT, Running, gateway, sandbox, sandbox_settings

SOON_S = 15.0
OTHER_KEY = new_key(b"k" * 32)


@dataclass
class Site:
    """A running gateway and the file that it is configured by."""

    running: Running
    file: Path
    settings: dict[str, Any]
    statuses: list[tuple[int, str]] = field(default_factory=list)
    count: int = 1

    def write(self, **groups: Any) -> None:
        """Replace groups of the configuration, in one step."""
        self.settings.update(groups)
        fresh = self.file.with_name("fresh.yaml")
        fresh.write_text(yaml.safe_dump(self.settings))
        fresh.replace(self.file)

    def state(self) -> dict[str, Any]:
        reply = httpx2.get(f"{self.running.admin_url}/readyz", timeout=10)
        assert reply.status_code == 200, reply.text
        state: dict[str, Any] = reply.json()["configuration"]
        return state

    def loaded(self) -> None:
        """Wait until one more configuration was taken up."""
        self.count += 1
        eventually(lambda: self.state()["loaded"] == self.count, SOON_S)

    def ask(self, key: str | None = None, **fields: Any) -> httpx2.Response:
        return httpx2.post(
            f"{self.running.base_url}/v1/images/generations",
            headers={"authorization": f"Bearer {key or self.running.key}"},
            json={"model": "flux-schnell", "prompt": "a lighthouse", "size": "256x256"} | fields,
            timeout=60,
        )

    @contextmanager
    def load(self, model: str = "dall-e-3") -> Iterator[None]:
        """Requests, one after the other from each of two clients, for the length of a block."""
        over = threading.Event()

        def client() -> None:
            while not over.is_set():
                reply = self.ask(model=model)
                self.statuses.append((reply.status_code, "" if reply.status_code == 200 else reply.text))

        clients = [threading.Thread(target=client) for _ in range(2)]
        for one in clients:
            one.start()
        try:
            yield
        finally:
            over.set()
            for one in clients:
                one.join()


@pytest.fixture(scope="module")
def sandbox_url() -> Iterator[str]:
    with sandbox() as url:
        yield url


@contextmanager
def site_in(folder: Path, sandbox_url: str, **groups: Any) -> Iterator[Site]:
    settings = sandbox_settings(folder, sandbox_url) | groups
    settings["keys"][0]["limits"] = {"requests_per_minute": 100_000, "images_per_minute": 100_000}
    with gateway(folder, settings, sandbox_url) as running:
        yield Site(running, folder / "gateway.yaml", settings)


@pytest.fixture(scope="module")
def shared_site(tmp_path_factory: pytest.TempPathFactory, sandbox_url: str) -> Iterator[Site]:
    with site_in(tmp_path_factory.mktemp("site"), sandbox_url) as site:
        yield site


@pytest.fixture
def site(shared_site: Site) -> Iterator[Site]:
    """A gateway in good order, which gets back the configuration that it had."""
    whole, kept = shared_site.file.read_text(), deepcopy(shared_site.settings)
    shared_site.statuses.clear()
    shared_site.count = shared_site.state()["loaded"]
    yield shared_site
    shared_site.settings = kept
    shared_site.file.write_text(whole)
    shared_site.running.process.send_signal(signal.SIGHUP)
    version = sha256(whole.encode()).hexdigest()[:12]
    eventually(lambda: shared_site.state() | {"version": version, "last_change": "ok"} == shared_site.state(), SOON_S)


def reloads(site: Site) -> dict[str, float]:
    text = httpx2.get(f"{site.running.admin_url}/metrics").text
    found = {}
    for (name, labels), value in samples_in(text).items():
        if name == "samurai_config_reloads_total":
            found[dict(labels)["result"]] = value
    return found


@pytest.mark.slow
def test_f049_a_broken_configuration_is_refused_with_its_lines_and_the_old_one_serves_on(site: Site) -> None:
    version, refused = site.state()["version"], reloads(site).get("refused", 0)
    whole = site.file.read_text()
    token = site.file.with_name("missing.token")
    for number, (text, words) in enumerate(
        [
            (whole + "\nkeys: [", "line "),
            (whole.replace("requests_per_minute", "requests_per_moment"), "requests_per_minute?"),
            (whole.replace(str(ROOT / "config/sandbox/openai.token"), str(token)), "accounts.openai.api_key"),
            ("", "the file is empty"),
        ],
        1,
    ):
        site.file.write_text(text)
        site.running.process.send_signal(signal.SIGHUP)
        eventually(lambda number=number: reloads(site)["refused"] >= refused + number, SOON_S)  # type: ignore[misc]
        line = site.running.output.wait_for(r'.*"faults":(\[.*\]),"version".*refused, the old one stays', SOON_S)
        assert words in line[1]
        assert "line " in line[1]
        assert site.state() == {"version": version, "loaded": site.count, "last_change": "refused"}
        assert site.ask().status_code == 200
    site.file.write_text(whole + "\n# mended\n")
    site.loaded()
    assert site.state()["last_change"] == "ok"
    assert site.state()["version"] != version


@pytest.mark.slow
def test_f049_a_secret_that_was_missing_is_enough_to_mend_a_refused_configuration(site: Site) -> None:
    token = site.file.with_name("late.token")
    accounts = site.settings["accounts"]
    site.write(accounts=accounts | {"openai": accounts["openai"] | {"api_key": {"file": str(token)}}})
    eventually(lambda: site.state()["last_change"] == "refused", SOON_S)
    token.write_text((ROOT / "config/sandbox/openai.token").read_text())
    site.loaded()
    assert site.ask(model="dall-e-3").status_code == 200


@pytest.mark.slow
@pytest.mark.fault(49)
def test_what_a_running_gateway_cannot_change_is_refused_by_name(site: Site) -> None:
    site.write(
        server=site.settings["server"] | {"admin": {"host": "127.0.0.1", "port": 9}},
        store={"url": f"file://{site.file.parent}/elsewhere"},
    )
    line = site.running.output.wait_for(r".*server\.admin\.port.*refused, the old one stays.*", SOON_S)[0]
    assert "server.admin.port: cannot change while the gateway runs; it needs a restart" in line
    assert "store.url: cannot change while the gateway runs" in line
    assert site.state()["loaded"] == site.count
    assert site.ask().status_code == 200


@pytest.mark.slow
def test_f050_a_mount_that_swaps_its_link_under_load_fails_no_request(tmp_path: Path, sandbox_url: str) -> None:
    (tmp_path / "..v0").mkdir()
    (tmp_path / "..v0/gateway.yaml").touch()
    (tmp_path / "..data").symlink_to("..v0")
    (tmp_path / "gateway.yaml").symlink_to("..data/gateway.yaml")
    with site_in(tmp_path, sandbox_url) as site, site.load():
        for number in range(1, 4):
            for account in site.settings["accounts"].values():
                account["timeout"] = f"{60 + number}s"  # new connections every time, and the old ones still in use
            (tmp_path / f"..v{number}").mkdir()
            (tmp_path / f"..v{number}/gateway.yaml").write_text(yaml.safe_dump(site.settings))
            (tmp_path / "..data_tmp").symlink_to(f"..v{number}")
            (tmp_path / "..data_tmp").replace(tmp_path / "..data")
            site.loaded()
        served = len(site.statuses)
        eventually(lambda: len(site.statuses) > served + 6, SOON_S)
    assert [status for status in site.statuses if status[0] != 200] == []


@pytest.mark.slow
def test_f050_a_file_that_is_half_written_again_and_again_is_never_taken_up(site: Site) -> None:
    before = len(site.running.output.lines)
    whole = [yaml.safe_dump(site.settings | {"logging": {"prompts": False}, "tenants": {f"t{n}": {}}}) for n in (1, 2)]
    over, counts = threading.Event(), itertools.count()

    def write_on() -> None:
        while not over.is_set():
            text = whole[next(counts) % 2]
            with site.file.open("w") as stream:
                for start in range(0, len(text), len(text) // 4):
                    stream.write(text[start : start + len(text) // 4])
                    stream.flush()
                    time.sleep(0.02)

    writer = threading.Thread(target=write_on)
    with site.load():
        writer.start()
        time.sleep(2.5)  # the writer's, not the test's: looks at a file that is never at rest
        over.set()
        writer.join()
        site.file.write_text(whole[0])
        site.loaded()
        served = len(site.statuses)
        eventually(lambda: len(site.statuses) > served + 6, SOON_S)
    assert [status for status in site.statuses if status[0] != 200] == []
    assert next(counts) > 10
    assert "refused" not in "".join(site.running.output.lines[before:])


@pytest.mark.slow
def test_f051_a_lowered_limit_holds_at_once_and_what_is_in_flight_goes_on(site: Site) -> None:
    key = site.settings["keys"][0]
    site.write(keys=[key | {"limits": {"requests_per_minute": 6, "images_per_minute": 1000, "burst": 30}}])
    site.loaded()
    for _ in range(20):  # a debt of 200 seconds, which the burst allows
        assert site.ask().status_code == 200
    replies: list[httpx2.Response] = []
    site.running.script(vendor="openai", operation="create", then={"latency_s": 3})
    slow = threading.Thread(target=lambda: replies.append(site.ask(model="dall-e-3")))
    slow.start()
    calls = f"{site.running.sandbox_url}/sandbox/calls"
    eventually(lambda: "openai" in httpx2.get(calls).text, SOON_S)
    del site.settings["models"]["dall-e-3"]  # even its route is gone by the time that it answers
    site.settings["accounts"]["openai"]["timeout"] = "61s"  # and new calls have new connections
    site.write(keys=[key | {"limits": {"requests_per_minute": 2, "images_per_minute": 1000}}])
    site.loaded()
    assert replies == []
    assert site.ask(model="dall-e-3").status_code == 404
    statuses = [site.ask() for _ in range(3)]
    assert statuses[-1].status_code == 429
    assert statuses[-1].json()["error"]["code"] == "rate_limit_requests"
    assert 1 <= int(statuses[-1].headers["retry-after"]) <= 60  # the debt of before counts, up to the new limit's burst
    assert statuses[-1].headers["x-ratelimit-limit-requests"] == "2"
    slow.join()
    assert [reply.status_code for reply in replies] == [200]


@pytest.mark.slow
@pytest.mark.fault(51)
def test_keys_models_and_the_log_follow_the_file_and_a_rotated_secret_is_used(tmp_path: Path, sandbox_url: str) -> None:
    token = tmp_path / "openai.token"
    token.write_text("the-old-one-that-was-revoked")
    with site_in(tmp_path, sandbox_url) as site:
        site.settings["accounts"]["openai"]["api_key"] = {"file": str(token)}
        site.write(logging={"level": "error"})
        site.loaded()
        assert site.ask(model="dall-e-3").json()["error"]["code"] == "upstream_auth_failed"
        token.write_text((ROOT / "config/sandbox/openai.token").read_text())
        site.loaded()
        eventually(lambda: site.ask(model="dall-e-3").status_code == 200, SOON_S)
        models = {"painter": site.settings["models"]["flux-schnell"]}
        site.write(models=site.settings["models"] | models, keys=[{"id": "other", "sha256": digest(OTHER_KEY)}])
        site.loaded()
        assert site.ask().status_code == 401
        assert site.ask(OTHER_KEY, model="painter").status_code == 200
        shown = httpx2.get(f"{site.running.base_url}/v1/models", headers={"authorization": f"Bearer {OTHER_KEY}"})
        assert "painter" in [model["id"] for model in shown.json()["data"]]
        assert "painter" in httpx2.get(f"{site.running.base_url}/openapi.json").text
    text = site.running.output.join()
    assert text.count('"event":"request"') == 0, "the level was raised before the first request"
