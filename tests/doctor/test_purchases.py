"""One paid image for each of the six dialects, from the sandbox, and every way in which a vendor may have changed."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gateway.doctor.appraisal import purchase_findings
from gateway.doctor.examination import buy, scrubber_for
from gateway.doctor.findings import Finding, Status, has_failed
from gateway.doctor.purchases import Purchase, orders_of
from gateway.doctor.recording import save
from gateway.domain.exchange import Delivered
from gateway.domain.money import dollars
from gateway.edges.world import World
from gateway.sandbox.options import IDEOGRAM_KEY, OPENAI_KEY, REPLICATE_TOKEN, SandboxOptions
from gateway.sandbox.server import Sandbox, running_sandbox
from gateway.settings.groups import Settings
from gateway.vendors import dialects
from tests.doctor.deployments import ROUTES, document, settings_of
from tests.vendors.expecting import as_data
from tests.vendors.making import account, reply, shot
from tests.vendors.validating import check

TODAY = date(2026, 11, 22)


@pytest.fixture
def settings(tmp_path: Path, vendors: Sandbox, redis_url: str) -> Settings:
    return settings_of(document(tmp_path, vendors.base_url, redis_url), tmp_path)


@asynccontextmanager
async def slow_vendors() -> AsyncIterator[Sandbox]:
    """Vendors whose asynchronous work is not done at the first look."""
    async with running_sandbox(SandboxOptions(pace=0.1)) as sandbox:
        yield sandbox


async def bought(settings: Settings, model: str | None = None) -> list[Purchase]:
    orders, impossible = orders_of(settings.catalogue, dialects(), World(), model)
    assert impossible == []
    return await buy(settings, orders)


def findings(purchases: list[Purchase]) -> list[Finding]:
    return [finding for purchase in purchases for finding in purchase_findings(purchase)]


def drifts(found: list[Finding]) -> list[str]:
    return [each.seen for each in found if each.subject.startswith("reply") and each.status is not Status.OK]


async def test_exactly_one_image_is_bought_for_each_target_and_all_replies_are_as_expected(
    settings: Settings, vendors: Sandbox
) -> None:
    purchases = await bought(settings)
    assert [finding for finding in findings(purchases) if finding.status is not Status.OK] == []
    models = [target.model for route in settings.catalogue.routes.values() for target in route.targets]
    assert sorted(charge.model for charge in vendors.ledger.charges) == sorted(models)
    assert vendors.ledger.images_charged() == vendors.ledger.images_delivered() == len(ROUTES)
    assert {purchase.order.dialect.name for purchase in purchases} == set(dialects())


async def test_one_model_alone_can_be_bought(settings: Settings, vendors: Sandbox) -> None:
    (purchase,) = await bought(settings, "flux-schnell")
    assert purchase.order.route_id == "flux-schnell"
    assert [charge.vendor for charge in vendors.ledger.charges] == ["replicate"]


def test_an_order_says_what_it_costs_at_most(settings: Settings) -> None:
    orders, _ = orders_of(settings.catalogue, dialects(), World())
    costs = {order.route_id: dollars(order.cost_microusd) for order in orders}
    assert (costs["dall-e-3"], costs["flux-schnell"]) == ("0.19", "0.003")


_DRIFTS = {
    "replicate_predictions": ("replicate", "create", {"output": "outputs"}, "missing: output; new: outputs"),
    "openai_images": (
        *("openai", "create", {"data.*.b64_json": "b64"}),
        "missing: data[].b64_json or data[].url; new: data[].b64",
    ),
    "ideogram_v3": ("ideogram", "create", {"data.*.url": "link"}, "missing: data[].url; new: data[].link"),
    "ideogram_v2": ("ideogram", "poll", {"data.*.url": "link"}, "missing: data[].url; new: data[].link"),
    "vertex_predict": (
        *("vertex", "create", {"predictions.*.bytesBase64Encoded": "bytes"}),
        "missing: predictions[].bytesBase64Encoded; new: predictions[].bytes",
    ),
    "vertex_generate_content": (
        *("vertex", "create", {"candidates.*.content.parts.*.inlineData": "inlineImage"}),
        "missing: candidates[].content.parts[].inlineData.data; new: candidates[].content.parts[].inlineImage",
    ),
}


@pytest.mark.parametrize("route", ROUTES)
async def test_one_field_that_a_vendor_renamed_is_named_and_no_other(
    route: str, settings: Settings, vendors: Sandbox
) -> None:
    vendor, operation, rename, named = _DRIFTS[ROUTES[route]]
    model = settings.catalogue.routes[route].targets[0].model
    match = {"model": model} if operation == "create" else {}
    vendors.state.script(vendor, operation=operation, match=match, then={"rename": rename})
    found = findings(await bought(settings))
    assert drifts(found) == [named]
    assert has_failed(found)
    assert {each.subject.split()[1] for each in found if each.status is Status.FAILED} == {route}


async def test_a_reply_that_only_has_more_fields_warns_and_does_not_fail(settings: Settings, vendors: Sandbox) -> None:
    vendors.state.script("openai", operation="create", then={"put": {"data.0.watermark": True, "model": "x"}})
    found = findings(await bought(settings, "dall-e-3"))
    assert drifts(found) == ["new: data[].watermark, model"]
    assert not has_failed(found)


async def test_a_type_that_changed_is_named(settings: Settings, vendors: Sandbox) -> None:
    vendors.state.script("openai", operation="create", then={"put": {"created": "2026-11-22T00:00:00Z"}})
    found = findings(await bought(settings, "dall-e-3"))
    assert drifts(found) == ["changed type: created (string)"]
    assert has_failed(found)


async def test_the_first_reply_and_the_last_look_are_both_compared(tmp_path: Path, redis_url: str) -> None:
    async with slow_vendors() as vendors:
        settings = settings_of(document(tmp_path, vendors.base_url, redis_url), tmp_path)
        (purchase,) = await bought(settings, "ideogram-3")
    assert [exchange.step for exchange in purchase.exchanges] == ["create", "look"]
    assert isinstance(purchase.outcome, Delivered)
    assert [each.subject for each in findings([purchase])][-2:] == ["reply ideogram-3 create", "reply ideogram-3 look"]
    assert not has_failed(findings([purchase]))


async def test_a_failed_look_is_repeated_and_never_buys_again(tmp_path: Path, redis_url: str) -> None:
    async with slow_vendors() as vendors:
        vendors.state.script("ideogram", operation="poll", then={"status": 503, "body": {}})
        settings = settings_of(document(tmp_path, vendors.base_url, redis_url), tmp_path)
        (purchase,) = await bought(settings, "ideogram-3")
        assert isinstance(purchase.outcome, Delivered)
        assert vendors.ledger.images_charged() == 1


async def test_work_that_never_ends_is_given_up_and_cancelled_at_the_deadline(
    tmp_path: Path, redis_url: str, vendors: Sandbox
) -> None:
    config = document(tmp_path, vendors.base_url, redis_url)
    config["models"]["flux-schnell"]["deadline"] = "1600ms"
    vendors.state.script("replicate", operation="create", then={"life": "stuck_starting"})
    (purchase,) = await bought(settings_of(config, tmp_path), "flux-schnell")
    assert findings([purchase])[0].status is Status.FAILED
    assert "upstream_timeout" in findings([purchase])[0].seen
    assert vendors.ledger.images_charged() == 0
    assert "cancel" in [call.operation for call in vendors.state.calls]


@pytest.mark.parametrize(
    ("then", "status", "seen"),
    [
        ({"error": "openai.insufficient_quota_429"}, Status.FAILED, "upstream_billing"),
        ({"wire": "reset_after_read"}, Status.FAILED, "perhaps paid for"),
        ({"image": {"format": "jpeg"}}, Status.WARNING, "1024x1024 jpeg"),
        ({"image": {"size": "640x480"}}, Status.FAILED, "640x480 png"),
        ({"image": {"size": "2048x2048"}}, Status.WARNING, "2048x2048 png"),
        ({"image": {"spoil": "truncated"}}, Status.FAILED, "the image is unusable"),
    ],
)
async def test_an_image_or_an_outcome_that_is_not_as_wished_is_told(
    then: dict[str, Any], status: Status, seen: str, settings: Settings, vendors: Sandbox
) -> None:
    vendors.state.script("openai", operation="create", then=then)
    found = findings(await bought(settings, "dall-e-3"))
    assert [(each.status, seen in each.seen) for each in found if each.status is not Status.OK] == [(status, True)]


async def test_a_link_that_cannot_be_fetched_is_told(settings: Settings, vendors: Sandbox) -> None:
    vendors.state.script("ideogram", operation="create", then={"output_url": "https://elsewhere.example/a.png"})
    found = findings(await bought(settings, "ideogram-v3"))
    assert next(each.seen for each in found if each.status is Status.FAILED).startswith("the image cannot be fetched")


async def test_nothing_of_what_was_bought_is_left_on_the_disk(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(spool))
    await bought(settings)
    assert list(spool.rglob("*")) == []


async def test_saved_replies_hold_no_secret_and_come_to_the_same_again(
    settings: Settings, tmp_path: Path, vendors: Sandbox
) -> None:
    vendors.state.script("openai", operation="create", then={"error": "openai.rate_limit_429"})
    purchases = await bought(settings)
    written = save(purchases, tmp_path / "saved", scrubber_for(settings), TODAY)
    exchanges = [exchange for purchase in purchases for exchange in purchase.exchanges]
    assert len(written) == len(exchanges) == len(ROUTES) + 1  # one vendor was looked at twice
    for path, exchange in zip(written, exchanges, strict=True):
        text = path.read_text("utf-8")
        _assert_harmless(text)
        sample = json.loads(text)
        said, dialect = sample["reply"], dialects()[sample["dialect"]]
        again = dialect.outcome_of(
            reply(said.get("body"), said["status"], headers=said["headers"], text=said.get("text", "")),
            shot(dialect.name, sample["model"], count=sample["count"]),
            account(dialect.name),
        )
        assert as_data(again) == as_data(exchange.outcome) == sample["expect"]
        assert path.parent.name == dialect.vendor
        if said["status"] < 300:
            check(sample["schema"], said["body"])


def _assert_harmless(text: str) -> None:
    for secret in (REPLICATE_TOKEN, OPENAI_KEY, IDEOGRAM_KEY, "sandbox-project", "Bearer", "org-sandbox", "?"):
        assert secret not in text
    assert max(map(len, text.split('"'))) < 300


def test_a_target_that_cannot_make_the_size_is_named(settings: Settings) -> None:
    catalogue = settings.catalogue
    size = type(catalogue.default_size)(8000, 3)
    odd = type(catalogue)(catalogue.routes, sizes=(size,), default_size=size)
    orders, impossible = orders_of(odd, dialects(), World())
    assert orders == []
    assert len(impossible) == len(ROUTES)
    assert any(line.startswith("replicate/black-forest-labs/flux-schnell: ") for line in impossible)
