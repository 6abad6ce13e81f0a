"""The page of licences says what is installed, and nothing with a licence that we cannot ship under has crept in."""

import re

from tools.licences import PAGE, locked_names, rows

COPYLEFT = re.compile(r"\b(A?GPL|GNU (Affero )?General)", re.IGNORECASE)


def _listed() -> dict[str, str]:
    return dict(re.findall(r"^\| (\S+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)[1:])


def test_every_installed_package_stands_there_with_its_licence() -> None:
    found, listed = dict(rows()), _listed()
    assert len(found) > 40
    assert {name: listed.get(name) for name in found} == found


def test_nothing_stands_there_that_is_not_locked() -> None:
    assert set(_listed()) <= set(locked_names())


def test_the_lgpl_is_libvips_alone_and_nothing_is_under_the_gpl() -> None:
    listed = _listed()
    assert [name for name, licence in listed.items() if "LGPL" in licence or "Lesser" in licence] == ["pyvips-binary"]
    assert not [name for name, licence in listed.items() if COPYLEFT.search(licence)]
