from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from replicate.webhook import InvalidSignatureError, Webhooks, WebhookSigningSecret

from gateway.policies.callbacks import Callback, callback_at
from gateway.policies.webhook_signing import TOLERANCE_S, key_of, objection_to, signed_headers

NOW_S = 1_700_000_000.0
KEY = b"k" * 32
SECRET = f"whsec_{b64encode(KEY).decode()}"
# The example that libraries of this form share.
PUBLISHED = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
PUBLISHED_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_the_published_example_is_signed_and_judged_alike() -> None:
    key, body = key_of(PUBLISHED_SECRET), b'{"test": 2432232314}'
    assert key is not None
    assert signed_headers(key, PUBLISHED["webhook-id"], 1614265330, body) == PUBLISHED
    assert objection_to(PUBLISHED, body, 1614265330, key) is None


@given(body=st.text(min_size=1).map(str.encode), seconds=st.integers(-TOLERANCE_S, TOLERANCE_S))
def test_what_is_signed_here_is_believed_here_and_by_the_vendors_own_client(body: bytes, seconds: int) -> None:
    headers = signed_headers(KEY, "msg_1", NOW_S + seconds, body)
    assert objection_to(headers, body, NOW_S, KEY) is None
    Webhooks.validate(headers=headers, body=body.decode(), secret=WebhookSigningSecret(key=SECRET))


@given(body=st.binary(), other=st.binary(), key=st.binary(min_size=24, max_size=64))
def test_another_body_or_another_key_is_not_believed(body: bytes, other: bytes, key: bytes) -> None:
    headers = signed_headers(KEY, "msg_1", NOW_S, body)
    assert (objection_to(headers, other, NOW_S, KEY) == "signature") is (other != body)
    assert (objection_to(headers, body, NOW_S, key) == "signature") is (key != KEY)


@pytest.mark.parametrize(("name", "value"), [("webhook-id", "msg_2"), ("webhook-timestamp", str(int(NOW_S) + 1))])
def test_the_id_and_the_time_are_signed_too(name: str, value: str) -> None:
    headers = signed_headers(KEY, "msg_1", NOW_S, b"{}") | {name: value}
    assert objection_to(headers, b"{}", NOW_S, KEY) == "signature"
    with pytest.raises(InvalidSignatureError):
        Webhooks.validate(headers=headers, body="{}", secret=WebhookSigningSecret(key=SECRET))


def test_one_good_signature_among_several_is_enough() -> None:
    headers = signed_headers(KEY, "msg_1", NOW_S, b"{}")
    several = headers | {"webhook-signature": f"v1,AAAA v2,x {headers['webhook-signature']}"}
    assert objection_to(several, b"{}", NOW_S, KEY) is None


@pytest.mark.parametrize("seconds", [-TOLERANCE_S - 1, TOLERANCE_S + 1])
def test_a_call_of_another_time_is_stale_even_before_its_key_is_known(seconds: int) -> None:
    headers = signed_headers(KEY, "msg_1", NOW_S + seconds, b"{}")
    assert objection_to(headers, b"{}", NOW_S, None) == "stale"


@pytest.mark.parametrize(
    "broken",
    [
        {"webhook-id": ""},
        {"webhook-id": "a b"},
        {"webhook-id": "x" * 257},
        {"webhook-timestamp": ""},
        {"webhook-timestamp": "now"},
        {"webhook-timestamp": "-1"},
        {"webhook-timestamp": "٣"},
        {"webhook-signature": ""},
        {"webhook-signature": " v1,x"},
        {"webhook-signature": " ".join(["v1,x"] * 11)},
    ],
)
def test_a_call_without_its_three_headers_is_malformed(broken: dict[str, str]) -> None:
    headers = signed_headers(KEY, "msg_1", NOW_S, b"{}") | broken
    assert objection_to(headers, b"{}", NOW_S, KEY) == "malformed"


@given(
    headers=st.dictionaries(
        st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]), st.text(max_size=40)
    ),
    body=st.binary(max_size=40),
)
def test_no_headers_whatever_break_the_judgement(headers: dict[str, str], body: bytes) -> None:
    assert objection_to(headers, body, NOW_S, KEY) in ("malformed", "stale", "signature")


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        SECRET.removeprefix("whsec_"),
        "whsec_***",
        "whsec_c2hvcnQ=",
        f"whsec_{b64encode(b'k' * 65).decode()}",
    ],
)
def test_what_is_no_secret_of_that_form_has_no_key(secret: str) -> None:
    assert key_of(secret) is None


@given(
    account=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True).filter(str.isascii),
    operation=st.from_regex(r"op_[0-9a-f]{24}", fullmatch=True).filter(str.isascii),
    number=st.integers(1, 999_999),
)
def test_an_address_names_what_it_was_made_for(account: str, operation: str, number: int) -> None:
    callback = Callback(account, operation, number)
    url = callback.url("https://hooks.example.com")
    assert callback_at(url.removeprefix("https://hooks.example.com")) == callback


@pytest.mark.parametrize(
    "path",
    [
        "/v1/webhooks/",
        "/v1/webhooks/a/op_1/1",
        f"/v1/webhooks/a/op_{'0' * 24}/0",
        f"/v1/webhooks/a/op_{'0' * 24}/1/",
        f"/v1/webhooks/../op_{'0' * 24}/1",
        f"/v1/webhooks/a/b/op_{'0' * 24}/1",
        f"/v1/webhooks/a/op_{'0' * 24}/1234567",
    ],
)
def test_what_is_no_such_address_names_nothing(path: str) -> None:
    assert callback_at(path) is None
