import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.domain.caller import Caller
from gateway.domain.catalogue import Account, Capabilities, Catalogue, Route, Target
from gateway.domain.errors import ErrorCode, RequestError
from gateway.domain.job import Hints, Job
from gateway.domain.money import Price
from gateway.domain.picture import ImageFormat, Size
from gateway.steps.read_body import read_body
from gateway.steps.request_shape import ALLOWED, KINDS

JSON_HEADERS = {"content-type": "application/json"}
PLAIN = Target(Account("one", "vendor"), "dialect", "plain", Price(flat=1))
GLASS = Target(Account("two", "vendor"), "dialect", "glass", Price(flat=1))
CATALOGUE = Catalogue(
    {
        "plain": Route("plain", (PLAIN,), provider_options=("seed", "style_type")),
        "glass": Route("glass", (PLAIN, GLASS), prompt_limit=4000),
    }
)
ANYBODY = Caller("key")
SURROGATE = "\ud800"


def capabilities_of(target: Target) -> Capabilities:
    return Capabilities(images_per_call=1, transparent=target.model == "glass")


def read(
    fields: dict[str, Any] | bytes,
    headers: dict[str, str] = JSON_HEADERS,
    caller: Caller = ANYBODY,
    catalogue: Catalogue = CATALOGUE,
) -> Job:
    body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return read_body(body, headers, caller, catalogue, capabilities_of)


def asking(**fields: Any) -> dict[str, Any]:
    return {"model": "plain", "prompt": "a fox"} | fields


def refusal(fields: dict[str, Any] | bytes, **surroundings: Any) -> RequestError:
    with pytest.raises(RequestError) as caught:
        read(fields, **surroundings)
    json.dumps(caught.value.envelope(), ensure_ascii=False).encode()
    return caught.value


def test_the_least_request_gets_the_documented_defaults() -> None:
    assert read(asking()) == Job("plain", "a fox", 1, Size(1024, 1024), wants_url=True)


def test_every_field_finds_its_place_in_the_job() -> None:
    fields = asking(
        model="glass",
        n=7,
        size="512x512",
        response_format="b64_json",
        user="somebody",
        quality="hd",
        style="natural",
        moderation="low",
        output_format="webp",
        output_compression=40,
        background="transparent",
        stream=True,
    )
    assert read(fields, headers=JSON_HEADERS | {"x-samurai-partial": "allow"}) == Job(
        model="glass",
        prompt="a fox",
        n=7,
        size=Size(512, 512),
        wants_url=False,
        format=ImageFormat.WEBP,
        output_compression=40,
        user="somebody",
        hints=Hints("high", "natural", "low"),
        transparent=True,
        stream=True,
        partial_allowed=True,
    )


def test_what_openais_own_client_can_send_at_most_is_understood() -> None:
    fields = asking(
        model="glass",
        background="transparent",
        complexity="low",
        frame_count=2,
        frame_duration_ms=20,
        moderation="low",
        n=1,
        output_compression=100,
        output_format="png",
        partial_images=1,
        quality="medium",
        response_format="url",
        safety_identifier="user-1234",
        size="1024x1024",
        stream=False,
        style="vivid",
        svg={"model": "x", "reasoning": {"effort": "none"}},
        user="user-1234",
    )
    job = read(fields)
    assert job.unmapped == ("complexity", "frame_count", "frame_duration_ms", "svg", "partial_images")
    assert job.output_compression is None


@pytest.mark.parametrize("name", [name for name in KINDS if name not in ("model", "prompt")])
def test_null_is_the_same_as_absent(name: str) -> None:
    assert read(asking(**{name: None})) == read(asking())


