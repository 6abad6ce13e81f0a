import asyncio

import pytest

from gateway.sandbox.options import SandboxOptions
from gateway.sandbox.server import Sandbox, running_sandbox
from tests.sandbox.conftest import PRO, SCHNELL, Vendors, client, vendors_of
from tests.sandbox.images import seen

WAIT = {"Prefer": "wait=5"}


async def test_a_created_prediction_is_starting_and_found_succeeded_when_polled(
    sandbox: Sandbox, vendors: Vendors
) -> None:
    created = await vendors.replicate.post(SCHNELL, json={"input": {"prompt": "a crane", "num_outputs": 3}})
    assert (created.status_code, created.json()["status"], created.json()["output"]) == (201, "starting", None)
    polled = (await vendors.replicate.get(created.json()["urls"]["get"])).json()
    assert polled["status"] == "succeeded"
    assert len(polled["output"]) == 3
    assert polled["metrics"]["image_count"] == 3
    assert sandbox.ledger.images_charged("replicate") == 3


async def test_a_held_open_reply_has_full_output_under_the_status_processing(vendors: Vendors) -> None:
    reply = await vendors.replicate.post(SCHNELL, json={"input": {"prompt": "a crane"}}, headers=WAIT)
    assert (reply.status_code, reply.headers["preference-applied"]) == (201, "wait=5")
    assert reply.json()["status"] == "processing"
    assert len(reply.json()["output"]) == 1
    assert "completed_at" not in reply.json()


async def test_a_wait_that_runs_out_answers_202_and_starting() -> None:
    async with running_sandbox(SandboxOptions(pace=1000)) as slow, client(slow) as nobody:
        async for vendors in vendors_of(slow):
            asking = asyncio.create_task(
                vendors.replicate.post(SCHNELL, json={"input": {"prompt": "a crane"}}, headers={"Prefer": "wait=2"})
            )
            while not slow.state.predictions.newest_first():
                await asyncio.sleep(0)
            await nobody.post("/sandbox/clock", json={"advance_s": 3})
            reply = await asking
            assert (reply.status_code, reply.json()["status"], reply.json()["output"]) == (202, "starting", None)


async def test_one_model_answers_with_an_array_and_the_other_with_one_link(vendors: Vendors) -> None:
    one = await vendors.replicate.post(PRO, json={"input": {"prompt": "a crane"}}, headers=WAIT)
    many = await vendors.replicate.post(SCHNELL, json={"input": {"prompt": "a crane"}}, headers=WAIT)
    assert isinstance(one.json()["output"], str)
    assert isinstance(many.json()["output"], list)


@pytest.mark.parametrize(
    ("path", "given", "expected"),
    [
        (SCHNELL, {}, ("WEBP", (1024, 1024))),
        (SCHNELL, {"megapixels": "0.25", "output_format": "png"}, ("PNG", (512, 512))),
        (SCHNELL, {"aspect_ratio": "16:9", "output_format": "jpg"}, ("JPEG", (1344, 768))),
        (PRO, {"aspect_ratio": "custom", "width": 256, "height": 256, "output_format": "png"}, ("PNG", (256, 256))),
        (PRO, {"aspect_ratio": "custom", "width": 300, "height": 511, "output_format": "png"}, ("PNG", (288, 512))),
        (PRO, {"width": 256, "height": 256}, ("WEBP", (1024, 1024))),
    ],
)
async def test_the_file_behind_the_link_has_the_size_and_type_asked_for(
    vendors: Vendors, path: str, given: dict[str, object], expected: tuple[str, tuple[int, int]]
) -> None:
    reply = await vendors.replicate.post(path, json={"input": {"prompt": "a crane", **given}}, headers=WAIT)
    output = reply.json()["output"]
    file = await vendors.nobody.get(output if isinstance(output, str) else output[0])
    assert (seen(file.content).format, seen(file.content).size) == expected


