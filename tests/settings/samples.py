"""One configuration that uses every name there is, and the ways tests load it."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway.settings.faults import ConfigFault, SettingsError
from gateway.settings.groups import Settings
from gateway.settings.loading import load

DIALECTS = {
    "replicate_predictions": "replicate",
    "openai_images": "openai",
    "ideogram_v3": "ideogram",
    "ideogram_v2": "ideogram",
    "vertex_predict": "vertex",
    "vertex_generate_content": "vertex",
}
WEBHOOK_SECRET = "whsec_canary/webhook/secret/0123456789"
ENVIRONMENT = {
    "ADMIN_TOKEN": "canary-admin-token-0001",
    "REDIS_URL": "rediss://:canary-redis-password@redis.internal:6380/0",
    "SIGNING_KEY": "canary-signing-key-0123456789abcdef",
    "REPLICATE_API_TOKEN": "canary-replicate-token",
    "OPENAI_API_KEY": "canary-openai-key",
    "IDEOGRAM_API_KEY": "canary-ideogram-key",
    "ORGANISATION": "canary-organisation",
    "WEBHOOK_SECRET": WEBHOOK_SECRET,
}
SHA256 = "0123456789abcdef" * 4

FULL = """\
server:
  public: {host: 0.0.0.0, port: 8080, base_url: "https://images.example.com/"}
  admin: {host: 127.0.0.1, port: 8081, token: {env: ADMIN_TOKEN}}
  trusted_proxies: ["10.0.0.0/8", "fd00::/8"]
  drain: {delay: 0s, deadline: 200s}
redis:
  url: {env: REDIS_URL}
  on_failure: {requests: open, images: share, concurrent: open, budget: closed}
  honour_keys: 10m
  replicas_max: 4
store:
  url: "s3://bucket/prefix"
  keep: 25h
  links: proxy
  signing_key: {env: SIGNING_KEY}
accounts:
  replicate: {vendor: replicate, api_key: {env: REPLICATE_API_TOKEN}, pacing: {requests_per_minute: 600}}
  openai:
    vendor: openai
    api_key: {env: OPENAI_API_KEY}
    base_url: "https://eu.api.example.com/v1/"
    download_hosts: ["*.cdn.example.com", "files.example.com"]
    timeout: 90s
    headers: {OpenAI-Organization: {env: ORGANISATION}, OpenAI-Project: images}
    pacing: {images_per_minute: 50}
  ideogram: {vendor: ideogram, api_key: {env: IDEOGRAM_API_KEY}, pacing: {images_in_flight: 10}}
  vertex: {vendor: vertex, project: my-project, location: europe-west4, credentials: adc}
  sandbox: {vendor: vertex, project: p, credentials: {metadata: "127.0.0.1:8090"}, base_url: "http://127.0.0.1:8090/v1"}
models:
  flux-schnell:
    targets:
      - {account: replicate, dialect: replicate_predictions, model: owner/flux-schnell, price: {per_image: 0.003}}
  dall-e-3:
    targets:
      - account: openai
        dialect: openai_images
        model: gpt-image-2
        parameters: {quality: medium, nested: {list: [1, 2.5, true, null, text]}}
        price: {per_image: {"1024x1024": {low: 0.02, high: 0.19}, "*": {"*": 0.25}}}
        weight: 3
      - {account: replicate, dialect: replicate_predictions, model: a/b, price: {per_image: 1}}
    deadline: 180s
    limits: {images_per_minute: 500}
    prompt_limit: 4000
    strategy: weighted
    on_refusal: next_target
  ideogram-v3:
    targets:
      - {account: ideogram, dialect: ideogram_v3, model: ideogram-v3, price: {per_image: 0.06}}
    provider_options: [seed, style_type, negative_prompt]
  imagen-3:
    targets:
      - {account: vertex, dialect: vertex_generate_content, model: gemini-3.1-flash-image, price: {per_image: 0.04}}
      - {account: sandbox, dialect: vertex_generate_content, model: gemini-3.1-flash-image, price: {per_image: 0.04}}
    strategy: ordered
    on_refusal: stop
    passthrough_url: true
tenants:
  acme: {limits: {images_per_minute: 1000}, budget: {per_month: 5000}, models: [flux-schnell], priority: 6,
         metadata: {contract: "2030-17"}}
idempotency: {keep: 24h, wait: 25s, join_retries: 15m, concurrent: wait}
webhooks: {public_url: null}
resilience: {retry_budget: 0.1, breaker: {failures: 0.5, over: 10, window: 30s, cooldown: 3s}, on_unknown: fail}
keys:
  - id: web-team
    sha256: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    tenant: acme
    models: ["*", flux-schnell]
    limits: {requests_per_minute: 60, images_per_minute: 200, concurrent: 20, burst: null,
             per_user: {images_per_minute: 5}}
    budget: {per_day: 50, per_month: 1000.5, total: 9000}
    priority: 7
    may_route: true
    metadata: {owner: ann}
    webhook: {url: "https://app.example.com/hooks?tenant=acme", secret: {env: WEBHOOK_SECRET}}
compatibility:
  default_model: flux-schnell
  unknown_fields: ignore
  sizes: ["256x256", "512x512", "1024x1024", "1536x1024"]
  prompt_limit: 2000
logging: {level: debug, prompts: true}
tracing: {otlp_endpoint: null}
"""

SMALL = """\
accounts:
  openai: {vendor: openai, api_key: {env: OPENAI_API_KEY}}
models:
  dall-e-3:
    targets:
      - {account: openai, dialect: openai_images, model: gpt-image-2, price: {per_image: 0.05}}
keys:
  - {id: k, sha256: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}
"""


def load_text(text: str, directory: Path, environment: Mapping[str, str] = ENVIRONMENT) -> Settings:
    """The settings in `text`, as if it stood in a file in `directory`."""
    path = directory / "gateway.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    return load(path, environment, DIALECTS)


def faults_of(text: str, directory: Path, environment: Mapping[str, str] = ENVIRONMENT) -> tuple[ConfigFault, ...]:
    """The faults of `text`, which must have some."""
    with pytest.raises(SettingsError) as caught:
        load_text(text, directory, environment)
    return caught.value.faults


def only_fault_of(text: str, directory: Path, environment: Mapping[str, str] = ENVIRONMENT) -> str:
    """The one fault of `text`, in words."""
    (fault,) = faults_of(text, directory, environment)
    return str(fault)
