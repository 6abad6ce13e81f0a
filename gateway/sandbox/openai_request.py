"""Reads a request for images as OpenAI does: field by field, with its own complaints."""

import secrets
from dataclasses import dataclass
from typing import Any

from gateway.sandbox import openai_errors as errors
from gateway.sandbox.fields import Field, Problem, problems
from gateway.sandbox.native_error import RefusedError
from gateway.sandbox.openai_models import MODELS, OpenAIModel
from gateway.sandbox.state import State

__all__ = ["Order", "order_of"]

# The size rule of gpt-image-2 and later: the vendor's image generation guide
_EDGE_STEP = 16
_LONGEST_EDGE = 3840
_LEAST_PIXELS = 655_360
_MOST_PIXELS = 8_294_400
_STEEPEST = 3
_INVALID = "invalid_request_error"
# Output tokens against a medium image: the vendor's guide for low and high, guesses for the rest
_FACTORS = {
    "low": 0.25,
    "medium": 1.0,
    "auto": 1.0,
    "standard": 1.0,
    "high": 4.0,
    "hd": 2.0,
    "xhigh": 6.0,
    "max": 8.0,
}


@dataclass(frozen=True, slots=True)
class Order:
    """A request that is in order. `factor` is how much dearer its quality is than medium."""

    model: OpenAIModel
    prompt: str
    n: int
    width: int
    height: int
    quality: str
    file_format: str
    compression: int
    transparent: bool
    wants_link: bool
    stream: bool
    partial_images: int
    seed: int

    @property
    def factor(self) -> float:
        """Cost against a medium image of a megapixel."""
        return _FACTORS[self.quality] * self.width * self.height / 1024**2

    @property
    def size(self) -> str:
        """`1024x1024`."""
        return f"{self.width}x{self.height}"


def order_of(body: Any, state: State) -> Order:
    """Read the body. Raises RefusedError with what the vendor would say."""
    if not isinstance(body, dict):
        raise RefusedError(errors.unreadable())
    model = _model(body, state)
    found = problems(body, model.fields, ("prompt",))
    if found:
        raise RefusedError(errors.invalid(found[0]))
    _check_together(body, model)
    width, height = _size(body.get("size"), model)
    file_format = body.get("output_format") or "png"
    return Order(
        model=model,
        prompt=body["prompt"],
        n=body.get("n") or 1,
        width=width,
        height=height,
        quality=body.get("quality") or ("auto" if model.gpt else "standard"),
        file_format=file_format,
        compression=100 if body.get("output_compression") is None else body["output_compression"],
        transparent=body.get("background") == "transparent",
        wants_link=not model.gpt and body.get("response_format") != "b64_json",
        stream=bool(body.get("stream")),
        partial_images=body.get("partial_images") or 0,
        seed=secrets.randbelow(2**31),
    )


def _model(body: dict[str, Any], state: State) -> OpenAIModel:
    name = body.get("model") or "dall-e-2"  # the published schema's default, dead or not
    if not isinstance(name, str):
        raise RefusedError(errors.invalid(Problem("model", "type", name, Field("string"))))
    model = MODELS.get(name)
    if model is None or (model.is_gone(state.clock.now()) and not state.options.speak_retired):
        raise RefusedError(errors.dead_model(name))
    return model


def _check_together(body: dict[str, Any], model: OpenAIModel) -> None:
    file_format = body.get("output_format") or "png"
    if body.get("partial_images") and not body.get("stream"):
        raise RefusedError(_wrong("'partial_images' is only supported when 'stream' is true.", "partial_images"))
    if body.get("background") == "transparent" and file_format == "jpeg":
        raise RefusedError(_wrong("Transparent background is not supported for jpeg output.", "background"))
    if file_format == "svg" and (body.get("n") or 1) > 1:
        raise RefusedError(_wrong("Only one image can be generated as svg.", "n"))
    if body.get("output_compression") not in (None, 100) and file_format not in ("jpeg", "webp"):
        raise RefusedError(_wrong("'output_compression' is only supported for jpeg and webp.", "output_compression"))


def _wrong(message: str, name: str) -> Any:
    return errors.worded(400, message, _INVALID, "invalid_value", name)


def _size(size: str | None, model: OpenAIModel) -> tuple[int, int]:
    if size in (None, "auto"):
        return 1024, 1024
    if model.fixed_sizes is not None and size not in model.fixed_sizes:
        raise RefusedError(errors.invalid(Problem("size", "enum", size, Field("string", choices=model.fixed_sizes))))
    width, _, height = str(size).partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise RefusedError(_wrong(f"Invalid size '{size}'. Expected WIDTHxHEIGHT or 'auto'.", "size"))
    edges = int(width), int(height)
    if model.gpt:
        _check_rule(*edges)
    return edges


def _check_rule(width: int, height: int) -> None:
    size = f"{width}x{height}"
    if width % _EDGE_STEP or height % _EDGE_STEP:
        raise RefusedError(
            _wrong(f"Invalid size '{size}'. Width and height must be divisible by {_EDGE_STEP}.", "size")
        )
    if max(width, height) > _LONGEST_EDGE:
        raise RefusedError(_wrong(f"Invalid size '{size}'. The longest edge must be at most {_LONGEST_EDGE}.", "size"))
    if max(width, height) > _STEEPEST * min(width, height):
        raise RefusedError(_wrong(f"Invalid size '{size}'. The aspect ratio must be at most {_STEEPEST}:1.", "size"))
    if not _LEAST_PIXELS <= width * height <= _MOST_PIXELS:
        text = f"The total number of pixels must be between {_LEAST_PIXELS} and {_MOST_PIXELS}."
        raise RefusedError(_wrong(f"Invalid size '{size}'. {text}", "size"))
