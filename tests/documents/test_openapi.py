import json
from typing import Any

import orjson
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from gateway.documents.models import models_list
from gateway.documents.reply_headers import HEADERS, headers_for
from gateway.documents.shelf import shelf
from gateway.domain.caller import Caller
from gateway.domain.catalogue import Catalogue
from gateway.domain.errors import ErrorCode, RequestError
from gateway.policies.fingerprints import idempotency_hash
from gateway.steps.read_body import read_body
from tests.documents.deployments import EVERY, GLASS_BY_DEFAULT, USUAL, capabilities_of

BASE = "https://images.example.com"
METHODS = ("get", "head", "post")


def published(catalogue: Catalogue = USUAL) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads(shelf(catalogue, BASE, capabilities_of)["/openapi.json"][1])
    return document


def validator_of(name: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": published()["components"]})


def operations() -> dict[str, dict[str, Any]]:
    return {
        operation["operationId"]: operation
        for path in published()["paths"].values()
        for method, operation in path.items()
        if method in METHODS
    }


@pytest.mark.parametrize("catalogue", EVERY)
def test_the_document_is_valid_openapi(catalogue: Catalogue) -> None:
    document = published(catalogue)
    validate(document)
    assert document["openapi"].startswith("3.1")
    assert document["servers"] == [{"url": BASE}]


def test_every_reference_leads_somewhere() -> None:
    document = published()

    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if "$ref" in value else []
            return own + [found for inner in value.values() for found in references(inner)]
        return [found for inner in value for found in references(inner)] if isinstance(value, list) else []

    for reference in references(document):
        place: Any = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
        assert place


@pytest.mark.parametrize("catalogue", [USUAL, GLASS_BY_DEFAULT])
def test_what_a_machine_makes_from_the_document_is_taken(catalogue: Catalogue) -> None:
    schema = schemathesis.openapi.from_dict(published(catalogue))
    requests = schema["/v1/images/generations"]["POST"].as_strategy(
        generation_mode=schemathesis.GenerationMode.POSITIVE
    )
    made: list[int] = []

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(requests)
    def is_taken(case: schemathesis.Case[Any]) -> None:
        headers = {name.lower(): value for name, value in (case.headers or {}).items()}
        body = json.dumps(case.body).encode()
        made.append(read_body(body, headers, Caller("key"), catalogue, capabilities_of).n)

    is_taken()
    assert len(made) >= 40


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_error_has_the_published_envelope_of_its_status(code: ErrorCode) -> None:
    error = RequestError(code, "What is wrong.", param="n")
    assert validator_of(f"Error{error.status}").is_valid(error.envelope())
    other = 404 if error.status != 404 else 400
    assert not validator_of(f"Error{other}").is_valid(error.envelope())
    assert not validator_of(f"Error{error.status}").is_valid({"error": {"message": "x", "code": code.value}})


@pytest.mark.parametrize("catalogue", EVERY)
def test_the_model_list_is_as_published(catalogue: Catalogue) -> None:
    listed = models_list(Caller("key"), catalogue, capabilities_of, 1_700_000_000)
    assert listed["data"]
    validator_of("ModelList").validate(orjson.loads(orjson.dumps(listed)))
    assert not validator_of("ModelList").is_valid({"object": "list", "data": [{"id": "x"}]})


@pytest.mark.parametrize(
    ("entry", "good"),
    [
        ({"url": f"{BASE}/v1/images/files/x.png"}, True),
        ({"b64_json": "AAAA", "revised_prompt": "y"}, True),
        ({"url": "x", "b64_json": "AAAA"}, False),
        ({"revised_prompt": "y"}, False),
    ],
)
def test_an_image_is_a_link_or_base64_and_never_both(entry: dict[str, str], good: bool) -> None:
    response = {"created": 1, "data": [entry]}
    assert validator_of("ImagesResponse").is_valid(response) is good
    assert not validator_of("ImagesResponse").is_valid({"created": 1, "data": []})


@pytest.mark.parametrize(
    ("event", "good"),
    [
        ({"event": "image_generation.completed", "data": "{}"}, True),
        ({"event": "error", "data": "{}"}, True),
        ({"data": "[DONE]"}, True),
        ({"event": "message", "data": "[DONE]"}, True),
        ({"event": "another", "data": "{}"}, False),
        ({"data": "{}"}, False),
        ({"event": "another", "data": "[DONE]"}, False),
    ],
)
def test_a_stream_is_of_images_an_error_and_its_end(event: dict[str, str], good: bool) -> None:
    assert validator_of("ServerSentEvent").is_valid(event) is good


def test_generation_documents_the_statuses_of_the_contract_and_no_other() -> None:
    responses = operations()["createImage"]["responses"]
    assert set(responses) == {"200", "202", "400", "401", "404", "405", "409", "422", "429", "500"}
    assert set(responses["200"]["content"]) == {"application/json", "text/event-stream"}


def test_generation_documents_the_headers_that_change_what_is_answered() -> None:
    wishes = {wish["name"]: wish for wish in operations()["createImage"]["parameters"]}
    assert set(wishes) == {"idempotency-key", "prefer", "x-samurai-partial"}
    key = Draft202012Validator(wishes["idempotency-key"]["schema"])
    for name in ("order-42", "a", "~" * 255, "", "two words", "ключ", "~" * 256):
        taken = True
        try:
            idempotency_hash("key", name)
        except RequestError:
            taken = False
        assert key.is_valid(name) is taken, name


def test_only_what_needs_no_key_is_open() -> None:
    document = published()
    assert document["security"] == [{"key": []}]
    opened = {name for name, operation in operations().items() if operation.get("security") == []}
    assert opened == {"readImage", "checkImage", "readIndex", "readOpenapi", "readPage"}


def test_every_reply_promises_a_request_id_and_every_header_is_used() -> None:
    kinds: list[str | int] = ["generation", "file", "any", "accepted", 400, 401, 404, 405, 409, 422, 429, 500]
    assert all(headers_for(kind)["x-request-id"]["required"] for kind in kinds)
    assert {name for kind in kinds for name in headers_for(kind)} == set(HEADERS)


def test_the_pages_that_are_served_are_the_ones_in_the_document() -> None:
    pages = published()["paths"]["/docs/{page}.md"]["parameters"][0]["schema"]["enum"]
    served = shelf(USUAL, BASE, capabilities_of)
    assert {f"/docs/{page}.md" for page in pages} == {path for path in served if path.startswith("/docs/")}
