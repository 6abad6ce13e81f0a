"""A paid call whose reply is lost on the way: what the vendor lists is found again, and nothing is bought twice."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.processes import Running, gateway, sandbox, sandbox_settings


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder: Path = tmp_path_factory.mktemp("lost-replies")
    with sandbox() as vendors, gateway(folder, sandbox_settings(folder, vendors), vendors) as one:
        yield one


def asked(running: Running, model: str) -> httpx2.Response:
    return httpx2.post(
        f"{running.base_url}/v1/images/generations",
        headers={"authorization": f"Bearer {running.key}"},
        json={"model": model, "prompt": "a heron in the rain", "size": "256x256"},
        timeout=60,
    )


def lose_one_reply(running: Running, vendor: str) -> None:
    running.reset()
    running.script(vendor=vendor, operation="create", then={"wire": "reset_after_read", "charged": True}, times=1)


def test_a_prediction_whose_id_was_never_received_is_found_in_the_list_and_delivered(running: Running) -> None:
    lose_one_reply(running, "replicate")
    reply = asked(running, "flux-1.1-pro")
    assert reply.status_code == 200, reply.text
    assert len(reply.json()["data"]) == 1
    assert running.ledger()["totals"]["images_charged"] == 1


def test_a_vendor_that_lists_nothing_leaves_the_outcome_unknown_and_is_not_asked_again(running: Running) -> None:
    lose_one_reply(running, "ideogram")
    reply = asked(running, "ideogram-v3")
    assert reply.status_code >= 500
    assert reply.headers["x-should-retry"] == "false"
    assert running.ledger()["totals"]["images_charged"] == 1
