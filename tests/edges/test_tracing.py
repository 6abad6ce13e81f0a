import sys
from collections.abc import Iterator

import pytest

from gateway.domain.errors import ErrorCode
from gateway.domain.exchange import Delivered, Fault, HttpReply, Inline, Next, Picture
from gateway.edges.tracing import NO_TRACES, Attributes, open_traces, tell_outcome


class Notebook:
    """A span that remembers what it is told."""

    def __init__(self) -> None:
        self.attributes: dict[str, object] = {}
        self.error: str | None = None

    def rename(self, name: str, /) -> None:
        raise AssertionError(f"nobody renames a vendor's call, {name}")

    def note(self, attributes: Attributes, /) -> None:
        self.attributes |= attributes

    def fail(self, error: str, /) -> None:
        self.error = error


@pytest.fixture
def without_opentelemetry() -> Iterator[None]:
    """As on a machine where the extra is not installed."""
    hidden = {name: module for name, module in sys.modules.items() if name.startswith("opentelemetry")}
    ours = sys.modules.pop("gateway.edges.otlp", None)
    sys.modules.update(dict.fromkeys(hidden | {"opentelemetry": None}))  # type: ignore[arg-type]  # None hides it
    yield
    del sys.modules["opentelemetry"]
    sys.modules.update(hidden)
    if ours is not None:
        sys.modules["gateway.edges.otlp"] = ours


def test_without_a_collector_there_are_no_traces() -> None:
    assert open_traces(None) is NO_TRACES
    with NO_TRACES.step("debit") as span:
        span.note({"a": 1})
        span.fail("never_seen")
    assert NO_TRACES.headers() == {}
    assert NO_TRACES.trace_id() is None


def test_a_block_that_nobody_traces_still_raises_what_it_raises() -> None:
    with pytest.raises(ZeroDivisionError), NO_TRACES.client("call", {}):
        _ = 1 // 0


@pytest.mark.usefixtures("without_opentelemetry")
def test_a_collector_without_the_extra_is_told_at_start() -> None:
    with pytest.raises(ValueError, match=r"pip install 'samurai-gateway\[tracing\]'"):
        open_traces("http://127.0.0.1:4318")


@pytest.mark.parametrize(
    ("json", "expected"),
    [
        ({"model": "black-forest-labs/flux-schnell"}, "black-forest-labs/flux-schnell"),
        ({"modelVersion": "gemini-3.1-flash-image"}, "gemini-3.1-flash-image"),
        ({"model": "a prompt in the wrong place"}, None),
        ({"model": "m" * 129}, None),
        ({"model": {"name": "x"}}, None),
        ([1], None),
        (None, None),
    ],
)
def test_only_what_can_be_a_models_name_is_told_as_the_model_that_served(json: object, expected: str | None) -> None:
    span = Notebook()
    outcome = Delivered((Picture(Inline("")),), billed=1)
    tell_outcome(span, HttpReply(200, {}, json), outcome, polls=3)
    assert span.attributes.get("gen_ai.response.model") == expected
    assert span.attributes["samurai.polls"] == 3
    assert span.error is None


def test_a_fault_is_told_by_its_code_and_never_by_the_vendors_words() -> None:
    span = Notebook()
    fault = Fault(
        ErrorCode.UPSTREAM_TIMEOUT, Next.STOP, may_have_billed=True, counts_against_vendor=True, detail="prompt"
    )
    tell_outcome(span, None, fault, polls=0)
    assert span.error == "upstream_timeout"
    assert span.attributes == {"samurai.polls": 0, "samurai.may_have_billed": True}
