from collections.abc import Sequence
from typing import Any

import pytest

from gateway.domain.catalogue import Account, Capabilities, Catalogue, Route, Strategy, Target
from gateway.domain.errors import RequestError
from gateway.domain.exchange import Dialect, HttpCall
from gateway.domain.job import Hints, Job
from gateway.domain.money import Price
from gateway.domain.picture import ImageFormat, Size
from gateway.steps.plan import Plan, Rank, plan

ACCOUNT = Account("main", "toy")
SIZES = (Size(512, 512), Size(1024, 1024))


def dialect(capabilities: Capabilities) -> Dialect:
    def no_call(*_: Any) -> HttpCall:
        raise AssertionError("planning calls nobody")

    def no_outcome(*_: Any) -> Any:
        raise AssertionError("planning hears from nobody")

    return Dialect("toy", "toy", ("key", "{}"), (), lambda _: capabilities, no_call, no_outcome, no_call)


def planned(job: Job, capabilities: Capabilities, *, price: Price | None = None, **target: Any) -> Plan:
    route = Route("m", (Target(ACCOUNT, "toy", "native", price or Price(flat=10), **target),))
    catalogue = Catalogue({"m": route})
    return plan(job, catalogue, {"toy": dialect(capabilities)}, seed=lambda: 100, end_user_key=b"k")


def routed(job: Job, *, strategy: Strategy = Strategy.ORDERED, rank: Rank | None = None) -> list[str]:
    """The accounts of the candidates, in order, of a route over three accounts."""
    accounts = [Account(name, "toy") for name in ("one", "two", "three")]
    targets = tuple(
        Target(account, "toy", f"of-{account.id}", Price(flat=cost))
        for account, cost in zip(accounts, (30, 20, 10), strict=True)
    )
    catalogue = Catalogue({"m": Route("m", targets, strategy=strategy)})
    ranking = {} if rank is None else {"rank": rank}
    made = plan(job, catalogue, {"toy": dialect(Capabilities(1, SIZES))}, seed=lambda: 1, end_user_key=b"k", **ranking)
    return [candidate.target.account.id for candidate in made.candidates]


def test_candidates_come_in_the_order_in_which_they_are_ranked() -> None:
    told: list[tuple[Strategy, list[int]]] = []

    def rank(strategy: Strategy, priced: Sequence[tuple[Target, int]]) -> Sequence[int]:
        told.append((strategy, [price for _, price in priced]))
        return (2, 0, 1)

    assert routed(job(), strategy=Strategy.CHEAPEST, rank=rank) == ["three", "one", "two"]
    assert told == [(Strategy.CHEAPEST, [30, 20, 10])]


def test_targets_that_the_caller_named_are_tried_in_that_order_and_no_others() -> None:
    assert routed(job(via=("three", "toy/of-one", "three"))) == ["three", "one"]


def job(**fields: Any) -> Job:
    usual: dict[str, Any] = {"model": "m", "prompt": "p", "n": 1, "size": Size(512, 512), "wants_url": True}
    return Job(**(usual | fields))


def test_every_call_gets_a_seed_of_its_own() -> None:
    made = planned(job(n=5), Capabilities(2, SIZES, takes_seed=True))
    shots = made.shots(made.candidates[0], 5, before=0, deadline_s=9)
    topped_up = made.shots(made.candidates[0], 1, before=3, deadline_s=9)
    assert [shot.count for shot in shots] == [2, 2, 1]
    assert [shot.seed for shot in (*shots, *topped_up)] == [100, 101, 102, 103]


def test_a_callers_seed_is_kept_and_counted_up_and_is_no_option_any_more() -> None:
    made = planned(job(n=2, options={"seed": 7, "style_type": "REALISTIC"}), Capabilities(1, SIZES, takes_seed=True))
    shots = made.shots(made.candidates[0], 2, before=0, deadline_s=9)
    assert [shot.seed for shot in shots] == [7, 8]
    assert dict(shots[0].options) == {"style_type": "REALISTIC"}


def test_an_end_user_is_told_only_to_vendors_that_take_one_and_never_by_name() -> None:
    told = planned(job(user="alice"), Capabilities(1, SIZES, takes_end_user=True))
    untold = planned(job(user="alice"), Capabilities(1, SIZES))
    (shot,) = told.shots(told.candidates[0], 1, before=0, deadline_s=9)
    (other,) = untold.shots(untold.candidates[0], 1, before=0, deadline_s=9)
    assert shot.end_user is not None
    assert "alice" not in shot.end_user
    assert other.end_user is None


def test_a_size_that_no_target_can_make_is_the_callers_to_change() -> None:
    with pytest.raises(RequestError) as caught:
        planned(job(size=Size(2048, 2048)), Capabilities(1, SIZES))
    assert (caught.value.status, caught.value.param) == (400, "size")


def test_a_target_that_cannot_serve_the_job_is_no_candidate() -> None:
    with pytest.raises(RequestError):
        planned(job(transparent=True), Capabilities(1, SIZES, transparent=False))


@pytest.mark.parametrize(
    ("price", "parameters", "expected", "ignored"),
    [
        (Price(flat=10), {}, "hd", ()),
        (Price(flat=10), {"quality": "standard"}, None, ("quality",)),
        (Price(table={"*": {"hd": 20, "standard": 10}}), {"quality": "standard"}, "hd", ()),
        (Price(table={"*": {"standard": 10}}), {"quality": "standard"}, None, ("quality",)),
    ],
)
def test_a_wished_quality_is_taken_only_where_its_price_is_known(
    price: Price, parameters: dict[str, str], expected: str | None, ignored: tuple[str, ...]
) -> None:
    made = planned(
        job(hints=Hints(quality="high")),
        Capabilities(1, SIZES, qualities={"high": "hd"}),
        price=price,
        parameters=parameters,
    )
    (candidate,) = made.candidates
    assert (candidate.quality, candidate.ignored) == (expected, ignored)
    assert ("quality" in candidate.options) == (expected is None and "quality" in parameters)


def test_hints_without_a_meaning_at_the_target_are_named() -> None:
    wishes = Hints(quality="high", style="vivid", moderation="low")
    (candidate,) = planned(job(hints=wishes), Capabilities(1, SIZES, styles=("vivid",))).candidates
    assert candidate.style == "vivid"
    assert candidate.ignored == ("quality", "moderation")


def test_a_file_that_is_rewritten_anyway_is_asked_for_without_loss() -> None:
    formats = (ImageFormat.JPEG, ImageFormat.PNG)
    (candidate,) = planned(
        job(size=Size(256, 256), format=ImageFormat.JPEG), Capabilities(1, SIZES, formats=formats)
    ).candidates
    assert (candidate.size, candidate.format) == (Size(512, 512), ImageFormat.PNG)


def test_the_callers_options_come_after_the_operators() -> None:
    (candidate,) = planned(job(options={"b": 2}), Capabilities(1, SIZES), parameters={"a": 1, "b": 1}).candidates
    assert dict(candidate.options) == {"a": 1, "b": 2}
