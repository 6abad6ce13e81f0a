"""Vendors whose images are not what was asked for, or are behind links that lead elsewhere: rows 98 to 102 and 48."""

import base64
import io
from typing import Any

import pytest
from PIL import Image

from tests.faults.deployment import ALL, Deployment, Seen, Vendor

WITHHELD: dict[str, dict[str, Any]] = {
    "replicate": {"refuse": "nsfw_some", "drop": 1},
    "ideogram": {"refuse": "unsafe_some", "drop": 1},
    "vertex": {"refuse": "image_safety"},
}
ALL_WITHHELD = {"replicate": {"refuse": "nsfw"}, "ideogram": {"refuse": "unsafe"}, "vertex": {"refuse": "image_safety"}}
BILLED_IN_VAIN = {"replicate": 1, "ideogram": 3, "vertex": 0}  # Vertex refused both, each in a call of its own
BILLED = {"replicate": 2, "ideogram": 3, "vertex": 2}  # Ideogram bills what it withholds
LINKING = [vendor for vendor in ALL if vendor.name != "vertex"]
NOT_IMAGES = ["corrupt", "truncated", "empty", "html", "svg", "polyglot", "one_pixel"]
INWARDS = [
    "http://127.0.0.1:{port}/delivery/x.png",
    "https://169.254.169.254/latest/meta-data",
    "https://[::ffff:127.0.0.1]/x.png",
    "https://[64:ff9b::7f00:1]/x.png",
    "https://[2002:7f00:1::]/x.png",
    "https://2130706433/x.png",
    "file:///etc/passwd",
    "https://replicate.delivery@evil.example/x.png",
    "https://user:pass@replicate.delivery/x.png",
    "https://replicate.delivery:22/x.png",
    "https://replicate.delivery.evil.example/x.png",
    "https://evil.example/x.png",
]


def model_of_batches(vendor: Vendor) -> str:
    return "flux-schnell" if vendor.name == "replicate" else vendor.model


def put_link(scene: Deployment, vendor: Vendor, url: str) -> None:
    """Make the vendor hand out `url` as its image's address."""
    if vendor.links:
        scene.script(vendor.name, {"output_url": url})
    else:
        scene.script(vendor.name, {"put": {"data.0": {"url": url}}})


@pytest.mark.parametrize("vendor", [vendor for vendor in ALL if vendor.name in WITHHELD], ids=lambda one: one.name)
def test_f098_images_that_were_withheld_are_asked_for_once_more(scene: Deployment, vendor: Vendor) -> None:
    scene.script(vendor.name, WITHHELD[vendor.name], times=1)
    seen = scene.provoke(model_of_batches(vendor), n=2)
    assert seen.status == 200
    assert len(seen.reply.json()["data"]) == 2
    assert seen.charged == BILLED[vendor.name]
    assert seen.creates == (3 if vendor.name == "vertex" else 2)
    assert seen.moved["samurai_vendor_images_billed_total"] == seen.charged
    assert seen.moved["samurai_images_total"] == 2


@pytest.mark.parametrize("vendor", [vendor for vendor in ALL if vendor.name in WITHHELD], ids=lambda one: one.name)
def test_f098_images_withheld_twice_are_a_refusal_and_what_was_paid_is_told(scene: Deployment, vendor: Vendor) -> None:
    scene.script(vendor.name, WITHHELD[vendor.name], times=1)
    scene.script(vendor.name, ALL_WITHHELD[vendor.name])
    seen = scene.provoke(model_of_batches(vendor), n=2)
    assert (seen.status, seen.code, seen.retry) == (400, "content_policy_violation", "false")
    assert (seen.charged, seen.creates) == (BILLED_IN_VAIN[vendor.name], 2)
    assert seen.moved["samurai_vendor_calls_total"] == seen.creates


@pytest.mark.parametrize("vendor", LINKING, ids=lambda one: one.name)
def test_f099_a_link_that_is_gone_is_a_loss_and_not_bought_again(scene: Deployment, vendor: Vendor) -> None:
    if not vendor.links:
        put_link(scene, vendor, f"{scene.running.sandbox_url}/delivery/openai/gone.png")
    scene.script(vendor.name, {"status": 404, "body": "gone"}, "download")
    seen = scene.provoke(f"{vendor.model}-pair")
    assert (seen.status, seen.code, seen.retry) == (500, "upstream_bad_response", "false")
    assert (seen.charged, seen.creates) == (1, 1)
    assert seen.on("download") == 4  # looking again is free
    assert seen.told == {"upstream_bad_response": 1}
    assert scene.sandbox("ledger")["leaks"] == []


