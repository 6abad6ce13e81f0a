"""/llms.txt and the Markdown reference pages that it lists, for people and for machines that read."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gateway.documents.advice import ADVICE
from gateway.documents.models import capability_manifest
from gateway.documents.repeats import REPEATS
from gateway.documents.reply_headers import HEADERS, headers_for
from gateway.domain.catalogue import Capabilities, Catalogue, Route, Target
from gateway.domain.errors import ErrorCode, status_of, type_of
from gateway.policies.strict_json import BODY_LIMIT_BYTES, NESTING_LIMIT
from gateway.steps.request_shape import ALLOWED, KINDS

__all__ = ["PAGES", "llms_txt", "pages"]

CapabilitiesOf = Callable[[Target], Capabilities]

PAGES: Mapping[str, tuple[str, str]] = {
    "images": ("Making images", "the request, field by field, and the reply"),
    "repeats": ("Sending again, and not waiting", "idempotency keys, retries, operations, and links to images"),
    "models": ("Models", "what each model does by itself and what the gateway adds"),
    "errors": ("Errors", "every code, what it means, and whether to retry"),
    "limits": ("Limits", "rate limits, their headers, and the bounds of a request"),
}
"""Title and a half sentence for each page, by its name: served at `/docs/<name>.md`."""


def llms_txt(base_url: str) -> str:
    """The index in the llms.txt format: title, summary, lists of links. `base_url` has no trailing slash."""
    links = "\n".join(f"- [{title}]({base_url}/docs/{name}.md): {about}" for name, (title, about) in PAGES.items())
    return f"""# Samurai Gateway

> One OpenAI-compatible endpoint, `POST {base_url}/v1/images/generations`, in front of several image vendors.
> Use any OpenAI SDK with this base URL: `{base_url}/v1`. Every model delivers exactly the images asked for.

## Reference

{links}

## Machine-readable

- [OpenAPI 3.1]({base_url}/openapi.json): every operation, made from the types that validate
- [Models]({base_url}/v1/models): the models of your key with capabilities and prices; needs the key
"""


def pages(catalogue: Catalogue, capabilities_of: CapabilitiesOf) -> dict[str, str]:
    """The reference pages as Markdown, by name. They name every public model, but no price and no account."""
    routes = {route.id: route for route in catalogue.routes.values()}.values()
    manifests = {route.id: capability_manifest(route, catalogue, capabilities_of) for route in routes}
    return {
        "images": _images(catalogue),
        "repeats": REPEATS,
        "models": _models(manifests),
        "errors": _errors(),
        "limits": _limits(routes),
    }


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [tuple(head)]
    lines.append(tuple("---" for _ in lines[0]))
    lines.extend(tuple(cell.replace("|", "\\|") for cell in row) for row in rows)
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _images(catalogue: Catalogue) -> str:
    words = ", ".join(f"`{size}`" for size in ("auto", *catalogue.sizes))
    own = {
        "size": f"one of {words}; `auto` is `{catalogue.default_size}`",
        "prompt": "1 code point up to the model's limit, not only white space",
    }
    required = {"prompt"} if catalogue.default_model else {"prompt", "model"}
    fields = _table(
        ("field", "must be", "required"),
        ((f"`{name}`", own.get(name, ALLOWED[name]), "yes" if name in required else "no") for name in KINDS),
    )
    headers = _table(
        ("header", "says"), ((f"`{name}`", HEADERS[name]) for name in (*headers_for("generation"), "x-should-retry"))
    )
    unknown = (
        "are ignored, and named in `x-samurai-ignored`"
        if catalogue.ignore_unknown_fields
        else "are refused with `unknown_parameter`"
    )
    return f"""# Making images

`POST /v1/images/generations` with `Content-Type: application/json` and `Authorization: Bearer <key>`.

## Request

{fields}

`null` is the same as absent. Other fields {unknown}. `quality`, `style` and `moderation` are hints: where a model
has no such thing they are ignored, and named in `x-samurai-ignored`. `x-samurai-partial: allow` as a request header
accepts fewer images than `n` when the rest cannot be made. `Idempotency-Key` and `Prefer: respond-async` are told of in
[Sending again, and not waiting](repeats.md).

## Reply

`{{"created": <unix seconds>, "data": [...]}}` with exactly `n` entries. Each holds `url` (a signed link that needs no
key and ends by itself) or `b64_json` (plain base64), and `revised_prompt` where the vendor rewrote the prompt. Every
image has exactly the size and the file format asked for.

With `"stream": true` the reply is a stream of server-sent events: one `image_generation.completed` an image, always
with `b64_json`, then `data: [DONE]`. A failure after the first byte is an `error` event.

## Reply headers

{headers}
"""


def _models(manifests: Mapping[str, Mapping[str, Any]]) -> str:
    rows = ((f"`{name}`", *_powers(manifest)) for name, manifest in manifests.items())
    head = (
        "model",
        "sizes",
        "images a vendor call",
        "file formats",
        "`url`",
        "`b64_json`",
        "transparent",
        "quality",
        "prompt limit",
        "options",
    )
    return f"""# Models

Every model takes every size, `n`, file format and response format listed here. What is marked `*` the gateway adds:
it makes more calls, scales down, or writes the file anew. Which of them your key may use, and at what price, is
answered by `GET /v1/models`.

{_table(head, rows)}
"""


def _powers(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    links, base64 = (row["support"] for row in manifest["response_formats"])
    return (
        _marked(manifest["sizes"], "size"),
        str(manifest["n"]["native_max"]),
        _marked(manifest["output_formats"], "format"),
        links,
        base64,
        "yes" if "transparent" in manifest["background"] else "no",
        ", ".join(manifest["quality"]) or "–",
        str(manifest["prompt"]["max_code_points"]),
        ", ".join(f"`{name}`" for name in manifest["provider_options"]) or "–",
    )


def _marked(rows: Iterable[Mapping[str, str]], key: str) -> str:
    return ", ".join(row[key] + ("" if row["support"] == "native" else "*") for row in rows)


def _errors() -> str:
    rows = (
        (str(status_of(code)), f"`{type_of(code).value}`", f"`{code.value}`", *ADVICE[code])
        for code in sorted(ErrorCode, key=status_of)
    )
    return f"""# Errors

The body is always `{{"error": {{"message", "type", "param", "code"}}}}`, with all four keys. The set of codes is
closed. `x-should-retry` tells the SDKs whether a retry could be paid for twice; they obey it.

{_table(("status", "type", "code", "meaning", "what to do"), rows)}
"""


def _limits(routes: Iterable[Route]) -> str:
    prompts = _table(
        ("model", "prompt limit in code points"), ((f"`{route.id}`", str(route.prompt_limit)) for route in routes)
    )
    headers = _table(
        ("header", "says"),
        ((f"`{name}`", meaning) for name, meaning in HEADERS.items() if "ratelimit" in name or "retry" in name),
    )
    return f"""# Limits

## A request

The body is at most {BODY_LIMIT_BYTES} bytes of UTF-8 JSON, nested at most {NESTING_LIMIT} levels, without doubled
names, `NaN` or `Infinity`. `n` is at most 10.

{prompts}

## Rates

Requests and images are limited by the minute, and refill evenly. A refused call uses nothing up; waiting exactly as
long as told succeeds. `n` above what the limit could ever allow at once is `n_exceeds_limit`, not a 429.

{headers}
"""
