from ipaddress import ip_network
from pathlib import Path

import pytest

from gateway.domain.caller import Tenant
from gateway.domain.catalogue import Account, Limits, OnRefusal, Strategy
from gateway.domain.picture import Size
from gateway.settings.groups import Budget, GoogleCredentials, Settings, WebhookSettings
from gateway.settings.kinds import duration_s
from gateway.settings.lines import compose
from gateway.settings.pending import not_yet_in_force
from gateway.settings.reading import read
from gateway.settings.secrets import Secret
from gateway.settings.shape import Document
from tests.settings.samples import ENVIRONMENT, FULL, SHA256, SMALL, WEBHOOK_SECRET, load_text


@pytest.fixture
def full(tmp_path: Path) -> Settings:
    return load_text(FULL, tmp_path)


@pytest.fixture
def small(tmp_path: Path) -> Settings:
    return load_text(SMALL, tmp_path)


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("30s", 30.0), ("5m", 300.0), ("24h", 86400.0), ("0s", 0.0), ("10ms", 0.01)]
)
def test_durations_become_seconds(text: str, seconds: float) -> None:
    assert duration_s(text) == pytest.approx(seconds)


def test_the_server_group(full: Settings) -> None:
    server = full.server
    assert (server.public_host, server.public_port) == ("0.0.0.0", 8080)
    assert (server.admin_host, server.admin_port) == ("127.0.0.1", 8081)
    assert server.base_url == "https://images.example.com"
    assert server.admin_token == Secret("canary-admin-token-0001")
    assert server.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert (server.drain_delay_s, server.drain_deadline_s) == (0.0, 200.0)


def test_redis_by_reference_and_each_limit_without_it(full: Settings) -> None:
    assert full.redis.url.reveal() == ENVIRONMENT["REDIS_URL"]
    assert not full.redis.is_embedded
    assert full.redis.on_failure == {"requests": "open", "images": "share", "concurrent": "open", "budget": "closed"}


def test_an_object_store_keeps_its_url(full: Settings) -> None:
    assert full.store.url == "s3://bucket/prefix"
    assert full.store.directory is None
    assert full.store.keep_s == 90_000.0
    assert full.store.signing_key == Secret("canary-signing-key-0123456789abcdef")


def test_accounts(full: Settings) -> None:
    openai = full.accounts["openai"]
    assert openai.account == Account("openai", "openai", base_url="https://eu.api.example.com/v1")
    assert openai.credential == Secret("canary-openai-key")
    assert openai.timeout_s == 90.0
    assert openai.headers == {"OpenAI-Organization": Secret("canary-organisation"), "OpenAI-Project": Secret("images")}
    assert openai.download_hosts == ("*.cdn.example.com", "files.example.com")
    assert openai.pacing.images_per_minute == 50
    assert full.accounts["vertex"].credential == GoogleCredentials()
    assert full.accounts["vertex"].account.location == "europe-west4"
    assert full.accounts["sandbox"].credential == GoogleCredentials(metadata="127.0.0.1:8090")
    assert full.accounts["sandbox"].account.location == "global"


def test_routes(full: Settings) -> None:
    route = full.catalogue.routes["dall-e-3"]
    first, second = route.targets
    assert first.served_by == "openai/gpt-image-2"
    assert first.account is full.accounts["openai"].account
    assert first.parameters == {"quality": "medium", "nested": {"list": [1, 2.5, True, None, "text"]}}
    assert (first.weight, second.weight) == (3, 1)
    assert (route.strategy, route.on_refusal) == (Strategy.WEIGHTED, OnRefusal.NEXT_TARGET)
    assert (route.deadline_s, route.prompt_limit) == (180.0, 4000)
    assert route.limits == Limits(images_per_minute=500)
    assert full.catalogue.routes["flux-schnell"].prompt_limit == 2000
    assert full.catalogue.routes["ideogram-v3"].provider_options == ("seed", "style_type", "negative_prompt")
    assert full.catalogue.routes["imagen-3"].passthrough_url


def test_prices_are_exact_microdollars(full: Settings) -> None:
    table = full.catalogue.routes["dall-e-3"].targets[0].price
    assert table.of(Size(1024, 1024), "low") == 20_000
    assert table.of(Size(512, 512), "low") == 250_000
    assert full.catalogue.routes["dall-e-3"].targets[1].price.flat == 1_000_000
    assert full.catalogue.routes["flux-schnell"].targets[0].price.flat == 3_000


