"""The stage of a workload: a mock vendor, and before it everybody who takes part."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import contestants, nginx, peers
from bench.contestants import Contestant, Way
from bench.crowd import Served
from bench.kernel import Usage, measured
from bench.nginx import StartError
from bench.results import Plan, Row

__all__ = ["Stage", "figures_of", "joined", "staged", "workshop"]


@dataclass(slots=True)
class Stage:
    """Everybody who is there, by name, and why others are not."""

    folder: Path
    vendor: Contestant
    present: dict[str, Contestant] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def act(self, contestant: Contestant, load: Callable[[Contestant], Served], **named: object) -> Row:
        """One round of one contestant: what it served, and what it used."""
        with measured(contestant.pid) as usage:
            served = load(contestant)
        return {"who": contestant.name, **named, **figures_of(served, usage)}


@contextmanager
def workshop() -> Iterator[Path]:
    """A folder for configurations, logs and images, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        yield Path(name)


@contextmanager
def staged(
    plan: Plan, files: Mapping[str, bytes], ways: Sequence[Way], who: Sequence[str], **document: Any
) -> Iterator[Stage]:
    """A vendor with `files`, and before it all of `who` that the plan wants; `document` overrides gateway settings."""
    with workshop() as folder, nginx.vendor(folder / "vendor", files) as mock:
        wanted = [name for name in who if plan.wants(name)]
        with joined(folder, mock.port, ways, wanted, **document) as stage:
            yield stage


@contextmanager
def joined(folder: Path, port: int, ways: Sequence[Way], who: Sequence[str], **document: Any) -> Iterator[Stage]:
    """All of `who` that can be started before the vendor at `port`."""
    with ExitStack() as stack:
        stage = Stage(folder, contestants.direct(port))
        made = _makers(folder, port, ways, document)
        for name in who:
            try:
                stage.present[name] = stack.enter_context(made[name]())
            except (peers.MissingError, StartError) as problem:
                if name not in peers.NAMES:
                    raise
                stage.missing[name] = str(problem).partition("\n")[0]
        yield stage


def _makers(
    folder: Path, port: int, ways: Sequence[Way], document: Mapping[str, Any]
) -> Mapping[str, Callable[[], AbstractContextManager[Contestant]]]:
    def gateway() -> AbstractContextManager[Contestant]:
        home = folder / "gateway"
        home.mkdir()
        return contestants.gateway(home, {**contestants.settings(home, port, ways), **document})

    return {
        "nginx": lambda: contestants.bare(folder, port),
        "nginx unbuffered": lambda: contestants.bare(folder, port, buffering=False),
        "gateway": gateway,
        "litellm": lambda: peers.litellm(folder, port, [way.name for way in ways]),
        "portkey": lambda: peers.portkey(folder, port),
    }


def figures_of(served: Served, usage: Usage) -> Row:
    """The figures of one round. Processor time is without Redis's, which is told apart."""
    each = 1e6 / served.requests if served.requests else None
    return {
        **served.as_json(),
        "cpu_us": each and usage.cpu_s * each,
        "redis_cpu_us": each and usage.redis_cpu_s * each,
        "cpu_ms": each and usage.cpu_s * each / 1000,
        "rss_before_mb": usage.rss_before_bytes / 1e6,
        "rss_peak_mb": usage.rss_peak_bytes / 1e6,
        "rss_above_mb": (usage.rss_peak_bytes - usage.rss_before_bytes) / 1e6,
    }
