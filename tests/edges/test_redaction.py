import json
import pickle

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.edges.redaction import Redaction

SECRETS = [
    "sk-samurai-abcd1234_0123456789abcdefghijABCDEFGHIJcrc123",
    "sk-proj-0123456789",
    "r8_0123456789abcdefghij",
    "AIza0123456789abcdefghijklmno",
    "ya29.a0AfH6SMBxxxxxxxxxx",
    "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJh.c2lnbmF0dXJl",
    "Bearer opaque-token-value",
    "basic dXNlcjpwYXNzd29yZA==",
    "signature=0a1b2c3d4e5f",
    "X-Amz-Signature=0a1b2c3d4e5f",
    "-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----",
    "iVBORw0KGgo" * 20,
]
TEXTS = st.text(st.characters(), max_size=20)  # lone surrogates too
VALUES = st.none() | st.integers() | st.floats() | TEXTS | st.binary(max_size=20)


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: str(secret)[:12])
@pytest.mark.parametrize("where", ["{}", "failed: {}, gone", "https://a/b?c=d&{}&e=f"])
def test_what_looks_like_a_secret_is_hidden_wherever_it_stands(secret: str, where: str) -> None:
    text = Redaction().text(where.format(secret))

    assert secret not in text
    assert "[redacted]" in text


@pytest.mark.parametrize(
    "innocent",
    [
        "sha256:" + "0f" * 32,
        "req_" + "0f" * 16,
        "task-force-1",
        "a bearer of news",
        "risk-averse",
        "black-forest-labs/flux",
    ],
)
def test_hashes_ids_and_words_stay_readable(innocent: str) -> None:
    assert Redaction().text(innocent) == innocent


def test_configured_secrets_are_hidden_in_values_keys_and_objects() -> None:
    class Leaky:
        def __repr__(self) -> str:
            return 'Leaky("hunter2 & co")'

    event = {"a": ["x", {"hunter2 & co": "hunter2 & co"}], "b": Leaky(), "c": ("hunter2 & co",)}
    safe = Redaction(["hunter2 & co"])(None, "info", event)

    assert "hunter2" not in json.dumps(safe)
    assert json.dumps(safe).count("[redacted]") == 4


def test_a_secret_that_contains_another_is_hidden_whole() -> None:
    assert Redaction(["abcd", "abcdefgh"]).text("abcdefgh") == "[redacted]"


def test_prompts_are_left_out_unless_asked_for() -> None:
    event = {"prompt": "a garden", "revised_prompt": "a garden", "in": {"negative_prompt": "a garden"}, "n": 1}

    assert Redaction()(None, "info", event) == {"in": {}, "n": 1}
    assert Redaction(prompts=True)(None, "info", event) == event


def test_bytes_are_only_counted_and_long_texts_cut() -> None:
    safe = Redaction()(None, "info", {"image": b"\x89PNG", "view": memoryview(b"12"), "text": "word " * 2000})

    assert (safe["image"], safe["view"]) == ("<4 bytes>", "<2 bytes>")
    assert len(safe["text"]) < 4100


@given(st.dictionaries(TEXTS, VALUES | st.lists(VALUES, max_size=3) | st.dictionaries(TEXTS, VALUES, max_size=3)))
def test_whatever_is_logged_can_be_written(event: dict[str, object]) -> None:
    before = pickle.dumps(event)
    line = orjson.dumps(Redaction()(None, "info", event))

    assert b"\n" not in line
    assert pickle.dumps(event) == before
