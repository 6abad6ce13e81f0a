"""What the Dockerfile downloads, without building it."""

import re

from tests.processes import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()


def pip_commands() -> list[str]:
    """Every call of pip, its continued lines as one."""
    lines = DOCKERFILE.replace("\\\n", " ").splitlines()
    return [
        part for line in lines if line.startswith("RUN ") for part in line.split("&&") if re.search(r"bin/pip ", part)
    ]


def test_nothing_is_downloaded_but_by_its_hash() -> None:
    assert len(pip_commands()) >= 4
    assert [part for part in pip_commands() if "--require-hashes" not in part and "--no-index" not in part] == []


def test_what_builds_a_package_is_pinned_like_the_package() -> None:
    """In an isolated build pip fetches the newest setuptools, whatever the lock says."""
    building = [part for part in pip_commands() if " wheel " in part]
    assert len(building) == 2
    assert all("--no-build-isolation" in part for part in building)
    assert {"hatchling", "setuptools", "pkgconfig", "cffi"} <= locked("requirements-build.lock")


def test_both_locks_agree_on_what_they_share() -> None:
    shared = locked("requirements-build.lock") & locked("requirements-image.lock")
    assert "cffi" in shared
    assert [
        name for name in shared if version(name, "requirements-build.lock") != version(name, "requirements-image.lock")
    ] == []


def locked(lock: str) -> set[str]:
    """The packages of a lock."""
    return set(re.findall(r"^([a-z0-9-]+)==", (ROOT / lock).read_text(), re.MULTILINE))


def version(name: str, lock: str) -> str:
    """In which version a lock has a package."""
    found = re.search(rf"^{name}==(\S+)", (ROOT / lock).read_text(), re.MULTILINE)
    assert found is not None
    return found[1]
