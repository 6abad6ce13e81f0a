"""Behaviours on demand: which calls a script is for, and what happens to them instead of the usual."""

from typing import Any, Literal

import msgspec

from gateway.sandbox.catalogue import CATALOGUE

__all__ = ["Behaviour", "ImageChange", "Match", "ScriptBook", "Then", "behaviour_of"]

Vendor = Literal["replicate", "openai", "ideogram", "vertex", "google"]
Wire = Literal[
    "reset_before_read",  # the connection is reset before the request is read
    "reset_after_read",  # … after the whole request was read, without a byte of reply
    "reset_mid_reply",  # … after half of the reply
    "close_after_read",  # an orderly close without a byte of reply
    "stall_headers",  # nothing is ever said
    "stall_body",  # half of the reply, then nothing
    "truncated",  # Content-Length promises more than comes, then an orderly close
    "chunk_cut",  # chunked, and closed before the last chunk
    "giant",  # a JSON string of half a gibibyte, without its end
    "drip",  # one byte a second
]
Mangle = Literal["malformed_json", "html", "wrong_content_type", "deep_json", "empty", "not_object", "array_wrapped"]
Refusal = Literal[
    "nsfw",  # Replicate: all images dropped, the prediction fails
    "nsfw_some",  # Replicate: `drop` images fewer in the array
    "sensitive",  # Replicate: flux-1.1-pro's own refusal, the prediction fails
    "unsafe",  # Ideogram: every image withheld
    "unsafe_some",  # Ideogram: `drop` images withheld
    "policy_failure",  # Ideogram v2, asynchronous: the generation fails
    "rai_all",  # Imagen: every image filtered
    "rai_some",  # Imagen: `drop` images filtered, one trailing reason
    "rai_missing",  # Imagen: no `predictions` at all
    "rai_silent",  # Imagen: `drop` images missing without a word
    "positive_prompt",  # Imagen: an element of safety attributes without bytes besides the images
    "block_reason",  # Gemini: promptFeedback.blockReason, no candidates
    "image_safety",  # Gemini: finishReason IMAGE_SAFETY
    "text_only",  # Gemini: STOP with nothing but words
    "no_image",  # Gemini: finishReason NO_IMAGE
]
Life = Literal["stuck_starting", "stuck_processing", "succeeds_during_cancel", "fails", "unknown_status", "null_output"]
Spoil = Literal[
    "corrupt",
    "truncated",
    "empty",
    "html",
    "svg",
    "polyglot",
    "bomb",
    "animated",
    "one_pixel",
    "cmyk",
    "sixteen_bit",
    "not_base64",
]


class ImageChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is wrong with the images: another pixel size (`640x480`), another file type, or worse."""

    size: str | None = None
    format: Literal["png", "jpeg", "webp", "gif"] | None = None
    spoil: Spoil | None = None


class Then(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What happens. Fields add up: latency, then an error or the work, then what is done to the reply.

    `error` names an entry of the catalogue; `status` with `body` is any other reply. `charged` says whether the
    vendor does (and bills) the work although its reply is lost; by default it does unless the reply is replaced
    by an error or withheld altogether. `remove`, `rename` and `put` change the JSON reply at dotted paths, where a
    number is an index and `*` stands for every element. `output_url` replaces every link. `age_s` ages a
    download's link. `drop` is how many images are missing.
    `webhooks` is how often the end is announced, where that was asked for.
    """

    latency_s: float = 0.0
    error: str | None = None
    status: int | None = None
    body: Any = None
    headers: dict[str, str] = {}
    charged: bool | None = None
    wire: Wire | None = None
    mangle: Mangle | None = None
    remove: list[str] = []
    rename: dict[str, str] = {}
    put: dict[str, Any] = {}
    refuse: Refusal | None = None
    drop: int = 0
    life: Life | None = None
    failure: str | None = None
    image: ImageChange | None = None
    output_url: str | None = None
    data_uris: bool = False
    rewritten_prompt: str | None = None
    redirect_to: str | None = None
    content_type: str | None = None
    age_s: float = 0.0
    webhooks: int = 1

    @property
    def replaces_reply(self) -> bool:
        """Whether the vendor's own reply is not even made unless the script says it is charged."""
        return self.error is not None or self.status is not None or self.wire in _REPLYLESS


