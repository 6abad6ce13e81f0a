"""/openapi.json: the public port as one OpenAPI 3.1 document, made from the types that validate."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gateway import __version__
from gateway.documents.reply_headers import headers_for
from gateway.documents.reply_schemas import ERROR_STATUSES, error_schema_name, reply_schemas
from gateway.documents.request_schema import request_schemas
from gateway.domain.catalogue import Capabilities, Catalogue, Target
from gateway.domain.picture import ImageFormat

__all__ = ["document"]

Json = dict[str, Any]

_MEANING = {
    400: "The request can be mended; `param` names the field.",
    401: "No key, or one that nobody holds.",
    404: "No such thing for this key.",
    405: "Another method is needed; see `Allow`.",
    409: "The first request with this `Idempotency-Key` still runs. Come back as told.",
    422: "This `Idempotency-Key` came with another body before.",
    429: "A limit bound. Waiting as told succeeds.",
    500: "Ours or a vendor's fault. `x-should-retry` says whether a retry is free.",
}
_RANGES = {"the first kibibyte": "bytes=0-1023", "beyond the end": "bytes=99999999-"}
_WISHES: tuple[Json, ...] = (
    {
        "name": "idempotency-key",
        "in": "header",
        "description": "A name of your own for this request. Sent again with it, it gets the first answer again.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    },
    {
        "name": "prefer",
        "in": "header",
        "description": "`respond-async` is answered with 202 and the operation at once. Other preferences are ignored.",
        "schema": {"type": "string"},
        "example": "respond-async",
    },
    {
        "name": "x-samurai-partial",
        "in": "header",
        "description": "`allow` accepts fewer images than asked for, when the rest cannot be made.",
        "schema": {"type": "string", "enum": ["allow"]},
    },
)
_BINARY: Json = {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}}


def document(
    catalogue: Catalogue, base_url: str, capabilities_of: Callable[[Target], Capabilities], pages: Iterable[str]
) -> Json:
    """The whole document, JSON-ready. `base_url` has no trailing slash; `pages` are the names of `/docs/{page}.md`."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Samurai Gateway",
            "version": __version__,
            "summary": "One OpenAI-compatible endpoint in front of several image vendors.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": base_url}],
        "security": [{"key": []}],
        "paths": {
            "/v1/images/generations": {"post": _create_image(catalogue)},
            "/v1/operations/{id}": {"get": _operation()},
            "/v1/models": {"get": _list_models()},
            "/v1/models/{model}": {"get": _retrieve_model(catalogue)},
            "/v1/images/files/{file}": _file(),
            **_readable(pages),
        },
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": {**request_schemas(catalogue, capabilities_of), **reply_schemas(catalogue)},
            "responses": {error_schema_name(status): _error_response(status) for status in ERROR_STATUSES},
        },
    }


def _create_image(catalogue: Catalogue) -> Json:
    example = {"model": catalogue.default_model or next(iter(catalogue.routes), ""), "prompt": "A lighthouse in fog"}
    return {
        "operationId": "createImage",
        "summary": "Make images.",
        "description": "Exactly `n` images of exactly `size`, on every model. At most 64 KiB of strict JSON. "
        "`Idempotency-Key` repeats an answer; `Prefer: respond-async` gets 202 at once.",
        "parameters": list(_WISHES),
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _ref("ImageRequest"), "example": example}},
        },
        "responses": _responses(
            {
                "description": "The images; as events, one an image, when `stream` is true.",
                "headers": headers_for("generation"),
                "content": {
                    "application/json": {"schema": _ref("ImagesResponse")},
                    "text/event-stream": {"schema": _ref("ServerSentEvent")},
                },
            },
            ERROR_STATUSES,
        )
        | {"202": _json("Operation") | {"description": "Begun; see `Location`.", "headers": headers_for("accepted")}},
    }


def _operation() -> Json:
    return {
        "operationId": "retrieveOperation",
        "summary": "How far an operation has come, and what it brought. For the key that began it.",
        "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}],
        "responses": _responses(_json("Operation"), (400, 401, 404, 405, 429, 500)),
    }


