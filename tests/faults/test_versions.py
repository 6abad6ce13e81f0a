"""Row 59: a deployment in the middle of being rolled out, with two versions of the gateway on one Redis and one store.

The other version is a process whose records have members, whose operations have states and whose scripts have texts
that today's version does not know (see `next_version`).
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.faults.deployment import eventually
from tests.faults.next_version import IMAGES_OF_THE_UNREADABLE, NEW_LIMIT, NEWS, PROGRAM_MODULE
from tests.faults.site import LEASE_S, RETRY, SLACK_S, TAKEN_UP_S, Site, pictures, recovered, refusal, total
from tests.processes import Running
from tests.replicas import administer, ask, created

LATER = (sys.executable, "-m", PROGRAM_MODULE)
STRANGERS = 60  # more than a replica looks at in one go
UNREADABLE = "a record cannot be read by this version"
STRANGE = {"token": "1", "version": "1", "state": "running", "fp": "f", "doc": '{"of": "another version"}'}
BYTES = {name.encode(): value.encode() for name, value in STRANGE.items()}


def record_of(site: Site, op_id: str) -> dict[str, Any]:
    """What Redis holds of an operation."""
    with site.redis.admin() as admin:
        held = admin.hgetall(f"{{samurai}}:op:{op_id}")
    return {name.decode(): value.decode() for name, value in held.items()}


def refused_for_want_of_the_journal(running: Running) -> float:
    return total(running, "samurai_requests_total", code="idempotency_unavailable")


@pytest.mark.slow
def test_f059_todays_version_finishes_what_a_later_one_had_begun_when_it_died(site: Site) -> None:
    before = recovered(site.stays, "completed")
    with site.another("later-dies", program=LATER) as dies:
        lost = site.begin_endless(dies, "begun by a later version", 2)
        dies.process.kill()
        assert isinstance(lost.exception(), httpx2.TransportError)
    site.let_go()
    eventually(lambda: recovered(site.stays, "completed") == before + 1, TAKEN_UP_S + SLACK_S)
    again = site.ask(site.stays, "begun by a later version", RETRY, n=2)
    assert len(pictures(again)) == 2
    assert again.headers["idempotent-replayed"] == "true"
    assert (site.charges(), len(site.calls())) == ([2], 1)


@pytest.mark.slow
def test_f059_an_unreadable_operation_waits_for_its_own_version_and_holds_up_no_other(site: Site) -> None:
    """More of them than are looked at in one go stand before one that can be read."""
    before = recovered(site.stays, "completed")
    with site.redis.admin() as admin, site.another("later-too", program=LATER) as dies:
        for number in range(STRANGERS):
            admin.hset(f"{{samurai}}:op:op_strange{number}", mapping=STRANGE)
            admin.zadd("{samurai}:ops:leases", {f"op_strange{number}": number})
        unreadable = site.begin_endless(dies, "only its own can", IMAGES_OF_THE_UNREADABLE)
        readable = site.begin_endless(dies, "any can")
        dies.process.kill()
        assert isinstance(unreadable.exception(), httpx2.TransportError)
        assert isinstance(readable.exception(), httpx2.TransportError)
        site.let_go()
        eventually(lambda: recovered(site.stays, "completed") == before + 1, TAKEN_UP_S + SLACK_S)
        eventually(lambda: sum(UNREADABLE in line for line in site.stays.output.lines) > STRANGERS, LEASE_S + SLACK_S)
        assert all(admin.hgetall(f"{{samurai}}:op:op_strange{number}") == BYTES for number in range(STRANGERS))
        for number in range(STRANGERS):
            admin.zrem("{samurai}:ops:leases", f"op_strange{number}")
    with site.another("later-again", program=LATER) as heir:
        eventually(lambda: recovered(heir, "completed") == 1, TAKEN_UP_S + SLACK_S)
        whole = site.ask(heir, "only its own can", RETRY, n=IMAGES_OF_THE_UNREADABLE)
        assert len(pictures(whole)) == IMAGES_OF_THE_UNREADABLE
    assert (sorted(site.charges()), len(site.calls())) == ([1, IMAGES_OF_THE_UNREADABLE], 2)


@pytest.mark.slow
def test_f059_an_unreadable_outcome_is_still_listed_as_unknown(site: Site) -> None:
    with site.redis.admin() as admin:
        admin.hset("{samurai}:op:op_listed", mapping=STRANGE | {"state": "unknown"})
        admin.zadd("{samurai}:ops:unknown", {"op_listed": 1})
        try:
            reply = administer(site.stays, "GET", "/admin/operations?state=unknown").raise_for_status()
        finally:
            admin.zrem("{samurai}:ops:unknown", "op_listed")
    assert ("op_listed", "unreadable") in {(one["operation"], one["state"]) for one in reply.json()["operations"]}


@pytest.fixture(scope="module")
def later(_site: Site) -> Iterator[Running]:
    """A replica of the later version, beside today's; the tests above want none, since it would do their work."""
    with _site.another("later", program=LATER) as running:
        yield running


