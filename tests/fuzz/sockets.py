"""The share on real sockets: a running gateway, between clients and vendors who both say what the dice tell them."""

import asyncio
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import h11
import orjson

from tests.fuzz.answers import problem_with
from tests.fuzz.grammar import Asked, request_of, spoilt_bytes
from tests.fuzz.inside import Finding, Tally
from tests.fuzz.vendor import vendors
from tests.processes import Running, gateway, sandbox_settings

__all__ = ["over_sockets"]

_AT_ONCE = 96  # some wait for five seconds, for work whose id was lost
_PATIENCE_S = 40.0
_SILENCE_S = 0.5  # after which the sender of what may be no whole request closes its side
_PATHS = ("/v1/images/generations", "/v1/models", "/v1/models/dall-e-3", "/v1/operations/op_" + "0" * 24, "/llms.txt")
_METHODS = ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW", "POST")
_AFTER_VALIDATION = ("upstream_", "content_policy", "gateway_overloaded", "idempotency", "rate_limit", "asset_store")


@dataclass
class _Answer:
    """An HTTP answer; `status` 0 for a connection that was closed without one."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    whole: bool = False
    silent: bool = False


def over_sockets(seed: str, count: int) -> Tally:
    """So many requests; a third of them are raw bytes that may be no HTTP."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        made = stack.enter_context(vendors(f"{seed}/vendors"))
        running = stack.enter_context(_gateway(Path(folder), f"http://127.0.0.1:{made.port}"))
        tally = asyncio.run(_all(seed, count, running))
        output = list(running.output.lines)
        tally.answers["calls to vendors"] = made.calls
    tally.findings += [Finding(seed, line.strip()[:2000]) for line in output if "internal error" in line]
    return tally


@contextmanager
def _gateway(folder: Path, vendor_url: str) -> Iterator[Running]:
    settings = sandbox_settings(folder, vendor_url)
    settings["keys"][0] |= {"limits": {}, "may_route": True}
    settings["resilience"] = {"breaker": {"failures": 1.0, "over": 100_000, "cooldown": "1ms"}, "retry_budget": 1.0}
    settings["server"]["drain"] = {"delay": "0s", "deadline": "1s"}
    for model in settings["models"].values():
        model["deadline"] = "5s"
    with gateway(folder, settings, vendor_url) as running:
        yield running


async def _all(seed: str, count: int, running: Running) -> Tally:
    tally, numbers = Tally(), iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await _one(f"{seed}/{number}", running, tally)

    await asyncio.gather(*(worker() for _ in range(_AT_ONCE)))
    return tally


async def _one(seed: str, running: Running, tally: Tally) -> None:
    dice = Random(seed)
    raw = dice.random() < 0.33
    asked = request_of(dice, tuple(_MODELS))
    method, path = "POST", _PATHS[0]
    if raw and dice.random() < 0.3:
        method, path = dice.choice(_METHODS), dice.choice(_PATHS)
    sent = _written(method, path, asked, running.key)
    if raw:
        sent = spoilt_bytes(sent, dice)
    answer = _Answer()
    with suppress(OSError):
        answer = await _exchange(running, sent, raw=raw, method=method)
    tally.inputs += 1
    images = None if raw else _wanted(asked)
    code, trouble = _judged(answer, raw=raw, images=images)
    tally.answers[code] += 1
    if path == _PATHS[0] and (answer.status in (200, 202) or code.startswith(_AFTER_VALIDATION)):
        tally.valid += 1
    if trouble:
        tally.findings.append(Finding(seed, f"{trouble}; answered to {sent[:300]!r}"))


_MODELS = ("flux-schnell", "flux-1.1-pro", "dall-e-3", "dall-e-3", "dall-e-3", "ideogram-v3", "imagen-3", "imagen-3")


def _wanted(asked: Asked) -> int | None:
    """How many images a 200 must have; None where the caller allowed fewer, or wants events."""
    with suppress(orjson.JSONDecodeError):
        fields: Any = orjson.loads(asked.body)
        if isinstance(fields, dict) and fields.get("stream") is not True and "x-samurai-partial" not in asked.headers:
            return int(fields.get("n") or 1) if isinstance(fields.get("n", 1), int | float) else None
    return None


def _written(method: str, path: str, asked: Asked, key: str) -> bytes:
    headers: Mapping[str, str] = {"host": "gateway", "authorization": f"Bearer {key}"} | dict(asked.headers)
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    lines.append(f"content-length: {len(asked.body)}")
    return "\r\n".join(lines).encode("utf-8") + b"\r\n\r\n" + asked.body


async def _exchange(running: Running, sent: bytes, *, raw: bool, method: str) -> _Answer:
    where = urlsplit(running.base_url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    answer = _Answer()
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method="HEAD" if method == "HEAD" else "GET", target="/", headers=[("host", "g")]))
    parser.send(h11.EndOfMessage())
    try:
        writer.write(sent)
        async with asyncio.timeout(_PATIENCE_S):
            while not answer.whole:
                try:
                    async with asyncio.timeout(_SILENCE_S if raw and not answer.status else None):
                        data = await reader.read(1 << 16)
                except TimeoutError:
                    if not raw:
                        raise
                    raw = False
                    writer.write_eof()
                    continue
                if not data:
                    break
                _take(parser, data, answer)
    except TimeoutError:
        answer.silent = True
    finally:
        writer.transport.abort()
    return answer


def _take(parser: h11.Connection, data: bytes, answer: _Answer) -> None:
    parser.receive_data(data)
    while True:
        event = parser.next_event()
        if isinstance(event, h11.Response):
            answer.status = event.status_code
            answer.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
        elif isinstance(event, h11.Data):
            answer.body += event.data
        elif isinstance(event, h11.EndOfMessage):
            answer.whole = True
            return
        elif event is h11.NEED_DATA or event is h11.PAUSED:
            return


def _judged(answer: _Answer, *, raw: bool, images: int | None) -> tuple[str, str]:
    if answer.silent:
        return "silence", "neither an answer nor an end of the connection"
    if not answer.status:
        return "closed without an answer", "" if raw else "a good request without an answer"
    if not answer.whole:
        return "cut short", "an answer that was cut short"
    if answer.headers.get("content-type", "").startswith("text/event-stream"):
        return "events", ""
    if answer.status < 400:
        return "ok", problem_with(answer.status, answer.headers, bytes(answer.body), images=images)
    if not answer.body and answer.headers.get("content-length", "0") != "0":
        return "head", ""
    trouble = problem_with(answer.status, answer.headers, bytes(answer.body))
    with suppress(orjson.JSONDecodeError, KeyError, TypeError):
        return str(orjson.loads(answer.body)["error"]["code"]), trouble
    return "no envelope", trouble