def _list_models() -> Json:
    return {
        "operationId": "listModels",
        "summary": "The models that your key may use, and what each can do.",
        "responses": _responses(_json("ModelList"), (400, 401, 405, 429, 500)),
    }


def _retrieve_model(catalogue: Catalogue) -> Json:
    ids = [route.id for route in catalogue.routes.values()]
    return {
        "operationId": "retrieveModel",
        "summary": "One model, and what it can do.",
        "parameters": [
            {
                "name": "model",
                "in": "path",
                "required": True,
                "schema": {"type": "string", "minLength": 1},
                "examples": {name: {"value": name} for name in ids},
            }
        ],
        "responses": _responses(_json("Model"), (400, 401, 404, 405, 429, 500)),
    }


def _file() -> Json:
    return {
        "parameters": [
            {"name": "file", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}},
            {"name": "expires", "in": "query", "required": True, "schema": {"type": "integer"}},
            {"name": "signature", "in": "query", "required": True, "schema": {"type": "string"}},
            _optional_header("range", "One range of bytes; several, or one that is malformed, get the whole.", _RANGES),
            _optional_header("if-none-match", "The `ETag` of an image that you have.", {}),
        ],
        "get": _file_operation("readImage", "An image behind a link. The link is the permission.", body=True),
        "head": _file_operation("checkImage", "The same without the image.", body=False),
    }


def _optional_header(name: str, description: str, examples: Mapping[str, str]) -> Json:
    parameter: Json = {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}
    shown = {summary: {"value": value} for summary, value in examples.items()}
    return parameter | ({"examples": shown} if shown else {})


def _file_operation(name: str, summary: str, *, body: bool) -> Json:
    content = {"content": {image_format.media_type: _BINARY for image_format in ImageFormat}} if body else {}
    whole: Json = {"description": "The image.", "headers": headers_for("file"), **content}
    return {
        "operationId": name,
        "summary": summary,
        "security": [],
        "responses": {
            **_responses(whole, (400, 404, 405, 500), bodies=body),
            "206": {"description": "The part of the image that `Range` asked for.", **content},
            "304": {"description": "Not changed since the `ETag` in `If-None-Match`."},
            "416": {"description": "`Range` begins beyond the end of the image."},
        },
    }


def _readable(pages: Iterable[str]) -> Json:
    page = {"name": "page", "in": "path", "required": True, "schema": {"enum": list(pages)}}
    read_page = _text("readPage", "A reference page, as Markdown.", "text/markdown", (400, 404, 405, 500))
    return {
        "/llms.txt": {"get": _text("readIndex", "The index of this documentation.", "text/plain", (400, 405, 500))},
        "/openapi.json": {
            "get": _text("readOpenapi", "This document.", "application/json", (400, 405, 500), kind="object")
        },
        "/docs/{page}.md": {"parameters": [page], "get": read_page},
    }


def _text(name: str, summary: str, media_type: str, statuses: Iterable[int], kind: str = "string") -> Json:
    found = {"description": summary, "headers": headers_for("any"), "content": {media_type: {"schema": {"type": kind}}}}
    return {"operationId": name, "summary": summary, "security": [], "responses": _responses(found, statuses)}


def _responses(success: Mapping[str, Any], statuses: Iterable[int], *, bodies: bool = True) -> Json:
    errors: dict[str, Any] = {
        str(status): {"$ref": f"#/components/responses/{error_schema_name(status)}"}
        if bodies
        else {"description": _MEANING[status], "headers": headers_for(status)}
        for status in statuses
    }
    return {"200": dict(success), **errors}


def _error_response(status: int) -> Json:
    return {
        "description": _MEANING[status],
        "headers": headers_for(status),
        "content": {"application/json": {"schema": _ref(error_schema_name(status))}},
    }


def _json(name: str) -> Json:
    return {
        "description": "Found.",
        "headers": headers_for("any"),
        "content": {"application/json": {"schema": _ref(name)}},
    }


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}
