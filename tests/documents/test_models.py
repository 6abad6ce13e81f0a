from dataclasses import replace
from typing import Any

from gateway.documents.models import capability_manifest, find_model, model_entry, models_list
from gateway.domain.caller import Caller
from gateway.domain.catalogue import Catalogue, Route
from gateway.domain.money import Price
from gateway.domain.picture import Size
from tests.documents.deployments import DALL_E, PRO, SCHNELL, TABLE, USUAL, capabilities_of, target

CREATED = 1_700_000_000


def manifest(route: Route, catalogue: Catalogue = USUAL) -> dict[str, Any]:
    return capability_manifest(route, catalogue, capabilities_of)


def support(rows: list[dict[str, str]], key: str) -> dict[str, str]:
    return {row[key]: row["support"] for row in rows}


def listed(caller: Caller, catalogue: Catalogue = USUAL) -> list[str]:
    return [entry["id"] for entry in models_list(caller, catalogue, capabilities_of, CREATED)["data"]]


def test_an_entry_has_openais_shape() -> None:
    entry = model_entry(SCHNELL, USUAL, capabilities_of, CREATED)
    assert {name: value for name, value in entry.items() if name != "capabilities"} == {
        "id": "flux-schnell",
        "object": "model",
        "created": CREATED,
        "owned_by": "replicate",
        "shutdown_date": None,
    }


def test_only_the_callers_models_are_listed() -> None:
    assert listed(Caller("key")) == ["flux-schnell", "flux-1.1-pro", "dall-e-3"]
    assert listed(Caller("key", models=("dall-e-3", "gone"))) == ["dall-e-3"]
    assert listed(Caller("key", models=())) == []


def test_an_alias_is_found_but_not_listed_twice() -> None:
    aliased = Catalogue({"gpt-image-2": DALL_E, **USUAL.routes})
    assert sorted(listed(Caller("key"), aliased)) == sorted(USUAL.routes)
    found = find_model("gpt-image-2", Caller("key"), aliased, capabilities_of, CREATED)
    assert found is not None
    assert found["id"] == "dall-e-3"


def test_a_model_that_the_caller_may_not_use_is_not_found() -> None:
    assert find_model("dall-e-3", Caller("key", models=("flux-schnell",)), USUAL, capabilities_of, CREATED) is None
    assert find_model("other", Caller("key"), USUAL, capabilities_of, CREATED) is None


def test_native_is_only_what_every_target_does() -> None:
    assert support(manifest(SCHNELL)["sizes"], "size") == {
        "256x256": "emulated",
        "512x512": "native",
        "1024x1024": "native",
    }
    assert set(support(manifest(PRO)["sizes"], "size").values()) == {"native"}
    assert support(manifest(DALL_E)["output_formats"], "format") == {
        "png": "native",
        "jpeg": "emulated",
        "webp": "emulated",
    }
    assert manifest(DALL_E)["n"] == {"max": 10, "native_max": 1}
    assert manifest(SCHNELL)["n"] == {"max": 10, "native_max": 4}


def test_a_link_is_native_only_where_the_vendors_own_is_handed_out() -> None:
    assert support(manifest(PRO)["response_formats"], "format") == {"url": "native", "b64_json": "emulated"}
    assert support(manifest(SCHNELL)["response_formats"], "format") == {"url": "emulated", "b64_json": "emulated"}
    assert support(manifest(DALL_E)["response_formats"], "format") == {"url": "emulated", "b64_json": "native"}


def test_transparency_is_offered_where_some_target_has_it() -> None:
    assert "transparent" in manifest(DALL_E)["background"]
    assert "transparent" not in manifest(SCHNELL)["background"]


def test_a_size_that_no_target_can_make_is_not_offered() -> None:
    wide = Catalogue(USUAL.routes, sizes=(Size(1024, 1024), Size(1536, 1024)))
    assert [row["size"] for row in manifest(SCHNELL, wide)["sizes"]] == ["1024x1024"]
    assert {row["size"] for row in manifest(SCHNELL, wide)["price_per_image_usd"]} == {"1024x1024"}


def test_a_small_image_costs_what_the_larger_one_costs_that_it_is_made_from() -> None:
    only = replace(DALL_E, targets=(target("glass", TABLE),))
    prices = {(row["size"], row["quality"]): row["lowest"] for row in manifest(only)["price_per_image_usd"]}
    assert prices["256x256", "low"] == prices["1024x1024", "low"] == 0.01
    assert prices["256x256", "high"] == 0.2
    assert prices["512x512", "auto"] == 0.05


def test_the_operators_own_quality_sets_the_usual_price() -> None:
    dear = replace(target("glass", TABLE), parameters={"quality": "high"})
    rows = manifest(replace(DALL_E, targets=(dear,)))["price_per_image_usd"]
    assert {row["lowest"] for row in rows if row["quality"] == "auto"} == {0.2}


def test_a_quality_without_a_price_costs_at_most_the_dearest() -> None:
    bare = target("glass", Price(table={"512x512": {"low": 1_000, "high": 9_000}}))
    rows = manifest(replace(DALL_E, targets=(bare,)))["price_per_image_usd"]
    assert {row["highest"] for row in rows} == {0.009}


def test_several_targets_give_a_range_of_prices() -> None:
    rows = manifest(DALL_E)["price_per_image_usd"]
    usual = next(row for row in rows if (row["size"], row["quality"]) == ("1024x1024", "auto"))
    assert (usual["lowest"], usual["highest"]) == (0.05, 0.06)


def test_a_route_ends_when_its_last_native_model_ends() -> None:
    assert model_entry(DALL_E, USUAL, capabilities_of, CREATED)["shutdown_date"] == "2027-06-01"
    living = replace(DALL_E, targets=(*DALL_E.targets, *PRO.targets))
    assert model_entry(living, USUAL, capabilities_of, CREATED)["shutdown_date"] is None
