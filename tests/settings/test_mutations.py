"""Random damage to a good configuration: it loads, or is refused in words; it never breaks the loader."""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.settings.faults import SettingsError
from gateway.settings.groups import Settings
from tests.settings.samples import ENVIRONMENT, FULL, load_text

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**400, max_value=10**401),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["*", "", "1024x1024", "http://[", "https://x:y", "rediss://", "file:", "10.0.0.0/99", "5m"]),
    st.sampled_from([{"env": "OPENAI_API_KEY"}, {"file": "\x00"}, {"file": "/"}, {"metadata": "x:1"}, {}, [], [[]]]),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
)


def places_in(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(deeper for name, child in children for deeper in places_in(child, (*place, name)))]


DOCUMENT = yaml.safe_load(FULL)
PLACES = places_in(DOCUMENT)[1:]


@pytest.fixture(scope="module")
def load_it(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Settings | SettingsError]:
    directory: Path = tmp_path_factory.mktemp("mutations")

    def attempt(text: str) -> Settings | SettingsError:
        try:
            return load_text(text, directory)
        except SettingsError as error:
            return error

    return attempt


Attempt = Callable[[str], Settings | SettingsError]


def explains_itself(result: Settings | SettingsError) -> bool:
    if isinstance(result, Settings):
        return True
    return bool(result.faults) and all(fault.message and fault.line >= 0 for fault in result.faults)


def mutated(changes: list[tuple[tuple[Any, ...], str, Any]]) -> str:
    """The document after `changes`, as JSON, which is YAML, too."""
    document = deepcopy(DOCUMENT)
    for place, act, value in changes:
        parent = document
        try:
            for name in place[:-1]:
                parent = parent[name]
            if act == "replace":
                parent[place[-1]] = value
            elif act == "rename":
                parent[str(value)] = parent.pop(place[-1])
            else:
                del parent[place[-1]]
        except (KeyError, IndexError, TypeError, AttributeError):
            continue  # an earlier change took the place away
    return json.dumps(document)


CHANGES = st.lists(
    st.tuples(st.sampled_from(PLACES), st.sampled_from(["replace", "rename", "delete"]), JUNK), min_size=1, max_size=3
)


@settings(max_examples=120, deadline=None)
@given(CHANGES)
def test_any_values_in_any_places_are_loaded_or_refused_in_words(
    load_it: Attempt, changes: list[tuple[tuple[Any, ...], str, Any]]
) -> None:
    result = load_it(mutated(changes))
    assert explains_itself(result)
    assert [value for value in ENVIRONMENT.values() if value in f"{result!r}{result}"] == []


@settings(max_examples=120, deadline=None)
@given(
    st.integers(0, len(FULL)),
    st.integers(0, 30),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
    | st.sampled_from(
        ["{", "}", "[", "&a ", "*a", "!!binary ", "<<: ", "\t", "---\n", '"', "|", "? ", "!!set {", ": "]
    ),
)
def test_any_damage_to_the_text_is_loaded_or_refused_in_words(
    load_it: Attempt, start: int, length: int, junk: str
) -> None:
    assert explains_itself(load_it(FULL[:start] + junk + FULL[start + length :]))


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from("abk:{}[],&*!?-|>'\"%@#\n\t 0123.~<=_"), max_size=80))
def test_any_text_is_refused_in_words(load_it: Attempt, text: str) -> None:
    result = load_it(text)
    assert isinstance(result, SettingsError)
    assert explains_itself(result)


def test_every_single_part_can_be_lost(load_it: Attempt) -> None:
    for place in PLACES:
        assert explains_itself(load_it(mutated([(place, "delete", None)]))), place


def test_every_single_part_can_be_of_another_kind(load_it: Attempt) -> None:
    kinds: list[Any] = [None, 0, "", [], {}]
    for index, place in enumerate(PLACES[::3]):  # a third, since hypothesis does the same at random
        assert explains_itself(load_it(mutated([(place, "replace", kinds[index % 5])]))), place
