"""The vendors' own Python clients, unmodified, against the sandbox."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import google.genai
import httpx
import openai
import pytest
from google.auth.credentials import Credentials
from google.genai import errors as genai_errors
from google.genai import types
from google.oauth2 import service_account
from replicate.client import Client as ReplicateClient
from replicate.exceptions import ModelError, ReplicateError

from gateway.sandbox.options import OPENAI_KEY, REPLICATE_TOKEN, SandboxOptions
from gateway.sandbox.server import Sandbox, running_sandbox
from tests.sandbox.images import seen, seen_in_base64

SCHNELL = "black-forest-labs/flux-schnell"
CLOUD = "https://www.googleapis.com/auth/cloud-platform"

# google-genai leaves an aiohttp session and its own loop's sockets to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


async def apart(act: Callable[[], Any]) -> Any:
    """Run a blocking client in a thread, since the sandbox runs in this loop."""
    return await asyncio.to_thread(act)


@pytest.fixture
def replicate_client(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("REPLICATE_POLL_INTERVAL", "0.01")
    return ReplicateClient(api_token=REPLICATE_TOKEN, base_url=f"{sandbox.base_url}/replicate")


@pytest.fixture
async def openai_client(sandbox: Sandbox) -> AsyncIterator[openai.AsyncOpenAI]:
    address = f"{sandbox.base_url}/openai/v1"
    async with openai.AsyncOpenAI(api_key=OPENAI_KEY, base_url=address, max_retries=0) as client:
        yield client


def genai_client(sandbox: Sandbox, credentials: Credentials | None = None) -> google.genai.Client:
    account: Any = service_account.Credentials
    own = account.from_service_account_info(sandbox.service_account(), scopes=[CLOUD])
    return google.genai.Client(
        vertexai=True,
        project="sandbox-project",
        location="global",
        credentials=credentials or own,
        http_options=types.HttpOptions(base_url=f"{sandbox.base_url}/vertex", api_version="v1"),
    )


async def test_replicate_runs_a_model_and_gets_its_files(sandbox: Sandbox, replicate_client: Any) -> None:
    given = {"prompt": "a crane", "num_outputs": 2, "output_format": "png"}
    files = await apart(lambda: replicate_client.run(SCHNELL, input=given))
    assert len(files) == 2
    async with httpx.AsyncClient(trust_env=False, verify=False) as nobody:
        # The client wraps only https: links into its files; for an http: one it hands out the link itself
        pictures = [seen((await nobody.get(file)).content) for file in files]
    assert [(picture.format, picture.size) for picture in pictures] == [("PNG", (1024, 1024))] * 2
    assert (sandbox.ledger.images_charged(), sandbox.ledger.images_delivered()) == (2, 2)


async def test_replicate_polls_until_the_prediction_has_ended(replicate_client: Any) -> None:
    prediction = await apart(lambda: replicate_client.models.predictions.create(SCHNELL, input={"prompt": "x"}))
    assert prediction.status == "starting"
    await apart(prediction.wait)
    assert prediction.status == "succeeded"
    assert prediction.metrics["image_count"] == 1


async def test_replicate_cancels_lists_and_reads_predictions(sandbox: Sandbox, replicate_client: Any) -> None:
    sandbox.state.script("replicate", then={"life": "stuck_processing"})
    stuck = await apart(lambda: replicate_client.predictions.create(version=SCHNELL, input={"prompt": "x"}))
    await apart(stuck.reload)
    assert stuck.status == "processing"
    await apart(stuck.cancel)
    assert stuck.status == "canceled"
    page = await apart(replicate_client.predictions.list)
    assert [one.id for one in page.results] == [stuck.id]
    assert (await apart(lambda: replicate_client.predictions.get(stuck.id))).status == "canceled"
    assert (await apart(lambda: replicate_client.models.get(SCHNELL))).name == "flux-schnell"


async def test_replicate_s_errors_are_read_by_its_client(sandbox: Sandbox, replicate_client: Any) -> None:
    with pytest.raises(ReplicateError) as wrong:
        await apart(lambda: replicate_client.run(SCHNELL, input={"prompt": "x", "num_outputs": 9}))
    assert (wrong.value.status, wrong.value.title) == (422, "Input validation failed")
    stranger = ReplicateClient(api_token="r8_nobody", base_url=f"{sandbox.base_url}/replicate")
    with pytest.raises(ReplicateError) as unknown:
        await apart(lambda: stranger.run(SCHNELL, input={"prompt": "x"}))
    assert unknown.value.status == 401
    sandbox.state.script("replicate", then={"refuse": "nsfw"})
    with pytest.raises(ModelError, match="NSFW"):
        await apart(lambda: replicate_client.run(SCHNELL, input={"prompt": "x"}))


async def test_replicate_s_asynchronous_client_works_too(replicate_client: Any) -> None:
    link = await replicate_client.async_run("black-forest-labs/flux-1.1-pro", input={"prompt": "x"})
    assert link.startswith("http://127.0.0.1:")


async def test_openai_generates_images(openai_client: openai.AsyncOpenAI) -> None:
    reply = await openai_client.images.generate(model="gpt-image-2", prompt="a crane", n=2, size="1024x1024")
    assert reply.data is not None
    assert [seen_in_base64(item.b64_json or "").size for item in reply.data] == [(1024, 1024)] * 2
    assert reply.usage is not None
    assert reply.usage.total_tokens > 0


async def test_openai_streams_images(openai_client: openai.AsyncOpenAI) -> None:
    stream = await openai_client.images.generate(model="gpt-image-2", prompt="x", stream=True, partial_images=2)
    kinds = [event.type async for event in stream]
    assert kinds == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]


async def test_openai_lists_models(openai_client: openai.AsyncOpenAI) -> None:
    ids = [model.id async for model in openai_client.models.list()]
    assert "gpt-image-2" in ids
    with pytest.raises(openai.NotFoundError):
        await openai_client.models.retrieve("dall-e-3")


async def test_openai_s_errors_are_read_by_its_client(sandbox: Sandbox, openai_client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as wrong:
        await openai_client.images.generate(model="gpt-image-2", prompt="x", response_format="url")
    assert (wrong.value.code, wrong.value.param) == ("unknown_parameter", "response_format")
    sandbox.state.script("openai", then={"error": "openai.moderation_blocked"})
    with pytest.raises(openai.BadRequestError) as blocked:
        await openai_client.images.generate(model="gpt-image-2", prompt="x")
    assert blocked.value.code == "moderation_blocked"
    sandbox.state.script("openai", then={"error": "openai.no_credit_429"})
    with pytest.raises(openai.RateLimitError) as poor:
        await openai_client.images.generate(model="gpt-image-2", prompt="x")
    assert (poor.value.type, poor.value.code) == ("insufficient_quota", "credit_balance_exhausted")
    with pytest.raises(openai.AuthenticationError):
        await openai_client.with_options(api_key="sk-nobody").images.generate(model="gpt-image-2", prompt="x")


async def test_genai_generates_an_image_with_a_service_account(sandbox: Sandbox) -> None:
    client = genai_client(sandbox)
    wanted = types.GenerateContentConfig(
        response_modalities=["IMAGE"], image_config=types.ImageConfig(aspect_ratio="1:1")
    )
    reply = await apart(
        lambda: client.models.generate_content(model="gemini-3.1-flash-image", contents="a crane", config=wanted)
    )
    blob = reply.candidates[0].content.parts[0].inline_data
    assert (blob.mime_type, seen(blob.data).size) == ("image/png", (1024, 1024))
    assert reply.candidates[0].finish_reason == types.FinishReason.STOP
    await apart(client.close)


async def test_genai_reads_refusals_and_errors(sandbox: Sandbox) -> None:
    client = genai_client(sandbox)

    def generate(model: str = "gemini-3.1-flash-image") -> Any:
        return client.models.generate_content(model=model, contents="a crane")

    sandbox.state.script("vertex", then={"refuse": "block_reason"})
    assert (await apart(generate)).prompt_feedback.block_reason == types.BlockedReason.PROHIBITED_CONTENT
    sandbox.state.script("vertex", then={"refuse": "image_safety"})
    assert (await apart(generate)).candidates[0].finish_reason == types.FinishReason.IMAGE_SAFETY
    sandbox.state.script("vertex", then={"error": "vertex.quota_zero_429", "mangle": "array_wrapped"})
    with pytest.raises(genai_errors.ClientError) as throttled:
        await apart(generate)
    assert (throttled.value.code, throttled.value.status) == (429, "RESOURCE_EXHAUSTED")
    with pytest.raises(genai_errors.ClientError) as missing:
        await apart(lambda: generate("gemini-0-image"))
    assert missing.value.code == 404
    await apart(client.close)


# The client announces that Imagen's method will be taken away; here it is the retired API that is being tested
@pytest.mark.filterwarnings("ignore:The generate_images method is deprecated")
async def test_genai_makes_imagen_pictures_where_they_are_still_spoken() -> None:
    async with running_sandbox(SandboxOptions(speak_retired=True)) as sandbox:
        client = genai_client(sandbox)
        wanted = types.GenerateImagesConfig(number_of_images=3, include_rai_reason=True)
        sandbox.state.script("vertex", then={"refuse": "rai_some", "drop": 1})
        reply = await apart(
            lambda: client.models.generate_images(model="imagen-3.0-generate-002", prompt="a crane", config=wanted)
        )
        whole = [one for one in reply.generated_images if one.image is not None and one.image.image_bytes]
        assert len(whole) == 2
        assert seen(whole[0].image.image_bytes).size == (1024, 1024)
        assert sandbox.ledger.images_charged() == 2
        await apart(client.close)
