"""A store that fails, is full, or lost its power: rows 60 and 109 to 112."""

import base64
import io
import os
import random
import resource
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from PIL import Image

from tests.faults.deployment import Deployment, Seen, Vendor, eventually
from tests.processes import Running, gateway, sandbox, sandbox_settings


def images_of(scene: Deployment) -> Path:
    """The store that the deployment keeps its images in."""
    return scene.folder / "images"


def is_ready(scene: Deployment) -> tuple[int, str]:
    reply = scene.client.get(f"{scene.running.admin_url}/readyz")
    return reply.status_code, reply.json()["checks"]["store"]


@contextmanager
def gone(folder: Path) -> Iterator[None]:
    """A store that is not there, and where nothing can be made: a file has its name."""
    aside = folder.with_name(folder.name + ".aside")
    folder.rename(aside)
    folder.write_text("")
    try:
        yield
    finally:
        if folder.is_file():
            folder.unlink()
        else:
            shutil.rmtree(folder)
        aside.rename(folder)


@contextmanager
def full(running: Running) -> Iterator[None]:
    """As on a full disk, no file can grow, wherever it is."""
    pid = running.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def test_f109_while_the_store_is_away_no_link_is_promised_and_the_retry_pays_nothing(
    scene: Deployment, vendor: Vendor
) -> None:
    with gone(images_of(scene)):
        seen = scene.provoke(vendor.model)
        assert (seen.status, seen.code, seen.retry) == (500, "asset_store_unavailable", "true")
        assert (seen.charged, seen.creates) == (1, 1)
        assert seen.answered == {"asset_store_unavailable": 1}
        assert is_ready(scene) == (503, "failing")
    assert is_ready(scene) == (200, "ok")
    retries: list[Seen] = []

    def is_served() -> bool:
        retries.append(scene.provoke(vendor.model, {"x-stainless-retry-count": "1"}))
        return came_through(retries[-1])

    eventually(is_served, within_s=40)
    assert scene.client.get(retries[-1].reply.json()["data"][0]["url"]).status_code == 200


def came_through(retry: Seen) -> bool:
    """Whether a retry was served; none may buy anything, and none that was not may say that no more are worth it."""
    assert (retry.charged, retry.creates) == (0, 0)
    assert retry.status == 200 or (retry.code, retry.retry) == ("asset_store_unavailable", "true")
    return retry.status == 200


def test_f109_while_the_store_is_away_images_are_served_inside_the_reply(scene: Deployment, vendor: Vendor) -> None:
    with gone(images_of(scene)):
        seen = scene.provoke(vendor.model, response_format="b64_json")
        assert (seen.status, seen.charged, seen.creates) == (200, 1, 1)
        with Image.open(io.BytesIO(base64.b64decode(seen.reply.json()["data"][0]["b64_json"]))) as image:
            image.load()
            assert image.size == (1024, 1024)


@pytest.mark.fault(60)
def test_f110_a_full_disk_is_our_fault_and_not_the_vendors_and_heals_when_there_is_room(
    scene: Deployment, vendor: Vendor
) -> None:
    link = scene.ask(vendor.model).json()["data"][0]["url"]
    with full(scene.running):
        seen = scene.provoke(f"{vendor.model}-pair")
        assert (seen.status, seen.code, seen.retry) == (500, "asset_store_unavailable", "false")
        assert (seen.charged, seen.creates) == (1, 1)  # paid for once, and not bought elsewhere
        assert is_ready(scene) == (503, "failing")
        assert scene.client.get(link).status_code == 200  # what is there is still served
    assert is_ready(scene) == (200, "ok")
    assert scene.ask(vendor.model).status_code == 200


@pytest.mark.slow
def test_f111_a_gateway_that_is_killed_while_it_stores_leaves_no_half_image(tmp_path: Path) -> None:
    dice = random.Random(111)
    with sandbox() as url:
        settings = sandbox_settings(tmp_path, url)
        settings["keys"][0]["limits"] = {}
        made = 0
        for _ in range(2):
            with gateway(tmp_path, settings, url) as running, ThreadPoolExecutor(4) as pool:
                over = threading.Event()
                before = len(images_in(tmp_path))
                busy = [pool.submit(keep_asking, running, over) for _ in range(4)]
                eventually(lambda before=before: len(images_in(tmp_path)) >= before + 8)  # type: ignore[misc]
                time.sleep(dice.uniform(0.0, 0.2))  # the fault itself: some moment under load
                os.kill(running.process.pid, signal.SIGKILL)
                over.set()
                made += sum(one.result() for one in busy)
        assert len(images_in(tmp_path)) >= made
        for path in images_in(tmp_path):
            with Image.open(path) as image:
                image.load()
                assert image.size == (256, 256)


def images_in(folder: Path) -> list[Path]:
    return [path for path in (folder / "images").rglob("*.png") if len(path.stem) > 20]


def keep_asking(running: Running, over: threading.Event) -> int:
    made = 0
    with httpx2.Client(timeout=30) as client:
        while not over.is_set():
            try:
                reply = client.post(
                    f"{running.base_url}/v1/images/generations",
                    headers={"authorization": f"Bearer {running.key}"},
                    json={"model": "flux-schnell", "prompt": "a lighthouse", "size": "256x256", "n": 4},
                )
            except httpx2.TransportError:
                return made
            made += len(reply.json()["data"])
    return made
