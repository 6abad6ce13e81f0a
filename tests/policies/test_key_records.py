import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.caller import Caller, Tenant
from gateway.domain.catalogue import Limits
from gateway.domain.money import Budget
from gateway.policies.key_fields import UnreadableRecordError, fields_of, read_fields, view_of, with_strange
from gateway.policies.key_records import (
    LIVE_SECRETS,
    KeyRecord,
    KeyState,
    LiveSecret,
    Refusal,
    holder,
    rotated,
    state_of,
)

NOW = 1_800_000_000.0
TENANTS = {"acme": Tenant(Limits(images_per_minute=9))}

hashes = st.integers(0, 9).map(lambda number: f"{number:064x}")
moments = st.none() | st.floats(NOW - 100, NOW + 100)
ceilings = st.none() | st.integers(1, 10**9)
limits = st.builds(Limits, ceilings, ceilings, ceilings, ceilings)
records = st.builds(
    KeyRecord,
    id=st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z"),
    secrets=st.lists(st.builds(LiveSecret, hashes, moments), max_size=3, unique_by=lambda one: one.sha256).map(tuple),
    created_at=st.floats(0, NOW),
    tenant=st.sampled_from([None, "acme", "gone"]),
    models=st.lists(st.sampled_from(["*", "flux-schnell", "dall-e-3"]), min_size=1, max_size=3).map(tuple),
    limits=limits,
    per_user=limits,
    budget=st.builds(Budget, ceilings, ceilings, ceilings),
    priority=st.integers(0, 9),
    metadata=st.dictionaries(st.sampled_from("abc"), st.text(max_size=20), max_size=3),
    expires_at=moments,
    disabled=st.booleans(),
    revision=st.integers(0, 10**12),
    may_route=st.booleans(),
)
PLAIN = KeyRecord("web", (LiveSecret("a" * 64),), NOW)


@given(records, hashes, st.floats(NOW - 200, NOW + 200))
def test_exactly_a_live_secret_of_a_live_key_of_a_known_tenant_has_a_holder(
    record: KeyRecord, sha256: str, now_s: float
) -> None:
    found = holder(record, sha256, now_s, TENANTS)
    is_good = (
        any(one.sha256 == sha256 and (one.not_after is None or now_s < one.not_after) for one in record.secrets)
        and not record.disabled
        and (record.expires_at is None or now_s < record.expires_at)
        and record.tenant != "gone"
    )
    assert isinstance(found, Caller) is is_good
    if isinstance(found, Caller):
        assert (found.key_id, found.models, found.limits) == (record.id, record.models, record.limits)
        assert (found.budget, found.priority, found.per_user) == (record.budget, record.priority, record.per_user)
        assert found.may_route is record.may_route
        assert found.tenant_limits == (TENANTS["acme"].limits if record.tenant else Limits())


@given(records, st.floats(0, 1000), hashes)
def test_a_rotation_brings_one_secret_and_prolongs_none(record: KeyRecord, overlap_s: float, fresh: str) -> None:
    after = rotated(record, fresh, NOW, overlap_s)
    assert after.secrets[0] == LiveSecret(fresh, None)
    assert len(after.secrets) <= LIVE_SECRETS
    before = {one.sha256: one.not_after for one in record.secrets}
    for one in after.secrets[1:]:
        assert one.not_after is not None
        assert NOW < one.not_after <= NOW + overlap_s
        was = before[one.sha256]
        assert was is None or one.not_after <= was
    assert replace(after, secrets=record.secrets) == record


@given(records)
def test_a_record_is_read_as_it_was_written(record: KeyRecord) -> None:
    written = {name.encode(): text.encode() for name, text in fields_of(record).items()}
    assert read_fields(record.id, written | {b"revision": str(record.revision).encode()}) == record


