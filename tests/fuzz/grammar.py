"""What is thrown at the gateway: requests and vendors' replies out of a seeded grammar, spoilt here and there.

Everything follows from the dice alone, so that an input can be made again from its seed.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from gateway.domain.exchange import HttpReply

__all__ = ["SAMPLES", "Asked", "reply_of", "request_of", "spoilt_bytes", "strange"]

_REPLIES = Path(__file__).resolve().parent.parent / "vendors" / "replies"
_STATUSES = (200, 200, 200, 201, 202, 204, 302, 400, 401, 402, 403, 404, 408, 413, 422, 429, 499, 500, 502, 503, 504)
_WAITS = ("0", "1", "3.5", "-5", "86400", "1e9", "soon", "", "Wed, 21 Oct 2015 07:28:00 GMT", "\u0663", "9" * 40)
_ODD_TEXTS = (
    *("", " ", "\u00a0", "\ufeff", "\x00", "a\x00b", "\r\nset-cookie: a=b", "\u202e", "\U0001f9a9", "null", "NaN"),
    *("a" * 1001, "\u00e9" * 257, "../../etc/passwd", "{{7*7}}", "${jndi:ldap://x}", "\\", '"', "\ud7ff", "1024x1024"),
)
_ODD_NUMBERS = (0, -0.0, -1, 1, 2, 4, 11, 256, 2**31, 2**53 + 1, -(2**63), 2**64, 10**40, 1.5, 1e308, 5e-324)
_DAMAGE = (b'"', b"{", b"}", b"[", b",", b":", b"\\", b"\x00", b"\xff", b"\xed\xa0\x80", b"NaN", b"1e999", b"\\ud800")
Dice = Random
_Value = Callable[[Dice], Any]


@dataclass(frozen=True)
class Asked:
    """A client's request: its body and its headers, with names in lower case."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def _any_of(*values: Any) -> _Value:
    return lambda dice: dice.choice(values)


def _prompt(dice: Dice) -> str:
    words = ("a", "lighthouse", "in", "fog", "\u706f\u53f0", "\U0001f30a", "woodcut", "e\u0301", "\u202e", "\t", "#1")
    length = dice.choice((1, 2, 5, 5, 9, 20, 120))
    return (
        "x" * dice.choice((1, 999, 1000)) if dice.random() < 0.05 else "a " + " ".join(dice.choices(words, k=length))
    )[:1000]


_GOOD: Mapping[str, _Value] = {
    "n": _any_of(1, 1, 2, 3, 10, 1.0, 4.0),
    "size": _any_of("1024x1024", "512x512", "256x256", "auto"),
    "response_format": _any_of("url", "b64_json"),
    "user": _any_of("", "u-1", "\U0001f9a9" * 256, "someone"),
    "quality": _any_of("auto", "low", "medium", "high", "xhigh", "max", "standard", "hd"),
    "style": _any_of("vivid", "natural"),
    "moderation": _any_of("auto", "low"),
    "output_compression": _any_of(100, 100.0),
    "background": _any_of("auto", "opaque"),
    "stream": _any_of(True, False),
    "partial_images": _any_of(0, 1, 3),
    "safety_identifier": _any_of("", "s-1"),
    "complexity": _any_of("low", "medium", "high"),
    "frame_count": _any_of(2, 16),
    "frame_duration_ms": _any_of(1, 10_000),
    "svg": _any_of({"model": "a"}, {"model": "a", "reasoning": {"effort": "low"}}),
    "output_format": _any_of("png", "jpeg", "webp"),
}
_OPTIONS: Mapping[str, _Value] = {
    "seed": _any_of(0, 1, 2**31 - 1, 7.0),
    "style_type": _any_of("GENERAL", "x", 3),
    "negative_prompt": _any_of("blur", "", "n" * 1000),
}
_HEADERS: Mapping[str, tuple[str, ...]] = {
    "content-type": ("application/json; charset=utf-8", "APPLICATION/JSON", "text/plain", "", "multipart/form-data"),
    "content-encoding": ("identity", "gzip", "br", ""),
    "idempotency-key": ("k-1", '"quoted"', "k" * 255, "k" * 256, "a b", "\u00e9", "", '""'),
    "x-samurai-partial": ("allow", " allow ", "deny", ""),
    "x-samurai-route": ("openai", "replicate", "nobody", "", ","),
    "x-stainless-retry-count": ("0", "1", "2", "-1", "x", "9" * 50),
    "x-stainless-read-timeout": ("600", "0.1", "nan", "inf", "-1", "x" * 99),
    "x-request-id": ("abc-123", "a b", "x" * 200),
    "accept": ("*/*", "text/event-stream", ""),
    "prefer": ("wait=5", ";;"),
}
_HARMLESS = frozenset({"x-stainless-retry-count", "x-stainless-read-timeout", "x-request-id", "accept", "prefer"})


def strange(dice: Dice, depth: int = 0) -> Any:
    """Any JSON value, preferably one that nobody thought of."""
    kind = dice.randrange(7 if depth < 3 else 5)
    if kind == 0:
        return dice.choice(_ODD_TEXTS)
    if kind == 1:
        return dice.choice(_ODD_NUMBERS)
    if kind == 2:
        return dice.choice((None, True, False))
    if kind == 3:
        return "".join(map(chr, dice.choices(range(32, 0x2FF), k=dice.randrange(12))))
    if kind == 4:
        return dice.random() * 10 ** dice.randrange(-5, 20)
    if kind == 5:
        return [strange(dice, depth + 1) for _ in range(dice.randrange(4))]
    return {str(strange(dice, 3))[:20]: strange(dice, depth + 1) for _ in range(dice.randrange(4))}


