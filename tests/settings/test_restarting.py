from pathlib import Path

import pytest

from gateway.settings.groups import Settings
from gateway.settings.kinds import byte_count
from gateway.settings.loading import load
from gateway.settings.restarting import needs_restart
from tests.settings.samples import DIALECTS, ENVIRONMENT, FULL


def loaded(folder: Path, text: str, **environment: str) -> Settings:
    file = folder / "gateway.yaml"
    file.write_text(text)
    return load(file, ENVIRONMENT | environment, DIALECTS)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("port: 8080", "port: 8088", "server.public.port"),
        ("port: 8081", "port: 8089", "server.admin.port"),
        ("replicas_max: 4", "replicas_max: 5", "redis"),
        ("s3://bucket/prefix", "s3://bucket/other", "store.url"),
    ],
)
def test_where_it_listens_counts_and_keeps_images_is_fixed(tmp_path: Path, old: str, new: str, named: str) -> None:
    assert old in FULL
    before, after = loaded(tmp_path, FULL), loaded(tmp_path, FULL.replace(old, new))
    assert needs_restart(before, after) == (named,)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("https://images.example.com/", "https://pictures.example.com/"),
        ("trusted_proxies: [", 'trusted_proxies: ["192.0.2.0/24", '),
        ("timeout: 90s", "timeout: 91s"),
        ("requests_per_minute: 600", "requests_per_minute: 601"),
        ("keep: 25h", "keep: 26h"),
    ],
)
def test_everything_else_may_change(tmp_path: Path, old: str, new: str) -> None:
    assert old in FULL
    before, after = loaded(tmp_path, FULL), loaded(tmp_path, FULL.replace(old, new))
    assert before != after
    assert needs_restart(before, after) == ()


def test_rotated_secrets_may_change_but_not_the_one_that_signs_links(tmp_path: Path) -> None:
    before = loaded(tmp_path, FULL)
    rotated = {"ADMIN_TOKEN": "another-admin-token-0002", "OPENAI_API_KEY": "another"}
    assert needs_restart(before, loaded(tmp_path, FULL, **rotated)) == ()
    assert needs_restart(before, loaded(tmp_path, FULL, SIGNING_KEY="k" * 40)) == ("store.signing_key",)


def test_a_version_is_of_the_text_and_not_of_its_secrets(tmp_path: Path) -> None:
    first = loaded(tmp_path, FULL)
    assert first.version == loaded(tmp_path, FULL, OPENAI_API_KEY="another").version
    assert first.version != loaded(tmp_path, FULL + "# a remark\n").version
    assert len(first.version) == 12


def test_the_files_of_a_configuration_are_known(tmp_path: Path) -> None:
    (tmp_path / "openai.key").write_text("from-a-file")
    settings = loaded(tmp_path, FULL.replace("api_key: {env: OPENAI_API_KEY}", "api_key: {file: openai.key}"))
    assert settings.files == (tmp_path / "gateway.yaml", tmp_path / "openai.key")


@pytest.mark.parametrize(
    ("text", "count"), [("1KB", 1000), ("256MB", 256_000_000), ("2GB", 2 * 10**9), ("4KiB", 4096), ("3GiB", 3 << 30)]
)
def test_byte_counts_are_read_with_their_unit(text: str, count: int) -> None:
    assert byte_count(text) == count
