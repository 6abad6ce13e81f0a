"""Ideogram's v2 API: each model's own fields, and following a generation."""

from typing import Any

import pytest

from gateway.domain.errors import ErrorCode
from gateway.domain.exchange import Fault, Pending
from gateway.domain.picture import Size
from gateway.vendors.ideogram_v2 import DIALECT
from tests.vendors.making import PROMPT, account, reply, shot

NAME = "ideogram_v2"


@pytest.mark.parametrize(
    ("model", "changes", "sent"),
    [
        ("ideogram-3", {"count": 2, "seed": 9}, {"resolution": "1024x1024", "num_images": 2, "seed": 9}),
        ("ideogram-4", {"size": Size(2048, 2048)}, {"resolution": "2048x2048"}),
        ("ideogram-4-6", {"quality": "high"}, {"size": "1024x1024", "num_images": 1, "quality": "high"}),
        ("ideogram-9", {}, {"size": "1024x1024", "num_images": 1}),
    ],
)
def test_each_model_is_asked_asynchronously_in_its_own_fields(
    model: str, changes: dict[str, Any], sent: dict[str, Any]
) -> None:
    call = DIALECT.call_for(shot(NAME, model, **changes), account(NAME))
    assert call.url == f"https://api.ideogram.ai/v2/image/generate/{model}"
    assert call.json == {"prompt": PROMPT, "async": True, **sent}
    assert call.starts_work


def test_a_generation_is_looked_up_by_its_id_at_our_own_address() -> None:
    here = account(NAME, base_url="http://127.0.0.1:8090/ideogram")
    outcome = DIALECT.outcome_of(reply({"generation_id": "Wq7_Zt-19"}), shot(NAME, "ideogram-3"), here)
    assert isinstance(outcome, Pending)
    assert (outcome.check.method, outcome.check.url) == (
        "GET",
        "http://127.0.0.1:8090/ideogram/v2/generations/Wq7_Zt-19",
    )
    assert outcome.cancel is None


@pytest.mark.parametrize("wicked", ["../x", "a/b", "a?b=c", "ä", "x" * 129])
def test_an_id_that_could_lead_elsewhere_is_not_followed(wicked: str) -> None:
    outcome = DIALECT.outcome_of(reply({"generation_id": wicked}), shot(NAME, "ideogram-3"), account(NAME))
    assert isinstance(outcome, Fault)
    assert outcome.code is ErrorCode.UPSTREAM_BAD_RESPONSE


def test_a_size_that_only_an_old_document_names_is_not_asked_for() -> None:
    for model in DIALECT.known_models:
        assert Size(512, 512) not in DIALECT.capabilities(model).sizes


def test_the_probe_is_a_price_quote() -> None:
    probe = DIALECT.probe_for(account(NAME))
    assert probe.url == "https://api.ideogram.ai/v2/image/generate/ideogram-3?dry_run=true"
    assert not probe.starts_work
