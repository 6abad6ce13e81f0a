"""What must never be read anywhere: row 55. Canaries go through every fault at hand, and all output is searched."""

import base64
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
import yaml

from gateway.policies.key_format import digest, new_key
from tests import canaries
from tests.faults.deployment import eventually
from tests.processes import ROOT, SAMURAI, Running, child, environment, gateway, sandbox, sandbox_settings
from tests.servers import free_port, running_server, valkey_binary

SOON_S = 20.0
CLIENT_KEY = new_key(b"canary-client-key-bytes-32-long!")
CANARIES = {
    "admin token": "canaryAdminToken4f1c9a72d0",
    "signing key": "canarySigningKey93b7d1e6a0f24c58b1d7",
    "redis password": "canaryRedisPassword5d2e8f",
    "account header": "canaryOrganisation71ac3b",
    "client key": CLIENT_KEY,
    "wrong client key": new_key(b"canary-wrong-client-key-32-long!"),
    "opaque client key": "canaryOpaqueClientKey0b6e",
    "prompt": "canary-lighthouse with a quiet zebra-striped tower",
    "user": "canary-end-user-c0ffee",
    **{f"{name} token": (ROOT / f"config/sandbox/{name}.token").read_text().strip()
       for name in ("openai", "replicate", "ideogram")},
}  # fmt: skip
LEAKS = (  # what a vendor, of ill will or by mistake, says back
    {"error": {"message": f"bad key {CANARIES['openai token']} for prompt {CANARIES['prompt']}", "type": "x"}},
    {"detail": CANARIES["prompt"], "error": CANARIES["prompt"], "title": CANARIES["account header"]},
)
AT_ONCE = ("_400", "_401", "_402", "_403", "_404", "_422")  # the others are tried again, which takes its time
MODELS = {"openai": "dall-e-3", "replicate": "flux-schnell", "ideogram": "ideogram-v3", "vertex": "imagen-3"}


def hits(text: str) -> set[str]:
    """The canaries that `text` holds."""
    return canaries.hits(text, CANARIES)


@dataclass
class Heard:
    """Everything that anybody could read, but the answers that are meant to hold what they hold."""

    running: Running
    texts: list[str] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)

    def note(self, reply: httpx2.Response) -> httpx2.Response:
        self.statuses.add(reply.status_code)
        self.texts.append(repr(dict(reply.headers)))
        if reply.status_code != 200:
            self.texts.append(reply.text)
        return reply

    def ask(self, key: str = CLIENT_KEY, content: str | bytes | None = None, **fields: Any) -> httpx2.Response:
        body = {"model": "dall-e-3", "prompt": CANARIES["prompt"], "size": "256x256", "user": CANARIES["user"]}
        sent: dict[str, Any] = {"json": body | fields} if content is None else {"content": content}
        return self.note(
            httpx2.post(
                f"{self.running.base_url}/v1/images/generations",
                headers={"authorization": f"Bearer {key}", "content-type": "application/json"},
                timeout=60,
                **sent,
            )
        )

    def administer(self, path: str, token: str) -> None:
        reply = httpx2.get(f"{self.running.admin_url}{path}", headers={"authorization": f"Bearer {token}"}, timeout=30)
        self.note(reply)
        self.texts.append(reply.text)

    def look(self) -> None:
        for path in ("/metrics", "/readyz", "/healthz"):
            self.texts.append(httpx2.get(self.running.admin_url + path, timeout=30).text)
        for path in ("/openapi.json", "/llms.txt"):
            self.texts.append(httpx2.get(self.running.base_url + path, timeout=30).text)


@contextmanager
def canary_gateway(folder: Path) -> Iterator[Heard]:
    port = free_port()
    with sandbox() as url, running_server(
        valkey_binary(), "--requirepass", CANARIES["redis password"], port=port
    ) as redis:  # fmt: skip
        settings = sandbox_settings(folder, url)
        for name, text in {
            "admin": CANARIES["admin token"],
            "signing": CANARIES["signing key"],
            "organisation": CANARIES["account header"],
            "redis": f"redis://:{CANARIES['redis password']}@127.0.0.1:{port}/0",
        }.items():
            (folder / f"{name}.secret").write_text(text + "\n")
        settings["server"]["admin"]["token"] = {"file": "admin.secret"}
        settings["store"]["signing_key"] = {"file": "signing.secret"}
        settings["redis"] = {"url": {"file": "redis.secret"}, "timeout": "2s"}
        settings["accounts"]["openai"]["headers"] = {"OpenAI-Organization": {"file": "organisation.secret"}}
        settings["accounts"]["openai"]["timeout"] = "2s"
        settings["keys"] = [
            {"id": "canary", "sha256": digest(CLIENT_KEY)},
            {"id": "opaque", "sha256": digest(CANARIES["opaque client key"])},
        ]
        settings["logging"] = {"level": "debug"}
        settings["resilience"] = {"breaker": {"over": 1000}}
        with gateway(folder, settings, url) as running:
            heard = Heard(running)
            yield heard
            redis.kill()  # the last of its faults: mid-run, with the password in use
            heard.ask(model="flux-schnell")
            heard.administer("/admin/keys", CANARIES["admin token"])
        heard.texts.append(running.output.join())