@pytest.mark.parametrize("vendor", LINKING, ids=lambda one: one.name)
@pytest.mark.parametrize("url", INWARDS)
def test_f100_a_link_that_leads_inwards_or_elsewhere_is_not_followed(
    scene: Deployment, vendor: Vendor, url: str
) -> None:
    put_link(scene, vendor, url.format(port=scene.running.admin_url.rpartition(":")[2]))
    seen = scene.provoke(f"{vendor.model}-pair")
    assert (seen.status, seen.code, seen.retry) == (500, "upstream_bad_response", "false")
    assert (seen.charged, seen.creates, seen.on("download")) == (1, 1, 0)
    assert seen.told == {"upstream_bad_response": 1}


@pytest.mark.parametrize("vendor", LINKING, ids=lambda one: one.name)
def test_f100_a_link_that_redirects_is_not_followed(scene: Deployment, vendor: Vendor) -> None:
    if not vendor.links:
        put_link(scene, vendor, f"{scene.running.sandbox_url}/delivery/openai/elsewhere.png")
    scene.script(vendor.name, {"redirect_to": f"{scene.running.sandbox_url}/sandbox/ledger"}, "download")
    seen = scene.provoke(f"{vendor.model}-pair")
    assert (seen.status, seen.code, seen.retry) == (500, "upstream_bad_response", "false")
    assert (seen.charged, seen.creates) == (1, 1)
    assert seen.told == {"upstream_bad_response": 1}


@pytest.mark.parametrize("spoil", NOT_IMAGES)
def test_f101_a_file_that_is_not_the_image_asked_for_is_not_delivered(
    scene: Deployment, vendor: Vendor, spoil: str
) -> None:
    scene.script(vendor.name, {"image": {"spoil": spoil}})
    seen = scene.provoke(f"{vendor.model}-pair")
    assert (seen.status, seen.code, seen.retry) == (500, "upstream_bad_response", "false")
    assert (seen.charged, seen.creates) == (1, 1)
    assert seen.told == {"upstream_bad_response": 1}


@pytest.mark.parametrize("vendor", [one for one in ALL if not one.links], ids=lambda one: one.name)
def test_f101_base64_that_is_none_is_not_delivered(scene: Deployment, vendor: Vendor) -> None:
    scene.script(vendor.name, {"image": {"spoil": "not_base64"}})
    seen = scene.provoke(f"{vendor.model}-pair")
    assert (seen.status, seen.code, seen.retry) == (500, "upstream_bad_response", "false")
    assert (seen.charged, seen.creates) == (1, 1)


def test_f048_a_bomb_is_seen_by_its_header_and_never_unpacked(scene: Deployment, vendor: Vendor) -> None:
    scene.script(vendor.name, {"image": {"spoil": "bomb"}})
    seen = scene.provoke(f"{vendor.model}-pair")
    assert (seen.status, seen.code, seen.retry) == (500, "upstream_bad_response", "false")
    assert (seen.charged, seen.creates) == (1, 1)
    assert seen.told == {"upstream_bad_response": 1}
    scene.calm()
    assert scene.ask(vendor.model, size="512x512").status_code == 200  # the workers live


@pytest.mark.parametrize("spoil", ["cmyk", "sixteen_bit", "animated"])
def test_f102_an_unusual_image_becomes_a_usual_one_or_is_refused(scene: Deployment, vendor: Vendor, spoil: str) -> None:
    scene.script(vendor.name, {"image": {"spoil": spoil}})
    seen = scene.provoke(vendor.model, response_format="b64_json", size="512x512")
    assert (seen.charged, seen.creates) == (1, 1)
    delivered = is_as_asked(seen, (512, 512))
    assert delivered or (seen.code, seen.retry) == ("upstream_bad_response", "false")
    assert delivered or spoil == "animated"


@pytest.mark.parametrize(("size", "fits"), [("2048x2048", True), ("640x480", False), ("256x256", False)])
def test_f102_an_image_of_another_size_is_made_smaller_and_never_stretched_or_enlarged(
    scene: Deployment, vendor: Vendor, size: str, fits: bool
) -> None:
    scene.script(vendor.name, {"image": {"size": size}})
    seen = scene.provoke(vendor.model, response_format="b64_json", size="512x512")
    assert (seen.charged, seen.creates) == (1, 1)
    if fits:
        assert is_as_asked(seen, (512, 512))
        assert seen.told == {"ok": 1}
    else:
        assert (seen.status, seen.code, seen.retry) == (500, "upstream_bad_response", "false")


def is_as_asked(seen: Seen, size: tuple[int, int]) -> bool:
    """Whether a plain PNG of this size was delivered; fails when something else was."""
    if seen.status != 200:
        return False
    (entry,) = seen.reply.json()["data"]
    with Image.open(io.BytesIO(base64.b64decode(entry["b64_json"], validate=True))) as image:
        image.load()
        assert (image.format, image.size) == ("PNG", size)
        assert image.mode in ("RGB", "RGBA", "L")
        assert getattr(image, "n_frames", 1) == 1
    return True