def request_of(dice: Dice, models: Sequence[str]) -> Asked:
    """A request: about two thirds are meant to be good."""
    fields: dict[str, Any] = {"model": dice.choice(models), "prompt": _prompt(dice)}
    for name in dice.sample(tuple(_GOOD), k=dice.choice((0, 1, 2, 3, 5))):
        fields[name] = _GOOD[name](dice)
    if fields.get("output_format") in ("jpeg", "webp") and dice.random() < 0.5:
        fields["output_compression"] = dice.randrange(101)
    if dice.random() < 0.12:
        names = {"ideogram-v3": tuple(_OPTIONS)}.get(fields["model"], ("seed",))
        if fields["model"] not in ("dall-e-3", "imagen-3") or dice.random() < 0.2:
            fields["provider_options"] = {name: _OPTIONS[name](dice) for name in dice.sample(names, k=1)}
    headers = {"content-type": "application/json"}
    good = dice.random() < 0.65
    for name in dice.sample(tuple(_HEADERS), k=dice.choice((0, 0, 0, 1, 2))):
        if not good or name in _HARMLESS:
            headers[name] = dice.choice(_HEADERS[name])
    if good:
        return Asked(json.dumps(fields, ensure_ascii=dice.random() < 0.5).encode(), headers)
    return Asked(_spoilt(fields, dice), headers)


def _spoilt(fields: dict[str, Any], dice: Dice) -> bytes:
    for _ in range(dice.choice((0, 1, 1, 2))):
        change = dice.randrange(5)
        name = dice.choice((*fields, *_GOOD)) if fields else "n"
        if change == 0:
            fields.pop(name, None)
        elif change == 1:
            fields[dice.choice(("nn", "Prompt", "", "a\nb", "__proto__", "mask", "\u0440rompt"))] = strange(dice)
        elif change == 2:
            fields["provider_options"] = strange(dice)
        else:
            fields[name] = strange(dice)
    text = json.dumps(fields, ensure_ascii=dice.random() < 0.5).encode("utf-8", "surrogatepass")
    how = dice.randrange(8)
    if how == 0:
        return spoilt_bytes(text, dice)
    if how == 1 and fields:
        again = json.dumps(dice.choice(tuple(fields))).encode()
        return text[:-1] + b"," + again + b":" + json.dumps(strange(dice)).encode() + b"}"
    if how == 2:
        depth = dice.choice((3, 31, 32, 33, 5_000))
        return text[:-1] + b',"svg":' + b"[" * depth + b"]" * depth + b"}"
    if how == 3:
        return json.dumps(strange(dice)).encode()
    return text


def spoilt_bytes(text: bytes, dice: Dice) -> bytes:
    """The same with a few bytes cut out, put in or changed."""
    damaged = bytearray(text)
    for _ in range(dice.choice((1, 1, 2, 5))):
        at = dice.randrange(len(damaged) + 1)
        how = dice.randrange(4)
        if how == 0:
            del damaged[at : at + dice.choice((1, 2, 10, 10_000))]
        elif how == 1:
            damaged[at:at] = dice.choice(_DAMAGE)
        elif how == 2:
            damaged[at : at + 1] = bytes([dice.randrange(256)])
        else:
            damaged[at:at] = damaged[: dice.randrange(40)]
    return bytes(damaged)


def _samples() -> dict[str, list[tuple[int, Mapping[str, str], Any]]]:
    found: dict[str, list[tuple[int, Mapping[str, str], Any]]] = {}
    for path in sorted(_REPLIES.rglob("*.json")):
        sample = json.loads(path.read_text("utf-8"))
        reply = sample["reply"]
        found.setdefault(sample["dialect"], []).append((reply["status"], reply.get("headers", {}), reply.get("body")))
    return found


SAMPLES = _samples()
"""Status, headers and body of replies as vendors give them, by dialect."""


def reply_of(dice: Dice, dialect: str) -> HttpReply:
    """A vendor's reply: as it should be, with some part of it changed, or nothing of the kind."""
    status, headers, body = dice.choice(SAMPLES[dialect])
    how = dice.randrange(10)
    if how == 0:
        return HttpReply(dice.choice(_STATUSES), headers, strange(dice))
    if how == 1:
        return HttpReply(dice.choice(_STATUSES), {}, None, str(strange(dice, 3))[:2048])
    if how == 2:
        status = dice.choice(_STATUSES)
    if how == 3:
        headers = {dice.choice(("retry-after", "retry-after-ms", "date", "content-type")): dice.choice(_WAITS)}
    for _ in range(dice.choice((0, 1, 1, 2, 4))):
        body = _changed(body, dice)
    return HttpReply(status, headers, body, "" if body is not None else "not JSON")


def _changed(value: Any, dice: Dice) -> Any:
    """The same value with one place in it changed; what is not on the way there is shared with the original."""
    if not value or not isinstance(value, dict | list) or dice.random() < 0.15:
        return strange(dice)
    if isinstance(value, dict):
        name = dice.choice(tuple(value))
        changed = dict(value)
        if dice.random() < 0.2:
            del changed[name]
        elif dice.random() < 0.1:
            changed[str(strange(dice, 3))] = changed.pop(name)
        else:
            changed[name] = _changed(value[name], dice)
        return changed
    at = dice.randrange(len(value))
    if dice.random() < 0.2:
        return [*value[:at], *value[at + 1 :]]
    if dice.random() < 0.1:
        return value * dice.choice((2, 40))
    return [*value[:at], _changed(value[at], dice), *value[at + 1 :]]
