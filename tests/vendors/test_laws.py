"""What holds for every dialect, whatever a vendor answers and whatever is asked of it."""

import copy
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.domain.exchange import Delivered, Dialect, Fault, HttpCall, Inline, Pending, Remote
from gateway.domain.picture import ImageFormat
from tests.vendors.making import DIALECTS, PROMPT, account, any_json, reply, shot, shots

_EVERY = [pytest.param(dialect, id=name) for name, dialect in DIALECTS.items()]
_each_dialect = pytest.mark.parametrize("dialect", _EVERY)
_quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])

_FOLDER = Path(__file__).parent / "replies"
_BODIES = {
    name: [
        sample["reply"]["body"]
        for path in sorted(_FOLDER.rglob("*.json"))
        if (sample := json.loads(path.read_text("utf-8")))["dialect"] == name and "body" in sample["reply"]
    ]
    for name in DIALECTS
}
_STATUSES = st.sampled_from([200, 201, 202, 204, 302, 400, 401, 402, 403, 404, 408, 422, 429, 499, 500, 502, 503, 504])
_HEADERS = st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "date"]), st.text(max_size=30))


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in inner for place in _places(each, (*path, key)))]


def _replaced(body: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    changed = copy.deepcopy(body)
    holder = changed
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = new
    return changed


def _assert_sound(outcome: object, dialect: Dialect) -> None:
    match outcome:
        case Delivered():
            assert outcome.pictures
            assert outcome.billed >= 0
            assert outcome.withheld >= 0
            assert all(isinstance(each.source, Inline | Remote) for each in outcome.pictures)
        case Pending():
            assert outcome.wait_s > 0
            assert outcome.check.method == "GET"
            for call in filter(None, (outcome.check, outcome.cancel)):
                assert not call.starts_work
                _assert_at_home(call, dialect, None)
        case _:
            assert isinstance(outcome, Fault)
            assert outcome.retry_after_s is None or 0 <= outcome.retry_after_s <= 86_400
            assert len(outcome.detail) <= 500


def _assert_at_home(call: HttpCall, dialect: Dialect, base: str | None) -> None:
    home = (
        base
        or {
            "replicate": "https://api.replicate.com/v1",
            "openai": "https://api.openai.com/v1",
            "ideogram": "https://api.ideogram.ai",
            "vertex": "https://aiplatform.googleapis.com/v1",
        }[dialect.vendor]
    )
    assert call.url.startswith(f"{home}/")
    assert urlsplit(call.url).netloc == urlsplit(home).netloc
    assert ".." not in urlsplit(call.url).path


@_each_dialect
@_quick
@given(body=any_json, status=_STATUSES, headers=_HEADERS, count=st.integers(1, 10))
def test_any_json_at_all_comes_to_an_outcome(
    dialect: Dialect, body: Any, status: int, headers: dict[str, str], count: int
) -> None:
    asked = shot(dialect.name, dialect.known_models[0], count=count)
    outcome = dialect.outcome_of(reply(body, status, headers=headers), asked, account(dialect.name))
    _assert_sound(outcome, dialect)


@_each_dialect
@_quick
@given(data=st.data())
def test_a_good_reply_with_any_part_of_it_spoilt_comes_to_an_outcome(dialect: Dialect, data: st.DataObject) -> None:
    body = data.draw(st.sampled_from(_BODIES[dialect.name]))
    spoilt = _replaced(body, data.draw(st.sampled_from(_places(body))), data.draw(any_json))
    asked = shot(dialect.name, dialect.known_models[0], count=data.draw(st.integers(1, 4)))
    outcome = dialect.outcome_of(reply(spoilt, data.draw(_STATUSES)), asked, account(dialect.name))
    _assert_sound(outcome, dialect)


@_each_dialect
@_quick
@given(text=st.text(max_size=50), status=_STATUSES)
def test_a_body_that_is_no_json_is_a_fault(dialect: Dialect, text: str, status: int) -> None:
    outcome = dialect.outcome_of(
        reply(None, status, text=text), shot(dialect.name, dialect.known_models[0]), account(dialect.name)
    )
    assert isinstance(outcome, Fault)
    _assert_sound(outcome, dialect)


@_each_dialect
@_quick
@given(data=st.data())
def test_a_call_holds_no_credential_and_goes_to_the_accounts_own_base(dialect: Dialect, data: st.DataObject) -> None:
    base = data.draw(st.sampled_from([None, "http://127.0.0.1:8090/v1", "https://proxy.example/replicate/v1"]))
    mine = account(dialect.name, base_url=base)
    asked = data.draw(shots(dialect, data.draw(st.sampled_from(dialect.known_models))))
    for call in (dialect.call_for(asked, mine), dialect.probe_for(mine)):
        _assert_at_home(call, dialect, base)
        assert not {name.lower() for name in call.headers} & {"authorization", "api-key", "x-goog-api-key", "cookie"}
        assert "?key=" not in call.url
        json.dumps(call.json)


@_each_dialect
def test_a_probe_starts_no_work(dialect: Dialect) -> None:
    probe = dialect.probe_for(account(dialect.name))
    assert not probe.starts_work
    assert probe.method == "GET" or probe.url.endswith("?dry_run=true")


@_each_dialect
@_quick
@given(name=st.text(max_size=30))
def test_capabilities_answer_for_any_name(dialect: Dialect, name: str) -> None:
    can = dialect.capabilities(name)
    assert can.images_per_call >= 1
    assert can.sizes or can.grid
    assert can.formats


@_each_dialect
def test_every_known_model_makes_a_square_that_every_documented_size_can_be_made_from(dialect: Dialect) -> None:
    for model in dialect.known_models:
        can = dialect.capabilities(model)
        assert any(str(size) == "1024x1024" for size in can.sizes) or (can.grid and can.grid.max_edge >= 1024)
        assert can.formats[0] is ImageFormat.PNG


@_each_dialect
def test_nothing_shows_the_prompt_in_a_fault(dialect: Dialect) -> None:
    outcome = dialect.outcome_of(
        reply({"error": {"message": "no"}}, 400), shot(dialect.name, dialect.known_models[0]), account(dialect.name)
    )
    assert isinstance(outcome, Fault)
    assert PROMPT not in outcome.detail
    assert outcome.detail not in repr(outcome) or not outcome.detail
