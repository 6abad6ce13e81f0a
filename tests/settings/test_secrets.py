import pickle
from pathlib import Path

import pytest

from gateway.settings.groups import GoogleCredentials
from gateway.settings.secrets import Secret
from tests.settings.samples import ENVIRONMENT, FULL, SMALL, load_text, only_fault_of

CANARIES = ("canary-redis-password", *(value for value in ENVIRONMENT.values() if value.startswith("canary")))
BY_FILE = SMALL.replace("{env: OPENAI_API_KEY}", "{file: secrets/openai}")


def write_secret(directory: Path, content: bytes) -> None:
    (directory / "secrets").mkdir()
    (directory / "secrets" / "openai").write_bytes(content)


def test_a_secret_shows_itself_only_when_asked() -> None:
    secret = Secret("canary")
    assert secret.reveal() == "canary"
    assert "canary" not in f"{secret!r} {secret} {[secret]}"
    assert secret == Secret("canary")
    assert secret != Secret("other")
    assert len({secret, Secret("canary")}) == 1


def test_settings_never_show_a_secret(tmp_path: Path) -> None:
    settings = load_text(FULL, tmp_path)
    shown = f"{settings!r}{settings}"
    assert [canary for canary in CANARIES if canary in shown] == []
    assert settings.redis.url.reveal() == ENVIRONMENT["REDIS_URL"]


def test_a_file_beside_the_configuration_is_read_without_its_last_newline(tmp_path: Path) -> None:
    write_secret(tmp_path, b"canary-file\n")
    assert load_text(BY_FILE, tmp_path, {}).accounts["openai"].credential == Secret("canary-file")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "the file is empty"),
        (b" \n", "the file is empty"),
        (b"canary\ncanary\n", "holds more than one line"),
        (b"canary\xff", "something that is not ASCII"),
        (b"c" * 70_000, "the file has more than 65536 bytes"),
    ],
)
def test_a_file_that_holds_no_usable_secret_is_a_fault(tmp_path: Path, content: bytes, fault: str) -> None:
    write_secret(tmp_path, content)
    told = only_fault_of(BY_FILE, tmp_path)
    assert told.startswith("line 2: accounts.openai.api_key: ")
    assert fault in told
    assert "canary" not in told


def test_a_missing_file_is_a_fault_that_says_where_it_was_looked_for(tmp_path: Path) -> None:
    told = only_fault_of(BY_FILE, tmp_path)
    assert (
        told == f"line 2: accounts.openai.api_key: the file cannot be read (from {tmp_path}): no such file or directory"
    )


@pytest.mark.parametrize("value", ["", "  ", "two\nlines", "ünïcode"])
def test_a_variable_that_holds_no_usable_secret_is_a_fault(tmp_path: Path, value: str) -> None:
    told = only_fault_of(SMALL, tmp_path, {"OPENAI_API_KEY": value})
    assert told.startswith("line 2: accounts.openai.api_key: environment variable OPENAI_API_KEY ")


@pytest.mark.parametrize(
    "literal",
    [
        "canary-sk-1",
        "{canary-sk-1}",
        "{canary-sk-1, canary-sk-1}",
        "[canary-sk-1]",
        "{env: canary-sk-1}",
        "{env: canary_sk_1}",
        "{file: canary-sk-1}",
        "{env: OPENAI_API_KEY, file: canary-sk-1}",
        "{value: canary-sk-1}",
        "*canary-sk-1",
        "!canary-sk-1 x",
        '"canary-sk-1',
        "{}",
        "{[canary-sk-1]: 1}",
    ],
)
def test_a_secret_in_the_wrong_place_is_a_fault_that_does_not_repeat_it(tmp_path: Path, literal: str) -> None:
    told = only_fault_of(SMALL.replace("{env: OPENAI_API_KEY}", literal), tmp_path)
    assert "canary" not in told


def test_a_key_in_place_of_its_hash_is_not_repeated(tmp_path: Path) -> None:
    told = only_fault_of(SMALL.replace("0123456789abcdef" * 4, "sk-samurai-canary"), tmp_path)
    assert "64 digits of lower-case hex" in told
    assert "canary" not in told


def google(credentials: str) -> str:
    return (
        SMALL.replace("vendor: openai, api_key: {env: OPENAI_API_KEY}", "vendor: vertex, project: p")
        .replace("project: p", f"project: p, credentials: {credentials}")
        .replace("openai_images", "vertex_generate_content")
    )


def test_a_google_credential_file_is_found_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "sa.json").write_text('{"type": "service_account", "private_key": "canary"}')
    settings = load_text(google("{file: sa.json}"), tmp_path)
    assert settings.accounts["openai"].credential == GoogleCredentials(file=tmp_path / "sa.json")


@pytest.mark.parametrize("content", ["canary", "[]", '{"private_key": "canary"}', "1", ""])
def test_what_is_no_google_credential_is_a_fault(tmp_path: Path, content: str) -> None:
    (tmp_path / "sa.json").write_text(content)
    told = only_fault_of(google("{file: sa.json}"), tmp_path)
    assert "line 2: accounts.openai.credentials: the file is no Google credential" in told
    assert "canary" not in told


@pytest.mark.parametrize("credentials", ["gcloud", "{metadata: here}", "{file: a, metadata: 'b:1'}", "{}"])
def test_other_google_credentials_are_a_fault(tmp_path: Path, credentials: str) -> None:
    told = only_fault_of(google(credentials), tmp_path)
    assert "line 2: accounts.openai.credentials" in told
    assert "expected" in told


def test_a_secret_cannot_be_pickled_by_accident() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret("canary"))
