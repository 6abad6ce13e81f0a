from datetime import date
from typing import Any

from gateway.doctor.findings import Finding, Status
from gateway.doctor.models import Listings, model_findings
from gateway.domain.catalogue import Account, Catalogue, Route, Target
from gateway.domain.money import Price
from gateway.vendors import dialects

TODAY = date(2026, 11, 22)
HOME = Account("main", "openai")
COMPATIBLE = Account("other", "openai", base_url="https://images.example/v1")


def target(model: str, account: Account = HOME) -> Target:
    return Target(account, "openai_images", model, Price(flat=1))


def findings(*targets: Target, listings: Listings | None = None, today: date = TODAY) -> list[Finding]:
    catalogue = Catalogue({"pictures": Route("pictures", targets)})
    return list(model_findings(catalogue, dialects(), listings or {}, today))


def only(*targets: Target, **more: Any) -> Finding:
    (finding,) = findings(*targets, **more)
    return finding


def test_a_living_model_is_well() -> None:
    assert only(target("gpt-image-2")) == Finding(Status.OK, "model pictures", "openai/gpt-image-2")


def test_a_retired_model_that_nothing_stands_in_for_fails_with_its_date() -> None:
    finding = only(target("dall-e-3"))
    assert finding.status is Status.FAILED
    assert "openai/dall-e-3" in finding.seen
    assert "2026-05-12" in finding.seen


def test_a_retired_model_is_a_warning_where_another_target_lives() -> None:
    retired, living = findings(target("dall-e-3"), target("gpt-image-2"))
    assert (retired.status, living.status) == (Status.WARNING, Status.OK)


def test_two_retired_targets_do_not_stand_in_for_each_other() -> None:
    assert [each.status for each in findings(target("dall-e-3"), target("dall-e-2"))] == [Status.FAILED] * 2


def test_a_retired_model_is_a_warning_on_somebody_elses_server() -> None:
    assert only(target("dall-e-3", COMPATIBLE)).status is Status.WARNING


def test_the_day_of_the_end_itself_counts_as_retired_and_the_day_before_as_one_day_left() -> None:
    ends = "gpt-image-1.5"  # on 2026-12-01
    assert only(target(ends), today=date(2026, 12, 1)).status is Status.FAILED
    last_day = only(target(ends), today=date(2026, 11, 30))
    assert last_day.status is Status.WARNING
    assert "2026-12-01, in 1 day" in last_day.seen
    assert not last_day.seen.endswith("days")


def test_an_end_is_announced_sixty_days_before_and_only_told_earlier() -> None:
    ends = "gpt-image-1.5"
    assert only(target(ends), today=date(2026, 10, 2)).status is Status.WARNING
    early = only(target(ends), today=date(2026, 10, 1))
    assert early.status is Status.OK
    assert early.seen.endswith("until 2026-12-01")


def test_a_model_that_the_dialect_does_not_know_is_a_note() -> None:
    finding = only(target("gpt-image-9"))
    assert finding.status is Status.NOTE
    assert "openai/gpt-image-9" in finding.seen


def test_the_vendors_own_list_announces_an_end_that_we_do_not_know_of() -> None:
    finding = only(target("gpt-image-2"), listings={"main": {"gpt-image-2": "2026-12-24"}})
    assert finding.status is Status.WARNING
    assert "2026-12-24, in 32 days" in finding.seen


def test_a_model_that_the_account_does_not_list_is_a_warning() -> None:
    finding = only(target("gpt-image-2"), listings={"main": {"gpt-image-1": None}})
    assert finding.status is Status.WARNING
    assert "the account 'main'" in finding.seen


def test_a_date_that_is_none_is_passed_over() -> None:
    assert only(target("gpt-image-2"), listings={"main": {"gpt-image-2": "soon"}}).status is Status.OK
