import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.caller import Caller
from gateway.domain.errors import ErrorCode, RequestError
from gateway.steps.authenticate import authenticate

KEY = "sk-samurai-good"
HOLDER = Caller("web-team")


def find(key: str) -> Caller | None:
    return HOLDER if key == KEY else None


def refusal(headers: dict[str, str], *, mistyped: bool = False) -> RequestError:
    with pytest.raises(RequestError) as caught:
        authenticate(headers, find, lambda _: mistyped)
    return caught.value


@pytest.mark.parametrize("value", [f"Bearer {KEY}", f"bearer {KEY}", f"BEARER   {KEY} "])
def test_the_holder_of_a_known_key_is_the_caller(value: str) -> None:
    assert authenticate({"authorization": value}, find, lambda _: False) is HOLDER


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer   "},
        {"authorization": f"Basic {KEY}"},
        {"authorization": KEY},
        {"authorization": f"Bearer{KEY}"},
        {"x-api-key": KEY},
    ],
)
def test_without_a_bearer_key_there_is_nothing_to_look_at(headers: dict[str, str]) -> None:
    error = refusal(headers)
    assert (error.status, error.code) == (401, ErrorCode.MISSING_API_KEY)
    assert KEY not in error.message


def test_a_key_may_be_any_opaque_string() -> None:
    assert authenticate({"authorization": "Bearer My API Key"}, {"My API Key": HOLDER}.get, lambda _: False) is HOLDER


@pytest.mark.parametrize("key", ["sk-other", f"{KEY} {KEY}"])
def test_an_unknown_key_is_invalid(key: str) -> None:
    error = refusal({"authorization": f"Bearer {key}"})
    assert (error.status, error.code) == (401, ErrorCode.INVALID_API_KEY)


def test_a_mistyped_key_is_refused_without_looking_it_up() -> None:
    asked: list[str] = []
    with pytest.raises(RequestError) as caught:
        authenticate({"authorization": f"Bearer {KEY}"}, asked.append, lambda key: key == KEY)
    assert caught.value.code is ErrorCode.INVALID_API_KEY
    assert asked == []


@settings(deadline=None)
@given(st.text(alphabet=st.characters(codec="latin-1"), max_size=40))
def test_no_message_says_anything_of_the_key(secret: str) -> None:
    key = f"canary-{secret}"
    for mistyped in (True, False):
        error = refusal({"authorization": f"Bearer {key}"}, mistyped=mistyped)
        assert error.status == 401
        assert "canary" not in error.message + repr(error)
