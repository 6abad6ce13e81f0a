"""What is not begun when there is no time left for it."""

from pathlib import Path

import httpx2
import pytest

from tests.processes import gateway, sandbox, sandbox_settings


@pytest.mark.slow
def test_a_top_up_that_could_not_end_in_time_is_not_bought(tmp_path: Path) -> None:
    with sandbox() as url:
        settings = sandbox_settings(tmp_path, url)
        settings["models"]["ideogram-v3"]["deadline"] = "4s"
        with gateway(tmp_path, settings, url) as running:
            then = {"latency_s": 3.3, "refuse": "unsafe_some", "drop": 1}
            running.script(vendor="ideogram", operation="create", then=then)
            reply = httpx2.post(
                f"{running.base_url}/v1/images/generations",
                headers={"authorization": f"Bearer {running.key}"},
                json={"model": "ideogram-v3", "prompt": "a lighthouse", "n": 2},
                timeout=30,
            )
            assert (reply.status_code, reply.json()["error"]["code"]) == (400, "content_policy_violation")
            assert running.ledger()["totals"]["images_charged"] == 2
            assert float(reply.headers["x-samurai-cost-usd"]) == pytest.approx(0.12)
