import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.errors import ErrorCode
from gateway.policies.buckets import Dimension, Impossible, Lease, Meter, Refused
from gateway.policies.limit_headers import duration, limit_headers, refusal

REQUESTS = Meter("requests", "key", 60, 60, 12, 48_000)
IMAGES = Meter("images", "key", 200, 200, 150, 15_000)
TENANT_IMAGES = Meter("images", "tenant", 50, 100, 7, 25_800)


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "0s"), (12, "12ms"), (999, "999ms"), (1000, "1s"), (1500, "1.5s"), (1005, "1.005s"), (59_999, "59.999s"),
        (60_000, "1m0s"), (90_500, "1m30.5s"), (360_000, "6m0s"), (3_600_000, "1h0m0s"), (86_399_001, "23h59m59.001s"),
    ],
)  # fmt: skip
def test_a_duration_is_spelled_as_openai_does(milliseconds: int, text: str) -> None:
    assert duration(milliseconds) == text


@settings(deadline=None)
@given(st.integers(0, 10**10))
def test_a_duration_says_exactly_what_it_was_given(milliseconds: int) -> None:
    units = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
    parts = re.findall(r"([\d.]+)(ms|h|m|s)", duration(milliseconds))
    assert round(sum(float(figure) * units[unit] for figure, unit in parts)) == milliseconds


def test_every_reply_carries_openais_and_the_ietfs_fields() -> None:
    assert limit_headers([REQUESTS, IMAGES]) == [
        ("x-ratelimit-limit-requests", "60"),
        ("x-ratelimit-remaining-requests", "12"),
        ("x-ratelimit-reset-requests", "48s"),
        ("x-ratelimit-limit-images", "200"),
        ("x-ratelimit-remaining-images", "150"),
        ("x-ratelimit-reset-images", "15s"),
        ("ratelimit-policy", '"requests";q=60;w=60, "images";q=200;w=60'),
        ("ratelimit", '"requests";r=12;t=48'),
    ]


def test_of_several_scopes_the_tightest_is_shown_with_its_own_window() -> None:
    headers = dict(limit_headers([REQUESTS, IMAGES, TENANT_IMAGES]))
    assert headers["x-ratelimit-remaining-images"] == "7"
    assert headers["x-ratelimit-reset-images"] == "25.8s"
    assert headers["ratelimit-policy"] == '"requests";q=60;w=60, "images";q=50;w=30'
    assert headers["ratelimit"] == '"images";r=7;t=26'


def test_without_limits_nothing_is_said() -> None:
    assert limit_headers([]) == []


def test_a_refusal_names_the_limit_and_the_exact_wait_and_agrees_with_the_ietf_field() -> None:
    bound = Dimension("images", "tenant", "acme", 100, 50, 10)
    error = refusal(Refused(bound, 1801, (REQUESTS, TENANT_IMAGES)))
    assert (error.status, error.code, error.retry_after_ms) == (429, ErrorCode.RATE_LIMIT_IMAGES, 1801)
    assert error.message == (
        "Rate limit reached: this organisation allows 100 images per minute and 50 at once. Please try again in 1.801s."
    )
    assert error.headers["ratelimit"] == '"images";r=7;t=2'
    assert error.headers["x-ratelimit-remaining-requests"] == "12"


def test_a_request_limit_has_its_own_code() -> None:
    error = refusal(Refused(Dimension("requests", "key", "k1", 1, 1, 1), 60_000, ()))
    assert (error.code, error.headers) == (ErrorCode.RATE_LIMIT_REQUESTS, {})
    assert "this key allows 1 request per minute." in error.message


def test_too_many_running_requests_have_their_own_code() -> None:
    error = refusal(Refused(Lease("model", "flux", 4, 1000), 1000, (REQUESTS,)))
    assert (error.status, error.code, error.retry_after_ms) == (429, ErrorCode.CONCURRENCY_LIMIT, 1000)
    assert "this model allows 4 requests at a time" in error.message
    assert error.headers["ratelimit"] == '"requests";r=12;t=48'


def test_an_n_that_can_never_pass_is_the_callers_mistake_and_not_a_429() -> None:
    error = refusal(Impossible(Dimension("images", "key", "secret-id", 5, 5, 10)))
    assert (error.status, error.code, error.param) == (400, ErrorCode.N_EXCEEDS_LIMIT, "n")
    assert error.retry_after_ms is None
    assert error.message == "n is 10, but this key allows at most 5 images at once."
