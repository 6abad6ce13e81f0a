"""The documented errors as the stock OpenAI SDK raises them."""

from collections.abc import Callable, Iterator

import httpx2
import openai
import pytest
from openai import OpenAI

from tests.processes import Running

PROMPT = "a lighthouse"


@pytest.fixture
def client(running: Running) -> Iterator[OpenAI]:
    running.reset()
    with OpenAI(api_key=running.key, base_url=f"{running.base_url}/v1", max_retries=2) as client:
        yield client
    running.reset()


def raised(call: Callable[[], object]) -> openai.APIStatusError:
    with pytest.raises(openai.APIStatusError) as caught:
        call()
    error = caught.value
    assert error.request_id
    body = error.response.json()["error"]
    assert set(body) == {"message", "type", "param", "code"}
    return error


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"prompt": ""}, "prompt", "invalid_value"),
        ({"prompt": "x" * 1001}, "prompt", "invalid_value"),
        ({"n": 0}, "n", "invalid_value"),
        ({"n": 11}, "n", "invalid_value"),
        ({"size": "640x480"}, "size", "invalid_value"),
        ({"response_format": "gif"}, "response_format", "invalid_value"),
        ({"user": "u" * 257}, "user", "invalid_value"),
        ({"extra_body": {"wings": 2}}, "wings", "unknown_parameter"),
        ({"background": "transparent", "model": "flux-schnell"}, "background", "unsupported_parameter"),
    ],
)
def test_a_bad_parameter_is_a_bad_request_that_names_it(
    client: OpenAI, fields: dict[str, object], param: str, code: str
) -> None:
    error = raised(lambda: client.images.generate(**({"model": "flux-schnell", "prompt": PROMPT} | fields)))  # type: ignore[call-overload]
    assert isinstance(error, openai.BadRequestError)
    assert (error.param, error.code) == (param, code)


def test_an_unknown_model_is_not_found(client: OpenAI) -> None:
    error = raised(lambda: client.images.generate(model="dall-e-9", prompt=PROMPT))
    assert isinstance(error, openai.NotFoundError)
    assert error.code == "model_not_found"


def test_a_wrong_key_is_an_authentication_error(running: Running) -> None:
    with OpenAI(api_key="sk-wrong", base_url=f"{running.base_url}/v1") as stranger:
        error = raised(lambda: stranger.images.generate(model="flux-schnell", prompt=PROMPT))
    assert isinstance(error, openai.AuthenticationError)
    assert error.code == "invalid_api_key"


@pytest.mark.parametrize(
    ("model", "vendor", "refusal"),
    [
        ("flux-schnell", "replicate", "nsfw"),
        ("flux-1.1-pro", "replicate", "sensitive"),
        ("dall-e-3", "openai", "openai.moderation_blocked"),
        ("ideogram-v3", "ideogram", "ideogram.safety_422"),
        ("ideogram-v3", "ideogram", "unsafe"),
        ("imagen-3", "vertex", "block_reason"),
        ("imagen-3", "vertex", "image_safety"),
    ],
)
def test_a_safety_refusal_is_a_bad_request_in_whatever_disguise_it_comes(
    running: Running, client: OpenAI, model: str, vendor: str, refusal: str
) -> None:
    running.script(vendor=vendor, then=behaviour(refusal))
    error = raised(lambda: client.images.generate(model=model, prompt=PROMPT))
    assert isinstance(error, openai.BadRequestError)
    assert error.code == "content_policy_violation"
    assert error.response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("model", "vendor", "name", "code"),
    [
        ("flux-1.1-pro", "replicate", "replicate.unauthenticated_401", "upstream_auth_failed"),
        ("flux-1.1-pro", "replicate", "replicate.no_credit_402", "upstream_billing"),
        ("dall-e-3", "openai", "openai.no_credit_429", "upstream_billing"),
        ("dall-e-3", "openai", "openai.billing_hard_limit", "upstream_billing"),
    ],
)
def test_our_own_trouble_with_a_vendor_is_never_the_callers_fault(
    running: Running, client: OpenAI, model: str, vendor: str, name: str, code: str
) -> None:
    running.script(vendor=vendor, operation="create", then=behaviour(name))
    error = raised(lambda: client.images.generate(model=model, prompt=PROMPT))
    assert isinstance(error, openai.InternalServerError)
    assert error.code == code
    assert error.response.headers["x-should-retry"] == "false"
    assert not any(word in error.response.text.lower() for word in ("http", "billing page", "org-", vendor))


def behaviour(name: str) -> dict[str, object]:
    return {"error": name} if "." in name else {"refuse": name}


def test_a_limit_is_a_rate_limit_error_with_exact_times(running: Running) -> None:
    reply = httpx2.post(
        f"{running.base_url}/v1/images/generations",
        headers={"authorization": f"Bearer {running.key}"},
        json={"model": "flux-schnell", "prompt": PROMPT, "size": "256x256"},
    )
    assert reply.status_code == 200
    for name in ("requests", "images"):
        assert int(reply.headers[f"x-ratelimit-limit-{name}"]) > int(reply.headers[f"x-ratelimit-remaining-{name}"])
        assert reply.headers[f"x-ratelimit-reset-{name}"]
    assert "ratelimit" in reply.headers
    assert reply.headers["x-samurai-served-by"] == "replicate/black-forest-labs/flux-schnell"
    assert reply.headers["x-samurai-emulated"] == "size"
    assert float(reply.headers["x-samurai-cost-usd"]) == 0.003
