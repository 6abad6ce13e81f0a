from pathlib import Path

import pytest
import yaml

from gateway.settings.faults import SettingsError
from gateway.settings.loading import load
from tests.settings.samples import DIALECTS, ENVIRONMENT, FULL, SHA256, SMALL, faults_of, load_text, only_fault_of

EXAMPLE = Path(__file__).parents[3] / "shared" / "config.example.yaml"


def names_in(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(names_in, value.values()))
    return set().union(*map(names_in, value)) if isinstance(value, list) else set()


def test_every_name_of_the_documented_shape_loads(tmp_path: Path) -> None:
    settings = load_text(FULL, tmp_path)
    assert set(settings.catalogue.routes) == {"flux-schnell", "dall-e-3", "ideogram-v3", "imagen-3"}
    assert settings.warnings == ()


@pytest.mark.skipif(not EXAMPLE.exists(), reason="the example configuration lies outside the repository")
def test_the_example_configuration_loads_and_our_sample_has_every_name_of_it(tmp_path: Path) -> None:
    text = EXAMPLE.read_text()
    environment = ENVIRONMENT | {"SAMURAI_ADMIN_TOKEN": "t" * 16, "SAMURAI_SIGNING_KEY": "k" * 32}
    settings = load_text(text.replace('sha256: "…"', f'sha256: "{SHA256}"'), tmp_path, environment)
    assert set(settings.accounts) == {"replicate", "openai", "ideogram", "vertex"}
    own = names_in(yaml.safe_load(FULL))
    assert names_in(yaml.safe_load(text)) - own == {"flux-1.1-pro", "rendering_speed"}


TEN_FAULTS = """\
server:
  public: {port: 80800}
  drian: {delay: 10s}
redis: {url: "redis://:hunter2@redis/0"}
accounts:
  openai: {vendor: openai, api_key: {env: NOT_SET}}
  vertex: {vendor: vertex, api_key: sk-literal}
  ideogram:
    vendor: ideogram
    api_key: {env: IDEOGRAM_API_KEY}
    base_url: http://ideogram.example.com
    base_url: https://ideogram.example.com
models:
  dall-e-3:
    targets:
      - account: opnai
        dialect: openai_images
        model: gpt-image-2
        price: {per_image: 0}
      - account: ideogram
        dialect: openai_images
        model: m
    deadline: 3 minutes
    strategy: orderd
keys:
  - id: a
    sha256: "abc"
    tenant: nobody
  - id: a
    sha256: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    models: [dall-e-4]
compatibility: {default_model: flux, sizes: ["512x512", "huge"]}
logging: [info]
"""


def test_all_faults_are_told_at_once_each_on_its_line(tmp_path: Path) -> None:
    told = [(fault.line, fault.path) for fault in faults_of(TEN_FAULTS, tmp_path)]
    assert told == [
        (2, "server.public.port"),
        (3, "server.drian"),
        (4, "redis.url"),
        (6, "accounts.openai.api_key"),
        (7, "accounts.vertex.api_key"),
        (7, "accounts.vertex.project"),
        (11, "accounts.ideogram.base_url"),
        (12, "accounts.ideogram.base_url"),
        (16, "models.dall-e-3.targets[0].account"),
        (19, "models.dall-e-3.targets[0].price.per_image"),
        (20, "models.dall-e-3.targets[1].price"),
        (21, "models.dall-e-3.targets[1].dialect"),
        (23, "models.dall-e-3.deadline"),
        (24, "models.dall-e-3.strategy"),
        (27, "keys[0].sha256"),
        (28, "keys[0].tenant"),
        (29, "keys[1].id"),
        (31, "keys[1].models[0]"),
        (32, "compatibility.default_model"),
        (32, "compatibility.sizes[1]"),
        (33, "logging"),
    ]


def test_faults_say_what_was_expected_and_what_was_likely_meant(tmp_path: Path) -> None:
    told = "\n".join(map(str, faults_of(TEN_FAULTS, tmp_path)))
    for words in (
        "line 2: server.public.port: expected a port from 1 to 65535, or 0 for any free one, got another number",
        "line 3: server.drian: unknown name; did you mean drain?",
        "line 4: redis.url: a URL with a password is a secret",
        "line 6: accounts.openai.api_key: environment variable NOT_SET is not set",
        "line 7: accounts.vertex.api_key: expected a reference, {env: NAME} or {file: path}: a secret itself never",
        "line 11: accounts.ideogram.base_url: plain http would show the credential to the network",
        "line 12: accounts.ideogram.base_url: given twice, first on line 11",
        "line 16: models.dall-e-3.targets[0].account: no such account; did you mean openai?",
        "line 19: models.dall-e-3.targets[0].price.per_image: expected US dollars above 0",
        "line 20: models.dall-e-3.targets[1].price: missing: What the vendor bills",
        "line 21: models.dall-e-3.targets[1].dialect: openai_images is spoken by openai, but the account is at",
        "line 23: models.dall-e-3.deadline: expected a duration",
        "models.dall-e-3.strategy: expected one of ordered, weighted, cheapest, least_busy, got other text; did you",
        "line 29: keys[1].id: two keys cannot share it; the first is on line 26",
    ):
        assert words in told


