from hashlib import sha256
from pathlib import Path

import pytest

from gateway.edges.keys import Keys
from gateway.policies.key_format import new_key
from gateway.settings.faults import SettingsError
from gateway.settings.groups import GoogleCredentials, Settings
from gateway.settings.loading import load
from gateway.settings.secrets import Secret
from gateway.vendors import dialects

CONFIG = Path(__file__).parents[2] / "config"
MODELS = {"flux-schnell", "flux-1.1-pro", "dall-e-3", "ideogram-v3", "imagen-3"}
VENDOR_OF = {name: dialect.vendor for name, dialect in dialects().items()}
DEMO_KEY = new_key(sha256(b"samurai sandbox demo key").digest())


@pytest.fixture(scope="module")
def sandbox() -> Settings:
    return load(CONFIG / "sandbox.yaml", {}, VENDOR_OF)


def test_the_sandbox_needs_nothing_from_outside_and_warns_of_nothing(sandbox: Settings) -> None:
    assert (sandbox.warnings, sandbox.not_yet_in_force()) == ((), ())
    assert set(sandbox.catalogue.routes) == MODELS
    assert sandbox.redis.is_embedded
    assert sandbox.store.directory == CONFIG.parent / ".samurai" / "images"
    assert sandbox.server.base_url == "http://127.0.0.1:8080"
    assert (sandbox.server.admin_host, sandbox.server.admin_port) == ("127.0.0.1", 8081)


def test_the_sandbox_accounts_point_at_the_sandbox_with_its_credentials(sandbox: Settings) -> None:
    told = {name: (account.account.base_url, account.credential) for name, account in sandbox.accounts.items()}
    assert told == {
        "replicate": ("http://127.0.0.1:8090/replicate/v1", Secret("r8_sandbox")),
        "openai": ("http://127.0.0.1:8090/openai/v1", Secret("sk-sandbox-openai")),
        "ideogram": ("http://127.0.0.1:8090/ideogram", Secret("ideogram-sandbox")),
        "vertex": ("http://127.0.0.1:8090/vertex/v1", GoogleCredentials(metadata="127.0.0.1:8090")),
    }


def test_the_demo_key_that_the_comment_shows_is_the_one_that_works(sandbox: Settings) -> None:
    assert DEMO_KEY in (CONFIG / "sandbox.yaml").read_text()
    caller = Keys(sandbox.callers).find(DEMO_KEY)
    assert caller is not None
    assert (caller.limits.requests_per_minute, caller.limits.images_per_minute, caller.limits.burst) == (
        600,
        3000,
        None,
    )


def test_production_says_all_that_is_missing_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        load(CONFIG / "gateway.yaml", {}, VENDOR_OF)
    told = {fault.path: fault.message for fault in caught.value.faults}
    assert set(told) == {
        "redis.url",
        "accounts.replicate.api_key",
        "accounts.openai.api_key",
        "accounts.ideogram.api_key",
        "keys",
    }
    assert "samurai keys new" in told["keys"]
    lines = (CONFIG / "gateway.yaml").read_text().splitlines()
    for fault in caught.value.faults:
        assert fault.path.split(".")[-1].split("[")[0] in lines[fault.line - 1]


@pytest.fixture
def production(tmp_path: Path) -> Settings:
    key = f'keys:\n  - id: web-team\n    sha256: "{sha256(b"k").hexdigest()}"\n'
    (tmp_path / "gateway.yaml").write_text((CONFIG / "gateway.yaml").read_text().replace("keys: []\n", key))
    environment = dict.fromkeys(("REPLICATE_API_TOKEN", "OPENAI_API_KEY", "IDEOGRAM_API_KEY"), "token")
    return load(tmp_path / "gateway.yaml", environment | {"REDIS_URL": "redis://redis:6379"}, VENDOR_OF)


def test_production_loads_with_credentials_redis_and_the_lines_of_a_new_key(production: Settings) -> None:
    assert set(production.catalogue.routes) == MODELS
    assert (production.warnings, production.not_yet_in_force()) == ((), ())


def test_no_native_model_that_is_shipped_has_been_shut_down(production: Settings, sandbox: Settings) -> None:
    targets = [
        target
        for settings in (production, sandbox)
        for route in settings.catalogue.routes.values()
        for target in route.targets
    ]
    told = {target.model: dialects()[target.dialect].capabilities(target.model).shutdown_date for target in targets}
    assert told == dict.fromkeys(told)
    assert len(told) == len(MODELS)
