import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from jsonschema import Draft202012Validator

from gateway.settings.documents import schema, schema_text
from tests.settings.samples import FULL, SMALL

CONFIG = Path(__file__).parents[2] / "config"
VALIDATOR = Draft202012Validator(schema())


def problems_of(document: Any) -> list[str]:
    return [error.json_path for error in VALIDATOR.iter_errors(document)]


def test_the_published_schema_is_the_generated_one() -> None:
    assert (CONFIG / "schema.json").read_text() == schema_text(), "run: samurai schema > config/schema.json"


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(schema())
    assert orjson.loads(schema_text())["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("name", ["gateway.yaml", "sandbox.yaml"])
def test_the_shipped_configurations_validate(name: str) -> None:
    assert problems_of(yaml.safe_load((CONFIG / name).read_text())) == []


@pytest.mark.parametrize("text", [FULL, SMALL], ids=["full", "small"])
def test_what_the_loader_takes_validates(text: str) -> None:
    assert problems_of(yaml.safe_load(text)) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("api_key: {env: OPENAI_API_KEY}", "api_key: sk-literal"),
        ("{env: OPENAI_API_KEY}", "{env: OPENAI_API_KEY, file: x}"),
        ("{env: OPENAI_API_KEY}", "{}"),
        ("api_key: {env: OPENAI_API_KEY}", "timeout: 5s"),
        ("vendor: openai", "vendor: vertex"),
        ("price: {per_image: 0.05}", "weight: 1"),
        ("0.05", "0"),
        ("0.05", "{}"),
        ("model: gpt", "modle: x, model: gpt"),
        ("sha256: ", "sha256: x"),
        ("keys:", "store: {keep: 5 minutes}\nkeys:"),
        ("keys:", "logging: {level: loud}\nkeys:"),
    ],
)
def test_what_the_loader_refuses_by_shape_does_not_validate(old: str, new: str) -> None:
    assert old in SMALL
    assert problems_of(yaml.safe_load(SMALL.replace(old, new, 1))) != []


def test_every_name_is_described() -> None:
    undescribed = [
        f"{shape}.{name}"
        for shape, definition in schema()["$defs"].items()
        for name, field in definition.get("properties", {}).items()
        if "description" not in field
    ]
    assert undescribed == []


def test_the_module_prints_it() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "gateway.settings.documents"], capture_output=True, text=True, check=True
    )
    assert printed.stdout == schema_text()