NOBODY = (
    "keys: nobody could call: run `samurai keys new` and paste the lines that it prints, or give server.admin.token, "
    "and make keys while the gateway runs"
)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("keys: []", f"line 7: {NOBODY}"),
        ("", f"line 1: {NOBODY}"),
        ("keys: []\nserver: {admin: {token: null}}", f"line 7: {NOBODY}"),
        ("keys:", "line 7: keys: expected a list, got nothing"),
    ],
)
def test_a_file_without_keys_says_how_to_make_one(tmp_path: Path, line: str, fault: str) -> None:
    assert only_fault_of(SMALL[: SMALL.index("keys:")] + line, tmp_path) == fault


@pytest.mark.parametrize("keys", ["keys: []\n", ""])
def test_a_file_without_keys_is_fine_where_administration_makes_them(tmp_path: Path, keys: str) -> None:
    text = SMALL[: SMALL.index("keys:")] + keys + "server: {admin: {token: {env: ADMIN_TOKEN}}}\n"
    settings = load_text(text, tmp_path, ENVIRONMENT | {"ADMIN_TOKEN": "t" * 16})
    assert (settings.keys, settings.warnings) == ((), ())


def test_a_broken_token_is_one_fault_and_not_two(tmp_path: Path) -> None:
    text = SMALL[: SMALL.index("keys:")] + "server: {admin: {token: plain}}\n"
    assert only_fault_of(text, tmp_path).startswith("line 7: server.admin.token: expected a reference")


