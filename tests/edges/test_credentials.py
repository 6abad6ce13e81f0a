import os
from pathlib import Path

import pytest

from gateway.edges.credentials import CredentialUnavailable, FileSecret, FixedSecret


async def test_a_fixed_secret_is_given_without_white_space_and_never_shown() -> None:
    secret = FixedSecret(" canary-1 \n")
    assert await secret.secret() == "canary-1"
    assert "canary" not in repr(secret)


@pytest.mark.parametrize("value", ["", "  \n", "two\nlines", "nul\x00", "smart’quote"])
def test_a_value_that_no_header_may_hold_is_refused_without_being_shown(value: str) -> None:
    with pytest.raises(CredentialUnavailable) as caught:
        FixedSecret(value)
    assert value.strip() == "" or value not in str(caught.value)


async def test_a_secret_file_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    now = 0.0
    path = tmp_path / "key"
    path.write_text("first\n")
    secret = FileSecret(path, clock=lambda: now)
    assert await secret.secret() == "first"
    path.write_text("second")
    assert await secret.secret() == "first"
    now = 1.1
    assert await secret.secret() == "second"
    assert "second" not in repr(secret)


async def test_a_refused_secret_is_looked_up_at_once(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("first")
    secret = FileSecret(path, clock=lambda: 0.0)
    await secret.secret()
    path.write_text("second")
    assert await secret.secret(fresh=True) == "second"


async def test_a_rotation_by_swapped_link_is_seen(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).write_text(name[:5])
        os.utime(tmp_path / name, (1, 1))
    link = tmp_path / "key"
    link.symlink_to("first")
    secret = FileSecret(link, clock=lambda: 0.0)
    assert await secret.secret() == "first"
    (tmp_path / "new").symlink_to("second")
    (tmp_path / "new").replace(link)
    assert await secret.secret(fresh=True) == "secon"


async def test_half_way_through_a_rotation_the_last_good_value_serves(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("good")
    secret = FileSecret(path, clock=lambda: 0.0)
    await secret.secret()
    path.write_text("")
    assert await secret.secret(fresh=True) == "good"
    path.unlink()
    assert await secret.secret(fresh=True) == "good"
    path.write_text("newer")
    assert await secret.secret(fresh=True) == "newer"


async def test_without_a_file_there_is_no_secret(tmp_path: Path) -> None:
    with pytest.raises(CredentialUnavailable, match="key"):
        await FileSecret(tmp_path / "key").secret()
