"""Goal 4: what crowds that ask for ten images each, as base64, cost in memory: 20 MB of JSON a reply.

The gateway starts anew for each crowd, inside a control group of 512 MB where the machine allows one. Every byte that
comes back is compared.
"""

from pathlib import Path

from bench.batches import batch
from bench.cgroups import bounded, joining
from bench.contestants import Contestant, Way, gateway, settings
from bench.kernel import Usage, measured
from bench.load import load
from bench.results import Outcome, Plan, Row, at_most
from bench.stage import Stage, figures_of, staged

__all__ = ["run"]

_IMAGES, _IMAGE_BYTES = 10, 1_500_000
_CROWDS = (1, 10, 25, 50, 100, 200)
_WITH_PEERS = 50
_GROUP_BYTES = 512 << 20
_WAY = "crowd"
_POINTS = 200  # of a curve that is kept
_HEADINGS = {
    "rss_before_mb": "idle RSS, MB",
    "rss_peak_mb": "peak RSS, MB",
    "rss_above_mb": "above idle, MB",
    "seconds": "time, s",
    "requests": "right replies",
    "errors": "errors",
}


def run(plan: Plan) -> Outcome:
    """Measure it; crowds are as large as they are, so one round is enough."""
    outcome = Outcome("memory")
    images = batch([_IMAGE_BYTES] * _IMAGES)
    files = {f"{_WAY}/v1/images/generations": images.reply()}
    group_said = ""
    with staged(plan, files, [Way(_WAY)], ("nginx", "portkey", "litellm")) as stage:
        expected = images.written(stage.folder / "expected")
        for contestant in stage.present.values():
            outcome.rounds.append(_crowd(contestant, expected, _WITH_PEERS))
        if plan.wants("gateway"):
            with bounded(_GROUP_BYTES) as group:
                group_said = (
                    "in a control group of 512 MB" if group else "without a control group: none can be made here"
                )
                for crowd in _CROWDS:
                    outcome.rounds.append(_ours(stage, expected, crowd, group))
        outcome.missing = stage.missing
    keys: list[Row] = [{"who": row["who"], "at once": row["at once"]} for row in outcome.rounds]
    table = outcome.tabulate(f"Ten images of 1.5 MB each, as base64; the gateway {group_said}", _HEADINGS, keys)
    table.notes = ("nginx's row counts its process alone: its buffers are files.",)
    most = {"who": "gateway", "at once": _CROWDS[-1]}
    outcome.verdicts += [
        at_most(4, f"peak RSS above idle, {_CROWDS[-1]} at once", outcome.median("rss_above_mb", **most), 256, "MB"),
        at_most(4, "errors, every byte compared", outcome.median("errors", **most), 0, ""),
    ]
    return outcome


def _ours(stage: Stage, expected: list[str], crowd: int, group: Path | None) -> Row:
    folder = stage.folder / f"gateway-{crowd}"
    folder.mkdir()
    document = settings(folder, stage.vendor.port, [Way(_WAY)])
    with gateway(folder, document, before=joining(group)) as contestant:
        return _crowd(contestant, expected, crowd) | {"in_group": group is not None}


def _crowd(contestant: Contestant, expected: list[str], crowd: int) -> Row:
    ask = contestant.ask(_WAY, response_format="b64_json", n=_IMAGES)
    with measured(contestant.pid) as usage:
        answers = load(ask, crowd, requests=crowd, images=expected)
    row: Row = {"who": contestant.name, "at once": crowd, **figures_of(answers.served, usage)}
    return row | {"statuses": answers.statuses, "curve_mb": _thinned(usage)}


def _thinned(usage: Usage) -> list[tuple[float, int]]:
    step = max(1, len(usage.curve) // _POINTS)
    return [(round(at, 2), round(held / 1e6)) for at, held in usage.curve[::step]]