def mistakes_of_callers(heard: Heard) -> None:
    prompt = CANARIES["prompt"]
    for content in (
        f'{{"prompt": "{prompt}"',
        f'{{"prompt": "{prompt}", "prompt": "{prompt}", "model": "dall-e-3"}}',
        f'["{prompt}"]',
        b"\xff" + prompt.encode(),
    ):
        assert heard.ask(content=content).status_code == 400
    for fields in (
        {"prompt": prompt * 30},
        {"prompt": [prompt]},
        {"unheard_of": CANARIES["opaque client key"]},
        {"user": CANARIES["user"] * 20},
        {"n": 99},
    ):
        assert heard.ask(**fields).status_code == 400
    assert heard.ask(model="no-such-model").status_code == 404
    assert heard.ask(key=CANARIES["wrong client key"]).status_code == 401
    assert heard.ask(key=CANARIES["wrong client key"][:-1] + "!").status_code == 401
    twice = [("authorization", f"Bearer {CLIENT_KEY}")] * 2
    assert heard.note(httpx2.get(f"{heard.running.base_url}/v1/models", headers=twice)).status_code == 400
    heard.note(httpx2.get(f"{heard.running.base_url}/v1/models?api_key={CLIENT_KEY}"))
    heard.note(httpx2.get(f"{heard.running.base_url}/{quote(prompt)}"))


def faults_of_vendors(heard: Heard) -> None:
    errors = httpx2.get(f"{heard.running.sandbox_url}/sandbox/errors").json()["errors"]
    told = [name for name in errors if name.split(".")[0] in MODELS and name.endswith(AT_ONCE)]
    for name in told:
        vendor = name.split(".")[0]
        heard.running.script(vendor=vendor, operation="create", times=1, then={"error": name})
        heard.ask(model=MODELS[vendor])
        heard.running.reset()
    for vendor, model in MODELS.items():
        for then in (
            *({"status": status, "body": body} for body in LEAKS for status in (200, 400, 403)),
            {"status": 500, "body": LEAKS[0]},
            {"wire": "reset_after_read"},
            {"wire": "truncated"},
            {"mangle": "html"},
            {"image": {"spoil": "corrupt"}},
        ):
            heard.running.script(vendor=vendor, operation="create", times=1, then=then)
            heard.ask(model=model)
            heard.running.reset()


def faults_of_operators(heard: Heard, folder: Path) -> None:
    file = folder / "gateway.yaml"
    whole = file.read_text()
    settings = yaml.safe_load(whole)
    settings["accounts"]["openai"]["api_key"] = CANARIES["openai token"]  # the secret itself, where its place goes
    settings["server"]["admin"]["token"] = {"env": CANARIES["admin token"]}
    for text in (yaml.safe_dump(settings), f"{whole}\n? {CANARIES['openai token']}: {{", f"{whole}\n{CLIENT_KEY}: 1\n"):
        file.write_text(text)
        eventually(lambda: "refused" in httpx2.get(f"{heard.running.admin_url}/readyz").text, SOON_S)
        if text.startswith(whole):
            heard.texts.append(said_by([*SAMURAI, "doctor", "--config", str(file)]))
        file.write_text(whole)
        eventually(lambda: '"last_change":"ok"' in httpx2.get(f"{heard.running.admin_url}/readyz").text, SOON_S)
    heard.texts += [said_by([*SAMURAI, "doctor", "--config", str(file), *more]) for more in ((), ("--json",))]
    for path in ("/admin/keys", "/admin/audit", "/admin/usage", "/admin/suspense", "/admin/users", "/admin/nothing"):
        for token in (CANARIES["admin token"], CANARIES["admin token"] + "x"):
            heard.administer(path, token)


def said_by(command: list[str]) -> str:
    ended = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment() | {"PYTHONPATH": str(ROOT)},
        timeout=120,
        check=False,
    )
    return ended.stdout


@pytest.mark.slow
def test_f055_no_key_no_secret_and_no_prompt_is_in_anything_that_can_be_read(tmp_path: Path) -> None:
    with canary_gateway(tmp_path) as heard:
        for model in MODELS.values():
            for form in ("url", "b64_json"):
                assert heard.ask(model=model, response_format=form).status_code == 200
        assert heard.ask(stream=True).status_code == 200
        assert heard.ask(key=CANARIES["opaque client key"]).status_code == 200
        calls = httpx2.get(f"{heard.running.sandbox_url}/sandbox/calls").text
        assert "prompt" in hits(calls), "the canaries travel, and the search finds them"
        mistakes_of_callers(heard)
        faults_of_vendors(heard)
        faults_of_operators(heard, tmp_path)
        heard.look()
    assert {200, 400, 401, 404, 500} <= heard.statuses
    output = "\n".join(heard.texts)
    assert '"level":"debug"' in output or '"level":"warning"' in output
    assert output.count("vendor call failed") > 30
    found = {name: [text for text in heard.texts if name in hits(text)] for name in hits(output)}
    lines = {name: [line[:600] for text in texts for line in text.splitlines() if name in hits(line)][:5]
             for name, texts in found.items()}  # fmt: skip
    assert lines == {}


def test_the_search_finds_what_is_hidden_in_base64_hex_and_urls() -> None:
    for name, canary in CANARIES.items():
        for text in (
            canary,
            base64.b64encode(f"Bearer {canary}".encode()).decode(),
            base64.b64encode(f"x{canary}y".encode()).decode(),
            base64.b64encode(f"xy{canary}".encode()).decode(),
            canary.encode().hex(),
            f"https://host/?q={quote(canary)}",
        ):
            assert name in hits(f"before {text} after"), (name, text)
    assert hits("nothing to see") == set()


def say(text: str) -> None:
    """A process of the suite that says so and ends."""
    program = (sys.executable, "-c", "import sys; print(*sys.argv[1:])")
    with child(text, program=program) as (process, _):
        process.wait(SOON_S)


def test_every_process_of_the_suite_is_searched_when_it_ends() -> None:
    say("nothing to see")
    for secret in (CLIENT_KEY, CANARIES["openai token"], "a lighthouse"):
        with pytest.raises(AssertionError, match="in what a process said"):
            say(f"an error: {secret}")
