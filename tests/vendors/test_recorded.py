"""Every recorded or quoted reply of a vendor comes to the outcome it should, and none is forgotten.

The recordings are the vendors' and lie beside this repository; a new one fails here until it has a row.
"""

import json
from typing import Any

import pytest

from gateway.domain.exchange import HttpReply
from gateway.domain.wire import text
from tests.vendors.expecting import as_data
from tests.vendors.making import DIALECTS, PROMPT, account, reply, shot
from tests.vendors.validating import RECORDED, needs_shared

pytestmark = needs_shared

_Expected = dict[str, Any]

_SCHNELL = ("replicate_predictions", "black-forest-labs/flux-schnell")
_PRO = ("replicate_predictions", "black-forest-labs/flux-1.1-pro")
_GPT = ("openai_images", "gpt-image-2")
_DALL_E = ("openai_images", "dall-e-3")
_IDEOGRAM = ("ideogram_v3", "ideogram-v3")
_IDEOGRAM_2 = ("ideogram_v2", "ideogram-4-5")
_IMAGEN = ("vertex_predict", "imagen-3.0-generate-002")
_GEMINI = ("vertex_generate_content", "gemini-3.1-flash-image")


def _delivered(count: int, source: str, *, withheld: int = 0, **more: Any) -> _Expected:
    plain = {"created": None, "revised_prompt": None}
    return {"delivered": count, "billed": count, "withheld": withheld, "source": source} | plain | more


def _pending(vendor_id: str, *, cancellable: bool, free: bool = False) -> _Expected:
    return {"pending": vendor_id, "cancellable": cancellable, "cancel_is_free": free}


def _fault(code: str, following: str, *, billed: bool = False, counts: bool = True, **more: Any) -> _Expected:
    columns = {"fault": code, "next": following, "may_have_billed": billed, "counts_against_vendor": counts}
    return columns | {"retry_after_s": None, "transient_auth": False} | more


_REFUSED = _fault("content_policy_violation", "stop", counts=False)
_REFUSED_AFTER_WORK = _fault("content_policy_violation", "stop", billed=True, counts=False)
_REJECTED = _fault("upstream_rejected_request", "elsewhere", counts=False)
_DEAD = _fault("upstream_model_unavailable", "elsewhere")
_KEY = _fault("upstream_auth_failed", "elsewhere")
_MONEY = _fault("upstream_billing", "elsewhere")
_SLOW = _fault("upstream_rate_limited", "retry", counts=False)
_UNUSABLE = _fault("upstream_bad_response", "elsewhere", billed=True)

