"""What the dialects declare of replies, against the closed schemas and the sample replies of their own tests."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.errors import ErrorCode
from gateway.domain.exchange import Fault, Pending
from gateway.domain.reply_fields import Kind, Needed
from gateway.policies.drift import Drift, drift_of
from tests.vendors.making import DIALECTS, account, reply, shot

_REFUSED = ErrorCode.CONTENT_POLICY_VIOLATION.value
_TESTS = Path(__file__).parents[1] / "vendors"
_SAMPLES = {
    path.stem: sample
    for path in sorted((_TESTS / "replies").rglob("*.json"))
    if (sample := json.loads(path.read_text("utf-8")))["schema"] == f"{sample['dialect']}.reply"
    # Other faults among them are successes by their form only, and lack what a success has.
    and sample["expect"].get("fault", _REFUSED) == _REFUSED
}
_each_dialect = pytest.mark.parametrize("name", DIALECTS)


def _named_in(schema: Any, at: str = "") -> Iterator[str]:
    for alternative in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from _named_in(alternative, at)
    for name, inner in schema.get("properties", {}).items():
        path = f"{at}.{name}" if at else name
        yield path
        yield from _named_in(inner, path)
    if "items" in schema:
        yield f"{at}[]"
        yield from _named_in(schema["items"], f"{at}[]")


@_each_dialect
def test_what_a_closed_schema_names_is_declared_or_below_something_opaque(name: str) -> None:
    fields = DIALECTS[name].reply_fields
    opaque = [path for path in fields if not any(other.startswith((path + ".", path + "[]")) for other in fields)]
    schema = json.loads((_TESTS / "schemas" / f"{name}.reply.json").read_text("utf-8"))
    named = set(_named_in(schema))
    assert named
    strange = {path for path in named - set(fields) if not path.startswith(tuple(opaque))}
    assert strange == set()


@_each_dialect
def test_declared_fields_stand_in_declared_objects_and_lists(name: str) -> None:
    fields = DIALECTS[name].reply_fields
    for path in fields:
        holder = path.removesuffix("[]") if path.endswith("[]") else path.rpartition(".")[0]
        wanted = Kind.ARRAY if path.endswith("[]") else Kind.OBJECT
        assert not holder or wanted in fields[holder].kinds, path


@_each_dialect
def test_every_dialect_says_where_its_images_stand(name: str) -> None:
    fields = DIALECTS[name].reply_fields
    assert any(field.needed is Needed.IMAGE for field in fields.values()) or "output" in fields


def _drift_of(sample: dict[str, Any]) -> Drift:
    dialect, said = DIALECTS[sample["dialect"]], sample["reply"]
    outcome = dialect.outcome_of(
        reply(said["body"], said["status"], headers=said["headers"]),
        shot(dialect.name, sample["model"], count=sample["count"]),
        account(dialect.name),
    )
    is_over, is_refused = not isinstance(outcome, Pending), isinstance(outcome, Fault)
    return drift_of(said["body"], dialect.reply_fields, is_over=is_over, is_refused=is_refused)


@pytest.mark.parametrize("name", sorted(set(_SAMPLES) - {"v2_synchronous"}))
def test_a_sample_reply_of_the_vendors_form_has_not_drifted(name: str) -> None:
    assert _drift_of(_SAMPLES[name]) == Drift()


def test_a_synchronous_reply_to_an_asynchronous_request_has_drifted() -> None:
    assert _drift_of(_SAMPLES["v2_synchronous"]) == Drift(missing=("status", "created"))