@pytest.mark.parametrize(
    ("addition", "fault"),
    [
        ("server: {public: {port: 1}, admin: {port: 1}}", "the second port must be another"),
        ("server: {trusted_proxies: [10.0.0.1/8]}", "line 9: server.trusted_proxies[0]: expected a network"),
        ("server: {public: {base_url: ftp://x}}", "server.public.base_url: expected an http or https URL"),
        ("server: {public: {base_url: 'https://u:p@x'}}", "server.public.base_url: a user or password"),
        ("server: {public: {base_url: 'https://x:99999'}}", "expected an http or https URL"),
        ("redis: {url: mysql://x}", "redis.url: expected embedded:// or a URL that begins with one of redis,"),
        ("redis: {on_failure: shar}", "redis.on_failure: expected share, open or closed"),
        ("redis: {on_failure: {pictures: open}}", "redis.on_failure.pictures: unknown name"),
        ("store: {url: ftp://x}", "store.url: expected file:///directory"),
        ("store: {url: file://relative/path}", "store.url: expected file:///directory"),
        ("store: {url: s3:///prefix}", "store.url: expected the name of a bucket"),
        ("store: {links: presigned}", "store.links: a local directory has no presigned links"),
        ("store: {url: 's3://b'}", "store.signing_key: missing: replicas that share an object store"),
        ("store: {keep: 1d}", "store.keep: expected a duration above nothing"),
        ("store: {keep: 0s}", "store.keep: expected a duration above nothing"),
        ("webhooks: {public_url: 'http://example.com'}", "webhooks.public_url: plain http"),
        ("compatibility: {sizes: ['256x256']}", "compatibility.sizes: 1024x1024, the default size, must be among"),
        ("compatibility: {sizes: ['1024x1024', '1024x1024']}", "compatibility.sizes[1]: given twice"),
        ("compatibility: {sizes: []}", "compatibility.sizes: expected a list of sizes, got none"),
        ("compatibility: {default_model: dall-e-2}", "no such model; did you mean dall-e-3?"),
        ("logging: {prompts: 1}", "logging.prompts: expected true or false, got a whole number"),
        (
            "logging: {level: " + "1" * 5000 + "}",
            "logging.level: expected one of debug, info, warning, error, got a num",
        ),
        ("logging: {level: null}", "logging.level: expected one of debug, info, warning, error, got nothing"),
        ("resilience: {retry_budget: .nan}", "resilience.retry_budget: expected a share above 0"),
        ("server: {admin: {token: {env: SHORT}}}", "SHORT holds fewer than 16 characters"),
        ("redis: {url: {env: SHORT}}", "redis.url: the secret is no address of a Redis"),
        ("<<: {logging: {}}", "line 9: a name must be plain text; `<<` is not supported"),
        ("logging: {level: !!python/name:os.system x}", "got a YAML tag that is not supported here"),
    ],
)
def test_a_single_fault_is_told_alone(tmp_path: Path, addition: str, fault: str) -> None:
    told = only_fault_of(f"{SMALL}{addition}\n", tmp_path, ENVIRONMENT | {"SHORT": "tooshort"})
    assert told.startswith("line 9: ")
    assert fault in told


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("vendor: openai", "vendor: opnai", "line 2: accounts.openai.vendor: expected one of"),
        ("api_key: {env: OPENAI_API_KEY}", "project: p", "line 2: accounts.openai.api_key: missing: openai needs it"),
        ("}}\nmodels", "}, headers: {Authorization: x}}\nmodels", "the gateway sets this header itself"),
        ("openai_images", "openai_image", "no such dialect; there are ideogram_v2,"),
        ("{per_image: 0.05}", "{}", "line 6: models.dall-e-3.targets[0].price.per_image: missing"),
        ("0.05", "-1", "price.per_image: expected US dollars above 0"),
        ("0.05", "{}", "price.per_image: expected US dollars above 0"),
        ("0.05", '{"*": {}}', "price.per_image.*: expected prices by quality, {quality: number}, got none"),
        ("0.05", '{"*": {"*": 0}}', "price.per_image.*.*: expected US dollars for one image"),
        ("0.05", '{big: {"*": 1}}', "price.per_image.big: expected a native size such as 1024x1024"),
        ("0.05", "0.0000001", "price.per_image: expected US dollars above 0"),
        ("0.05", ".inf", "price.per_image: expected US dollars above 0"),
        ("price: ", "parameters: {seed: .nan}, price: ", "parameters.seed: expected a number that JSON has"),
        ("0123456789abcdef" * 4, "0123456789ABCDEF" * 4, "keys[0].sha256: expected the SHA-256 of a key"),
        ("id: k", "id: k, limits: {burst: 0}", "keys[0].limits.burst: expected a whole number from 1"),
        ("id: k", "id: k, budget: {per_day: 0}", "keys[0].budget.per_day: expected US dollars above 0"),
        ("id: k", "id: k, models: []", "keys[0].models: expected a list of models, got none"),
        ("id: k", "id: on the way", "keys[0].id: expected a name"),
        ("  dall-e-3:", "  dall e 3:", "models.dall e 3: expected a model id"),
        ("    targets:\n", "    targets: []\n    target:\n", "targets: expected a list of targets, got none"),
    ],
)
def test_a_fault_in_the_offer_is_told(tmp_path: Path, old: str, new: str, fault: str) -> None:
    assert old in SMALL
    told = "\n".join(map(str, faults_of(SMALL.replace(old, new), tmp_path)))
    assert fault in told


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "line 1: the file is empty"),
        ("# nothing\n", "line 1: the file is empty"),
        ("- a\n", "line 1: expected a mapping, got a list"),
        ("a: b: c\n", "line 1: not YAML: mapping values are not allowed here"),
        ("accounts:\n  x: [1\nkeys: 2\n", "line 3: not YAML: expected ',' or ']', but got ':'"),
        ("a: *nothing\n", "line 1: not YAML: found undefined alias …"),
        ("a: 1\n---\nb: 2\n", "line 2: not YAML: but found another document"),
        ("a: 1\nb: \x07\n", "line 2: not YAML: a control character"),
        ("a: " + "[" * 5000, "line 1: not YAML: nested too deeply"),
    ],
)
def test_what_is_not_a_document_is_told_by_line(tmp_path: Path, text: str, fault: str) -> None:
    assert str(faults_of(text, tmp_path)[0]).startswith(fault)


@pytest.mark.parametrize("escape", [r"\ud800", r"\ud800\udc00", r"\udfff"])
def test_half_a_character_is_a_fault_wherever_it_stands(tmp_path: Path, escape: str) -> None:
    for old, new in (
        ("id: k", f'id: "{escape}"'),
        ("gpt-image-2", f'"{escape}"'),
        ("k, sha", f'k, "{escape}": 1, sha'),
    ):
        told = only_fault_of(SMALL.replace(old, new), tmp_path)
        assert "half a character" in told or "a name must be plain text" in told
    nested = only_fault_of(SMALL.replace("price:", f'parameters: {{a: ["{escape}"]}}, price:'), tmp_path)
    assert nested.startswith("line 6: models.dall-e-3.targets[0].parameters.a[0]: ")


def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    for path, words in ((tmp_path / "none.yaml", "no such file"), (tmp_path, "is a directory")):
        with pytest.raises(SettingsError, match=words):
            load(path, {}, DIALECTS)


