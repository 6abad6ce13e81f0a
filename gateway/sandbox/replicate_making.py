"""How a Replicate prediction comes into being: read the request, decide what will become of it."""

import math
import re
import secrets
from dataclasses import dataclass
from typing import Any

from gateway.sandbox import replicate_errors as errors
from gateway.sandbox.drawing import Picture
from gateway.sandbox.exchange import Call
from gateway.sandbox.fields import Field, problems
from gateway.sandbox.native_error import RefusedError
from gateway.sandbox.predictions import Prediction
from gateway.sandbox.replicate_models import NativeModel
from gateway.sandbox.scripts import Then

__all__ = ["Wishes", "checked_body", "new_prediction", "wishes_of"]

_QUEUE_S = 0.15
_ID_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
_EXTENSIONS = {"png": "png", "jpeg": "jpg", "webp": "webp"}
_INTERRUPTED = "Prediction interrupted; please retry (code: PA)"
_BODY = {
    "input": Field("object"),
    "webhook": Field("string", pattern=r"https://.+|http://127\.0\.0\.1[:/].+"),  # the vendor takes https alone
    "webhook_events_filter": Field("array"),
    "stream": Field("boolean"),
}


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the headers ask for: seconds to hold the reply open (None: not at all), and to live at most."""

    wait_s: int | None
    cancel_after_s: int | None


def wishes_of(call: Call) -> Wishes:
    """Read `Prefer` and `Cancel-After`. Raises RefusedError for what the vendor would not take."""
    return Wishes(_wait_s(call.request.headers.get("prefer")), _life_s(call.request.headers.get("cancel-after")))


def _wait_s(prefer: str | None) -> int | None:
    if prefer is None:
        return None
    asked = re.fullmatch(r"wait(?:=(\d{1,2}))?", prefer)
    seconds = int(asked[1] or 60) if asked else 0
    if not 1 <= seconds <= 60:
        raise RefusedError(errors.bad_request("Prefer must be `wait` or `wait=n` with n between 1 and 60"))
    return seconds


def _life_s(text: str | None) -> int | None:
    if text is None:
        return None
    parts = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", text)
    hours, minutes, seconds = (int(part or 0) for part in parts.groups()) if parts else (0, 0, 0)
    total = hours * 3600 + minutes * 60 + seconds
    if total < 5:
        raise RefusedError(errors.bad_request("Cancel-After must be a duration of at least 5 seconds"))
    return total


def checked_body(body: Any, *, with_version: bool) -> dict[str, Any]:
    """The request's body with only the fields that the endpoint knows."""
    if not isinstance(body, dict):
        raise RefusedError(errors.bad_request("The request body must be a JSON object"))
    fields = _BODY | ({"version": Field("string")} if with_version else {})
    found = problems(body, fields, ("version", "input") if with_version else ("input",))
    if found:
        raise RefusedError(errors.invalid_input(found, "(root)"))
    return body


def new_prediction(call: Call, model: NativeModel, given: dict[str, Any], wishes: Wishes) -> Prediction:
    """A prediction with its whole future in it. Raises RefusedError for input that the model does not take."""
    found = problems(given, model.fields, ("prompt",))
    if found:
        raise RefusedError(errors.invalid_input(found))
    pictures, asked = _pictures(call.then, model, given)
    now = call.now
    starts_at, ends_at = _course(call, model, now)
    deliveries = [
        call.state.deliveries.offer_plain(
            picture, f"replicate/{{token}}/out-{picture.index}.{_EXTENSIONS[picture.format]}", math.inf, call.then.image
        )
        for picture in pictures
    ]
    failure = _failure(call.then, pictures)
    prediction = Prediction(
        id="".join(secrets.choice(_ID_LETTERS) for _ in range(26)),
        model=model.name,
        input=given,
        asked=asked,
        single=model.single,
        deliveries=deliveries if failure is None else [],
        links=[call.then.output_url or f"{call.base_url}/delivery/{delivery.path}" for delivery in deliveries],
        created_at=now,
        starts_at=starts_at,
        ends_at=ends_at,
        price=model.price,
        call_id=call.id,
        deadline_at=None if wishes.cancel_after_s is None else now + wishes.cancel_after_s,
        failure=failure,
        logs=_logs(pictures, asked),
        charges=call.then.charged is not False,
        charges_failure=call.then.charged is True,
        finishes_on_cancel=call.then.life == "succeeds_during_cancel",
        oddities=_oddities(call.then),
    )
    call.state.predictions.add(prediction)
    return prediction


def _pictures(then: Then, model: NativeModel, given: dict[str, Any]) -> tuple[list[Picture], int]:
    """The images that will come, and how many were asked for; NSFW ones are dropped from the array."""
    width, height = model.size_of(given)
    asked = given.get("num_outputs", 1)
    dropped = {"nsfw": asked, "sensitive": asked, "nsfw_some": then.drop or 1}.get(then.refuse or "", then.drop)
    file_format = given.get("output_format", "webp").replace("jpg", "jpeg")
    seed = given.get("seed", secrets.randbelow(2**32))
    quality = given.get("output_quality", 80)
    pictures = [
        Picture("replicate", model.name, given["prompt"], seed, index, asked, width, height, file_format, quality)
        for index in range(dropped, asked)
    ]
    return pictures, asked


def _course(call: Call, model: NativeModel, now: float) -> tuple[float, float]:
    """When it starts and when it ends."""
    starts_at = now + call.state.natural_wait_s(_QUEUE_S)
    if call.then.life == "stuck_starting":
        return math.inf, math.inf
    if call.then.life in ("stuck_processing", "succeeds_during_cancel"):
        return starts_at, math.inf
    return starts_at, starts_at + call.state.natural_wait_s(model.natural_s)


def _failure(then: Then, pictures: list[Picture]) -> str | None:
    if then.refuse == "sensitive":
        return errors.SENSITIVE
    if not pictures:
        return errors.ALL_NSFW
    if then.failure is not None or then.life == "fails":
        return then.failure or _INTERRUPTED
    return None


def _logs(pictures: list[Picture], asked: int) -> str:
    lines = [f"Using seed: {pictures[0].seed}"] if pictures else []
    lines += [f"NSFW content detected in image {index}" for index in range(asked - len(pictures))]
    return "\n".join(lines) + "\n"


def _oddities(then: Then) -> dict[str, Any]:
    if then.life == "unknown_status":
        return {"status": "hibernating", "output": None}
    return {"output": None} if then.life == "null_output" else {}
