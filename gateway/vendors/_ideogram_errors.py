"""How Ideogram says no: four shapes of body, one meaning for each status. For the two Ideogram dialects only.

From the vendor's error and rate-limit pages. What is turned away before it runs is not billed, and a failed
generation neither; a completed one is, also when its images are withheld.
"""

from typing import Any

from gateway.domain import faults
from gateway.domain.exchange import Fault, HttpReply
from gateway.domain.wire import retry_after_s, text

__all__ = ["fault_of"]

_BROKE = frozenset({"insufficient_funds", "daily_limit"})


def fault_of(reply: HttpReply) -> Fault:
    """The fault that a reply without a result stands for."""
    body: Any = reply.json
    prose = text(body, "error") or text(body, "detail") or text(body, "message") or reply.text
    reason = text(body, "reject_reason")
    detail = f"{reason}: {prose}" if reason else prose
    # An error inside a 200 has no status of its own.
    status = 400 if 200 <= reply.status < 300 and text(body, "error") else reply.status
    if reason in _BROKE:
        return faults.no_money(detail)
    if reason == "inflight_limit":
        return faults.throttled(detail, retry_after_s(reply.headers))
    if status == 422:
        return faults.refusal(detail)
    if status == 400 and prose.endswith("- 'prompt'"):
        return faults.bad_prompt(detail)
    return faults.by_status(status, detail, retry_after_s(reply.headers))
