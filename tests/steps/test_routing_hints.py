import pytest

from gateway.domain.caller import Caller
from gateway.domain.catalogue import Account, Route, Target
from gateway.domain.errors import ErrorCode, RequestError
from gateway.domain.money import Price
from gateway.steps.routing_hints import patience_s, wanted_targets

ROUTE = Route(
    "dall-e-3",
    (
        Target(Account("openai", "openai"), "openai_images", "gpt-image-2", Price(flat=1)),
        Target(Account("vertex-eu", "vertex"), "vertex_generate_content", "gemini-3.1-flash-image", Price(flat=1)),
    ),
)
CHOOSER = Caller("key", may_route=True)


def test_a_caller_without_a_wish_gets_what_the_gateway_chooses() -> None:
    assert wanted_targets({}, Caller("key"), ROUTE) == ()


@pytest.mark.parametrize(
    ("wish", "names"),
    [
        ("openai", ("openai",)),
        (" vertex-eu , openai ,", ("vertex-eu", "openai")),
        ("vertex/gemini-3.1-flash-image", ("vertex/gemini-3.1-flash-image",)),
    ],
)
def test_targets_are_named_as_accounts_or_as_replies_name_them(wish: str, names: tuple[str, ...]) -> None:
    assert wanted_targets({"x-samurai-route": wish}, CHOOSER, ROUTE) == names


@pytest.mark.parametrize("wish", ["", " , ", "vertex", "openai, nobody", "gpt-image-2", "openai\t;x", "é" * 500])
def test_a_name_that_nobody_answers_to_is_refused(wish: str) -> None:
    with pytest.raises(RequestError) as caught:
        wanted_targets({"x-samurai-route": wish}, CHOOSER, ROUTE)
    assert (caught.value.code, caught.value.param) == (ErrorCode.INVALID_VALUE, "x-samurai-route")
    assert "`openai`, `vertex-eu`" in caught.value.message
    assert len(caught.value.message) < 300


def test_a_key_that_may_not_choose_is_told_so_and_nothing_of_the_accounts() -> None:
    with pytest.raises(RequestError) as caught:
        wanted_targets({"x-samurai-route": "openai"}, Caller("key"), ROUTE)
    assert caught.value.status == 400
    assert "vertex-eu" not in caught.value.message


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"x-stainless-read-timeout": "600"}, 598.0),
        ({"x-stainless-read-timeout": "600.5"}, 598.5),
        ({"x-stainless-timeout": "60"}, 58.0),
        ({"x-stainless-read-timeout": "30", "x-stainless-timeout": "60"}, 28.0),
        ({"x-stainless-read-timeout": "1"}, 0.0),
        ({"x-stainless-read-timeout": "None"}, None),
        ({"x-stainless-read-timeout": "-5"}, None),
        ({"x-stainless-read-timeout": "inf"}, None),
        ({"x-stainless-read-timeout": "9" * 400}, None),
    ],
)
def test_a_clients_own_timeout_says_how_long_trying_is_worth_it(
    headers: dict[str, str], expected: float | None
) -> None:
    assert patience_s(headers, stream=False) == expected
    assert patience_s(headers, stream=True) is None
