from hypothesis import given
from hypothesis import strategies as st

from gateway.policies.end_users import EndUser, records_of, user_hash

names = st.sampled_from(["web", "app"]).flatmap(
    lambda key: st.sampled_from(["a" * 32, "b" * 32]).map(lambda hashed: EndUser(key, hashed).name)
)


def test_a_user_has_a_name_of_its_own_with_every_key_and_every_secret() -> None:
    pairs = [("web", "eve", b"1"), ("web", "bob", b"1"), ("app", "eve", b"1"), ("web", "eve", b"2")]
    hashes = {user_hash(*pair) for pair in pairs}
    assert len(hashes) == 4
    assert {len(one) for one in hashes} == {32}
    assert user_hash("web", "eve", b"1") == user_hash("web", "eve", b"1")


@given(st.dictionaries(names, st.integers(1, 9)), st.dictionaries(names, st.just("2030-01-01T00:00:00.000Z")))
def test_the_list_has_everybody_once_the_blocked_first_then_the_most_refused(
    refusals: dict[str, int], blocked: dict[str, str]
) -> None:
    records = records_of(refusals, blocked)
    assert sorted(EndUser(one.key_id, one.user_hash).name for one in records) == sorted(refusals | blocked)
    assert [one.blocked_since is None for one in records] == sorted(one.blocked_since is None for one in records)
    assert {EndUser(one.key_id, one.user_hash).name for one in records if one.blocked_since} == set(blocked)
    for group in (True, False):
        counts = [one.content_refusals for one in records if (one.blocked_since is None) is group]
        assert counts == sorted(counts, reverse=True)
