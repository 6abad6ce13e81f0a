from gateway.sandbox.server import Sandbox
from tests.sandbox.conftest import IDEOGRAM, IMAGES, SCHNELL, Vendors

ORDER = {"model": "gpt-image-2", "prompt": "a crane"}


async def test_the_ledger_is_read_and_cleared_over_http(vendors: Vendors) -> None:
    await vendors.openai.post(IMAGES, json=ORDER | {"n": 2})
    link = (await vendors.ideogram.post(IDEOGRAM, json={"prompt": "x"})).json()["data"][0]["url"]
    for _ in range(2):
        await vendors.nobody.get(link)
    report = (await vendors.nobody.get("/sandbox/ledger")).json()
    assert [(entry["vendor"], entry["images"]) for entry in report["entries"]] == [("openai", 2), ("ideogram", 1)]
    assert all(entry["rule"] and entry["call_id"] and entry["microdollars"] > 0 for entry in report["entries"])
    totals = report["totals"]
    assert (totals["images_charged"], totals["images_delivered"]) == (3, 3)
    assert totals["by_vendor"]["ideogram"]["links_offered"] == 1
    assert (await vendors.nobody.delete("/sandbox/ledger")).status_code == 204
    assert (await vendors.nobody.get("/sandbox/ledger")).json()["entries"] == []


async def test_the_ledger_charges_work_that_ended_while_nobody_looked(sandbox: Sandbox, vendors: Vendors) -> None:
    await vendors.replicate.post(SCHNELL, json={"input": {"prompt": "x", "num_outputs": 4}})
    report = (await vendors.nobody.get("/sandbox/ledger")).json()
    assert report["totals"]["images_charged"] == 4
    assert report["totals"]["images_delivered"] == 0
    assert sandbox.ledger.microdollars("replicate") == 12_000


async def test_calls_are_shown_without_their_secrets(vendors: Vendors) -> None:
    await vendors.openai.post(IMAGES, json=ORDER)
    await vendors.nobody.post(IMAGES, json=ORDER, headers={"Authorization": "Bearer sk-somebody-else"})
    reply = await vendors.nobody.get("/sandbox/calls")
    first, second = reply.json()["calls"]
    assert (first["method"], first["path"], first["body"]) == ("POST", IMAGES, ORDER)
    assert (first["authenticated"], first["status"]) == (True, 200)
    assert (second["authenticated"], second["status"]) == (False, 401)
    assert "sk-" not in reply.text
    await vendors.nobody.delete("/sandbox/calls")
    assert (await vendors.nobody.get("/sandbox/calls")).json()["calls"] == []


async def test_scripts_are_added_shown_and_cleared_over_http(vendors: Vendors) -> None:
    script = {"vendor": "openai", "operation": "create", "then": {"error": "openai.server_500"}, "times": None}
    assert (await vendors.nobody.post("/sandbox/scripts", json=script)).status_code == 201
    for _ in range(2):
        assert (await vendors.openai.post(IMAGES, json=ORDER)).status_code == 500
    shown = (await vendors.nobody.get("/sandbox/scripts")).json()["scripts"]
    assert shown[0]["then"]["error"] == "openai.server_500"
    await vendors.nobody.delete("/sandbox/scripts")
    assert (await vendors.openai.post(IMAGES, json=ORDER)).status_code == 200


async def test_the_catalogue_names_errors_of_every_vendor(vendors: Vendors) -> None:
    names = (await vendors.nobody.get("/sandbox/errors")).json()["errors"]
    assert {name.partition(".")[0] for name in names} == {"replicate", "openai", "ideogram", "vertex", "google"}


async def test_the_clock_goes_ahead_but_not_back(sandbox: Sandbox, vendors: Vendors) -> None:
    before = sandbox.state.clock.now()
    assert (await vendors.nobody.post("/sandbox/clock", json={"advance_s": 3600})).status_code == 200
    assert sandbox.state.clock.now() - before >= 3600
    assert (await vendors.nobody.post("/sandbox/clock", json={"advance_s": -1})).status_code == 400
    assert (await vendors.nobody.post("/sandbox/clock", content=b"{")).status_code == 400
