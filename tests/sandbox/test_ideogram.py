import asyncio

import pytest

from gateway.sandbox.options import SandboxOptions
from gateway.sandbox.server import Sandbox, running_sandbox
from tests.sandbox.conftest import IDEOGRAM, Vendors, vendors_of
from tests.sandbox.images import seen

V2 = "/ideogram/v2/image/generate/ideogram-3"


async def test_images_come_as_signed_links_with_their_own_seeds(sandbox: Sandbox, vendors: Vendors) -> None:
    reply = (await vendors.ideogram.post(IDEOGRAM, json={"prompt": "a crane", "num_images": 2, "seed": 7})).json()
    assert reply["created"].endswith("+00:00")
    assert [item["seed"] for item in reply["data"]] == [7, 8]
    files = [seen((await vendors.nobody.get(item["url"])).content) for item in reply["data"]]
    assert {(file.format, file.size) for file in files} == {("PNG", (1024, 1024))}
    assert files[0].pixels != files[1].pixels
    assert (sandbox.ledger.images_charged(), sandbox.ledger.images_delivered()) == (2, 2)


async def test_a_form_is_taken_as_well_as_json(vendors: Vendors) -> None:
    form = {"prompt": "a crane", "num_images": "2"}
    reply = await vendors.ideogram.post(IDEOGRAM, data=form, files={"style_reference_images": b"\x89PNG"})
    assert (reply.status_code, len(reply.json()["data"])) == (200, 2)


@pytest.mark.parametrize(
    "more",
    [
        {"num_images": 9},
        {"num_images": 0},
        {"num_images": "2"},
        {"resolution": "512x512"},
        {"resolution": "1024x1024", "aspect_ratio": "1x1"},
        {"aspect_ratio": "1:1"},
        {"rendering_speed": "SLOW"},
        {"seed": -1},
        {"style_codes": ["AABBCCDD"], "style_type": "DESIGN"},
        {"size": "1024x1024"},
        {"prompt": 7},
    ],
)
async def test_what_does_not_fit_the_schema_is_a_400_problem(
    sandbox: Sandbox, vendors: Vendors, more: dict[str, object]
) -> None:
    reply = await vendors.ideogram.post(IDEOGRAM, json={"prompt": "x", **more})
    assert reply.status_code == 400
    assert set(reply.json()) == {"type", "title", "detail", "status"}
    assert sandbox.ledger.images_charged() == 0


async def test_withheld_images_have_no_link_and_are_billed(sandbox: Sandbox, vendors: Vendors) -> None:
    sandbox.state.script("ideogram", then={"refuse": "unsafe_some", "drop": 1})
    data = (await vendors.ideogram.post(IDEOGRAM, json={"prompt": "x", "num_images": 3})).json()["data"]
    assert [(item["is_image_safe"], item["url"] is None) for item in data] == [
        (False, True),
        (True, False),
        (True, False),
    ]
    assert sandbox.ledger.images_charged() == 3


async def test_links_are_good_for_a_day_and_only_as_signed(sandbox: Sandbox, vendors: Vendors) -> None:
    url = (await vendors.ideogram.post(IDEOGRAM, json={"prompt": "x"})).json()["data"][0]["url"]
    assert (await vendors.nobody.get(url[:-1] + ("0" if url[-1] != "0" else "1"))).status_code == 403
    assert (await vendors.nobody.get(url)).status_code == 200
    sandbox.state.clock.advance(24 * 3600 + 1)
    assert (await vendors.nobody.get(url)).status_code == 403


async def test_magic_prompt_rewrites_the_prompt_and_says_so(vendors: Vendors) -> None:
    reply = await vendors.ideogram.post(IDEOGRAM, json={"prompt": "a crane", "magic_prompt": "ON"})
    rewritten = reply.json()["data"][0]["prompt"]
    assert rewritten != "a crane"
    assert rewritten.startswith("a crane")


async def test_ten_images_may_be_in_flight_and_not_one_more() -> None:
    async with running_sandbox(SandboxOptions(pace=1000)) as slow:
        async for vendors in vendors_of(slow):
            under_way = asyncio.create_task(vendors.ideogram.post(IDEOGRAM, json={"prompt": "x", "num_images": 8}))
            while slow.state.ideogram_places.taken < 8:
                await asyncio.sleep(0)
            refused = await vendors.ideogram.post(IDEOGRAM, json={"prompt": "y", "num_images": 3})
            assert refused.status_code == 429
            assert refused.json()["reject_reason"] == "inflight_limit"
            assert "retry-after" not in refused.headers
            slow.state.clock.advance(10_000)
            assert (await under_way).status_code == 200
            assert slow.state.ideogram_places.taken == 0


