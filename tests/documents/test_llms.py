import re

import pytest

from gateway.documents.advice import ADVICE
from gateway.documents.llms import PAGES, llms_txt, pages
from gateway.documents.reply_headers import HEADERS, headers_for
from gateway.documents.shelf import shelf
from gateway.domain.catalogue import Catalogue
from gateway.domain.errors import ErrorCode, status_of, type_of
from gateway.steps.request_shape import KINDS
from tests.documents.deployments import EVERY, LENIENT, USUAL, WITH_DEFAULT, capabilities_of
from tests.documents.test_openapi import operations

BASE = "https://images.example.com"
LINK = re.compile(r"^- \[[^\]]+\]\((?P<address>[^)]+)\): \S.*$")


def page(name: str, catalogue: Catalogue = USUAL) -> str:
    return pages(catalogue, capabilities_of)[name]


def row_of(text: str, first_cell: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {first_cell} "))
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def test_the_index_is_a_title_a_summary_and_lists_of_links() -> None:
    lines = [line for line in llms_txt(BASE).splitlines() if line]
    assert lines[0] == "# Samurai Gateway"
    assert lines[1].startswith("> ")
    body = lines[next(number for number, line in enumerate(lines) if line.startswith("## ")) :]
    assert all(line.startswith("## ") or LINK.match(line) for line in body)


def test_every_link_of_the_index_leads_to_something_that_is_served() -> None:
    served = shelf(USUAL, BASE, capabilities_of)
    addresses = [match["address"] for line in llms_txt(BASE).splitlines() if (match := LINK.match(line))]
    assert {address.removeprefix(BASE) for address in addresses} == {*served, "/v1/models"} - {"/llms.txt"}


def test_every_error_code_has_a_meaning_and_an_advice() -> None:
    assert list(ADVICE) == list(ErrorCode)
    assert all(sentence.endswith(".") for pair in ADVICE.values() for sentence in pair)


@pytest.mark.parametrize("code", list(ErrorCode))
def test_the_error_page_has_a_row_for_every_code(code: ErrorCode) -> None:
    wanted = f"| {status_of(code)} | `{type_of(code).value}` | `{code.value}` | {ADVICE[code][0]} | {ADVICE[code][1]} |"
    assert wanted in page("errors").splitlines()


@pytest.mark.parametrize("name", list(KINDS))
def test_the_request_page_has_a_row_for_every_field(name: str) -> None:
    assert len(row_of(page("images"), f"`{name}`")) == 3


def test_the_request_page_says_what_this_deployment_takes() -> None:
    assert "`1536x1024`" in " ".join(row_of(page("images", WITH_DEFAULT), "`size`"))
    assert row_of(page("images"), "`model`")[2] == "yes"
    assert row_of(page("images", WITH_DEFAULT), "`model`")[2] == "no"
    assert "Other fields are refused" in page("images")
    assert "Other fields are ignored" in page("images", LENIENT)


@pytest.mark.parametrize("name", sorted(headers_for("generation")))
def test_the_request_page_has_a_row_for_every_header_of_the_reply(name: str) -> None:
    assert row_of(page("images"), f"`{name}`")[1] == HEADERS[name]


@pytest.mark.parametrize("status", ["running", "completed", "failed", "unknown"])
def test_the_page_on_sending_again_tells_every_status_of_an_operation(status: str) -> None:
    assert len(row_of(page("repeats"), f"`{status}`")) == 2


@pytest.mark.parametrize("name", [wish["name"] for wish in operations()["createImage"]["parameters"]])
def test_every_header_that_a_request_for_images_may_carry_stands_on_a_page(name: str) -> None:
    told = "\n".join(pages(USUAL, capabilities_of).values()).lower()
    assert f"`{name}`" in told or f"`{name}:" in told


def test_the_model_page_marks_what_the_gateway_adds() -> None:
    assert row_of(page("models"), "`flux-schnell`")[1] == "256x256*, 512x512, 1024x1024"
    assert row_of(page("models"), "`dall-e-3`")[6] == "yes"


def test_the_limits_page_has_every_models_prompt_limit() -> None:
    assert row_of(page("limits"), "`flux-1.1-pro`")[1] == "40"
    assert row_of(page("limits"), "`dall-e-3`")[1] == "1000"


@pytest.mark.parametrize("catalogue", EVERY)
def test_the_pages_are_whole_tables_and_say_nothing_of_accounts_or_prices(catalogue: Catalogue) -> None:
    written = pages(catalogue, capabilities_of)
    assert list(written) == list(PAGES)
    for text in written.values():
        assert text.startswith("# ")
        assert "account" not in text.lower().replace("gateway's account", "")
        assert "$" not in text
        for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
            assert len({line.replace("\\|", "").count("|") for line in table.splitlines()}) == 1
