"""What Replicate's replies hold, and how it says no. For Replicate's dialect only.

From the vendor's OpenAPI document, its two clients, and recorded replies.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gateway.domain import faults
from gateway.domain.exchange import Fault, HttpReply
from gateway.domain.reply_fields import always, sometimes
from gateway.domain.wire import objects, retry_after_s, text, wait_s, wait_s_in, whole

__all__ = ["REPLY_FIELDS", "fault_of"]

# `prediction_response` of the OpenAPI document, with the metrics that the service adds to its own.
REPLY_FIELDS = MappingProxyType(
    {
        "id": always("string"),
        "model": always("string"),
        "version": always("string"),
        "input": always("object"),
        "output": always("string array null"),
        "output[]": sometimes("string"),
        "data_removed": always("boolean"),
        "error": always("string null"),
        "status": always("string"),
        "created_at": always("string"),
        "started_at": sometimes("string null"),
        "completed_at": sometimes("string null"),
        "deadline": sometimes("string"),
        "deployment": sometimes("string"),
        "source": sometimes("string"),
        "logs": sometimes("string null"),
        "metrics": sometimes("object"),
        "metrics.image_count": sometimes("number"),
        "metrics.predict_time": sometimes("number"),
        "metrics.total_time": sometimes("number"),
        "urls": always("object"),
        "urls.web": always("string"),
        "urls.get": always("string"),
        "urls.cancel": always("string"),
        "urls.stream": sometimes("string"),
    }
)


def fault_of(reply: HttpReply) -> Fault:
    """The fault that a reply without a prediction stands for."""
    body: Any = reply.json if isinstance(reply.json, dict) else {}
    # A problem document names its status; inside a 200 that one counts.
    named = whole(body, "status")
    status = named if named is not None and 200 <= reply.status < 300 else reply.status
    title, detail = text(body, "title"), text(body, "detail")
    prose = ": ".join(filter(None, (title, detail))) or reply.text
    if status == 422 and title == "Invalid version or not permitted":
        return faults.dead_model(prose)
    if status == 422 and any(field.get("field") == "input.prompt" for field in objects(body, "invalid_fields")):
        return faults.bad_prompt(prose)
    return faults.by_status(status, prose, _patience(reply.headers, body, detail))


def _patience(headers: Mapping[str, str], body: Any, detail: str) -> float | None:
    wishes = (retry_after_s(headers), wait_s(body.get("retry_after")), wait_s_in(detail))
    return next((wish for wish in wishes if wish is not None), None)
