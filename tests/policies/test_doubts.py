from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.errors import ErrorCode
from gateway.domain.exchange import Fault, HttpCall, Next, Pending
from gateway.domain.harvest import Finished, Harvest, ShotResult
from gateway.domain.job import Job
from gateway.domain.picture import ImageFormat, Size
from gateway.domain.record import Attempt, AttemptState, Ended, OperationState, Record
from gateway.policies.doubts import LIFTED, MORE_CERTAIN, doubted, doubted_microusd, gained, reopen

LOST = Fault(ErrorCode.UPSTREAM_OUTCOME_UNKNOWN, Next.STOP, may_have_billed=True, counts_against_vendor=False)
BUSY = Fault(ErrorCode.UPSTREAM_OVERLOADED, Next.STOP, may_have_billed=False, counts_against_vendor=False)
WORK = Pending("abc", HttpCall("GET", "https://vendor.example/abc"), 1.0)


def attempt(number: int, state: AttemptState, **more: Any) -> Attempt:
    fields = {"count": 2, "unit_microusd": 30} | more
    return Attempt(
        number=number,
        account="a",
        dialect="d",
        model="m",
        served_by="v/m",
        size=Size(1024, 1024),
        format=ImageFormat.PNG,
        state=state,
        **fields,
    )


def in_doubt(asked: int = 2) -> ShotResult:
    return ShotResult(asked, "v/m", faults=(LOST,), unit_microusd=30)


def brought(images: int) -> ShotResult:
    pictures = tuple(Finished(ImageFormat.PNG, 9, f"asset{number}") for number in range(images))
    return ShotResult(images, "v/m", finished=pictures, billed=images, cost_microusd=images * 30, unit_microusd=30)


def record(*attempts: Attempt, doubts: tuple[Attempt, ...] = (), earlier: tuple[ShotResult, ...] = ()) -> Record:
    return Record(
        id="op_1",
        key_id="k",
        job=Job(model="m", prompt="", n=2, size=Size(256, 256), wants_url=True),
        fingerprint="f",
        prompt_hash="p",
        begun_s=0.0,
        due_s=9.0,
        state=OperationState.UNKNOWN,
        attempts=list(attempts),
        doubts=list(doubts),
        earlier=earlier,
        ended=Ended("upstream_outcome_unknown", "…"),
    )


def test_only_a_call_of_which_nothing_is_known_is_looked_at_again() -> None:
    one = record(
        attempt(2, AttemptState.UNKNOWN), attempt(3, AttemptState.DONE), doubts=(attempt(1, AttemptState.UNKNOWN),)
    )
    assert [number for number in range(5) if doubted(one, number) is not None] == [1, 2]


def test_a_call_that_was_thought_unpaid_is_looked_at_where_no_work_of_it_was_known() -> None:
    assert doubted(record(attempt(1, AttemptState.REJECTED)), 1, "xyz") is not None
    assert doubted(record(attempt(1, AttemptState.REJECTED, pending=WORK)), 1, "abc") is None


def test_a_call_about_other_work_than_was_accepted_says_nothing() -> None:
    known = record(attempt(1, AttemptState.UNKNOWN, pending=WORK))
    assert doubted(known, 1, "abc") is not None
    assert doubted(known, 1, "xyz") is None


@pytest.mark.parametrize("healed", [False, True])
def test_what_is_opened_again_is_in_doubt_no_more_and_all_else_stays(healed: bool) -> None:
    unsure = replace(in_doubt(), asked=0) if healed else in_doubt()
    one = record(
        attempt(1, AttemptState.DONE),
        attempt(2, AttemptState.UNKNOWN),
        attempt(3, AttemptState.UNKNOWN),
        earlier=(brought(1), unsure, unsure),
    )  # fmt: skip  a row of calls, and what came of each
    made, found = one.calls_made, doubted(one, 2)
    assert found is not None
    reopen(one, found)
    assert one.attempts == [found]
    assert (found.state, found.result) == (AttemptState.SENT, None)
    assert [left.number for left in one.doubts] == [3]
    assert one.earlier == (brought(1), unsure)
    assert one.calls_made == made
    assert one.ended is None


def test_work_that_was_accepted_is_followed_by_its_id() -> None:
    one = record(attempt(1, AttemptState.UNKNOWN, pending=WORK), earlier=(in_doubt(),))
    reopen(one, one.attempts[0])
    assert (one.attempts[0].state, one.attempts[0].pending) == (AttemptState.ACCEPTED, WORK)
    assert not Harvest(one.earlier).in_doubt


def test_an_unpaid_calls_result_goes_and_a_doubt_of_another_stays() -> None:
    unpaid = ShotResult(2, "v/m", faults=(BUSY,))
    one = record(attempt(1, AttemptState.UNKNOWN), attempt(2, AttemptState.REJECTED), earlier=(in_doubt(), unpaid))
    reopen(one, one.attempts[1])
    assert one.earlier == (in_doubt(),)


def test_money_in_doubt_is_that_of_every_such_call_once() -> None:
    unsure = attempt(1, AttemptState.UNKNOWN)
    assert doubted_microusd(record(unsure, attempt(2, AttemptState.DONE), doubts=(unsure,))) == 60


def test_what_was_gained_is_what_is_known_beyond_what_was_known() -> None:
    before, after = (brought(1), in_doubt()), (brought(1), brought(2))
    assert gained(before, after) == {("v/m", "delivered"): 2, ("v/m", "billed"): 2, ("v/m", "cost_microusd"): 60}
    assert gained(after, after) == {}


def test_nobodys_word_counts_for_less_than_one_that_knows_less() -> None:
    assert OperationState.UNKNOWN not in MORE_CERTAIN
    assert all(state not in worth_less for state, worth_less in MORE_CERTAIN.items())
    assert OperationState.COMPLETED not in LIFTED