GOOD: list[tuple[str, Any, dict[str, Any]]] = [
    ("n", 1, {"n": 1}),
    ("n", 10, {"n": 10}),
    ("n", 1.0, {"n": 1}),
    ("n", 10.0, {"n": 10}),
    ("prompt", "x", {"prompt": "x"}),
    ("prompt", "x" * 1000, {"prompt": "x" * 1000}),
    ("prompt", "🦊" * 1000, {"prompt": "🦊" * 1000}),
    ("prompt", "e\u0301" * 500, {"prompt": "e\u0301" * 500}),
    ("prompt", "\x00\x1b\u202e x\r\n", {"prompt": "\x00\x1b\u202e x\r\n"}),
    ("prompt", " . ", {"prompt": " . "}),
    ("size", "256x256", {"size": Size(256, 256)}),
    ("size", "auto", {"size": Size(1024, 1024)}),
    ("response_format", "url", {"wants_url": True}),
    ("user", "u" * 256, {"user": "u" * 256}),
    ("user", "🦊" * 256, {"user": "🦊" * 256}),
    ("user", "", {"user": None}),
    ("user", "a\r\nset-cookie: b", {"user": "a\r\nset-cookie: b"}),
    ("safety_identifier", "s", {"user": "s"}),
    ("quality", "standard", {"hints": Hints(quality="medium")}),
    ("quality", "hd", {"hints": Hints(quality="high")}),
    ("quality", "auto", {"hints": Hints()}),
    ("quality", "xhigh", {"hints": Hints(quality="xhigh")}),
    ("quality", "max", {"hints": Hints(quality="max")}),
    ("moderation", "auto", {"hints": Hints()}),
    ("background", "opaque", {"transparent": False}),
    ("background", "auto", {"transparent": False}),
    ("output_format", "jpeg", {"format": ImageFormat.JPEG, "output_compression": None}),
    ("partial_images", 0, {"unmapped": ()}),
    ("partial_images", 3, {"unmapped": ("partial_images",)}),
    ("frame_count", 16, {"unmapped": ("frame_count",)}),
    ("svg", {"model": "m", "reasoning": None}, {"unmapped": ("svg",)}),
    ("provider_options", {}, {"options": {}}),
    ("provider_options", {"seed": 7.0, "style_type": None}, {"options": {"seed": 7}}),
    ("provider_options", {"seed": 0, "style_type": "R"}, {"options": {"seed": 0, "style_type": "R"}}),
]


@pytest.mark.parametrize(("name", "value", "expected"), GOOD, ids=lambda value: ascii(value)[:30])
def test_a_good_value_is_taken(name: str, value: Any, expected: dict[str, Any]) -> None:
    job = read(asking(**{name: value}))
    assert {attribute: getattr(job, attribute) for attribute in expected} == expected


WORDS = ("response_format", "quality", "style", "moderation", "output_format", "background", "complexity")
FAULTY: dict[str, list[Any]] = {
    "model": [7, ["plain"], True],
    "prompt": [
        *("", " ", "\t\r\n", "\ufeff", "\x1c\x85", "\u00a0\u2003\u3000", "x" * 1001, "🦊" * 1001),
        *(SURROGATE, "a" + SURROGATE, "\udc00\ud800", 7, ["x"], True),
    ],
    "n": [0, 11, -1, "1", 1.5, True, False, [], {}, 10**30, 1e300, -0.0],
    "size": ["300x300", "512X512", "0512x512", "512", "", 512, "512x512 ", SURROGATE],
    "user": ["u" * 257, 7, SURROGATE, []],
    "safety_identifier": ["u" * 257, 7, SURROGATE],
    **{word: ["other", "", 1, True, [], {}, SURROGATE, "x" * 5000] for word in WORDS},
    "stream": [1, 0, "true", []],
    "partial_images": [-1, 4, True, "1", 0.5],
    "output_compression": [-1, 101, True, "50", 99.5],
    "frame_count": [1, 17, True],
    "frame_duration_ms": [0, -5, "20", True],
    "svg": [
        *("x", {}, {"model": 1}, {"model": "x", "other": 1}, {"model": "x", SURROGATE: 1}),
        {"model": "x", "reasoning": {"effort": "wild"}},
    ],
    "provider_options": ["x", [], 1, True],
}
BAD = [(name, value) for name, values in FAULTY.items() for value in values]