@pytest.mark.parametrize(
    ("given", "field", "kind"),
    [
        ({}, "input", "required"),
        ({"prompt": "x", "num_outputs": 5}, "input.num_outputs", "number_lte"),
        ({"prompt": "x", "num_outputs": 0}, "input.num_outputs", "number_gte"),
        ({"prompt": "x", "num_outputs": True}, "input.num_outputs", "invalid_type"),
        ({"prompt": "x", "output_format": "gif"}, "input.output_format", "enum"),
        ({"prompt": "x", "megapixels": 1}, "input.megapixels", "invalid_type"),
        ({"prompt": "x", "width": 512}, "input", "additional_property_not_allowed"),
    ],
)
async def test_input_that_the_model_does_not_take_is_a_422_that_names_the_field(
    sandbox: Sandbox, vendors: Vendors, given: dict[str, object], field: str, kind: str
) -> None:
    reply = await vendors.replicate.post(SCHNELL, json={"input": given})
    assert reply.status_code == 422
    assert reply.headers["content-type"] == "application/problem+json"
    fault = reply.json()["invalid_fields"][0]
    assert (fault["field"], fault["type"]) == (field, kind)
    assert sandbox.ledger.images_charged() == 0


async def test_the_general_endpoint_takes_official_names_and_versions_as_version(vendors: Vendors) -> None:
    for version in (
        "black-forest-labs/flux-1.1-pro",
        "53d5d1586a229bd033e060941789bfb0c177cefd5ef638f34b3099658343a897",
    ):
        body = {"version": version, "input": {"prompt": "a crane"}}
        assert (await vendors.replicate.post("/replicate/v1/predictions", json=body)).status_code == 201
    unknown = {"version": "0" * 64, "input": {"prompt": "a crane"}}
    refused = await vendors.replicate.post("/replicate/v1/predictions", json=unknown)
    assert (refused.status_code, refused.json()["title"]) == (422, "Invalid version or not permitted")


async def test_a_bad_token_is_a_401_problem(vendors: Vendors) -> None:
    reply = await vendors.nobody.post(SCHNELL, json={"input": {"prompt": "x"}})
    assert (reply.status_code, reply.json()["title"]) == (401, "Unauthenticated")


@pytest.mark.parametrize("header", ["wait=0", "wait=61", "wait=x", "respond-async"])
async def test_a_malformed_wait_is_refused(vendors: Vendors, header: str) -> None:
    reply = await vendors.replicate.post(SCHNELL, json={"input": {"prompt": "x"}}, headers={"Prefer": header})
    assert reply.status_code == 400


async def test_cancelling_before_the_start_is_free_and_while_running_is_billed() -> None:
    async with running_sandbox(SandboxOptions(pace=100)) as slow:
        async for vendors in vendors_of(slow):
            early = (await vendors.replicate.post(SCHNELL, json={"input": {"prompt": "a", "num_outputs": 2}})).json()
            ended = await vendors.replicate.post(early["urls"]["cancel"])
            assert (ended.json()["status"], slow.ledger.images_charged()) == ("aborted", 0)
            running = (await vendors.replicate.post(SCHNELL, json={"input": {"prompt": "b", "num_outputs": 2}})).json()
            slow.state.clock.advance(20)
            assert (await vendors.replicate.get(running["urls"]["get"])).json()["status"] == "processing"
            ended = await vendors.replicate.post(running["urls"]["cancel"])
            assert (ended.json()["status"], slow.ledger.images_charged()) == ("canceled", 2)


async def test_a_deadline_ends_a_prediction_that_never_starts_without_a_charge(
    sandbox: Sandbox, vendors: Vendors
) -> None:
    sandbox.state.script("replicate", then={"life": "stuck_starting"})
    stuck = await vendors.replicate.post(SCHNELL, json={"input": {"prompt": "x"}}, headers={"Cancel-After": "1m30s"})
    assert "deadline" in stuck.json()
    sandbox.state.clock.advance(91)
    assert (await vendors.replicate.get(stuck.json()["urls"]["get"])).json()["status"] == "aborted"
    assert sandbox.ledger.images_charged() == 0


@pytest.mark.parametrize("life", ["4s", "0", "soon"])
async def test_a_life_under_five_seconds_is_refused(vendors: Vendors, life: str) -> None:
    reply = await vendors.replicate.post(SCHNELL, json={"input": {"prompt": "x"}}, headers={"Cancel-After": life})
    assert reply.status_code == 400


async def test_a_prediction_may_succeed_while_it_is_being_cancelled(sandbox: Sandbox, vendors: Vendors) -> None:
    sandbox.state.script("replicate", then={"life": "succeeds_during_cancel"})
    urls = (await vendors.replicate.post(SCHNELL, json={"input": {"prompt": "x"}})).json()["urls"]
    assert (await vendors.replicate.post(urls["cancel"])).json()["status"] == "processing"
    assert (await vendors.replicate.get(urls["get"])).json()["status"] == "succeeded"
    assert sandbox.ledger.images_charged() == 1


