"""Goal 3: a link into base64, base64 into a link, and a downscale, beside the bare cost of the same bytes."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

import orjson

from bench.batches import EDGE, Batch, batch
from bench.contestants import Contestant, Way
from bench.crowd import Served
from bench.load import load
from bench.nginx import PORT
from bench.pictures import photo_png
from bench.results import Outcome, Plan, Table, at_least, at_most, ratio
from bench.stage import Stage, staged
from bench.yardsticks import Task, yardsticks

__all__ = ["run"]

_BYTES = 2_025_000  # 2.7 MB as base64
_SMALL = 512
_PATH = "{}/v1/images/generations"
_HEADINGS = {
    "cpu_ms": "CPU, ms/request",
    "bare_socket_ms": "bare, by a socket, ms",
    "bare_aiohttp_ms": "bare, by aiohttp, ms",
    "per_second": "requests/s",
    "p50_ms": "p50, ms",
    "p99_ms": "p99, ms",
    "rss_peak_mb": "peak RSS, MB",
    "errors": "errors",
}


@dataclass(frozen=True, slots=True)
class _Work:
    """One kind of work: what is asked, so many at a time, and which of the yardsticks make up its bare cost."""

    name: str
    way: str
    asked: dict[str, object]
    connections: int
    download: str
    rest: str
    images: list[str] = field(default_factory=list)


def run(plan: Plan) -> Outcome:
    """Measure it. Only the gateway does any of this: its peers hand on what the vendor sent."""
    outcome = Outcome("transcode")
    fixed, photo = batch([_BYTES]), photo_png(EDGE, 1)
    link = b'{"created":1763800000,"data":[{"url":"http://127.0.0.1:' + PORT + b'/files/image.png"}]}'
    files = {
        "files/image.png": fixed.images[0],
        _PATH.format("fetch"): link,
        _PATH.format("store"): fixed.reply(),
        _PATH.format("shrink"): Batch((photo,)).reply(),
    }
    with staged(plan, files, [Way("fetch"), Way("store"), Way("shrink")], ["gateway"]) as stage:
        (stage.folder / "photo.png").write_bytes(photo)
        works = _works(fixed.written(stage.folder / "expected"))
        for number in range(plan.rounds):
            _round(outcome, stage, plan, (number, works))
    outcome.tabulate("Image work", _HEADINGS, [{"work": work.name} for work in _works([])])
    outcome.tables.append(
        Table(
            "The peers",
            ("who", "url → b64_json", "b64_json → url", "downscale"),
            [
                (name, "cannot: hands the link on", "cannot: hands the base64 on", "cannot")
                for name in ("portkey", "litellm")
            ],
        )
    )
    _judge(outcome)
    return outcome


def _works(images: list[str]) -> list[_Work]:
    shrunk: dict[str, object] = {"size": f"{_SMALL}x{_SMALL}", "response_format": "url"}
    return [
        _Work("url → b64_json, 2.7 MB", "fetch", {"response_format": "b64_json"}, 8, "file", "encode", images),
        _Work("b64_json → url, 2.7 MB", "store", {"response_format": "url"}, 8, "reply", "decode"),
        _Work("1024² → 512² PNG, one at a time", "shrink", shrunk, 1, "", "shrink"),
        _Work(f"1024² → 512² PNG, {_many()} at a time", "shrink", shrunk, _many(), "", "shrink"),
    ]


def _many() -> int:
    return 2 * len(os.sched_getaffinity(0))


def _round(outcome: Outcome, stage: Stage, plan: Plan, what: tuple[int, list[_Work]]) -> None:
    number, works = what
    bare = yardsticks(
        Task(
            port=stage.vendor.port,
            file_path="/files/image.png",
            reply_path="/" + _PATH.format("store"),
            image=str(stage.folder / "vendor/files/files/image.png"),
            photo=str(stage.folder / "photo.png"),
            seconds=plan.seconds,
            edge=_SMALL,
        )
    )
    outcome.rounds.append({"who": "yardsticks", "round": number, **bare})
    for contestant in stage.present.values():
        for work in works:
            _turn(contestant, work, 0.3, stage.folder)
            row = stage.act(contestant, lambda one, work=work: _turn(one, work, plan.seconds, stage.folder))  # type: ignore[misc]
            least = {
                f"bare_{how}_ms": bare[f"{work.rest}_ms"] + (bare[f"{how}_{work.download}_ms"] if work.download else 0)
                for how in ("socket", "aiohttp")
            }
            outcome.rounds.append({**row, **least, "round": number, "work": work.name})


def _turn(contestant: Contestant, work: _Work, seconds: float, folder: Path) -> Served:
    ask = contestant.ask(work.way, **work.asked)
    answers = load(ask, work.connections, seconds=seconds, images=work.images)
    wrong = 0 if work.images else sum(not _is_right(text, work, folder) for text in answers.samples)
    served = answers.served
    return Served(served.requests, served.seconds, served.errors + wrong, served.p50_ms, served.p99_ms)


def _is_right(reply: str, work: _Work, folder: Path) -> bool:
    """Whether the link of a reply leads to the very bytes, or to a PNG of the asked size."""
    with urlopen(orjson.loads(reply)["data"][0]["url"]) as download:
        image: bytes = download.read()
    if work.way == "store":
        return image == (folder / "vendor/files/files/image.png").read_bytes()
    edges = int.from_bytes(image[16:20]), int.from_bytes(image[20:24])  # IHDR
    return image.startswith(b"\x89PNG") and edges == (_SMALL, _SMALL)


def _judge(outcome: Outcome) -> None:
    works = _works([])
    for work in works[:2]:
        ours = outcome.median("cpu_ms", work=work.name)
        for how in ("socket", "aiohttp"):
            bare = outcome.median(f"bare_{how}_ms", work=work.name)
            words = f"CPU of {work.name} by that of a download ({how}) and pybase64"
            outcome.verdicts.append(at_most(3, words, ratio(ours, bare), 1.5, "×"))
    one, many = works[2:]
    shrunk = ratio(outcome.median("cpu_ms", work=many.name), outcome.median("bare_socket_ms", work=many.name))
    outcome.verdicts.append(at_most(3, "CPU of a downscale by bare libvips's", shrunk, 1.2, "×"))
    gain = ratio(outcome.median("per_second", work=many.name), outcome.median("per_second", work=one.name))
    # The vendor and the load run on the same cores, so that not all of a second core can be gained.
    wanted = 1 + 0.5 * (len(os.sched_getaffinity(0)) - 1)
    outcome.verdicts.append(at_least(3, "downscales a second, all cores by one at a time", gain, wanted, "×"))
