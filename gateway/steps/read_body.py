"""Step 2 of 9 · the caller's bytes become a Job, or the first thing that is wrong with them.

Fields are checked in the order of ImageRequest, then unknown names, and only then how fields go together.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from gateway.domain.caller import Caller
from gateway.domain.catalogue import Capabilities, Catalogue, Route, Target
from gateway.domain.errors import ErrorCode, RequestError
from gateway.domain.job import Hints, Job
from gateway.domain.picture import ImageFormat, Size
from gateway.policies.strict_json import parse_object
from gateway.policies.wording import is_encodable, name_of, seen
from gateway.steps.request_shape import ALLOWED, KINDS, OPTION_KINDS, ImageRequest, OptionValue
from gateway.steps.routing_hints import patience_s, wanted_targets

__all__ = ["read_body"]

_PARTIAL = "x-samurai-partial"
_QUALITIES: Final = {"auto": None, "standard": "medium", "hd": "high"}
_FORMATS_ELSEWHERE = ("gif", "svg")
_WITHOUT_EFFECT = ("complexity", "frame_count", "frame_duration_ms", "svg")
_PRIVATE = frozenset({"prompt", "user", "safety_identifier", "svg", "provider_options"})
_NAMED_AT_MOST = 16


def read_body(
    body: bytes,
    headers: Mapping[str, str],
    caller: Caller,
    catalogue: Catalogue,
    capabilities_of: Callable[[Target], Capabilities],
) -> Job:
    """One request, understood in full. `headers` have lower-case names.

    Raises RequestError: 404 `model_not_found`, else 400 with the first field at fault as `param`.
    """
    _refuse_foreign_body(headers)
    partial_allowed = _partial_allowed(headers)
    fields = parse_object(body)
    route = _route_of(fields.get("model"), caller, catalogue)
    request = _request_of(fields, route, catalogue)
    ignored = _unknown(fields, tolerated=catalogue.ignore_unknown_fields)
    _check_together(request, route, capabilities_of)
    via = wanted_targets(headers, caller, route)
    return Job(
        model=route.id,
        prompt=request.prompt,
        n=request.n,
        size=_size_of(request.size, catalogue) or catalogue.default_size,
        wants_url=request.response_format == "url",
        format=ImageFormat(request.output_format),
        output_compression=_compression(request, fields),
        user=request.safety_identifier or request.user or None,
        hints=_hints(request),
        transparent=request.background == "transparent",
        stream=request.stream,
        partial_allowed=partial_allowed,
        options=request.provider_options,
        unmapped=_without_effect(request) + ignored,
        via=via,
        patience_s=patience_s(headers, stream=request.stream),
    )


def _refuse_foreign_body(headers: Mapping[str, str]) -> None:
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        raise RequestError(
            ErrorCode.UNSUPPORTED_ENCODING,
            "Send the body as it is, without a Content-Encoding.",
            param="content-encoding",
        )
    # A missing type is let pass: what the body is, its bytes will show.
    media_type = headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise RequestError(
            ErrorCode.INVALID_JSON,
            "Send the body as JSON, with `Content-Type: application/json`.",
            param="content-type",
        )


def _partial_allowed(headers: Mapping[str, str]) -> bool:
    wish = headers.get(_PARTIAL)
    if wish is None:
        return False
    if wish.strip() != "allow":
        raise _wrong(_PARTIAL, "`allow`, or left out", wish)
    return True


def _route_of(model: Any, caller: Caller, catalogue: Catalogue) -> Route:
    """The route to serve. What a key may not use does not exist for it."""
    if model is None:
        model = catalogue.default_model
    if model is None:
        raise RequestError(
            ErrorCode.MISSING_PARAMETER, "`model` is required. GET /v1/models lists yours.", param="model"
        )
    if not isinstance(model, str):
        raise _wrong("model", ALLOWED["model"], model)
    route = catalogue.routes.get(model)
    if route is None or not caller.may_use(route.id):
        raise RequestError(
            ErrorCode.MODEL_NOT_FOUND,
            f"There is no model {seen(model)} for this key. GET /v1/models lists yours.",
            param="model",
        )
    return route


def _request_of(fields: Mapping[str, Any], route: Route, catalogue: Catalogue) -> ImageRequest:
    """The known fields, each right by itself.

    One conversion settles nearly every request, at a quarter of the price; a faulty one is read field by field.
    """
    values = {name: _whole(value) for name, value in fields.items() if value is not None and name in KINDS}
    values["model"] = route.id
    if "provider_options" not in values:
        try:
            request = msgspec.convert(values, ImageRequest)
        except (msgspec.ValidationError, UnicodeEncodeError):
            return _field_by_field(values, route, catalogue)
        texts = request.prompt + request.user + request.safety_identifier
        fits = len(request.prompt) <= route.prompt_limit and _size_of(request.size, catalogue) is not None
        if fits and is_encodable(texts):
            return request
    return _field_by_field(values, route, catalogue)


def _field_by_field(values: Mapping[str, Any], route: Route, catalogue: Catalogue) -> ImageRequest:
    """The same, slowly. Raises for the first field, in checking order, that is wrong."""
    checked: dict[str, Any] = {}
    for name, kind in KINDS.items():
        value = values.get(name)
        if name == "prompt":
            _check_length(value, route)
        if value is None:
            continue
        checked[name] = _options(value, route) if name == "provider_options" else _field(name, value, kind)
        if name == "size" and _size_of(value, catalogue) is None:
            words = ", ".join(f"`{word}`" for word in ("auto", *catalogue.sizes))
            raise _wrong("size", f"one of {words}", value)
    return ImageRequest(**checked)


def _whole(value: Any) -> Any:
    """A number such as 1.0 is a whole number."""
    return int(value) if type(value) is float and value.is_integer() else value


def _field(name: str, value: Any, kind: Any) -> Any:
    if isinstance(value, str) and not is_encodable(value):
        raise _wrong(name, "text without lone surrogates (halves of a UTF-16 pair)", value, private=name in _PRIVATE)
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, UnicodeEncodeError):
        if name == "output_format" and value in _FORMATS_ELSEWHERE:
            raise RequestError(
                ErrorCode.UNSUPPORTED_PARAMETER,
                f"`output_format` {value} is not offered here; it must be {ALLOWED[name]}.",
                param=name,
            ) from None
        raise _wrong(name, ALLOWED[name], value, private=name in _PRIVATE) from None


def _check_length(prompt: Any, route: Route) -> None:
    if prompt is None:
        raise RequestError(
            ErrorCode.MISSING_PARAMETER, "`prompt` is required: what should the images show?", param="prompt"
        )
    if isinstance(prompt, str) and len(prompt) > route.prompt_limit:
        allowed = f"at most {route.prompt_limit} Unicode code points long for the model `{route.id}`"
        raise _wrong("prompt", allowed, prompt, private=True)


def _size_of(text: str, catalogue: Catalogue) -> Size | None:
    """The size that the word stands for; None where the deployment does not offer it."""
    if text == "auto":
        return catalogue.default_size
    return next((size for size in catalogue.sizes if str(size) == text), None)


def _options(options: Any, route: Route) -> dict[str, Any]:
    """The vendor extras that the route lets through."""
    if not isinstance(options, dict):
        raise _wrong("provider_options", ALLOWED["provider_options"], options, private=True)
    return {
        name: _option(name, value, route)
        for name, value in options.items()
        if value is not None or name not in route.provider_options
    }


def _option(name: str, value: Any, route: Route) -> Any:
    param = f"provider_options.{name_of(name)}"
    if name not in route.provider_options:
        allowed = ", ".join(f"`{option}`" for option in route.provider_options) or "none"
        raise RequestError(
            ErrorCode.UNKNOWN_PARAMETER,
            f"`{param}` is not an option of the model `{route.id}`; it takes {allowed}.",
            param=param,
        )
    kind = OPTION_KINDS.get(name)
    try:
        if not isinstance(value, str) or is_encodable(value):
            return msgspec.convert(value, OptionValue) if kind is None else msgspec.convert(_whole(value), kind)
    except msgspec.ValidationError:
        pass
    allowed = (
        "a boolean, a number or a string, and not too large" if kind is None else "a whole number from 0 to 2^31-1"
    )
    raise _wrong(param, allowed, value, private=True)


def _unknown(fields: Mapping[str, Any], *, tolerated: bool) -> tuple[str, ...]:
    """The names of fields that nobody knows, fit for a header; an error unless they are tolerated."""
    if fields.keys() <= KINDS.keys():
        return ()
    unknown = [name for name in fields if name not in KINDS]
    if not tolerated:
        first = name_of(unknown[0])
        raise RequestError(ErrorCode.UNKNOWN_PARAMETER, f"There is no parameter `{first}`.", param=first)
    speakable = [name for name in unknown if name.isascii() and name.isidentifier() and name == name_of(name)]
    return tuple(speakable[:_NAMED_AT_MOST])


def _check_together(request: ImageRequest, route: Route, capabilities_of: Callable[[Target], Capabilities]) -> None:
    """What is right by itself may still not go together."""
    if request.output_format == "png" and request.output_compression != 100:
        # 100 changes nothing in a png, and OpenAI's own clients send it.
        allowed = "100 for a png; smaller figures need `output_format` jpeg or webp"
        raise _wrong("output_compression", allowed, request.output_compression)
    if request.background != "transparent":
        return
    if not any(capabilities_of(target).transparent for target in route.targets):
        raise RequestError(
            ErrorCode.UNSUPPORTED_PARAMETER,
            f"The model `{route.id}` cannot make a transparent `background`.",
            param="background",
        )
    if request.output_format == "jpeg":
        raise _wrong("background", "`auto` or `opaque` for a jpeg, which knows no transparency", "transparent")


def _compression(request: ImageRequest, fields: Mapping[str, Any]) -> int | None:
    asked = fields.get("output_compression") is not None and request.output_format != "png"
    return request.output_compression if asked else None


def _hints(request: ImageRequest) -> Hints:
    return Hints(
        quality=_QUALITIES.get(request.quality, request.quality),
        style=request.style,
        moderation=None if request.moderation == "auto" else request.moderation,
    )


def _without_effect(request: ImageRequest) -> tuple[str, ...]:
    names = tuple(name for name in _WITHOUT_EFFECT if getattr(request, name) is not None)
    return names + (("partial_images",) if request.partial_images else ())


def _wrong(name: str, allowed: str, value: Any, *, private: bool = False) -> RequestError:
    return RequestError(
        ErrorCode.INVALID_VALUE, f"`{name}` must be {allowed}; got {seen(value, private=private)}.", param=name
    )
