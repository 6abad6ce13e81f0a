"""Every sample reply in `replies/` comes to the outcome that is written in it, and is what the vendor could send."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gateway.domain.exchange import HttpReply
from tests.vendors.expecting import as_data
from tests.vendors.making import DIALECTS, account, reply, shot
from tests.vendors.validating import check, check_published, needs_shared

_FOLDER = Path(__file__).parent / "replies"
_SAMPLES = {
    path.relative_to(_FOLDER).with_suffix("").as_posix(): json.loads(path.read_text("utf-8"))
    for path in sorted(_FOLDER.rglob("*.json"))
}

# The successes of which the vendor publishes a schema.
_COMPONENTS = {
    "replicate_predictions.reply": ("replicate.openapi.json", "schemas_prediction_response"),
    "ideogram_v3.reply": ("ideogram.openapi.json", "ImageGenerationResponseV3"),
    "openai_images.reply": ("openai.images.openapi.json", "ImagesResponse"),
    "vertex_predict.reply": ("vertex.discovery.extract.json", "GoogleCloudAiplatformV1PredictResponse"),
    "vertex_generate_content.reply": (
        "vertex.discovery.extract.json",
        "GoogleCloudAiplatformV1GenerateContentResponse",
    ),
}


def _as_reply(sample: dict[str, Any]) -> HttpReply:
    said = sample["reply"]
    return reply(said.get("body"), said["status"], headers=said["headers"], text=said.get("text", ""))


@pytest.mark.parametrize("sample", _SAMPLES.values(), ids=_SAMPLES)
def test_a_sample_reply_comes_to_the_outcome_written_in_it(sample: dict[str, Any]) -> None:
    dialect = DIALECTS[sample["dialect"]]
    asked = shot(dialect.name, sample["model"], count=sample["count"])
    outcome = dialect.outcome_of(_as_reply(sample), asked, account(dialect.name))
    assert as_data(outcome) == sample["expect"]


@pytest.mark.parametrize("sample", [pytest.param(each, id=name) for name, each in _SAMPLES.items() if each["schema"]])
def test_a_sample_reply_keeps_to_the_closed_schema_it_names(sample: dict[str, Any]) -> None:
    check(sample["schema"], sample["reply"]["body"])


@pytest.mark.parametrize(
    "sample",
    [
        pytest.param(each, id=name)
        for name, each in _SAMPLES.items()
        if each["schema"] is None and "body" in each["reply"]
    ],
)
def test_a_sample_that_names_no_schema_is_one_that_breaks_the_format(sample: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        check(f"{sample['dialect']}.reply", sample["reply"]["body"])


@needs_shared
@pytest.mark.parametrize(
    "sample",
    [pytest.param(each, id=name) for name, each in _SAMPLES.items() if each["schema"] in _COMPONENTS],
)
def test_a_sample_reply_keeps_to_the_vendors_published_schema(sample: dict[str, Any]) -> None:
    check_published(*_COMPONENTS[sample["schema"]], sample["reply"]["body"], closed=False)


def test_every_dialect_has_samples_of_each_kind_of_outcome_it_can_come_to() -> None:
    kinds = {(sample["dialect"], next(iter(sample["expect"]))) for sample in _SAMPLES.values()}
    for name in DIALECTS:
        assert {(name, "delivered"), (name, "fault")} <= kinds
    assert {name for name, kind in kinds if kind == "pending"} == {"replicate_predictions", "ideogram_v2"}
