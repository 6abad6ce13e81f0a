"""That the end of work is told to its key's owner over HTTP, as the vendor's own client checks such calls."""

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import orjson
import pytest
from replicate.webhook import Webhooks, WebhookSigningSecret

from tests.faults.deployment import eventually, samples_in
from tests.processes import Running, gateway, sandbox, sandbox_settings
from tests.receivers import Receiver, receiver

SECRET = f"whsec_{b64encode(b'a secret of the tests, 32 bytes.').decode()}"
PATIENCE_S = 25.0


@dataclass(frozen=True)
class Told:
    """A gateway whose key has a webhook."""

    running: Running
    owner: Receiver

    def ask(self, prefer: str = "respond-async", **fields: Any) -> httpx2.Response:
        body = {"model": "flux-schnell", "prompt": "a lighthouse", "size": "256x256"} | fields
        headers = {"authorization": f"Bearer {self.running.key}", "prefer": prefer}
        return httpx2.post(f"{self.running.base_url}/v1/images/generations", headers=headers, json=body, timeout=60)

    def look(self, op_id: str) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {self.running.key}"}
        reply = httpx2.get(f"{self.running.base_url}/v1/operations/{op_id}", headers=headers)
        shown: dict[str, Any] = reply.raise_for_status().json()
        return shown

    def message(self, op_id: str) -> dict[str, Any]:
        """What was told of an operation, once its signature is checked."""
        eventually(lambda: op_id in {headers["webhook-id"] for headers, _ in self.owner.taken}, PATIENCE_S)
        ((headers, body),) = [one for one in self.owner.taken if one[0]["webhook-id"] == op_id]
        Webhooks.validate(headers=headers, body=body.decode(), secret=WebhookSigningSecret(key=SECRET), tolerance=300)
        message: dict[str, Any] = orjson.loads(body)
        return message


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    folder = tmp_path_factory.mktemp("told")
    (folder / "hook.secret").write_text(SECRET)
    with receiver() as owner, sandbox() as vendors:
        settings = sandbox_settings(folder, vendors)
        settings["keys"][0] |= {
            "limits": {},
            "webhook": {"url": owner.url, "secret": {"file": str(folder / "hook.secret")}},
        }
        with gateway(folder, settings, vendors) as running:
            yield Told(running, owner)


@pytest.fixture(autouse=True)
def _calm(told: Told) -> None:
    told.running.reset()


def test_what_is_told_is_what_the_operations_page_says_links_included(told: Told) -> None:
    op_id = told.ask(response_format="url", n=2).json()["id"]
    message = told.message(op_id)
    assert (message["status"], message["images_ready"], len(message["result"]["data"])) == ("completed", 2, 2)
    assert message == told.look(op_id)
    assert httpx2.get(message["result"]["data"][0]["url"]).headers["content-type"] == "image/png"


def test_images_themselves_are_never_in_it(told: Told) -> None:
    op_id = told.ask(response_format="b64_json").json()["id"]
    message, shown = told.message(op_id), told.look(op_id)
    assert shown.pop("result")["data"][0]["b64_json"]
    assert message == shown


def test_a_failure_is_told_with_its_error(told: Told) -> None:
    told.running.script(vendor="replicate", operation="create", then={"status": 401, "body": {}}, times=None)
    message = told.message(told.ask().json()["id"])
    assert message["status"] == "failed"
    assert message["error"]["code"] == "upstream_auth_failed"


def test_what_was_waited_for_is_not_told(told: Told) -> None:
    before = len(told.owner.taken)
    waited = told.ask(prefer="wait=30")
    assert waited.status_code == 200
    last = told.ask().json()["id"]
    told.message(last)
    assert [headers["webhook-id"] for headers, _ in told.owner.taken[before:]] == [last]


def test_a_receiver_that_fails_neither_fails_nor_delays_the_operation(told: Told) -> None:
    told.owner.statuses[:] = [500]
    op_id = told.ask(response_format="url").json()["id"]
    eventually(lambda: told.look(op_id)["status"] == "completed", PATIENCE_S)
    eventually(lambda: len([one for one in told.owner.taken if one[0]["webhook-id"] == op_id]) == 2, PATIENCE_S)

    def sent(result: str) -> float:
        samples = samples_in(httpx2.get(f"{told.running.admin_url}/metrics").text)
        return samples["samurai_webhooks_sent_total", frozenset({("result", result)})]

    eventually(lambda: sent("ok") == len({headers["webhook-id"] for headers, _ in told.owner.taken}), PATIENCE_S)
    assert sent("failed") == 0