async def test_data_and_files_are_gone_an_hour_after_the_end(sandbox: Sandbox, vendors: Vendors) -> None:
    reply = (await vendors.replicate.post(SCHNELL, json={"input": {"prompt": "x"}}, headers=WAIT)).json()
    sandbox.state.clock.advance(3601)
    later = (await vendors.replicate.get(reply["urls"]["get"])).json()
    assert (later["output"], later["data_removed"], later["input"]) == (None, True, {})
    assert (await vendors.nobody.get(reply["output"][0])).status_code == 404


async def test_the_list_is_newest_first_and_paged_by_cursor(sandbox: Sandbox, vendors: Vendors) -> None:
    for number in range(103):
        await vendors.replicate.post(SCHNELL, json={"input": {"prompt": str(number)}})
    first = (await vendors.replicate.get("/replicate/v1/predictions")).json()
    second = (await vendors.replicate.get(first["next"])).json()
    prompts = [one["input"]["prompt"] for page in (first, second) for one in page["results"]]
    assert prompts == [str(number) for number in reversed(range(103))]
    assert (first["previous"], second["next"]) == (None, None)
    assert (await vendors.replicate.get(second["previous"])).json()["results"] == first["results"]


async def test_creations_above_the_rate_are_throttled_and_told_so(sandbox: Sandbox, vendors: Vendors) -> None:
    sandbox.state.replicate_creates.take(sandbox.state.clock.now())
    sandbox.state.replicate_creates.tokens = 1
    first = await vendors.replicate.post(SCHNELL, json={"input": {"prompt": "x"}})
    assert (first.status_code, first.headers["ratelimit-remaining"]) == (201, "0")
    second = await vendors.replicate.post(SCHNELL, json={"input": {"prompt": "x"}})
    assert second.status_code == 429
    assert second.json()["detail"].startswith("Request was throttled.")
    sandbox.state.clock.advance(1)
    assert (await vendors.replicate.post(SCHNELL, json={"input": {"prompt": "x"}})).status_code == 201


async def test_nsfw_images_are_dropped_from_the_array_and_not_billed(sandbox: Sandbox, vendors: Vendors) -> None:
    sandbox.state.script("replicate", then={"refuse": "nsfw_some", "drop": 2})
    reply = await vendors.replicate.post(SCHNELL, json={"input": {"prompt": "x", "num_outputs": 4}}, headers=WAIT)
    assert len(reply.json()["output"]) == 2
    assert sandbox.ledger.images_charged() == 2


async def test_a_prediction_fails_when_every_image_is_nsfw(sandbox: Sandbox, vendors: Vendors) -> None:
    sandbox.state.script("replicate", then={"refuse": "nsfw"})
    reply = await vendors.replicate.post(SCHNELL, json={"input": {"prompt": "x", "num_outputs": 4}}, headers=WAIT)
    assert reply.json()["status"] == "failed"
    assert "NSFW" in reply.json()["error"]
    assert sandbox.ledger.images_charged() == 0


async def test_output_can_come_as_data_uris(sandbox: Sandbox, vendors: Vendors) -> None:
    sandbox.state.script("replicate", then={"data_uris": True})
    reply = await vendors.replicate.post(PRO, json={"input": {"prompt": "x"}}, headers=WAIT)
    assert reply.json()["output"].startswith("data:image/webp;base64,")
    assert sandbox.ledger.images_delivered("replicate") == 1


async def test_account_and_models_can_be_read_for_free(sandbox: Sandbox, vendors: Vendors) -> None:
    assert (await vendors.replicate.get("/replicate/v1/account")).json()["username"] == "sandbox"
    model = await vendors.replicate.get("/replicate/v1/models/black-forest-labs/flux-schnell")
    assert model.json()["name"] == "flux-schnell"
    missing = await vendors.replicate.get("/replicate/v1/models/black-forest-labs/flux-0")
    assert (missing.status_code, "title" in missing.json()) == (404, False)
    secret = await vendors.replicate.get("/replicate/v1/webhooks/default/secret")
    assert secret.json()["key"].startswith("whsec_")
    assert sandbox.ledger.images_charged() == 0