@pytest.mark.slow
def test_f059_each_version_replays_what_the_other_bought(site: Site, later: Running) -> None:
    for first, second in ((later, site.stays), (site.stays, later)):
        site.stays.reset()
        key = {"idempotency-key": f"begun-at-{first.base_url}"}
        prompt, replayed = f"bought by {first.base_url}", total(second, "samurai_idempotency_total", kind="replayed")
        bought = site.ask(first, prompt, key, n=2)
        again = site.ask(second, prompt, key, n=2)
        assert pictures(again) == pictures(bought)
        assert again.content == bought.content
        assert again.headers["idempotent-replayed"] == "true"
        assert again.headers["x-samurai-cost-usd"] == bought.headers["x-samurai-cost-usd"]
        assert (site.charges(), len(site.calls())) == ([2], 1)
        assert total(second, "samurai_idempotency_total", kind="replayed") == replayed + 1
        document = json.loads(record_of(site, bought.headers["x-samurai-operation-id"])["doc"])
        assert document.get("news") == (NEWS if first is later else None)  # or the test shows nothing


@pytest.mark.slow
def test_f059_what_only_the_other_version_can_read_is_left_to_it_and_never_bought_again(
    site: Site, later: Running
) -> None:
    key = {"idempotency-key": "unreadable-to-one-of-them"}
    images = IMAGES_OF_THE_UNREADABLE
    bought = site.ask(later, "unreadable", key, n=images)
    op_id, told = bought.headers["x-samurai-operation-id"], refused_for_want_of_the_journal(site.stays)
    before = record_of(site, op_id)
    for headers in (key, RETRY):
        again = site.ask(site.stays, "unreadable", headers, n=images)
        assert refusal(again) == (500, "idempotency_unavailable", "true")
        assert int(again.headers["retry-after"]) >= 1
    assert refused_for_want_of_the_journal(site.stays) == told + 2
    bearer = {"authorization": f"Bearer {site.stays.key}"}
    shown = httpx2.get(f"{site.stays.base_url}/v1/operations/{op_id}", headers=bearer)
    assert refusal(shown) == (500, "idempotency_unavailable", "true")
    assert record_of(site, op_id) == before
    assert any(UNREADABLE in line and op_id in line for line in site.stays.output.lines)
    assert site.ask(later, "unreadable", key, n=images).content == bought.content
    assert sum(site.charges()) == images


@pytest.mark.slow
def test_f059_a_key_and_its_limits_hold_at_both_versions_and_keep_what_only_one_of_them_knows(
    site: Site, later: Running
) -> None:
    key_id, secret = created(later, limits={"requests_per_minute": 3, "burst": None})
    eventually(lambda: ask(site.stays, secret).status_code == 200)
    bearer = {"authorization": f"Bearer {secret}"}
    answers = [site.ask(running, "limited", bearer) for running in (later, site.stays, later, site.stays)]
    assert [one.status_code for one in answers] == [200, 200, 200, 429]
    assert answers[-1].json()["error"]["code"] == "rate_limit_requests"
    assert [one.headers["x-ratelimit-remaining-requests"] for one in answers] == ["2", "1", "0", "0"]
    administer(site.stays, "PATCH", f"/admin/keys/{key_id}", {"limits": {"requests_per_minute": 9}}).raise_for_status()
    with site.redis.admin() as admin:
        kept = {name.decode(): json.loads(value) for name, value in admin.hgetall(f"{{samurai}}:key:{key_id}").items()}
    assert kept["news"] == NEWS
    assert NEW_LIMIT.items() <= kept["limits"].items()
    assert kept["limits"]["requests_per_minute"] == 9
    assert len(site.charges()) == 3