def test_what_is_not_utf8_is_a_fault_on_its_line(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(SettingsError, match="line 2: not UTF-8"):
        load(tmp_path / "x.yaml", {}, DIALECTS)


def test_a_file_beyond_a_mebibyte_is_not_parsed(tmp_path: Path) -> None:
    assert only_fault_of(SMALL + "#" * 1_048_576, tmp_path) == "the file has more than 1048576 bytes"


def test_aliases_work_and_keep_the_line_of_what_they_name(tmp_path: Path) -> None:
    text = SMALL.replace("dall-e-3:", "dall-e-3: &one").replace("keys:", "  images: *one\nkeys:")
    settings = load_text(text, tmp_path)
    assert settings.catalogue.routes["images"].targets == settings.catalogue.routes["dall-e-3"].targets
    told = faults_of(text.replace("0.05", "0"), tmp_path)
    assert [str(fault).partition(":")[0] for fault in told] == ["line 6", "line 6"]


def test_aliases_cannot_unfold_without_bound(tmp_path: Path) -> None:
    levels = "".join(f"      l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]\n" for i in range(1, 9))
    bomb = f"      parameters:\n        l0: &l0 [1]\n{levels.replace('      l', '        l')}"
    text = SMALL.replace(
        "      - {account: openai, dialect: openai_images, model: gpt-image-2, price: {per_image: 0.05}}\n",
        "      - account: openai\n        dialect: openai_images\n        model: m\n        price: {per_image: 1}\n"
        + bomb.replace("      parameters", "        parameters").replace("        l", "          l"),
    )
    assert "more than 100000 values with all aliases unfolded" in str(faults_of(text, tmp_path)[0])


def test_an_anchor_that_holds_its_own_alias_ends(tmp_path: Path) -> None:
    text = SMALL.replace("price:", "parameters: &p {again: *p}, price:")
    assert "does an anchor hold its own alias?" in only_fault_of(text, tmp_path)


def test_yaml_words_stay_words_where_names_stand(tmp_path: Path) -> None:
    text = SMALL.replace("  openai:", "  on:").replace("account: openai", 'account: "on"')
    assert set(load_text(text, tmp_path).accounts) == {"on"}


@pytest.mark.parametrize(
    ("addition", "warning"),
    [
        ("store: {keep: 24h}", "line 9: store.keep: images go before the replies that name them"),
        ("server: {drain: {deadline: 60s}}", "line 4: models.dall-e-3.deadline: longer than server.drain.deadline"),
        ("tenants: {t: {limits: {images_per_minute: 5}}}", "line 9: tenants.t.limits.images_per_minute: requests for"),
        ("tenants: {t: {limits: {images_per_minute: 50, burst: 9}}}", "line 9: tenants.t.limits.burst: requests for"),
    ],
)
def test_what_works_though_hardly_as_meant_is_a_warning(tmp_path: Path, addition: str, warning: str) -> None:
    (told,) = load_text(f"{SMALL}{addition}\n", tmp_path).warnings
    assert told.startswith(warning)


def test_a_tenant_of_models_that_are_not_there_is_a_fault(tmp_path: Path) -> None:
    text = f"{SMALL}tenants: {{t: {{models: [dall-e-3, dall-e-4]}}}}\n"
    assert "line 9: tenants.t.models[1]: no such model; did you mean dall-e-3?" in only_fault_of(text, tmp_path)


def test_a_burst_of_ten_is_no_cause_for_a_warning(tmp_path: Path) -> None:
    text = f"{SMALL}tenants: {{t: {{limits: {{images_per_minute: 5, burst: 10}}}}}}\n"
    assert load_text(text, tmp_path).warnings == ()


@pytest.mark.parametrize(
    ("webhook", "fault"),
    [
        ('{url: "http://example.com/", secret: {env: WEBHOOK_SECRET}}', "webhook.url: plain http would show"),
        ('{url: "https://u:p@example.com/", secret: {env: WEBHOOK_SECRET}}', "webhook.url: a user or password"),
        ('{url: "https://example.com/#x", secret: {env: WEBHOOK_SECRET}}', "webhook.url: expected an https URL"),
        ('{url: "https://example.com/", secret: {env: OPENAI_API_KEY}}', "webhook.secret: expected a secret such as"),
        ('{url: "https://example.com/"}', "webhook.secret: missing"),
        ("{secret: {env: WEBHOOK_SECRET}}", "webhook.url: missing"),
    ],
)
def test_a_webhook_that_could_not_be_trusted_is_a_fault(webhook: str, fault: str, tmp_path: Path) -> None:
    text = SMALL.replace('ef"}', f'ef", webhook: {webhook}}}')
    assert f"keys[0].{fault}" in only_fault_of(text, tmp_path)
