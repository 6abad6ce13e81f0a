"""The published schemas of what comes back: images, events, models, and the error envelope status by status."""

from typing import Any

from gateway.domain.catalogue import Catalogue
from gateway.domain.errors import ErrorCode, status_of, type_of
from gateway.domain.picture import ImageFormat

__all__ = ["ERROR_STATUSES", "error_schema_name", "reply_schemas"]

Schema = dict[str, Any]

ERROR_STATUSES = tuple(sorted({status_of(code) for code in ErrorCode}))
"""The statuses of errors; 409 and 422 only for callers who send an Idempotency-Key."""

_SUPPORT: Schema = {"enum": ["native", "emulated"]}
_STRINGS: Schema = {"type": "array", "items": {"type": "string"}}
_DOLLARS: Schema = {"type": "number", "minimum": 0}
_TOKENS: Schema = {"type": "integer", "minimum": 0}


def error_schema_name(status: int) -> str:
    """The component that describes the envelope of `status`."""
    return f"Error{status}"


def reply_schemas(catalogue: Catalogue) -> dict[str, Schema]:
    """Components by name."""
    return {
        "Image": _image(),
        "ImagesResponse": _object(
            "The images: exactly as many as asked for.",
            {
                "created": {"type": "integer", "description": "Unix time in seconds."},
                "data": {"type": "array", "minItems": 1, "maxItems": 10, "items": _ref("Image")},
            },
        ),
        "ServerSentEvent": _server_sent_event(),
        "ImageGenerationCompletedEvent": _completed_event(catalogue),
        "ErrorEvent": _error_event(),
        "Operation": _operation(),
        "Model": _model(),
        "ModelCapabilities": _capabilities(),
        "ModelList": _object(
            "The models that the key may use.",
            {"object": {"const": "list"}, "data": {"type": "array", "items": _ref("Model")}},
        ),
        **{error_schema_name(status): _error(status) for status in ERROR_STATUSES},
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(description: str, properties: dict[str, Schema], optional: tuple[str, ...] = ()) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "description": description, "properties": properties, "required": required}


def _listed(properties: dict[str, Schema]) -> Schema:
    return {"type": "array", "items": _object("", properties)}


def _image() -> Schema:
    schema = _object(
        "One image, by link or in base64.",
        {
            "url": {
                "type": "string",
                "format": "uri",
                "description": "A signed link; it needs no key and ends by itself.",
            },
            "b64_json": {
                "type": "string",
                "contentEncoding": "base64",
                "description": "Plain base64, without a `data:` prefix.",
            },
            "revised_prompt": {"type": "string", "description": "Only where the vendor rewrote the prompt."},
        },
        optional=("url", "b64_json", "revised_prompt"),
    )
    return schema | {"oneOf": [{"required": ["url"]}, {"required": ["b64_json"]}]}


def _operation() -> Schema:
    return _object(
        "Work that was begun, and what it brought.",
        {
            "id": {"type": "string"},
            "object": {"const": "image.operation"},
            "status": {
                "enum": ["running", "completed", "failed", "unknown"],
                "description": "`unknown`: nobody can tell whether the vendor made, and billed, the images.",
            },
            "model": {"type": "string"},
            "created": {"type": "integer", "description": "Unix time in seconds."},
            "n": {"type": "integer", "minimum": 1, "maximum": 10},
            "images_ready": {"type": "integer", "minimum": 0},
            "cost_usd": {"type": "string", "description": "What the vendor billed, once it is over."},
            "error": {"type": "object", "description": "Why it failed: the envelope's `error`."},
            "result": {
                **_ref("ImagesResponse"),
                "description": "The images, once it is over; those that were paid for also where it failed.",
            },
        },
        optional=("cost_usd", "error", "result"),
    )


def _server_sent_event() -> Schema:
    """OpenAPI 3.1 has no word for a stream's items, so the schema of the stream describes each of them."""
    return {
        "description": "One event of the stream.",
        "oneOf": [
            _event("image_generation.completed", "ImageGenerationCompletedEvent"),
            _event("error", "ErrorEvent"),
            _object(
                "The end of a stream that did not fail; an event without a name is a `message`.",
                {"event": {"const": "message"}, "data": {"const": "[DONE]"}},
                optional=("event",),
            ),
        ],
    }


def _event(name: str, data: str) -> Schema:
    text: Schema = {"type": "string", "contentMediaType": "application/json", "contentSchema": _ref(data)}
    return _object("", {"event": {"const": name}, "data": text})


def _completed_event(catalogue: Catalogue) -> Schema:
    return _object(
        "The data of one `image_generation.completed` event: one finished image.",
        {
            "type": {"const": "image_generation.completed"},
            "b64_json": {"type": "string", "contentEncoding": "base64"},
            "created_at": {"type": "integer"},
            "size": {"enum": [str(size) for size in dict.fromkeys((*catalogue.sizes, catalogue.default_size))]},
            "quality": {"enum": ["auto", "low", "medium", "high", "xhigh", "max"]},
            "background": {"enum": ["auto", "transparent"]},
            "output_format": {"enum": [image_format.value for image_format in ImageFormat]},
            "usage": _object(
                "Always zero: images are billed by the image.",
                {"input_tokens": _TOKENS, "output_tokens": _TOKENS, "total_tokens": _TOKENS},
            ),
        },
    )


def _error_event() -> Schema:
    envelope = _envelope(list(ErrorCode))
    return envelope | {
        "description": "The data of an `error` event: what ended the stream after it had begun.",
        "properties": {"type": {"const": "error"}, **envelope["properties"]},
        "required": ["type", "error"],
    }


def _error(status: int) -> Schema:
    return _envelope([code for code in ErrorCode if status_of(code) == status])


def _envelope(codes: list[ErrorCode]) -> Schema:
    kinds = list(dict.fromkeys(type_of(code).value for code in codes))
    return _object(
        "",
        {
            "error": _object(
                "",
                {
                    "message": {"type": "string"},
                    "type": {"enum": kinds},
                    "param": {"type": ["string", "null"]},
                    "code": {"enum": [code.value for code in codes]},
                },
            )
        },
    )


def _model() -> Schema:
    return _object(
        "A public model.",
        {
            "id": {"type": "string"},
            "object": {"const": "model"},
            "created": {"type": "integer"},
            "owned_by": {"type": "string"},
            "shutdown_date": {"type": ["string", "null"], "format": "date"},
            "capabilities": _ref("ModelCapabilities"),
        },
    )


def _capabilities() -> Schema:
    count: Schema = {"type": "integer", "minimum": 1}
    return _object(
        "What every request for this model may ask for. `native` is what the model does, the gateway adds the rest.",
        {
            "sizes": _listed({"size": {"type": "string"}, "support": _SUPPORT}),
            "default_size": {"type": "string"},
            "output_formats": _listed({"format": {"type": "string"}, "support": _SUPPORT}),
            "response_formats": _listed({"format": {"type": "string"}, "support": _SUPPORT}),
            "n": _object("", {"max": count, "native_max": count}),
            "prompt": _object("", {"max_code_points": count}),
            "stream": _object("", {"support": _SUPPORT, "partial_images": {"type": "boolean"}}),
            "background": _STRINGS,
            "quality": _STRINGS,
            "style": _STRINGS,
            "moderation": _STRINGS,
            "provider_options": _STRINGS,
            "price_per_image_usd": _listed(
                {"size": {"type": "string"}, "quality": {"type": "string"}, "lowest": _DOLLARS, "highest": _DOLLARS}
            ),
        },
    )
