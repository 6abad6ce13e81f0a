"""Every model × size × form × count, through the stock OpenAI SDK, and the vendors' books afterwards."""

import base64
import hashlib
import io
import re

import httpx2
import pytest
from openai import OpenAI
from PIL import Image

from tests.processes import Running

MODELS = ("flux-schnell", "flux-1.1-pro", "dall-e-3", "ideogram-v3", "imagen-3")
SIZES = ("256x256", "512x512", "1024x1024")
COUNTS = (1, 2, 3, 4, 5, 7, 8, 10)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["url", "b64_json"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("model", MODELS)
def test_exactly_the_images_asked_for(running: Running, model: str, size: str, form: str) -> None:
    """Count, dimensions, decodability, distinctness; and what was bought is what was delivered."""
    with OpenAI(api_key=running.key, base_url=f"{running.base_url}/v1", max_retries=0) as client:
        for count in COUNTS:
            before = charged(running)
            prompt = f"{model} {size} {form} {count}: a lighthouse at dawn"
            reply = client.images.generate(model=model, prompt=prompt, n=count, size=size, response_format=form)  # type: ignore[call-overload]
            assert reply.data is not None
            assert len(reply.data) == count
            digests = set()
            for entry in reply.data:
                assert (entry.url is None) == (form == "b64_json")
                assert (entry.b64_json is None) == (form == "url")
                content = base64.b64decode(entry.b64_json, validate=True) if entry.b64_json else fetched(entry.url)
                with Image.open(io.BytesIO(content)) as image:
                    image.load()
                    assert (image.format, f"{image.width}x{image.height}") == ("PNG", size)
                    digests.add(hashlib.sha256(image.tobytes()).hexdigest())
            assert len(digests) == count
            assert charged(running) - before == count


def fetched(url: str | None) -> bytes:
    assert url is not None
    reply = httpx2.get(url).raise_for_status()
    assert reply.headers["content-type"] == "image/png"
    return reply.content


def charged(running: Running) -> int:
    return int(running.ledger()["totals"]["images_charged"])


@pytest.mark.parametrize(
    ("model", "calls"),
    [("flux-schnell", 3), ("flux-1.1-pro", 10), ("dall-e-3", 1), ("ideogram-v3", 2), ("imagen-3", 10)],
)
def test_ten_images_take_the_fewest_paid_calls(running: Running, model: str, calls: int) -> None:
    before = len(running.ledger()["entries"])
    with OpenAI(api_key=running.key, base_url=f"{running.base_url}/v1", max_retries=0) as client:
        client.images.generate(model=model, prompt="ten of them", n=10, size="256x256")
    assert len(running.ledger()["entries"]) - before == calls


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("output_format", ["png", "jpeg", "webp"])
def test_every_model_writes_every_output_format(running: Running, model: str, output_format: str) -> None:
    with OpenAI(api_key=running.key, base_url=f"{running.base_url}/v1", max_retries=0) as client:
        reply = client.images.generate(  # type: ignore[call-overload]
            model=model,
            prompt="a format",
            size="512x512",
            response_format="b64_json",
            output_format=output_format,
            output_compression=60 if output_format != "png" else None,
        )
    assert reply.data is not None
    content = base64.b64decode(reply.data[0].b64_json or "", validate=True)
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        assert (image.format, image.size) == (output_format.upper(), (512, 512))


@pytest.mark.parametrize("model", MODELS)
def test_every_model_streams_each_image_as_an_event(running: Running, model: str) -> None:
    with OpenAI(api_key=running.key, base_url=f"{running.base_url}/v1", max_retries=0) as client:
        events = list(client.images.generate(model=model, prompt="a stream", n=3, size="256x256", stream=True))
    assert [event.type for event in events] == ["image_generation.completed"] * 3
    for event in events:
        assert re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", event.b64_json)
        with Image.open(io.BytesIO(base64.b64decode(event.b64_json))) as image:
            assert image.size == (256, 256)
