"""Discovery: a vendor is added by adding its file, and by nothing else."""

from pathlib import Path

import pytest

import gateway.vendors
from gateway.vendors import dialects
from tests.vendors.making import account, reply, shot

_TOY = '''
"""A vendor of one model that answers with a link."""

from gateway.domain.catalogue import Capabilities
from gateway.domain.exchange import Delivered, Dialect, HttpCall, Picture, Remote
from gateway.domain.picture import Size

DIALECT = Dialect(
    name="{name}",
    vendor="toy",
    credential_header=("X-Toy-Key", "{{}}"),
    download_hosts=("toy.example",),
    capabilities=lambda model: Capabilities(images_per_call=1, sizes=(Size(64, 64),)),
    call_for=lambda shot, account: HttpCall("POST", "https://toy.example/draw", json={{"words": shot.prompt}}),
    outcome_of=lambda reply, shot, account: Delivered((Picture(Remote(reply.json)),), billed=1),
    probe_for=lambda account: HttpCall("GET", "https://toy.example/"),
)
'''


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that counts as part of the package, as if its files had been put there."""
    monkeypatch.setattr(gateway.vendors, "__path__", [*gateway.vendors.__path__, str(tmp_path)])
    return tmp_path


def test_the_six_dialects_are_found_by_their_names() -> None:
    assert set(dialects()) == {
        "ideogram_v2",
        "ideogram_v3",
        "openai_images",
        "replicate_predictions",
        "vertex_generate_content",
        "vertex_predict",
    }


def test_adding_a_vendor_touches_one_file(added: Path) -> None:
    (added / "toy_drawings.py").write_text(_TOY.format(name="toy_drawings"), "utf-8")
    toy = dialects()["toy_drawings"]
    asked, mine = shot("openai_images", "gpt-image-2"), account("openai_images")
    assert toy.call_for(asked, mine).json == {"words": asked.prompt}
    assert "toy.example" in repr(toy.outcome_of(reply("https://toy.example/1.png"), asked, mine))
    assert len(dialects()) == 7


def test_a_module_without_a_dialect_is_named_in_the_error(added: Path) -> None:
    (added / "toy_forgotten.py").write_text("SPEECH = 1\n", "utf-8")
    with pytest.raises(TypeError, match=r"gateway\.vendors\.toy_forgotten exports no DIALECT"):
        dialects()


def test_two_dialects_of_one_name_are_an_error(added: Path) -> None:
    (added / "toy_twin.py").write_text(_TOY.format(name="openai_images"), "utf-8")
    with pytest.raises(ValueError, match="openai_images"):
        dialects()


def test_a_module_with_an_underscore_is_no_dialect(added: Path) -> None:
    (added / "_toy_facts.py").write_text("ANSWER = 42\n", "utf-8")
    assert len(dialects()) == 6


def test_dialects_cannot_be_changed_by_who_asks_for_them() -> None:
    with pytest.raises(TypeError):
        dialects()["mine"] = dialects()["openai_images"]  # type: ignore[index]
