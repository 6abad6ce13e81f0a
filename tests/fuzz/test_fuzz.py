"""The short form of `make fuzz`, and that it would find what it looks for."""

import sys
from random import Random

import pytest

from gateway.domain.errors import ErrorCode
from tests.fuzz import covered
from tests.fuzz.answers import problem_with
from tests.fuzz.grammar import request_of
from tests.fuzz.inside import batch, catalogue
from tests.fuzz.sockets import over_sockets

SEED = "short"
INPUTS = 10_000
GOOD = b'{"error": {"message": "No.", "type": "invalid_request_error", "param": null, "code": "invalid_value"}}'


def test_every_answer_to_made_up_words_is_a_documented_one() -> None:
    tally = batch(f"{SEED}/inside", INPUTS)
    assert tally.findings == []
    assert tally.inputs == INPUTS
    assert tally.valid >= 0.3 * INPUTS
    assert len(tally.answers) > 12


@pytest.mark.slow
def test_a_running_gateway_between_two_that_make_things_up_gives_documented_answers() -> None:
    tally = over_sockets(f"{SEED}/socket", 300)
    assert tally.findings == []
    assert tally.inputs == 300
    assert tally.valid >= 0.3 * 300
    assert tally.answers["ok"] > 10  # a busy machine has fewer of them within their deadlines
    assert tally.answers["calls to vendors"] > 50


def test_the_same_seed_makes_the_same_words() -> None:
    models = tuple(catalogue().routes)
    assert request_of(Random("a"), models) == request_of(Random("a"), models)
    assert batch("b", 50) == batch("b", 50)


@pytest.mark.parametrize(
    ("status", "headers", "body", "what"),
    [
        (400, {}, GOOD, ""),
        (404, {}, GOOD, "does not go with"),
        (400, {}, b"<html>", "no JSON"),
        (400, {}, b"{}", "envelope"),
        (400, {}, GOOD.replace(b"invalid_value", b"made_up"), "nobody knows"),
        (500, {}, GOOD.replace(b"invalid_value", ErrorCode.INTERNAL_ERROR.encode()), "internal_error"),
        (400, {"x-should-retry": "maybe"}, GOOD, "x-should-retry"),
        (400, {"retry-after": "0"}, GOOD, "no wait"),
        (400, {"x-a": "b\r\nc: d"}, GOOD, "no header may have"),
        (200, {}, b'{"created": 1, "data": []}', "0 images instead of 2"),
        (200, {}, b'{"created": 1, "data": [{"url": "a"}, {}]}', "not one of"),
    ],
)
def test_what_is_not_documented_is_noticed(status: int, headers: dict[str, str], body: bytes, what: str) -> None:
    trouble = problem_with(status, {"x-request-id": "r", **headers}, body, images=2)
    assert what in trouble
    assert bool(trouble) == bool(what)


def test_an_answer_without_an_id_is_noticed() -> None:
    assert problem_with(400, {}, GOOD) == "no x-request-id"


def test_without_atheris_the_guided_part_says_so_and_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert covered.main(1, 1) == covered.NO_ATHERIS
    assert "Atheris is not installed" in capsys.readouterr().out
    assert "atheris" not in sys.modules