def test_what_every_request_may_ask_for(full: Settings) -> None:
    assert full.catalogue.sizes[-1] == Size(1536, 1024)
    assert full.catalogue.default_model == "flux-schnell"
    assert full.catalogue.ignore_unknown_fields


def test_keys_and_tenants(full: Settings) -> None:
    (record,) = full.keys
    caller = full.callers[SHA256]
    assert (record.caller.priority, record.caller.models) == (7, ("*", "flux-schnell"))
    assert record.metadata == {"owner": "ann"}
    # what its tenant has counts at most
    assert full.tenants == {"acme": Tenant(Limits(images_per_minute=1000), ("flux-schnell",), 6)}
    assert (caller.key_id, caller.tenant, caller.priority) == ("web-team", "acme", 6)
    assert caller.models == ("flux-schnell",)
    assert caller.limits == Limits(requests_per_minute=60, images_per_minute=200, concurrent=20)
    assert caller.tenant_limits == Limits(images_per_minute=1000)
    assert caller.per_user == Limits(images_per_minute=5)
    assert caller.budget == record.budget
    assert caller.may_route
    assert full.redis.replicas_max == 4
    assert record.budget == Budget(50_000_000, 1_000_500_000, 9_000_000_000)
    assert full.tenant_budgets == {"acme": Budget(per_month_microusd=5_000_000_000)}


def test_the_rest(full: Settings) -> None:
    assert (full.idempotency.keep_s, full.idempotency.wait_s, full.idempotency.join_retries_s) == (86400, 25, 900)
    assert not full.idempotency.conflict
    assert (full.resilience.breaker.failures, full.resilience.breaker.over) == (0.5, 10)
    assert (full.resilience.breaker.window_s, full.resilience.breaker.cooldown_s) == (30.0, 3.0)
    assert (full.logging.level, full.logging.prompts) == ("debug", True)


def test_everything_but_accounts_models_and_keys_has_a_default(small: Settings) -> None:
    assert small.server.base_url == "http://127.0.0.1:8080"
    assert small.redis.is_embedded
    assert set(small.redis.on_failure.values()) == {"share"}
    assert small.store.directory == Path("/var/lib/samurai/images")
    assert small.store.signing_key is None
    assert small.server.admin_token is None
    assert small.catalogue.default_model is None
    assert small.callers[SHA256].models == ("*",)
    assert small.logging.level == "info"


def test_a_relative_store_lies_beside_the_file(tmp_path: Path) -> None:
    settings = load_text(f'{SMALL}store: {{url: "file:../images"}}\n', tmp_path)
    assert settings.store.directory == tmp_path.parent / "images"
    assert settings.store.url == (tmp_path.parent / "images").as_uri()


def test_another_port_moves_the_links_that_named_it(small: Settings, full: Settings) -> None:
    moved = small.listening(host="127.0.0.1", public_port=9000, admin_port=0)
    assert (moved.server.public_host, moved.server.public_port) == ("127.0.0.1", 9000)
    assert (moved.server.admin_host, moved.server.admin_port) == ("127.0.0.1", 0)
    assert moved.server.base_url == "http://127.0.0.1:9000"
    assert full.listening(public_port=9000).server.base_url == "https://images.example.com"
    assert small.listening() == small


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('webhooks: {public_url: "https://hooks.example.com"}', (": webhooks.public_url: accepted, not yet in force",)),
        ("webhooks: {public_url: null}", ()),  # what is done anyway
        ("", ()),
    ],
)
def test_what_is_set_and_not_obeyed_yet_is_named_by_line(text: str, told: tuple[str, ...]) -> None:
    document, findings = read(compose(f"{SMALL}{text}\n"), Document)
    named = not_yet_in_force(document, findings, (("webhooks", "public_url"),))
    line = SMALL.count("\n") + 1
    assert named == tuple(f"line {line}{each}" for each in told)


def test_everything_that_can_be_set_is_in_force(full: Settings) -> None:
    assert full.not_yet_in_force() == ()


def test_where_vendors_call_back_has_no_slash_at_its_end(tmp_path: Path) -> None:
    hooked = load_text(f'{SMALL}webhooks: {{public_url: "https://hooks.example.com/"}}\n', tmp_path)
    assert hooked.webhook_url == "https://hooks.example.com"
    assert load_text(SMALL, tmp_path).webhook_url is None


def test_a_key_may_have_a_webhook(full: Settings, small: Settings) -> None:
    (hooked,) = [record.webhook for record in full.keys if record.webhook is not None]
    assert hooked == WebhookSettings("https://app.example.com/hooks?tenant=acme", Secret(WEBHOOK_SECRET))
    assert [record.webhook for record in small.keys] == [None]
