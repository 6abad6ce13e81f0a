from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.reply_fields import Kind, ReplyFields, always, at_end, image, sometimes
from gateway.policies.drift import Drift, drift_of, kind_of

FIELDS: ReplyFields = {
    "id": always("string"),
    "extra": sometimes("object"),
    "data": at_end("array"),
    "data[]": sometimes("object"),
    "data[].seed": always("number"),
    "data[].url": image("string null"),
    "data[].b64": image("string"),
}
WHOLE = {"id": "x", "extra": {"any": ["thing"]}, "data": [{"seed": 1, "url": "https://a"}, {"seed": 2, "url": None}]}

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


def drift(body: Any, *, is_over: bool = True, is_refused: bool = False) -> Drift:
    return drift_of(body, FIELDS, is_over=is_over, is_refused=is_refused)


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in WHOLE.items() if key != name}


def test_a_reply_as_expected_has_not_drifted() -> None:
    assert drift(WHOLE) == Drift()
    assert not drift(WHOLE).is_breaking


def test_a_field_of_every_reply_is_missed_in_every_reply() -> None:
    assert drift(without("id")).missing == ("id",)
    assert drift(without("id"), is_over=False).missing == ("id",)


def test_a_field_of_finished_work_is_not_missed_before() -> None:
    assert drift(without("data")).missing == ("data",)
    assert drift(without("data"), is_over=False) == Drift()


def test_a_refusal_need_not_hold_what_only_a_success_does() -> None:
    assert drift({"id": "x"}, is_refused=True) == Drift()


def test_a_field_missing_in_one_element_is_missed() -> None:
    assert drift({"id": "x", "data": [{"seed": 1, "url": "u"}, {"url": "u"}]}).missing == ("data[].seed",)


def test_one_of_the_places_for_an_image_is_enough() -> None:
    assert drift({"id": "x", "data": [{"seed": 1, "b64": "AA=="}]}) == Drift()


def test_without_any_image_all_its_places_are_named_as_one() -> None:
    found = drift({"id": "x", "data": [{"seed": 1, "link": "u"}]})
    assert found == Drift(missing=("data[].url or data[].b64",), new=("data[].link",))
    assert drift({"id": "x", "data": []}).missing == ("data[].url or data[].b64",)


def test_a_changed_type_is_told_with_what_was_found() -> None:
    assert drift({"id": 5, "data": [{"seed": True, "url": "u"}]}).changed == ("id (number)", "data[].seed (boolean)")


def test_a_new_field_breaks_nothing_and_is_named_once() -> None:
    found = drift({**WHOLE, "hue": {"deep": 1}, "data": [{"seed": 1, "url": "u", "tag": 1}] * 3})
    assert found == Drift(new=("data[].tag", "hue"))
    assert not found.is_breaking


@pytest.mark.parametrize("body", [None, [], "text", 3, [WHOLE]])
def test_a_reply_that_is_no_object_has_changed_as_a_whole(body: Any) -> None:
    assert drift(body).changed == (f"the whole reply ({kind_of(body)})",)
    assert drift(body).is_breaking


@given(_json, st.booleans())
def test_no_reply_is_too_odd_to_be_compared(body: Any, is_over: bool) -> None:
    found = drift(body, is_over=is_over)
    assert found.is_breaking or isinstance(body, dict)
    assert all(path.split(" (")[0] in FIELDS for path in found.changed) or not isinstance(body, dict)


@given(_json)
def test_every_json_value_has_one_of_six_types(value: Any) -> None:
    assert kind_of(value) in Kind