async def test_the_limit_in_flight_can_be_lifted() -> None:
    async with running_sandbox(SandboxOptions(real_limits=False)) as lax:
        lax.state.ideogram_places.taken = 10
        async for vendors in vendors_of(lax):
            assert (await vendors.ideogram.post(IDEOGRAM, json={"prompt": "x"})).status_code == 200


async def test_a_dry_run_quotes_the_price_and_buys_nothing(sandbox: Sandbox, vendors: Vendors) -> None:
    reply = await vendors.ideogram.post(f"{V2}?dry_run=true", json={"prompt": "x", "num_images": 2})
    assert (reply.json()["object"], reply.json()["usd_micros"]) == ("price_quote", 120_000)
    assert sandbox.ledger.images_charged() == 0
    wrong = await vendors.ideogram.post(f"{V2}?dry_run=true", json={"prompt": "x", "num_images": 99})
    assert wrong.status_code == 400


async def test_v2_answers_at_once_unless_asked_to_work_asynchronously(sandbox: Sandbox, vendors: Vendors) -> None:
    at_once = (await vendors.ideogram.post(V2, json={"prompt": "x", "num_images": 2})).json()
    assert len(at_once["data"]) == 2
    later = (await vendors.ideogram.post(V2, json={"prompt": "x", "async": True})).json()
    assert set(later) == {"generation_id", "generation_kind", "seed"}
    polled = (await vendors.ideogram.get(f"/ideogram/v2/generations/{later['generation_id']}")).json()
    assert (polled["status"], polled["data"][0]["object_type"]) == ("completed", "image")
    assert sandbox.ledger.images_charged() == 3


async def test_an_asynchronous_generation_is_pending_until_its_time_has_come() -> None:
    async with running_sandbox(SandboxOptions(pace=100)) as slow:
        async for vendors in vendors_of(slow):
            begun = (await vendors.ideogram.post(V2, json={"prompt": "x", "async": True})).json()
            path = f"/ideogram/v2/generations/{begun['generation_id']}"
            pending = (await vendors.ideogram.get(path)).json()
            assert (pending["status"], "data" in pending, slow.ledger.images_charged()) == ("pending", False, 0)
            slow.state.clock.advance(601)
            assert (await vendors.ideogram.get(path)).json()["status"] == "completed"
            assert slow.ledger.images_charged() == 1


async def test_a_generation_that_fails_is_not_billed(sandbox: Sandbox, vendors: Vendors) -> None:
    sandbox.state.script("ideogram", then={"refuse": "policy_failure"})
    begun = (await vendors.ideogram.post(V2, json={"prompt": "x", "async": True})).json()
    polled = (await vendors.ideogram.get(f"/ideogram/v2/generations/{begun['generation_id']}")).json()
    assert (polled["status"], polled["failure_reason"]) == ("failed", "content_policy_violation")
    assert sandbox.ledger.images_charged() == 0


@pytest.mark.parametrize(
    ("model", "more", "size"),
    [
        ("ideogram-4", {"resolution": "512x512"}, "512x512"),
        ("ideogram-4-5", {"size": "2048x2048", "quality": "high"}, "2048x2048"),
        ("ideogram-3", {"aspect_ratio": "16x9"}, "1312x736"),
    ],
)
async def test_each_v2_model_spells_its_sizes_its_own_way(
    vendors: Vendors, model: str, more: dict[str, object], size: str
) -> None:
    path = f"/ideogram/v2/image/generate/{model}"
    reply = (await vendors.ideogram.post(path, json={"prompt": "x", **more})).json()
    assert reply["data"][0]["resolution"] == size


async def test_unknown_models_and_generations_are_404(vendors: Vendors) -> None:
    unknown = await vendors.ideogram.post("/ideogram/v2/image/generate/ideogram-9", json={"prompt": "x"})
    assert unknown.status_code == 404
    assert (await vendors.ideogram.get("/ideogram/v2/generations/none")).status_code == 404


async def test_a_missing_key_is_a_401_with_a_message(vendors: Vendors) -> None:
    reply = await vendors.nobody.post(IDEOGRAM, json={"prompt": "x"})
    assert (reply.status_code, set(reply.json())) == (401, {"message"})
