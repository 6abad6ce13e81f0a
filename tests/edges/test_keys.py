from hashlib import sha256

from gateway.domain.caller import Caller
from gateway.edges.keys import Keys
from gateway.policies.key_format import digest, new_key

KEY = new_key(bytes(range(32)))
WEB = Caller("web-team", models=("flux-schnell",))
SDK = Caller("sdk")


def test_a_key_finds_its_caller() -> None:
    assert Keys({digest(KEY): WEB}).find(KEY) is WEB


def test_any_opaque_string_works_by_its_hash() -> None:
    keys = Keys({sha256(b"My API Key").hexdigest(): SDK})
    assert keys.find("My API Key") is SDK
    assert keys.find("My API key") is None


def test_a_string_nobody_holds_finds_nobody() -> None:
    keys = Keys({digest(KEY): WEB})
    assert keys.find(new_key(bytes(32))) is None
    assert keys.find("") is None
    assert keys.find("\ud800") is None


def test_a_mistyped_key_is_refused_even_if_its_hash_were_listed() -> None:
    typo = KEY[:-1] + ("a" if KEY[-1] != "a" else "b")
    assert Keys({digest(typo): WEB}).find(typo) is None


def test_the_hash_itself_is_no_key() -> None:
    assert Keys({digest(KEY): WEB}).find(digest(KEY)) is None


def test_neither_keys_nor_hashes_are_shown() -> None:
    shown = repr(Keys({digest(KEY): WEB}))
    assert shown == "Keys(1)"


def test_later_changes_to_the_mapping_change_nothing() -> None:
    callers = {digest(KEY): WEB}
    keys = Keys(callers)
    callers.clear()
    assert keys.find(KEY) is WEB
    assert len(keys) == 1
