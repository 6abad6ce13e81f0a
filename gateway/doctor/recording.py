"""Keeping a vendor's reply as a sample: what was asked, what came, what it comes to, and no secret in it.

The form is that of the samples which the dialects are tested with, so that a file can be put beside them.
"""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gateway.doctor.appraisal import drift_in
from gateway.doctor.purchases import Exchange, Order, Purchase
from gateway.domain.exchange import LIFTED, Delivered, Fault, HttpReply, Inline, Outcome, Pending
from gateway.edges.redaction import Redaction

__all__ = ["Scrubber", "sample_of", "save"]

_HEADERS = ("content-type", "date", "preference-applied", "retry-after", "retry-after-ms")
_HEAD_LENGTH = 16
_QUERY = re.compile(r"(https?://[^\s\"'<>?#]+)[?#][^\s\"'<>]*")
_BASE64 = re.compile(r"((?:data:[^,\"]{0,200};base64,)?[A-Za-z0-9+/_-]{16})[A-Za-z0-9+/_-]{80,}={0,2}")  # a hash has 64
_PROJECT = re.compile(r"\bprojects/[^/\s\"']+")
_ID = re.compile(r"\b(org|proj|acct|user|req)[-_][A-Za-z0-9]{6,}")


class Scrubber:
    """Takes out of a value what is nobody else's business. `names` are exact texts, such as a project's id."""

    def __init__(self, secrets: Iterable[str], names: Iterable[str] = ()) -> None:
        self._redaction = Redaction(secrets)
        known = sorted((re.escape(name) for name in names if name), key=len, reverse=True)
        self._names = re.compile("|".join(known)) if known else None

    def text(self, text: str) -> str:
        """The text with links cut before their `?`, images to a short head, and secrets and ids hidden."""
        if text.startswith(LIFTED):  # stands for an image, and holds nothing of it
            return text
        plain = _ID.sub(r"\1-redacted", _PROJECT.sub("projects/project", _QUERY.sub(r"\1", text)))
        if self._names is not None:
            plain = self._names.sub("redacted", plain)
        # The path of a link may look like base64 as a whole, so its parts are looked at one by one.
        parts = plain.split("/") if _is_link(plain) else [plain]
        return "/".join(self._redaction.text(_BASE64.sub(r"\1", part)) for part in parts)

    def value(self, value: Any) -> Any:
        """The same for every string in a JSON value."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {name: self.value(inner) for name, inner in value.items()}
        return [self.value(inner) for inner in value] if isinstance(value, list | tuple) else value


def save(purchases: Iterable[Purchase], folder: Path, scrubber: Scrubber, today: date) -> list[Path]:
    """Write every reply into `folder`/<vendor>/, and say where. Raises OSError."""
    written = []
    for number, purchase in enumerate(purchases, 1):
        order = purchase.order
        place = folder / order.dialect.vendor
        place.mkdir(parents=True, exist_ok=True)
        for exchange in purchase.exchanges:
            name = re.sub(r"[^A-Za-z0-9.-]+", "_", f"{order.route_id}_{order.shot.model}")
            path = place / f"{today:%Y%m%d}_{number:02}_{name}_{exchange.step}.json"
            sample = sample_of(exchange, order, scrubber, today)
            path.write_text(json.dumps(sample, indent=1, ensure_ascii=False) + "\n", "utf-8")
            written.append(path)
    return written


def sample_of(exchange: Exchange, order: Order, scrubber: Scrubber, today: date) -> dict[str, Any]:
    """One exchange as a sample. `expect` is what the scrubbed reply comes to, so that the file agrees with itself."""
    reply, dialect = exchange.reply, order.dialect
    headers = {name: scrubber.text(value) for name, value in reply.headers.items() if name in _HEADERS}
    kept = HttpReply(reply.status, headers, scrubber.value(reply.json), scrubber.text(reply.text))
    drift = drift_in(exchange, order)
    is_as_expected = drift is not None and not (drift.is_breaking or drift.new)
    return {
        "about": f"{exchange.step}, bought by samurai doctor on {today}",
        "dialect": dialect.name,
        "model": order.shot.model,
        "count": order.shot.count,
        "schema": f"{dialect.name}.reply" if is_as_expected else None,
        "request": {
            "method": exchange.call.method,
            "url": scrubber.text(exchange.call.url),
            "body": scrubber.value(exchange.call.json),
        },
        "reply": {
            "status": kept.status,
            "headers": headers,
            **({"text": kept.text} if kept.json is None else {"body": kept.json}),
        },
        "expect": _as_data(dialect.outcome_of(kept, order.shot, order.shot.target.account)),
    }


def _is_link(text: str) -> bool:
    return text.startswith(("https://", "http://")) and not any(map(str.isspace, text)) and bool(urlsplit(text).netloc)


def _as_data(outcome: Outcome) -> dict[str, Any]:
    match outcome:
        case Delivered(pictures=pictures):
            return {
                "delivered": len(pictures),
                "billed": outcome.billed,
                "withheld": outcome.withheld,
                "created": outcome.created,
                "source": "inline" if isinstance(pictures[0].source, Inline) else "remote",
                "revised_prompt": pictures[0].revised_prompt,
            }
        case Pending():
            return {
                "pending": outcome.vendor_id,
                "cancellable": outcome.cancel is not None,
                "cancel_is_free": outcome.cancel_is_free,
            }
        case Fault():
            return {
                "fault": outcome.code.value,
                "next": outcome.next.value,
                "may_have_billed": outcome.may_have_billed,
                "counts_against_vendor": outcome.counts_against_vendor,
                "retry_after_s": outcome.retry_after_s,
                "transient_auth": outcome.transient_auth,
            }