@pytest.mark.parametrize(("name", "value"), BAD, ids=lambda value: ascii(value)[:30])
def test_a_bad_value_is_a_400_that_names_its_field(name: str, value: Any) -> None:
    error = refusal(asking(**{name: value}))
    assert (error.status, error.code, error.param) == (400, ErrorCode.INVALID_VALUE, name)
    assert f"`{name}` must be" in error.message
    assert len(error.message) < 300


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"1" + b"0" * 4000])
def test_a_number_beyond_all_bounds_is_a_400_of_its_field(number: bytes) -> None:
    error = refusal(b'{"model":"plain","prompt":"x","n":' + number + b"}")
    assert (error.code, error.param) == (ErrorCode.INVALID_VALUE, "n")


def test_the_prompt_limit_is_the_models_own() -> None:
    assert len(read(asking(model="glass", prompt="x" * 4000)).prompt) == 4000
    error = refusal(asking(model="glass", prompt="x" * 4001))
    assert error.param == "prompt"
    assert "4000" in error.message
    assert "4001" in error.message


@pytest.mark.parametrize("fields", [{"prompt": "x"}, {"prompt": "x", "model": None}])
def test_without_a_model_the_default_serves_or_it_is_missing(fields: dict[str, Any]) -> None:
    error = refusal(fields)
    assert (error.status, error.code, error.param) == (400, ErrorCode.MISSING_PARAMETER, "model")
    assert read(fields, catalogue=Catalogue(CATALOGUE.routes, default_model="glass")).model == "glass"


@pytest.mark.parametrize("fields", [{"model": "plain"}, {"model": "plain", "prompt": None}])
def test_a_missing_prompt_is_said_to_be_missing(fields: dict[str, Any]) -> None:
    error = refusal(fields)
    assert (error.status, error.code, error.param) == (400, ErrorCode.MISSING_PARAMETER, "prompt")


@pytest.mark.parametrize("model", ["other", "", SURROGATE, "Plain", "x" * 5000, "a\r\nb"])
def test_an_unknown_model_is_not_found(model: str) -> None:
    error = refusal(asking(model=model))
    assert (error.status, error.code, error.param) == (404, ErrorCode.MODEL_NOT_FOUND, "model")
    assert len(error.message) < 200
    assert error.message.isprintable()


def test_a_model_that_the_key_may_not_use_is_as_if_it_were_not_there() -> None:
    narrow = Caller("key", models=("glass",))
    forbidden, absent = refusal(asking(), caller=narrow), refusal(asking(model="other"), caller=narrow)
    assert forbidden.code is ErrorCode.MODEL_NOT_FOUND
    assert forbidden.message.replace("plain", "other") == absent.message
    assert read(asking(model="glass"), caller=narrow).model == "glass"


def test_an_alias_is_served_as_the_route_it_stands_for() -> None:
    aliased = Catalogue({"gpt-image-2": CATALOGUE.routes["glass"]})
    assert read(asking(model="gpt-image-2"), catalogue=aliased).model == "glass"


def test_a_deployment_may_offer_other_sizes() -> None:
    wide = Catalogue(CATALOGUE.routes, sizes=(Size(1536, 1024),), default_size=Size(1536, 1024))
    assert read(asking(size="auto"), catalogue=wide).size == Size(1536, 1024)
    assert "`1536x1024`" in refusal(asking(size="512x512"), catalogue=wide).message


@pytest.mark.parametrize("word", ["gif", "svg"])
def test_a_format_that_only_openai_writes_is_unsupported(word: str) -> None:
    error = refusal(asking(output_format=word))
    assert (error.status, error.code, error.param) == (400, ErrorCode.UNSUPPORTED_PARAMETER, "output_format")