_REPLYLESS = ("reset_before_read", "reset_after_read", "close_after_read", "stall_headers")


class Match(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which calls: those whose prompt contains `prompt` and whose native model is `model`; None is any."""

    prompt: str | None = None
    model: str | None = None


class Behaviour(msgspec.Struct, forbid_unknown_fields=True):
    """A script: for calls of `vendor` (and `operation`) that match, `times` times (None: for ever), do `then`."""

    vendor: Vendor
    then: Then
    operation: str | None = None
    match: Match = Match()
    times: int | None = 1

    def fits(self, vendor: str, operation: str, model: str, prompt: str) -> bool:
        """Whether this script is for such a call."""
        return (
            self.vendor == vendor
            and self.operation in (None, operation)
            and (self.match.model is None or self.match.model == model)
            and (self.match.prompt is None or self.match.prompt in prompt)
        )


# What would otherwise be a script without any effect
_REFUSES = {
    "replicate": ("nsfw", "nsfw_some", "sensitive"),
    "ideogram": ("unsafe", "unsafe_some", "policy_failure"),
    "vertex": (
        *("rai_all", "rai_some", "rai_missing", "rai_silent", "positive_prompt"),
        *("block_reason", "image_safety", "text_only", "no_image"),
    ),
}
_LIVES = ("replicate", "ideogram")


def behaviour_of(script: Any) -> Behaviour:
    """Read a script from plain JSON data. Raises msgspec.ValidationError that names what is wrong."""
    behaviour = msgspec.convert(script, Behaviour)
    if behaviour.times is not None and behaviour.times < 1:
        raise msgspec.ValidationError("`times` must be at least 1, or null for every call")
    error = behaviour.then.error
    if error is not None and (error not in CATALOGUE or not error.startswith(f"{behaviour.vendor}.")):
        raise msgspec.ValidationError(f"{behaviour.vendor} has no error `{error}` in the catalogue")
    refusal = behaviour.then.refuse
    if refusal is not None and refusal not in _REFUSES.get(behaviour.vendor, ()):
        raise msgspec.ValidationError(f"{behaviour.vendor} does not refuse as `{refusal}`; see its errors")
    if behaviour.then.life is not None and behaviour.vendor not in _LIVES:
        raise msgspec.ValidationError(f"{behaviour.vendor} answers at once: there is no `life` to script")
    if behaviour.then.wire == "reset_before_read" and behaviour.match != Match():
        raise msgspec.ValidationError("a reset before the request is read cannot match on what the request says")
    return behaviour


class ScriptBook:
    """The scripts in force. The first that fits a call is used, and used up."""

    def __init__(self) -> None:
        self._scripts: list[Behaviour] = []

    def add(self, behaviour: Behaviour) -> None:
        """Put a script behind those already in force."""
        self._scripts.append(behaviour)

    def clear(self) -> None:
        """Everything as usual again."""
        self._scripts.clear()

    def waiting(self) -> list[Behaviour]:
        """Scripts not yet used up."""
        return list(self._scripts)

    def take_unread(self, vendor: str, operation: str) -> Then | None:
        """The script for a call that is to be cut off before it is read, if there is one."""
        first = next((one for one in self._scripts if one.fits(vendor, operation, "", "")), None)
        if first is None or first.then.wire != "reset_before_read":
            return None
        return self._use(first)

    def take(self, vendor: str, operation: str, model: str, prompt: str) -> Then:
        """What is to happen to this call: an empty `Then` when no script fits."""
        first = next((one for one in self._scripts if one.fits(vendor, operation, model, prompt)), None)
        return Then() if first is None else self._use(first)

    def _use(self, behaviour: Behaviour) -> Then:
        if behaviour.times is not None:
            behaviour.times -= 1
            if behaviour.times == 0:
                self._scripts.remove(behaviour)
        return behaviour.then
