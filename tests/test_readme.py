"""The README's table of models and parameters says what the shipped configuration really does."""

import re
from functools import cache

import pytest

from gateway.domain.catalogue import Capabilities, Catalogue
from gateway.domain.picture import ImageFormat, Size
from gateway.policies.fan_out import split
from gateway.policies.fitting import native_size
from gateway.settings.loading import load
from gateway.vendors import dialects
from tests.processes import ROOT

MODELS = ("flux-schnell", "flux-1.1-pro", "dall-e-3", "ideogram-v3", "imagen-3")
NATIVE, EMULATED, IGNORED, REFUSED = "●", "○", "–", "400"


@cache
def catalogue() -> Catalogue:
    return load(ROOT / "config/sandbox.yaml", {}, {name: one.vendor for name, one in dialects().items()}).catalogue


def capabilities(model: str) -> Capabilities:
    target = catalogue().routes[model].targets[0]
    return dialects()[target.dialect].capabilities(target.model)


def cells(row: str) -> dict[str, str]:
    """The cells of the row that begins with `row`, by model, without footnote marks."""
    readme = (ROOT / "README.md").read_text()
    line = next(line for line in readme.splitlines() if line.startswith(f"| {row}"))
    values = [cell.strip().rstrip("¹²").strip() for cell in line.strip("|").split("|")[1:]]
    return dict(zip(MODELS, values, strict=True))


@pytest.mark.parametrize("size", ["256x256", "512x512", "1024x1024"])
@pytest.mark.parametrize("model", MODELS)
def test_the_sizes_are_as_the_readme_says(model: str, size: str) -> None:
    wanted = Size.parse(size)
    native = native_size(wanted, capabilities(model)) == wanted
    assert cells(f"`size` {size}")[model] == (NATIVE if native else EMULATED)


@pytest.mark.parametrize("model", MODELS)
def test_ten_images_take_as_many_calls_as_the_readme_says(model: str) -> None:
    calls = len(split(10, capabilities(model).images_per_call))
    assert cells("`n` 1..10")[model] == f"{NATIVE if calls == 1 else EMULATED} {calls}"


@pytest.mark.parametrize("model", MODELS)
def test_the_other_parameters_are_as_the_readme_says(model: str) -> None:
    can = capabilities(model)
    assert cells("`output_format`")[model] == (NATIVE if set(ImageFormat) <= set(can.formats) else EMULATED)
    assert cells("`quality`")[model] == (NATIVE if can.qualities else IGNORED)
    assert cells("`background: transparent`")[model] == (NATIVE if can.transparent else REFUSED)
    assert cells("`user`")[model] == (NATIVE if can.takes_end_user else IGNORED)
    assert cells("`response_format` b64_json")[model] == (EMULATED if can.delivers_links else NATIVE)


def test_both_shipped_configurations_offer_the_same_models() -> None:
    text = (ROOT / "config/gateway.yaml").read_text()
    assert [name for name in MODELS if re.search(rf"^  {re.escape(name)}:", text, re.MULTILINE)] == list(MODELS)