@given(records, records)
def test_what_another_version_wrote_is_read_without_its_news_and_written_again_with_them(
    record: KeyRecord, changed: KeyRecord
) -> None:
    fields = fields_of(record)
    fields["limits"] = json.dumps(json.loads(fields["limits"]) | {"dreams_per_minute": 5})
    kept = {name.encode(): text.encode() for name, text in (fields | {"news": "[1]"}).items()} | {b"revision": b"1"}
    assert read_fields(record.id, kept) == replace(record, revision=1)
    written = with_strange(fields_of(changed), kept)
    assert written.pop("news") == "[1]"
    assert json.loads(written["limits"]).pop("dreams_per_minute") == 5
    assert read_fields(
        changed.id, {name.encode(): text.encode() for name, text in written.items()} | {b"revision": b"1"}
    ) == replace(changed, revision=1)
    assert "revision" not in written


@given(records)
def test_what_is_shown_holds_no_hash(record: KeyRecord) -> None:
    shown = str(view_of(record))
    assert not any(one.sha256 in shown for one in record.secrets)
    assert not any(one.sha256 in repr(record) for one in record.secrets)


@pytest.mark.parametrize(
    ("record", "refusal"),
    [
        (replace(PLAIN, secrets=()), Refusal.UNKNOWN),
        (replace(PLAIN, disabled=True, expires_at=NOW - 1), Refusal.DISABLED),
        (replace(PLAIN, expires_at=NOW), Refusal.EXPIRED),
        (replace(PLAIN, secrets=(LiveSecret("a" * 64, NOW),)), Refusal.REPLACED),
        (replace(PLAIN, tenant="gone"), Refusal.FOREIGN_TENANT),
    ],
)
def test_a_refusal_says_why(record: KeyRecord, refusal: Refusal) -> None:
    assert holder(record, "a" * 64, NOW, TENANTS) is refusal


def test_states() -> None:
    assert state_of(PLAIN, NOW) is KeyState.ACTIVE
    assert state_of(replace(PLAIN, expires_at=NOW + 1), NOW) is KeyState.ACTIVE
    assert state_of(replace(PLAIN, expires_at=NOW), NOW) is KeyState.EXPIRED
    assert state_of(replace(PLAIN, disabled=True), NOW) is KeyState.DISABLED


def test_money_is_shown_in_dollars_and_times_in_utc() -> None:
    shown = view_of(replace(PLAIN, budget=Budget(1_500_000, None, 3), expires_at=NOW))
    assert shown["budget"] == {"per_day": 1.5, "per_month": None, "total": 0.000003}
    assert shown["expires_at"] == "2027-01-15T08:00:00.000Z"


@pytest.mark.parametrize(
    ("name", "text"),
    [(b"secrets", None), (b"secrets", b"{"), (b"secrets", b"7"), (b"limits", b"7"), (b"disabled", None)],
)
def test_a_record_that_makes_no_sense_is_unreadable_and_not_shown(name: bytes, text: bytes | None) -> None:
    fields = {one.encode(): value.encode() for one, value in fields_of(PLAIN).items()} | {b"revision": b"1"}
    del fields[name]
    with pytest.raises(UnreadableRecordError) as caught:
        read_fields("web", fields if text is None else fields | {name: text})
    assert "web" in str(caught.value)
    assert "aaaa" not in str(caught.value)


@pytest.mark.parametrize(
    ("own", "tenants", "left"),
    [
        (("*",), ("*",), ("*",)),
        (("a", "b"), ("*",), ("a", "b")),
        (("*",), ("b", "c"), ("b", "c")),
        (("a", "b"), ("b", "c"), ("b",)),
        (("a",), ("c",), ()),
    ],
)
def test_a_key_may_use_the_models_that_both_it_and_its_tenant_have(
    own: tuple[str, ...], tenants: tuple[str, ...], left: tuple[str, ...]
) -> None:
    caller = Caller("web", models=own).within(Tenant(models=tenants))
    assert caller.models == left
    assert [model for model in "abcd" if caller.may_use(model)] == [
        model for model in "abcd" if Caller("web", models=own).may_use(model) and {"*", model} & set(tenants)
    ]


@pytest.mark.parametrize(("own", "tenants", "counts"), [(5, 9, 5), (9, 3, 3), (0, 3, 0)])
def test_a_key_is_no_more_important_than_its_tenant(own: int, tenants: int, counts: int) -> None:
    assert Caller("web", priority=own).within(Tenant(priority=tenants)).priority == counts