# File -> the dialects (with model and number of images asked) that may meet it, and what it comes to.
_TABLE: dict[str, tuple[tuple[tuple[str, str], ...], int, _Expected]] = {
    "ideogram/auth_401.json": ((_IDEOGRAM, _IDEOGRAM_2), 1, _KEY),
    "ideogram/bad_input_400_validation.json": ((_IDEOGRAM, _IDEOGRAM_2), 1, _REJECTED),
    "ideogram/inflight_429.json": ((_IDEOGRAM, _IDEOGRAM_2), 1, _SLOW),
    "ideogram/safety_422.json": ((_IDEOGRAM, _IDEOGRAM_2), 1, _REFUSED),
    "ideogram/success_200_v3.json": ((_IDEOGRAM,), 1, _delivered(1, "remote", created=948603367)),
    "ideogram/v2_async_failed_200.json": ((_IDEOGRAM_2,), 1, _REFUSED),
    "ideogram/v2_async_pending_200.json": ((_IDEOGRAM_2,), 1, _pending("gen-1", cancellable=False)),
    "openai/auth_401_invalid_api_key.json": ((_GPT, _DALL_E), 1, _KEY),
    "openai/bad_input_400_unknown_parameter.json": ((_GPT,), 1, _REJECTED),
    "openai/content_policy_400_legacy_dalle3.json": ((_DALL_E,), 1, _REFUSED),
    "openai/moderation_blocked_400.json": ((_GPT,), 1, _REFUSED_AFTER_WORK),
    "openai/no_credit_429.json": ((_GPT,), 1, _MONEY),
    "openai/rate_limit_429_images_per_min.json": ((_GPT, _DALL_E), 1, _SLOW),
    "openai/success_200_gpt_image_spec.json": ((_GPT,), 1, _delivered(1, "inline", created=1713833628)),
    "replicate/auth_401.json": ((_SCHNELL,), 1, _KEY),
    "replicate/cancel_200_canceled.json": ((_PRO,), 1, _fault("upstream_timeout", "elsewhere", billed=True)),
    "replicate/create_async_201_starting.json": (
        (_SCHNELL,),
        1,
        _pending("heat2o3bzn3ahtr6bjfftvbaci", cancellable=True, free=True),
    ),
    # A text model's output holds no image, so the prediction is followed to its end.
    "replicate/create_wait_201_processing_with_output.json": (
        (_SCHNELL,),
        1,
        _pending("pw050dtb51rj40cjb2vrcw97b8", cancellable=True),
    ),
    "replicate/failed_nsfw_flux_schnell.json": ((_SCHNELL,), 1, _REFUSED_AFTER_WORK),
    "replicate/get_200_succeeded_0.json": ((_SCHNELL,), 1, _delivered(1, "remote", created=1692212232)),
    "replicate/invalid_input_422_enum.json": ((_PRO,), 1, _REJECTED),
    "replicate/invalid_input_422_required.json": ((_PRO,), 1, _REJECTED),
    "replicate/invalid_version_422.json": ((_SCHNELL,), 1, _DEAD),
    "replicate/not_found_404.json": ((_SCHNELL,), 1, _DEAD),
    "replicate/succeeded_flux-1.1-pro.json": ((_PRO,), 1, _delivered(1, "remote", created=1732568031)),
    "replicate/succeeded_flux-schnell.json": ((_SCHNELL,), 1, _delivered(1, "remote", created=1726789501)),
    "replicate/throttled_429_docs.json": ((_SCHNELL, _PRO), 1, _SLOW | {"retry_after_s": 30.0}),
    "vertex/model_not_found_404.json": ((_GEMINI,), 1, _DEAD),
    "vertex/prompt_blocked_400_words.json": ((_IMAGEN,), 1, _REFUSED),
    "vertex/resource_exhausted_429_plain.json": ((_IMAGEN, _GEMINI), 1, _SLOW),
    "vertex/unary-failure-firebasevertexai-api-not-enabled.json": ((_GEMINI,), 1, _KEY),
    "vertex/unary-failure-generate-images-all-filtered.json": ((_IMAGEN,), 4, _REFUSED),
    "vertex/unary-failure-generate-images-base64-some-filtered.json": (
        (_IMAGEN,),
        4,
        _delivered(2, "inline", withheld=2),
    ),
    "vertex/unary-failure-prompt-blocked-safety-with-message.json": ((_GEMINI,), 1, _REFUSED),
    # The quota of this one is nought: a new project's, which no waiting heals.
    "vertex/unary-failure-quota-exceeded.json": ((_GEMINI,), 1, _MONEY),
    "vertex/unary-failure-unknown-model.json": ((_GEMINI,), 1, _DEAD),
    "vertex/unary-success-generate-images-base64.json": ((_IMAGEN,), 4, _delivered(4, "inline")),
    "vertex/unary-success-generate-images-gcs.json": ((_IMAGEN,), 4, _UNUSABLE),
}

_CASES = [
    pytest.param(file, dialect, model, count, expected, id=f"{file}-{dialect}-{model}")
    for file, (speakers, count, expected) in _TABLE.items()
    for dialect, model in speakers
]


def _prompt(file: str) -> str:
    """The prompt that the recorded request held, where it is known; one that is repeated is no revision."""
    request = json.loads((RECORDED / file).read_text("utf-8")).get("request", {})
    return text(request, "body", "prompt") or PROMPT


def _recorded(file: str) -> HttpReply:
    response = json.loads((RECORDED / file).read_text("utf-8"))["response"]
    headers = {name.lower(): value for name, value in response.get("headers", {}).items()}
    return reply(response["body"], response["status"], headers=headers)


@pytest.mark.parametrize(("file", "dialect", "model", "count", "expected"), _CASES)
def test_a_recorded_reply_comes_to_what_it_should(
    file: str, dialect: str, model: str, count: int, expected: _Expected
) -> None:
    asked = shot(dialect, model, count=count, prompt=_prompt(file))
    assert as_data(DIALECTS[dialect].outcome_of(_recorded(file), asked, account(dialect))) == expected


def test_two_images_of_one_reply_may_differ_in_whether_the_prompt_was_rewritten() -> None:
    recorded = _recorded("openai/success_200_b64.json")
    outcome = DIALECTS["openai_images"].outcome_of(recorded, shot(*_DALL_E, count=2), account("openai_images"))
    pictures = getattr(outcome, "pictures", ())
    assert [each.revised_prompt is not None for each in pictures] == [True, False]
    assert getattr(outcome, "created", None) == 1770935200


def test_no_recording_is_without_an_expectation() -> None:
    recorded = {path.relative_to(RECORDED).as_posix() for path in RECORDED.rglob("*.json")}
    assert recorded == {*_TABLE, "openai/success_200_b64.json"}