def test_transparency_is_unsupported_where_no_target_has_it() -> None:
    error = refusal(asking(background="transparent"))
    assert (error.status, error.code, error.param) == (400, ErrorCode.UNSUPPORTED_PARAMETER, "background")
    assert read(asking(model="glass", background="transparent")).transparent


def test_a_jpeg_is_never_transparent() -> None:
    error = refusal(asking(model="glass", background="transparent", output_format="jpeg"))
    assert (error.code, error.param) == (ErrorCode.INVALID_VALUE, "background")


def test_compression_is_for_jpeg_and_webp() -> None:
    error = refusal(asking(output_compression=50))
    assert (error.code, error.param) == (ErrorCode.INVALID_VALUE, "output_compression")
    assert read(asking(output_format="jpeg", output_compression=0)).output_compression == 0
    assert read(asking(output_format="webp", output_compression=100)).output_compression == 100


def test_a_safety_identifier_replaces_the_user_unless_it_is_empty() -> None:
    assert read(asking(user="a", safety_identifier="b")).user == "b"
    assert read(asking(user="a", safety_identifier="")).user == "a"


@pytest.mark.parametrize(
    ("options", "param", "code"),
    [
        ({"cfg": 1}, "provider_options.cfg", ErrorCode.UNKNOWN_PARAMETER),
        ({"cfg": None}, "provider_options.cfg", ErrorCode.UNKNOWN_PARAMETER),
        ({SURROGATE: 1}, "provider_options.\\ud800", ErrorCode.UNKNOWN_PARAMETER),
        ({"style_type": "x" * 1001}, "provider_options.style_type", ErrorCode.INVALID_VALUE),
        ({"style_type": SURROGATE}, "provider_options.style_type", ErrorCode.INVALID_VALUE),
        ({"style_type": {"a": 1}}, "provider_options.style_type", ErrorCode.INVALID_VALUE),
        ({"style_type": [1]}, "provider_options.style_type", ErrorCode.INVALID_VALUE),
        ({"style_type": 1 << 60}, "provider_options.style_type", ErrorCode.INVALID_VALUE),
        ({"style_type": 1e300}, "provider_options.style_type", ErrorCode.INVALID_VALUE),
        ({"seed": -1}, "provider_options.seed", ErrorCode.INVALID_VALUE),
        ({"seed": 1 << 31}, "provider_options.seed", ErrorCode.INVALID_VALUE),
        ({"seed": "7"}, "provider_options.seed", ErrorCode.INVALID_VALUE),
        ({"seed": True}, "provider_options.seed", ErrorCode.INVALID_VALUE),
    ],
)
def test_a_provider_option_must_be_allowed_and_small(options: dict[str, Any], param: str, code: ErrorCode) -> None:
    error = refusal(asking(provider_options=options))
    assert (error.status, error.code, error.param) == (400, code, param)


def test_provider_options_are_the_routes_own() -> None:
    error = refusal(asking(model="glass", provider_options={"seed": 7}))
    assert (error.code, error.param) == (ErrorCode.UNKNOWN_PARAMETER, "provider_options.seed")


@pytest.mark.parametrize("name", ["negative_prompt", "input_fidelity", "", "é", "N", " n", "x" * 3000, "a\r\nb: c"])
@pytest.mark.parametrize("value", [1, None])
def test_an_unknown_field_is_refused_by_name(name: str, value: Any) -> None:
    error = refusal(asking(**{name: value}))
    assert (error.status, error.code) == (400, ErrorCode.UNKNOWN_PARAMETER)
    assert error.param is not None
    assert error.param.startswith(name[:5].replace("\r\n", "\\r\\n")[:5])
    assert len(error.param) <= 70


