from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policies.key_format import PREFIX, RANDOM_BYTES, digest, looks_mistyped, new_key

random_bytes = st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES)
keys = random_bytes.map(new_key)
CHARACTERS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@given(random_bytes)
def test_a_key_has_the_prefix_and_36_base62_characters_and_looks_right(data: bytes) -> None:
    key = new_key(data)
    assert key.startswith(PREFIX)
    assert len(key) == len(PREFIX) + 36
    assert set(key[len(PREFIX) :]) <= set(CHARACTERS)
    assert not looks_mistyped(key)


def test_the_format_is_pinned_so_that_keys_in_use_stay_valid() -> None:
    key = new_key(sha256(b"samurai sandbox demo key").digest())
    assert key == "sk-samurai-Xt1ptIAh93wTPCwTqOtpueOrUbal6Y05fAvH"
    assert digest(key) == "7c4978d016a3506cbdee0d09416635fa28d0f56ce1dcc3085eb8a80d18dc5ad3"


@given(random_bytes, random_bytes)
def test_other_random_bytes_make_another_key(one: bytes, other: bytes) -> None:
    modulus = 62**30
    same_residue = int.from_bytes(one) % modulus == int.from_bytes(other) % modulus
    assert (new_key(one) == new_key(other)) == same_residue


@given(keys, st.integers(0, 35), st.sampled_from(CHARACTERS))
def test_any_single_wrong_character_is_found(key: str, index: int, character: str) -> None:
    position = len(PREFIX) + index
    typo = key[:position] + character + key[position + 1 :]
    assert looks_mistyped(typo) == (typo != key)


@given(keys, st.integers(0, 34))
def test_two_swapped_neighbours_are_found(key: str, index: int) -> None:
    position = len(PREFIX) + index
    typo = key[:position] + key[position + 1] + key[position] + key[position + 2 :]
    assert looks_mistyped(typo) == (typo != key)


@given(keys, st.integers(0, 35))
def test_a_lost_or_doubled_character_is_found(key: str, index: int) -> None:
    position = len(PREFIX) + index
    assert looks_mistyped(key[:position] + key[position + 1 :])
    assert looks_mistyped(key[:position] + key[position] + key[position:])


@pytest.mark.parametrize("rest", ["", "x", "!" * 36, "ß" * 36, "a" * 36 + "\n"])
def test_our_prefix_with_anything_else_behind_it_is_mistyped(rest: str) -> None:
    assert looks_mistyped(PREFIX + rest)


@given(st.text().filter(lambda text: not text.startswith(PREFIX)))
def test_any_other_opaque_string_is_never_called_mistyped(secret: str) -> None:
    assert not looks_mistyped(secret)


@given(st.text(st.characters(exclude_categories=())))
def test_any_string_has_a_digest_even_with_lone_surrogates(secret: str) -> None:
    assert len(digest(secret)) == 64
    assert digest(secret) == digest(secret).lower()


def test_the_digest_is_plain_sha256() -> None:
    assert digest("My API Key") == sha256(b"My API Key").hexdigest()


def test_too_few_random_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match="32 random bytes, not 31"):
        new_key(bytes(31))
