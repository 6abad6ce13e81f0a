from pathlib import Path

from gateway.composition import paces
from gateway.domain.exchange import Pace
from gateway.vendors import dialects
from tests.settings.samples import FULL, load_text


def test_an_account_is_paced_as_configured_and_else_as_its_vendor_publishes(tmp_path: Path) -> None:
    text = FULL.replace(", pacing: {requests_per_minute: 600}", "").replace(
        "pacing: {images_in_flight: 10}", "pacing: {images_in_flight: 25}"
    )
    found = paces(load_text(text, tmp_path), dialects().values())
    assert found["replicate"] == Pace(requests_per_minute=600)
    assert found["ideogram"] == Pace(images_in_flight=25)
    assert found["openai"] == Pace(images_per_minute=50)
    assert found["vertex"] == Pace()


def test_both_apis_of_ideogram_share_the_ten_places_of_the_organisation(tmp_path: Path) -> None:
    text = FULL.replace(", pacing: {images_in_flight: 10}", "")
    assert paces(load_text(text, tmp_path), dialects().values())["ideogram"] == Pace(images_in_flight=10)