def test_unknown_fields_may_be_ignored_and_are_then_named_if_a_header_can_hold_the_name() -> None:
    lenient = Catalogue(CATALOGUE.routes, ignore_unknown_fields=True)
    job = read(asking(cfg=7, **{"a\r\nset-cookie": 1, "é": 2, "x" * 99: 3}, steps=None), catalogue=lenient)
    assert job.unmapped == ("cfg", "steps")
    many = read(asking(**{f"f{number}": 0 for number in range(1000)}), catalogue=lenient)
    assert len(many.unmapped) == 16


def test_the_first_field_at_fault_in_checking_order_is_the_one_named() -> None:
    faults: dict[str, Any] = {
        "background": "transparent",
        "odd": 1,
        "provider_options": {"odd": 1},
        "stream": "yes",
        "size": "1x1",
        "n": 0,
        "prompt": "",
    }
    mended = asking()
    for name in ("prompt", "n", "size", "stream", "provider_options", "odd", "background"):
        error = refusal({**mended, **faults})
        assert (error.param or "").partition(".")[0] == name
        del faults[name]
    assert read(mended).n == 1


@pytest.mark.parametrize("value", ["application/json", "Application/JSON; charset=utf-8", None])
def test_json_is_taken_also_when_the_type_is_not_said(value: str | None) -> None:
    assert read(asking(), headers={} if value is None else {"content-type": value}).n == 1


@pytest.mark.parametrize("value", ["text/plain", "multipart/form-data; boundary=x", "application/jsonp", ""])
def test_another_content_type_is_not_json(value: str) -> None:
    assert refusal(asking(), headers={"content-type": value}).code is ErrorCode.INVALID_JSON


@pytest.mark.parametrize("value", ["gzip", "br", "GZIP", "identity, gzip"])
def test_a_packed_body_is_refused(value: str) -> None:
    error = refusal(asking(), headers=JSON_HEADERS | {"content-encoding": value})
    assert (error.status, error.code) == (400, ErrorCode.UNSUPPORTED_ENCODING)
    assert read(asking(), headers=JSON_HEADERS | {"content-encoding": "identity"}).n == 1


@pytest.mark.parametrize("value", ["", "yes", "Allow", "allow, allow"])
def test_partial_delivery_is_allowed_by_one_word_only(value: str) -> None:
    error = refusal(asking(), headers=JSON_HEADERS | {"x-samurai-partial": value})
    assert (error.status, error.param) == (400, "x-samurai-partial")


def test_no_message_repeats_what_is_private() -> None:
    secret = "canary"
    for name in ("prompt", "user", "safety_identifier", "svg", "provider_options"):
        for value in (secret * 300, [secret], {secret: 1} if name != "provider_options" else {"style_type": [secret]}):
            error = refusal(asking(**{name: value}))
            assert secret not in error.message + repr(error) + (error.param or "")


def test_every_field_has_a_sentence_and_no_other_has() -> None:
    assert list(ALLOWED) == list(KINDS)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(alphabet=st.characters(codec=None, exclude_categories=()), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.sampled_from([*KINDS, "other"]), JSON, st.booleans())
@example("prompt", "a\ud800", False)
@example("n", float("nan"), False)
@example("provider_options", {"seed": float("inf")}, False)
def test_any_value_of_any_field_makes_a_job_or_a_documented_error(name: str, value: Any, lenient: bool) -> None:
    catalogue = Catalogue(CATALOGUE.routes, ignore_unknown_fields=lenient)
    error: RequestError | None = None
    try:
        job = read(asking(**{name: value}), catalogue=catalogue)
    except RequestError as refused:
        error = refused
    if error is not None:
        assert error.status in (400, 404)
        json.dumps(error.envelope(), ensure_ascii=False).encode()
    else:
        job.prompt.encode()
        (job.user or "").encode()
        assert 1 <= job.n <= 10
        assert type(job.n) is int


@settings(deadline=None)
@given(st.binary(max_size=100))
def test_any_bytes_make_a_job_or_a_documented_error(body: bytes) -> None:
    with pytest.raises(RequestError):
        read(body)
